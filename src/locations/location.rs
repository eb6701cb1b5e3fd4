//! One Ironic: what is known of it, and whether it can be asked now. `ask` asks it, `attempt` goes from endpoint to
//! endpoint, `probe` asks what it is.

mod ask;
mod attempt;
mod probe;

use std::collections::BTreeSet;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use arc_swap::ArcSwap;
use arc_swap::ArcSwapOption;
use http::StatusCode;
use jiff::Timestamp;
use log::error;
use log::info;
use log::warn;
use thiserror::Error;
use tokio::sync::Notify;
use tokio::sync::Semaphore;
use tokio::sync::watch;

use crate::api::groups::GroupNames;
use crate::api::link::Dialect;
use crate::config::ExpectScope;
use crate::config::LocationConfig;
use crate::config::LocationId;
use crate::config::State;
use crate::keystone::client::SetupError;
use crate::locations::breaker::Breaker;
use crate::locations::breaker::Change;
use crate::locations::credentials::Credentials;
use crate::locations::endpoints::Endpoints;
use crate::locations::endpoints::Line;
use crate::locations::order::Act;
use crate::locations::order::Order;
use crate::locations::order::forbids;
use crate::locations::outage::Outage;
use crate::locations::peer::Peer;
use crate::locations::question::Expect;
use crate::locations::record::Observed;
use crate::locations::record::Record;
use crate::locations::silence::Reason;
use crate::locations::silence::Silence;
use crate::locations::speech::Standing;
use crate::locations::speech::base_of;
use crate::locations::traffic::Traffic;
use crate::tls::Certified;
use crate::tls::pem::TlsError;
use crate::wire::peer::Tls;
use crate::wire::peer::resolve;
use crate::wire::shown;

/// Before it is told once more that a location refuses our credentials. How often it did is counted.
const REFUSED_AGAIN: Duration = Duration::from_mins(10);
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

/// One independent Ironic installation.
#[derive(Clone, Debug)]
pub struct Location {
    /// Its number in one configuration.
    pub id: LocationId,
    /// The state that this configuration says; an order may be newer.
    pub state: State,
    /// Whether a list fails if this location cannot be asked.
    pub required: bool,
    /// What it calls conductor groups; `None`: as the gateway does. A group that another location is given may change it.
    pub groups: Option<Arc<GroupNames>>,
    site: Arc<Site>,
}

/// A location whatever its number and its use: it outlives configurations that say the same of it.
#[derive(Debug)]
pub struct Site {
    /// As of the first of them: what may be another in the next stands in [`Location`].
    pub config: LocationConfig,
    pub credentials: Credentials,
    tls: ArcSwap<Tls>,
    /// Where it is.
    pub endpoints: Endpoints,
    /// Addresses are being looked up for requests, once for all of them.
    looking: tokio::sync::Mutex<()>,
    breaker: Mutex<Breaker>,
    standing: ArcSwapOption<Standing>,
    /// What it said last while its section said something else.
    said_before: Option<Arc<Standing>>,
    quarantined: AtomicBool,
    /// What its endpoint serves is not the root of an Ironic.
    is_foreign: AtomicBool,
    /// It is not found.
    lost: Outage,
    /// There are no credentials for it.
    keyless: Outage,
    /// When the log was told last that it refuses them.
    told_refused: Mutex<Option<Instant>>,
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
    order: Arc<ArcSwap<Order>>,
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

impl Location {
    /// `known`: the one of this name whose section said something else.
    pub fn new(
        id: LocationId,
        config: &LocationConfig,
        told: &Arc<AtomicU64>,
        known: Option<&Self>,
    ) -> Result<Self, LocationError> {
        let name = || config.name.clone();
        let tls = Tls::load(&config.session).map_err(|source| LocationError::Tls {
            name: name(),
            source,
        })?;
        let credentials =
            Credentials::new(config).map_err(|source| LocationError::Credentials {
                name: name(),
                source,
            })?;
        let site = Site {
            credentials,
            tls: ArcSwap::from_pointee(tls),
            endpoints: Endpoints::default(),
            looking: tokio::sync::Mutex::default(),
            breaker: Mutex::new(Breaker::new(config.breaker_failures, config.breaker_reset)),
            standing: ArcSwapOption::empty(),
            said_before: known.and_then(Self::last_standing),
            quarantined: AtomicBool::new(false),
            is_foreign: AtomicBool::new(false),
            lost: Outage::default(),
            keyless: Outage::default(),
            told_refused: Mutex::default(),
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
            // An order holds for whoever still uses the old one, too, and counters go on.
            order: known.map_or_else(
                || Arc::new(ArcSwap::from_pointee(Order::of_file(config.state))),
                |known| Arc::clone(&known.order),
            ),
            record: Record::default(),
            traffic: known.map_or_else(Arc::default, |known| Arc::clone(&known.traffic)),
            config: config.clone(),
        };
        Ok(Self {
            id,
            state: config.state,
            required: config.required,
            groups: config.groups.clone(),
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
            groups: config.groups.clone(),
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

    /// The same, or else what it last said while its section said something else: what has been there so far counts until
    /// it speaks, and it is entrusted with nothing for that.
    pub fn last_standing(&self) -> Option<Arc<Standing>> {
        self.standing().or_else(|| self.said_before.clone())
    }

    /// How it speaks of itself. `standing`: what it last said.
    pub fn dialect<'a>(&'a self, standing: Option<&'a Standing>) -> Dialect<'a> {
        Dialect {
            base: base_of(standing),
            groups: self.groups.as_deref(),
        }
    }

    /// It has conductor groups without a name at the gateway.
    pub fn tell_strangers<'g>(&self, groups: impl Iterator<Item = &'g str>) {
        let mut groups = groups.peekable();
        if groups.peek().is_none() {
            return;
        }
        let mut told = self
            .told_groups
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for group in groups {
            if told.len() < MOST_TOLD_GROUPS && told.insert(group.into()) {
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
            if self.standing.load().is_none() || self.endpoints.is_empty() {
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
        // Quarantine first: such a location answers, and is not asked all the same.
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
        self.endpoints
            .all()
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    /// When the first of the certificates ends that its endpoints have shown.
    pub fn certificate_end(&self) -> Option<Timestamp> {
        let peers = self.endpoints.all();
        peers.iter().filter_map(|peer| shown::end(&peer.http)).min()
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
                let text = format!("Location `{}` has no endpoint: {error}", self.name());
                if self.lost.is_news(&text) {
                    warn!("{text}");
                }
                return;
            }
        };
        let mut is_whole = true;
        let mut peers = Vec::new();
        // One reading of the files for all peers, should a reload come in between.
        let tls = self.tls.load_full();
        for endpoint in endpoints.iter() {
            match resolve(endpoint).await {
                Ok(addresses) => {
                    let dial = |address| Peer::new(endpoint, address, &tls, &self.config);
                    peers.extend(addresses.into_iter().map(dial));
                }
                Err(error) => {
                    is_whole = false;
                    let text = format!(
                        "A host name of location `{}` cannot be resolved: {error}",
                        self.name()
                    );
                    if self.lost.is_news(&text) {
                        warn!("{text}");
                    }
                }
            }
        }
        if is_whole && self.lost.is_over() {
            info!("Location `{}` is found again", self.name());
        }
        // A resolver that fails for a moment must not make a location unreachable that answers.
        if !peers.is_empty() {
            self.endpoints.set(peers);
        }
    }

    /// Its peers in the order in which one question tries them.
    pub fn line(&self) -> Line {
        self.endpoints.line()
    }

    /// It could be reached after others could not: it is tried first from now on.
    pub fn peer_answered(&self, peer: &Peer) {
        if self.endpoints.prefer(peer) {
            self.look_again.notify_one();
        }
    }

    /// Until a first probe has ended.
    pub async fn probed(&self) {
        // The sender lives as long as the location.
        let _ = self.probe_ended.subscribe().wait_for(|ended| *ended).await;
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

    /// Our credentials were refused, also when they were new: that is ours to put right, not the client's.
    pub fn refused(&self, status: StatusCode) {
        let mut told = self
            .told_refused
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        // With a role that is too small some questions are refused and others are not: there is no first and no last one.
        if told.is_some_and(|told| now.saturating_duration_since(told) < REFUSED_AGAIN) {
            return;
        }
        *told = Some(now);
        error!(
            "Location `{}` refuses our credentials with {status}: check its section in the configuration, and that its \
             user has the role admin on the system",
            self.name()
        );
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

    /// The same of an answer that may be one of a newer Ironic's: nobody can say what it should be, so it says nothing of the
    /// location.
    pub fn unreadable(&self, expect: &Expect) -> Silence {
        match expect {
            Expect::Unknown => self.silent(Reason::Body),
            _ => self.misspoke(),
        }
    }

    /// When an open breaker is to be tried.
    pub fn trial_due(&self) -> Option<Instant> {
        self.breaker().trial()
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
        // Read first and stored last: what is wrong with a file leaves everything as it was.
        let tls = Tls::load(&self.config.session).map_err(|error| error.to_string())?;
        self.credentials
            .reload()
            .map_err(|error| error.to_string())?;
        let peers = self.endpoints.all();
        let secured = peers.iter().map(|peer| peer.secured_by(&tls)).collect();
        self.tls.store(Arc::new(tls));
        self.endpoints.set(secured);
        // A look-up under way may still have the old ones in hand.
        self.look_again.notify_one();
        Ok(())
    }
}
