//! One Ironic: whether it can be asked now, and how.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use arc_swap::ArcSwap;
use arc_swap::ArcSwapOption;
use http::HeaderValue;
use http::StatusCode;
use jiff::Timestamp;
use log::error;
use log::info;
use log::warn;
use thiserror::Error;
use tokio::sync::Notify;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;
use tokio::sync::watch;

use crate::api::collection::Collection;
use crate::api::fault;
use crate::api::header;
use crate::api::json;
use crate::api::link::Dialect;
use crate::api::microversion::Microversion;
use crate::api::microversion::VersionRange;
use crate::config::ExpectScope;
use crate::config::LocationAuth;
use crate::config::LocationConfig;
use crate::config::LocationId;
use crate::config::State;
use crate::keystone::client::SetupError;
use crate::locations::breaker::Breaker;
use crate::locations::breaker::Change;
use crate::locations::credentials::Credentials;
use crate::locations::credentials::Proof;
use crate::locations::order::Act;
use crate::locations::order::Order;
use crate::locations::order::forbids;
use crate::locations::peer::Peer;
use crate::locations::question::Asker;
use crate::locations::question::Body;
use crate::locations::question::Expect;
use crate::locations::question::Pace;
use crate::locations::question::Purpose;
use crate::locations::question::Question;
use crate::locations::question::Standpoint;
use crate::locations::record::Observed;
use crate::locations::record::Record;
use crate::locations::silence::Reason;
use crate::locations::silence::Silence;
use crate::locations::speech::Heard;
use crate::locations::speech::Said;
use crate::locations::speech::Standing;
use crate::locations::speech::Words;
use crate::locations::speech::base_of;
use crate::locations::speech::head_too_large;
use crate::locations::speech::judge;
use crate::locations::speech::range_of;
use crate::locations::speech::standing;
use crate::locations::traffic::Outcome;
use crate::locations::traffic::Traffic;
use crate::locations::translation::in_our_words;
use crate::locations::translation::in_their_words;
use crate::tls::Certified;
use crate::tls::pem::TlsError;
use crate::wire::message::NoPath;
use crate::wire::peer::Tls;
use crate::wire::peer::resolve;
use crate::wire::transport::Bounds;
use crate::wire::transport::Failure;
use crate::wire::transport::Head;
use crate::wire::transport::Message;
use crate::wire::transport::Reply;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const CHUNKED: HeaderValue = HeaderValue::from_static("chunked");
const ALL: HeaderValue = HeaderValue::from_static("all");

/// A location that makes up groups does not fill the log.
const MOST_TOLD_GROUPS: usize = 64;

/// The files of a location's section cannot be used.
#[derive(Debug, Error)]
pub enum LocationError {
    #[error("[group:{name}] {source}")]
    Tls { name: String, source: TlsError },
    #[error("[group:{name}] {source}")]
    Credentials { name: String, source: SetupError },
}

/// What is shown to a location of who asks.
#[derive(Clone, Copy, Debug, Default)]
struct Shown<'a> {
    proof: Option<&'a Proof>,
    /// It is our own credential.
    ours: bool,
}

/// One independent Ironic installation.
#[derive(Clone, Debug)]
pub struct Location {
    /// Its number in one configuration.
    pub id: LocationId,
    /// The state that this configuration says; an order may be newer.
    pub state: State,
    /// Whether a list fails if this location cannot be asked.
    pub required: bool,
    site: Arc<Site>,
}

/// A location whatever its number and its use: it outlives configurations that say the same of it.
#[derive(Debug)]
pub struct Site {
    pub config: LocationConfig,
    pub credentials: Credentials,
    tls: ArcSwap<Tls>,
    peers: ArcSwap<Vec<Arc<Peer>>>,
    /// Addresses are being looked up for requests, once for all of them.
    looking: tokio::sync::Mutex<()>,
    /// Index of the peer that answered last.
    preferred: AtomicUsize,
    breaker: Mutex<Breaker>,
    standing: ArcSwapOption<Standing>,
    quarantined: AtomicBool,
    /// What its endpoint serves is not the root of an Ironic.
    is_foreign: AtomicBool,
    /// The log has it that the credential sees a project only.
    told_narrow: AtomicBool,
    /// The log has it that projects can have nothing here.
    told_too_old: AtomicBool,
    /// A first round is over: addresses were looked for, and a probe ended.
    probe_ended: watch::Sender<bool>,
    /// Groups without a name at the gateway that the log has.
    told_groups: Mutex<BTreeSet<Box<str>>>,
    /// Why it was silent last.
    failure: Mutex<Reason>,
    /// Counts what locations told of themselves, all of them together.
    told: Arc<AtomicU64>,
    permits: Arc<Semaphore>,
    uploads: Arc<Semaphore>,
    /// What is known of it may be out of date: look again.
    pub look_again: Notify,
    /// It is to be asked again, at once.
    pub back: Notify,
    /// What its operator wants.
    order: ArcSwap<Order>,
    /// What is observed of it.
    pub record: Record,
    /// What became of the questions to it.
    pub traffic: Arc<Traffic>,
}

impl Deref for Location {
    type Target = Site;

    fn deref(&self) -> &Site {
        &self.site
    }
}

/// How many there were in this process. Each has connections of its own in the pool.
static SITES: AtomicU64 = AtomicU64::new(0);

impl Location {
    pub fn new(
        id: LocationId,
        config: &LocationConfig,
        told: &Arc<AtomicU64>,
        traffic: Arc<Traffic>,
    ) -> Result<Self, LocationError> {
        let name = || config.name.clone();
        let tls = Tls::load(&config.session, SITES.fetch_add(1, Ordering::Relaxed)).map_err(
            |source| LocationError::Tls {
                name: name(),
                source,
            },
        )?;
        let credentials =
            Credentials::new(config).map_err(|source| LocationError::Credentials {
                name: name(),
                source,
            })?;
        let site = Site {
            credentials,
            tls: ArcSwap::from_pointee(tls),
            peers: ArcSwap::default(),
            looking: tokio::sync::Mutex::default(),
            preferred: AtomicUsize::new(0),
            breaker: Mutex::new(Breaker::new(config.breaker_failures, config.breaker_reset)),
            standing: ArcSwapOption::empty(),
            quarantined: AtomicBool::new(false),
            is_foreign: AtomicBool::new(false),
            told_narrow: AtomicBool::new(false),
            told_too_old: AtomicBool::new(false),
            probe_ended: watch::Sender::new(false),
            told_groups: Mutex::default(),
            failure: Mutex::new(Reason::Connect),
            told: Arc::clone(told),
            permits: Arc::new(Semaphore::new(config.max_concurrent)),
            uploads: Arc::new(Semaphore::new(config.max_concurrent)),
            look_again: Notify::new(),
            back: Notify::new(),
            order: ArcSwap::from_pointee(Order::of_file(config.state)),
            record: Record::default(),
            traffic,
            config: config.clone(),
        };
        Ok(Self {
            id,
            state: config.state,
            required: config.required,
            site: Arc::new(site),
        })
    }

    /// The same one in another configuration.
    #[must_use]
    pub fn under(&self, id: LocationId, config: &LocationConfig) -> Self {
        Self {
            id,
            state: config.state,
            required: config.required,
            site: Arc::clone(&self.site),
        }
    }

    /// Whether both are one, with all that it has learnt.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.site, &other.site)
    }

    /// A first round is over: what it says of itself need not be waited for.
    pub fn was_probed(&self) -> bool {
        *self.probe_ended.borrow()
    }

    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// What it last said of itself; `None`: it never spoke.
    pub fn standing(&self) -> Option<Arc<Standing>> {
        self.standing.load_full()
    }

    /// How it speaks of itself. `standing`: what it last said.
    pub fn dialect<'a>(&'a self, standing: Option<&'a Standing>) -> Dialect<'a> {
        Dialect {
            base: base_of(standing),
            groups: self.config.groups.as_deref(),
        }
    }

    /// It has conductor groups without a name at the gateway.
    pub fn tell_strangers(&self, groups: &[Box<str>]) {
        if groups.is_empty() {
            return;
        }
        let mut told = self
            .told_groups
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for group in groups {
            if told.len() < MOST_TOLD_GROUPS && told.insert(group.clone()) {
                warn!(
                    "Location `{}` has the conductor group `{}`, which [DEFAULT] groups and local_groups do not map",
                    self.name(),
                    if group.is_empty() { "_" } else { group }
                );
            }
        }
    }

    pub fn is_quarantined(&self) -> bool {
        self.quarantined.load(Ordering::Relaxed)
    }

    /// Whether it was in quarantine before.
    pub fn set_quarantine(&self, quarantined: bool) -> bool {
        self.quarantined.swap(quarantined, Ordering::Relaxed)
    }

    /// What its operator wants of it.
    pub fn order(&self) -> Arc<Order> {
        self.order.load_full()
    }

    /// The operator's word on it; see [`crate::locations::Locations::order`].
    pub fn ordered(&self, order: Order) {
        let was_silent = self.forbids(Act::Read).is_some();
        self.order.store(Arc::new(order));
        if self.forbids(Act::Read).is_some() {
            // Nobody asks it, so nobody waits for what it says first.
            self.probe_ended.send_replace(true);
        } else if was_silent {
            if self.standing.load().is_none() || self.peers.load().is_empty() {
                // What it says first is still to come, and whoever asks waits for it.
                self.probe_ended.send_replace(false);
            }
            self.back.notify_one();
        }
    }

    /// Why it is not asked that, whatever its condition; `None`: it is.
    pub fn forbids(&self, act: Act) -> Option<Reason> {
        forbids(self.order.load().state, act)
    }

    /// What is observed, and since when it is so. The operator's wish is no part of it.
    pub fn observed(&self) -> (Observed, Timestamp) {
        let observed = if self.is_quarantined() {
            Observed::Down(Reason::Quarantine)
        } else if self.is_foreign.load(Ordering::Relaxed) {
            Observed::Down(Reason::Body)
        } else if !self.breaker().is_closed() {
            Observed::Down(self.last_failure())
        } else if self.standing.load().is_some() {
            Observed::Up
        } else if *self.probe_ended.borrow() && self.forbids(Act::Read).is_none() {
            Observed::Down(self.last_failure())
        } else {
            Observed::Unknown
        };
        self.record.observed(observed)
    }

    /// Whether its breaker lets questions through.
    pub fn is_breaker_closed(&self) -> bool {
        self.breaker().is_closed()
    }

    /// Where it is, as far as is known now.
    pub fn addresses(&self) -> Vec<String> {
        self.peers.load().iter().map(ToString::to_string).collect()
    }

    /// Whether requests are sent there.
    pub fn is_usable(&self) -> bool {
        self.standing.load().is_some() && self.is_reachable()
    }

    /// Whether anything but a write may be asked.
    pub fn is_reachable(&self) -> bool {
        self.forbids(Act::Read).is_none()
            && self.breaker().is_closed()
            && !self.is_quarantined()
            && !self.is_foreign.load(Ordering::Relaxed)
    }

    /// Whether something failed since it last answered.
    pub fn is_troubled(&self) -> bool {
        self.breaker().is_troubled()
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks up where the location is. Addresses that were known stay if none is found now.
    pub async fn resolve(&self) {
        let endpoints = match self.credentials.endpoints().await {
            Ok(endpoints) => endpoints,
            Err(error) => {
                warn!("Location `{}` has no endpoint: {error}", self.name());
                return;
            }
        };
        let mut peers = Vec::new();
        let tls = self.tls.load_full();
        for endpoint in endpoints.iter() {
            match resolve(endpoint).await {
                Ok(addresses) => {
                    let dial = |address| Arc::new(Peer::new(endpoint, address, &tls, &self.config));
                    peers.extend(addresses.into_iter().map(dial));
                }
                Err(error) => warn!(
                    "A host name of location `{}` cannot be resolved: {error}",
                    self.name()
                ),
            }
        }
        // A resolver that fails for a moment must not make a location unreachable that answers.
        if !peers.is_empty() {
            self.peers.store(Arc::new(peers));
        }
    }

    /// The peer to try first, or after `failed` others.
    pub fn peer(&self, failed: usize) -> Option<Arc<Peer>> {
        let peers = self.peers.load();
        if failed >= peers.len() {
            return None;
        }
        peers
            // The number only grows, so it wraps around the peers that there are now.
            .get((self.preferred.load(Ordering::Relaxed) + failed) % peers.len())
            .cloned()
    }

    /// After `failed` peers that could not be reached one could: it is tried first from now on.
    pub fn peer_answered(&self, failed: usize) {
        if failed > 0 {
            self.preferred.fetch_add(failed, Ordering::Relaxed);
            self.look_again.notify_one();
        }
    }

    /// May it be asked? Waits for what it first says of itself, since nothing is entrusted to what may be no Ironic.
    pub async fn admit(&self, asker: &Asker, act: Act) -> Result<(), Silence> {
        if let Some(reason) = self.forbids(act) {
            return Err(self.silent(reason));
        }
        if self.standing.load().is_none() {
            self.first_round(asker).await;
        }
        self.found(asker).await;
        if self.is_quarantined() {
            return Err(self.silent(Reason::Quarantine));
        }
        if self.standing.load().is_none() || self.is_foreign.load(Ordering::Relaxed) {
            return Err(self.silent(*self.failure.lock().unwrap_or_else(PoisonError::into_inner)));
        }
        if !self.breaker().is_closed() {
            return Err(self.silent(Reason::Breaker));
        }
        Ok(())
    }

    /// Until addresses were looked up and a first probe has ended, however it did; no longer than the request may take.
    async fn first_round(&self, asker: &Asker) {
        let _ = tokio::time::timeout_at(asker.deadline.into(), self.probed()).await;
    }

    /// Until its addresses were looked up once. After a restart what it says of itself is known already, and its probe is
    /// one of thousands: whoever asks looks for itself.
    async fn found(&self, asker: &Asker) {
        if self.was_probed() || !self.peers.load().is_empty() {
            return;
        }
        let looked = async {
            let _one = self.looking.lock().await;
            if self.peers.load().is_empty() {
                self.resolve().await;
            }
        };
        let _ = tokio::time::timeout_at(asker.deadline.into(), looked).await;
    }

    /// Until a first probe has ended.
    pub async fn probed(&self) {
        // The sender lives as long as the location.
        let _ = self.probe_ended.subscribe().wait_for(|ended| *ended).await;
    }

    /// A connection's worth of the location. Taken last, when nothing else has to be waited for.
    /// Bodies that are handed on at their clients' pace have some of their own: clients that stall would take all others.
    pub async fn permit(&self, asker: &Asker, pace: Pace) -> Result<OwnedSemaphorePermit, Silence> {
        let permits = match pace {
            Pace::Ours => &self.permits,
            Pace::Clients => &self.uploads,
        };
        if let Ok(permit) = Arc::clone(permits).try_acquire_owned() {
            return Ok(permit);
        }
        let patience = self.config.connect_timeout.min(asker.patience());
        match tokio::time::timeout(patience, Arc::clone(permits).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(self.silent(Reason::Busy)),
        }
    }

    /// Exchanges that are going on.
    pub fn in_flight(&self) -> usize {
        let free = self.permits.available_permits() + self.uploads.available_permits();
        (2 * self.config.max_concurrent).saturating_sub(free)
    }

    /// Why it was silent last.
    pub fn last_failure(&self) -> Reason {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn silent(&self, reason: Reason) -> Silence {
        Silence {
            location: self.id,
            reason,
            sent: false,
            reply: None,
        }
    }

    /// The location gave an answer that was one.
    pub fn understood(&self) {
        if self.breaker().succeeded() == Change::Closed {
            info!("Location `{}` answers again", self.name());
        }
    }

    /// The location gave no answer.
    pub fn failed(&self, reason: Reason) {
        self.count_failure(reason, false);
    }

    fn count_failure(&self, reason: Reason, is_trial: bool) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = reason;
        if self.breaker().failed(Instant::now(), is_trial) == Change::Opened {
            warn!(
                "Location `{}` failed {} times in a row ({reason}): not asked until a trial succeeds, every {:?}",
                self.name(),
                self.config.breaker_failures,
                self.config.breaker_reset
            );
        }
        self.look_again.notify_one();
    }

    /// Whether a credential of ours is shown to the location in this asker's name.
    fn shows_ours(&self, asker: &Asker) -> bool {
        match asker.standing {
            Standpoint::Ours => true,
            Standpoint::Authorised => !self.config.forward_user_token,
            Standpoint::Anonymous => false,
        }
    }

    /// What lets us in: the client's own token where that is forwarded, else our credentials. A Keystone that does not
    /// answer is the location's failure, and costs no more than a connection would.
    pub async fn proof(&self, asker: &Asker) -> Result<Option<Proof>, Silence> {
        if asker.standing == Standpoint::Anonymous {
            return Ok(None);
        }
        if !self.shows_ours(asker) {
            return asker.token.as_ref().map_or_else(
                || Err(self.silent(Reason::Refused)),
                |token| {
                    Ok(Some(Proof {
                        name: header::AUTH_TOKEN,
                        value: token.clone(),
                        generation: 0,
                    }))
                },
            );
        }
        let patience = self.config.connect_timeout.min(asker.patience());
        match tokio::time::timeout(patience, self.credentials.header()).await {
            Ok(Ok(proof)) => {
                self.check_scope();
                Ok(proof)
            }
            Ok(Err(error)) => {
                warn!("No credentials for location `{}`: {error}", self.name());
                self.failed(Reason::Refused);
                Err(self.silent(Reason::Refused))
            }
            Err(_) => {
                warn!(
                    "No credentials for location `{}`: its Keystone does not answer",
                    self.name()
                );
                self.failed(Reason::Refused);
                Err(self.silent(Reason::Refused))
            }
        }
    }

    /// Whether our credential there may be shown a project's part of it only.
    pub fn is_narrow(&self) -> bool {
        self.config.expect_scope == ExpectScope::System
            && self.credentials.sees_the_system() == Some(false)
    }

    fn check_scope(&self) {
        let narrow = self.is_narrow();
        if narrow && !self.told_narrow.swap(true, Ordering::Relaxed) {
            error!(
                "The token for location `{}` is not scoped to the system: lists lack what its project does not own, \
                 and drivers and chassis are refused. Set system_scope = all in [group:{}] and give its user the \
                 role admin \
                 on the system, or say expect_scope = project",
                self.name(),
                self.name()
            );
        }
        if !narrow {
            self.told_narrow.store(false, Ordering::Relaxed);
        }
    }

    /// Said once, when somebody wanted it.
    pub fn tell_too_old(&self) {
        if !self.told_too_old.swap(true, Ordering::Relaxed) {
            warn!(
                "Location `{}` is older than API 1.65 and has no lessees: tokens of projects see nothing of it",
                self.name()
            );
        }
    }

    /// The one place where the head of a request to this location is made. Nothing of a client's head is in it: what we
    /// mean is asked, not what a client happened to send.
    pub fn head(
        &self,
        peer: &Peer,
        asker: &Asker,
        question: &Question,
        proof: Option<&Proof>,
    ) -> Result<Head, NoPath> {
        let path = &question.path;
        let mut head = if peer.prefix.is_empty() {
            Head::new(question.method.clone(), path)?
        } else {
            Head::new(question.method.clone(), &format!("{}{path}", peer.prefix))?
        };
        head.field(&http::header::HOST, &peer.host);
        head.field(&http::header::ACCEPT, &JSON);
        head.number(&header::API_VERSION, question.version);
        head.field(&header::REQUEST_ID, &asker.request_id);
        let length = match &question.body {
            Body::None if question.method.is_safe() => None,
            Body::None => Some(0),
            Body::Whole(bytes) => Some(bytes.len() as u64),
            Body::Streamed(upload) => upload.length,
        };
        match length {
            Some(length) => head.number(&http::header::CONTENT_LENGTH, length),
            None if matches!(question.body, Body::Streamed(_)) => {
                head.field(&http::header::TRANSFER_ENCODING, &CHUNKED);
            }
            None => {}
        }
        if !matches!(question.body, Body::None) {
            // Without a body it would make WSGI servers with an unbounded input wait for one.
            head.field(&http::header::CONTENT_TYPE, &question.media.name());
        }
        if let Some(proof) = proof {
            head.field(&proof.name, &proof.value);
        }
        if self.needs_scope(asker) {
            // Without it Ironic takes us for a project's user and refuses owners, though it asks for no proof.
            head.field(&header::SYSTEM_SCOPE, &ALL);
        }
        Ok(head)
    }

    fn needs_scope(&self, asker: &Asker) -> bool {
        matches!(
            self.config.auth,
            LocationAuth::None | LocationAuth::HttpBasic { .. }
        ) && self.shows_ours(asker)
    }

    /// Asks one question. What Ironic says is an answer, whichever; what anybody else says, or nothing, is silence.
    /// Our credential is renewed once if it is refused.
    ///
    /// # Errors
    /// Why it could not be asked. Whether that counts against the location is decided here.
    pub async fn ask(&self, asker: &Asker, question: &Question) -> Result<Said, Silence> {
        if let Err(silence) = self.admit(asker, Act::of(question)).await {
            self.traffic.not_asked(Outcome::Silent(silence.reason));
            let reason = Some(silence.reason);
            asker.trail.note(self.id, Duration::ZERO, reason);
            return Err(silence);
        }
        let begun = Instant::now();
        let said = self.ask_anyway(asker, question, false).await;
        let now = Instant::now();
        let took = now.saturating_duration_since(begun);
        self.traffic.asked(Outcome::of(&said), took);
        let reason = said.as_ref().err().map(|silence| silence.reason);
        asker.trail.note(self.id, took, reason);
        if said.is_ok() {
            self.record.answered(now, took);
        }
        said
    }

    /// The same, for who passes on whatever Ironic says.
    pub async fn reply(&self, asker: &Asker, question: &Question) -> Result<Reply, Silence> {
        self.ask(asker, question).await.map(Said::into_reply)
    }

    async fn ask_anyway(
        &self,
        asker: &Asker,
        question: &Question,
        is_trial: bool,
    ) -> Result<Said, Silence> {
        let question = &*self
            .config
            .groups
            .as_deref()
            .map_or(Cow::Borrowed(question), |groups| {
                in_their_words(question, groups)
            });
        let ours = self.shows_ours(asker);
        let mut renewed = false;
        loop {
            let proof = self.proof(asker).await?;
            let permit = self.permit(asker, question.body.pace()).await?;
            let shown = Shown {
                proof: proof.as_ref(),
                ours,
            };
            let heard = match self.send(asker, question, shown).await {
                Ok(heard) => heard,
                Err(Failure::HeadRefused) if question.method.is_safe() => {
                    return Ok(Said::Refuses(head_too_large()));
                }
                Err(failure) => return Err(self.no_answer(question, failure, is_trial)),
            };
            drop(permit);
            match heard {
                Heard::Said(said) => return self.heard(question, said),
                Heard::RefusesUs(status) => {
                    if let Some(proof) = proof.filter(|_| !renewed) {
                        self.credentials.refused(proof.generation, Instant::now());
                        renewed = true;
                        if question.body.is_at_hand().await {
                            continue;
                        }
                    } else {
                        self.refused(status);
                    }
                    return Err(self.silent(Reason::Refused));
                }
                Heard::Unusable(reason, reply) => {
                    let is_ironics = fault::read(&reply.body).is_some();
                    if is_its_fault(question, is_ironics) {
                        self.count_failure(reason, is_trial);
                    }
                    return Err(Silence {
                        sent: !question.method.is_safe(),
                        reply: Some(Box::new(reply)).filter(|_| is_ironics),
                        ..self.silent(reason)
                    });
                }
            }
        }
    }

    fn heard(&self, question: &Question, said: Said) -> Result<Said, Silence> {
        let (Said::Has(Words { reply, .. })
        | Said::No(reply)
        | Said::Refuses(reply)
        | Said::Fails(reply)) = &said;
        if self.speaks_otherwise(reply) {
            // Upgraded, and traffic keeps the probe from asking.
            self.look_again.notify_one();
        }
        match &said {
            Said::Refuses(reply) => {
                if reply.status == StatusCode::NOT_ACCEPTABLE && self.correct_range(reply) {
                    return Err(self.silent(Reason::Versions));
                }
            }
            Said::Fails(_) => {}
            // Reading a list twice would cost more than the rest of a merge: only what was in trouble has to show that it
            // is one.
            Said::Has(Words { reply, .. }) => match question.expect {
                Expect::List { key, .. }
                    if self.is_troubled() && !json::is_list_under(&reply.body, key) => {}
                _ => self.understood(),
            },
            Said::No(_) => self.understood(),
        }
        Ok(said)
    }

    fn no_answer(&self, question: &Question, failure: Failure, is_trial: bool) -> Silence {
        let reason = match failure {
            Failure::Connect | Failure::Broken | Failure::HeadRefused => Reason::Connect,
            Failure::ConnectTimeout | Failure::Timeout | Failure::Deadline => Reason::Timeout,
            Failure::CutOff | Failure::TooLarge => Reason::Body,
            Failure::Local | Failure::Abandoned => Reason::Gateway,
        };
        let counts = match failure {
            // No connection at all says something of the location, whatever was to be asked.
            Failure::Connect | Failure::ConnectTimeout => true,
            Failure::Deadline | Failure::Local | Failure::Abandoned | Failure::HeadRefused => false,
            Failure::Timeout | Failure::Broken | Failure::CutOff | Failure::TooLarge => {
                question.purpose != Purpose::RoutedBelow
            }
        };
        if counts {
            self.count_failure(reason, is_trial);
        }
        if failure == Failure::Connect || failure == Failure::ConnectTimeout {
            // Its catalog may name another address by now.
            self.credentials.endpoint_is_dead(Instant::now());
        }
        Silence {
            // What is safe changes nothing, executed or not.
            sent: failure.was_sent() && !question.method.is_safe(),
            ..self.silent(reason)
        }
    }

    /// Our credentials were refused, also when they were new: that is ours to put right, not the client's.
    pub fn refused(&self, status: StatusCode) {
        error!(
            "Location `{}` refuses our credentials with {status}: check its section in the configuration, and that its \
             user has the role admin on the system",
            self.name()
        );
    }

    /// What the first peer says that can be reached. What is safe is asked of the next one whatever went wrong.
    async fn send(
        &self,
        asker: &Asker,
        question: &Question,
        shown: Shown<'_>,
    ) -> Result<Heard, Failure> {
        self.found(asker).await;
        let bounds = Bounds {
            response: self.config.response_timeout,
            silence: self.config.timeout,
            deadline: question.deadline(asker, self.config.timeout),
            size: question.bound(self.config.max_response_size),
        };
        let mut failed = 0;
        let mut failure = Failure::Connect;
        loop {
            let Some(peer) = self.peer(failed) else {
                return Err(failure);
            };
            let head = self
                .head(&peer, asker, question, shown.proof)
                .map_err(|_| Failure::Local)?;
            let message = Message {
                head: &head,
                body: question.body.sent(),
            };
            let another = self.peer(failed + 1).is_some();
            match asker.transport.exchange(&peer.http, message, bounds).await {
                Ok(mut reply) => {
                    if let Some(groups) = self.config.groups.as_deref() {
                        in_our_words(&mut reply, groups);
                    }
                    let standing = self.standing();
                    let from = self.dialect(standing.as_deref());
                    let heard = judge(question, shown.ours, from, reply);
                    let is_said = matches!(heard, Heard::Said(_));
                    if is_said || !another || !question.method.is_safe() {
                        self.peer_answered(failed);
                        return Ok(heard);
                    }
                }
                Err(error) => {
                    failure = error;
                    let may_repeat = question.method.is_safe() || !error.was_sent();
                    if matches!(
                        error,
                        Failure::Local | Failure::Deadline | Failure::Abandoned
                    ) || !may_repeat
                    {
                        return Err(error);
                    }
                }
            }
            failed += 1;
        }
    }

    /// Whether an answer tells of other versions than are known.
    fn speaks_otherwise(&self, reply: &Reply) -> bool {
        let told = range_of(&reply.headers);
        told.zip(self.standing.load().as_ref())
            .is_some_and(|(range, known)| range != known.range)
    }

    /// A 406 tells the range: it may be another one since the last probe. Returns whether it is.
    fn correct_range(&self, reply: &Reply) -> bool {
        let (Some(range), Some(known)) = (range_of(&reply.headers), self.standing()) else {
            return false;
        };
        if range == known.range {
            return false;
        }
        self.learn(Standing {
            range,
            base: known.base.clone(),
        });
        self.look_again.notify_one();
        true
    }

    pub fn learn(&self, standing: Standing) {
        self.standing.store(Some(Arc::new(standing)));
        self.told.fetch_add(1, Ordering::AcqRel);
    }

    /// The answer of a location is no list or document of Ironic's.
    pub fn misspoke(&self) -> Silence {
        self.failed(Reason::Body);
        self.silent(Reason::Body)
    }

    /// Asks which versions it has. `None`: it did not tell. That the root document is served says nothing of the rest,
    /// so it does not close what other questions opened.
    pub async fn probe(&self, asker: &Asker) -> Option<Standing> {
        let told = match self.root(asker, Microversion::new(1, 1)).await {
            // It has given up the oldest versions, and says which ones it has.
            Err(Some(range)) => self.root(asker, range.max()).await,
            told => told,
        };
        let told = told.ok();
        if let Some(standing) = &told {
            self.learn(standing.clone());
        }
        self.probe_ended.send_replace(true);
        told
    }

    /// The root document. `Err`: it is none, or there is none in this version, but in that range.
    async fn root(
        &self,
        asker: &Asker,
        version: Microversion,
    ) -> Result<Standing, Option<VersionRange>> {
        let question = Question::get("/".to_owned(), version).expecting(Expect::Versions);
        // Public at every Ironic: no credential is shown before the location is known to be one.
        let heard = match self.send(asker, &question, Shown::default()).await {
            Ok(heard) => heard,
            Err(failure) => {
                self.no_answer(&question, failure, false);
                return Err(None);
            }
        };
        let mut is_another = false;
        let reason = match heard {
            Heard::Said(Said::Has(Words { reply, .. })) => {
                self.is_foreign.store(false, Ordering::Relaxed);
                return standing(&reply).ok_or(None);
            }
            Heard::Said(Said::Refuses(reply)) if reply.status == StatusCode::NOT_ACCEPTABLE => {
                let range = range_of(&reply.headers).filter(|range| range.max() != version);
                if range.is_some() {
                    return Err(range);
                }
                Reason::Body
            }
            Heard::Unusable(reason, reply) => {
                is_another = reply.status == StatusCode::OK;
                reason
            }
            Heard::Said(_) | Heard::RefusesUs(_) => Reason::Body,
        };
        if is_another && !self.is_foreign.swap(true, Ordering::Relaxed) {
            error!(
                "What answers at the endpoint of location `{}` is not the root of an Ironic: endpoint_override must name the \
                 address below which `/v1` is",
                self.name()
            );
        }
        self.failed(reason);
        Err(None)
    }

    /// When an open breaker is to be tried.
    pub fn trial_due(&self) -> Option<Instant> {
        self.breaker().trial()
    }

    /// Tries a location whose breaker is open, with the cheapest question that Ironic's database has to answer. Where
    /// only users have rights we have none, and the root document has to do.
    pub async fn try_again(&self, asker: &Asker) {
        let Some(standing) = self.standing() else {
            return;
        };
        if self.config.forward_user_token {
            if self.probe(asker).await.is_some() {
                self.understood();
            }
            return;
        }
        let question = Question::get("/v1/nodes?limit=1".to_owned(), standing.range.max())
            .for_list(Collection::Nodes);
        match self.ask_anyway(asker, &question, true).await {
            Ok(Said::Refuses(_)) => self.understood(),
            Ok(_) if self.breaker().is_closed() => {}
            Ok(_) => self.count_failure(Reason::Body, true),
            // It can answer; that it does not let us in is another matter, told of elsewhere.
            Err(silence) if silence.reason == Reason::Refused && self.credentials.is_in_hand() => {
                self.understood();
            }
            Err(_) => self.breaker_stays_open(),
        }
    }

    fn breaker_stays_open(&self) {
        let _ = self.breaker().failed(Instant::now(), true);
    }
}

impl Certified for Location {
    fn title(&self) -> String {
        format!("location `{}`", self.name())
    }

    fn files(&self) -> Vec<PathBuf> {
        self.config.session.files()
    }

    fn proofs(&self) -> Vec<PathBuf> {
        self.config.session.certfile.iter().cloned().collect()
    }

    fn reload(&self) -> Result<(), String> {
        let tls = self
            .tls
            .load()
            .load_again(&self.config.session)
            .map_err(|error| error.to_string())?;
        self.credentials
            .reload()
            .map_err(|error| error.to_string())?;
        let secured = self
            .peers
            .load()
            .iter()
            .map(|peer| Arc::new(peer.secured_by(&tls)))
            .collect();
        self.tls.store(Arc::new(tls));
        self.peers.store(Arc::new(secured));
        // A look-up under way may still have the old ones in hand.
        self.look_again.notify_one();
        Ok(())
    }
}

/// An error of Ironic's own may come from a client's parameters, and slowness of a driver from the driver: the
/// location is judged by what says something of all of it.
fn is_its_fault(question: &Question, is_ironics: bool) -> bool {
    match question.purpose {
        Purpose::Own => true,
        Purpose::Shared | Purpose::Routed => !is_ironics,
        Purpose::RoutedBelow => false,
    }
}
