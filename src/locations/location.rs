//! One Ironic: may it be asked, and how.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Instant;

use arc_swap::ArcSwap;
use arc_swap::ArcSwapOption;
use http::HeaderName;
use http::StatusCode;
use log::error;
use log::info;
use log::warn;
use pingora::http::RequestHeader;
use thiserror::Error;
use tokio::sync::Notify;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;

use crate::api::header;
use crate::api::microversion::Microversion;
use crate::config::LocationAuth;
use crate::config::LocationConfig;
use crate::config::LocationId;
use crate::keystone::client::SetupError;
use crate::locations::breaker::Breaker;
use crate::locations::breaker::Change;
use crate::locations::credentials::Credentials;
use crate::locations::credentials::Proof;
use crate::locations::peer;
use crate::locations::peer::Peer;
use crate::locations::peer::Tls;
use crate::locations::question::Asker;
use crate::locations::question::Question;
use crate::locations::question::Standpoint;
use crate::locations::silence::Reason;
use crate::locations::silence::Silence;
use crate::locations::speech::Standing;
use crate::locations::speech::is_ironics;
use crate::locations::speech::is_refusal;
use crate::locations::speech::range_of;
use crate::locations::speech::standing;
use crate::tls::Certified;
use crate::tls::pem::TlsError;
use crate::wire::transport::Bounds;
use crate::wire::transport::Failure;
use crate::wire::transport::Reply;

/// The files of a location's section cannot be used.
#[derive(Debug, Error)]
pub enum LocationError {
    #[error("[group:{name}] {source}")]
    Tls { name: String, source: TlsError },
    #[error("[group:{name}] {source}")]
    Credentials { name: String, source: SetupError },
}

/// One independent Ironic installation.
#[derive(Debug)]
pub struct Location {
    pub id: LocationId,
    pub config: LocationConfig,
    pub credentials: Credentials,
    tls: ArcSwap<Tls>,
    peers: ArcSwap<Vec<Arc<Peer>>>,
    /// Index of the peer that answered last.
    preferred: AtomicUsize,
    breaker: Mutex<Breaker>,
    standing: ArcSwapOption<Standing>,
    quarantined: AtomicBool,
    /// Why it was silent last.
    failure: Mutex<Reason>,
    /// Counts what locations told of themselves, all of them together.
    told: Arc<AtomicU64>,
    permits: Arc<Semaphore>,
    /// What is known of it may be out of date: look again.
    pub look_again: Notify,
}

impl Location {
    pub fn new(
        id: LocationId,
        config: &LocationConfig,
        told: &Arc<AtomicU64>,
    ) -> Result<Self, LocationError> {
        let name = || config.name.clone();
        let tls =
            Tls::load(&config.session, u64::from(id.0)).map_err(|source| LocationError::Tls {
                name: name(),
                source,
            })?;
        let credentials =
            Credentials::new(config).map_err(|source| LocationError::Credentials {
                name: name(),
                source,
            })?;
        Ok(Self {
            id,
            credentials,
            tls: ArcSwap::from_pointee(tls),
            peers: ArcSwap::default(),
            preferred: AtomicUsize::new(0),
            breaker: Mutex::new(Breaker::new(config.breaker_failures, config.breaker_reset)),
            standing: ArcSwapOption::empty(),
            quarantined: AtomicBool::new(false),
            failure: Mutex::new(Reason::Connect),
            told: Arc::clone(told),
            permits: Arc::new(Semaphore::new(config.max_concurrent)),
            look_again: Notify::new(),
            config: config.clone(),
        })
    }

    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// What it last said of itself; `None`: it never spoke.
    pub fn standing(&self) -> Option<Arc<Standing>> {
        self.standing.load_full()
    }

    pub fn is_quarantined(&self) -> bool {
        self.quarantined.load(Ordering::Relaxed)
    }

    /// Whether it was in quarantine before.
    pub fn set_quarantine(&self, quarantined: bool) -> bool {
        self.quarantined.swap(quarantined, Ordering::Relaxed)
    }

    pub fn is_reachable(&self) -> bool {
        self.breaker().is_closed() && !self.is_quarantined()
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
            match peer::resolve(endpoint).await {
                Ok(addresses) => {
                    let dial = |address| Arc::new(Peer::new(endpoint, address, &tls, &self.config));
                    peers.extend(addresses.into_iter().map(dial));
                }
                Err(error) => warn!(
                    "A host name of location `{}` is not found: {error}",
                    self.name()
                ),
            }
        }
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

    /// May an exchange begin? The permit ends with it.
    pub async fn admit(&self) -> Result<OwnedSemaphorePermit, Silence> {
        if self.is_quarantined() {
            return Err(self.silent(Reason::Quarantine));
        }
        if self.standing.load().is_none() {
            // It never spoke: whether an Ironic is there at all is not known, so nothing is entrusted to it.
            return Err(self.silent(*self.failure.lock().unwrap_or_else(PoisonError::into_inner)));
        }
        if !self.breaker().admit(Instant::now()) {
            return Err(self.silent(Reason::Breaker));
        }
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Ok(permit);
        }
        match tokio::time::timeout(
            self.config.connect_timeout,
            Arc::clone(&self.permits).acquire_owned(),
        )
        .await
        {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(self.silent(Reason::Busy)),
        }
    }

    fn silent(&self, reason: Reason) -> Silence {
        Silence {
            location: self.id,
            reason,
            sent: false,
            reply: None,
        }
    }

    /// The location answered, whatever it said.
    pub fn answered(&self) {
        if self.breaker().succeeded() == Change::Closed {
            info!("Location `{}` answers again", self.name());
        }
    }

    /// The location did not answer.
    pub fn failed(&self, reason: Reason) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = reason;
        if self.breaker().failed(Instant::now()) == Change::Opened {
            warn!(
                "Location `{}` failed {} times in a row ({reason}): not asked for {:?}",
                self.name(),
                self.config.breaker_failures,
                self.config.breaker_reset
            );
        }
        if reason == Reason::Connect {
            self.look_again.notify_one();
        }
    }

    /// What lets us in: the client's own token where that is forwarded, else our credentials.
    pub async fn proof(&self, asker: &Asker) -> Result<Option<Proof>, Silence> {
        if asker.standing == Standpoint::Anonymous {
            return Ok(None);
        }
        if self.config.forward_user_token {
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
        self.credentials.header().await.map_err(|error| {
            warn!("No credentials for location `{}`: {error}", self.name());
            self.silent(Reason::Refused)
        })
    }

    /// Turns `head` into one for this location: everything that the client sent is gone but what may pass.
    pub fn dress(
        &self,
        head: &mut RequestHeader,
        peer: &Peer,
        path: &str,
        version: Microversion,
        asker: &Asker,
        proof: Option<&Proof>,
    ) -> Result<(), Box<pingora::Error>> {
        let refused: Vec<HeaderName> = head
            .headers
            .keys()
            .filter(|name| !header::passes_upstream(name))
            .cloned()
            .collect();
        for name in refused {
            head.remove_header(&name);
        }
        let uri = format!("{}{path}", peer.prefix);
        head.set_uri(
            uri.parse()
                .map_err(|_| pingora::Error::new(pingora::ErrorType::InvalidHTTPHeader))?,
        );
        head.insert_header(http::header::HOST, peer.host.clone())?;
        head.insert_header(header::API_VERSION, format!("{version}"))?;
        head.insert_header(header::REQUEST_ID, asker.request_id.clone())?;
        if !head.headers.contains_key(http::header::ACCEPT) {
            head.insert_header(http::header::ACCEPT, "application/json")?;
        }
        if let Some(proof) = proof {
            head.insert_header(proof.name.clone(), proof.value.clone())?;
        }
        if matches!(
            self.config.auth,
            LocationAuth::None | LocationAuth::HttpBasic { .. }
        ) && !self.config.forward_user_token
            && asker.standing == Standpoint::Authorised
        {
            // Without it Ironic takes us for a project's user and refuses owners, though it asks for no proof.
            head.insert_header(header::SYSTEM_SCOPE, "all")?;
        }
        Ok(())
    }

    /// One exchange. Whatever Ironic says is a reply, errors included; our credentials are renewed once if they are
    /// refused.
    pub async fn exchange(&self, asker: &Asker, question: &Question) -> Result<Reply, Silence> {
        let _permit = self.admit().await?;
        let mut renewed = false;
        loop {
            let proof = self.proof(asker).await?;
            let reply = self.send(asker, question, proof.as_ref()).await?;
            let ours = asker.standing == Standpoint::Authorised && !self.config.forward_user_token;
            if !ours || !is_refusal(&reply) {
                return self.sort(reply, question);
            }
            if let Some(proof) = proof.filter(|_| !renewed) {
                self.credentials.refused(proof.generation, Instant::now());
                renewed = true;
                continue;
            }
            self.refused(reply.status);
            return Err(Silence {
                sent: false,
                ..self.silent(Reason::Refused)
            });
        }
    }

    /// Our credentials were refused, also when they were new: that is ours to put right, not the client's.
    pub fn refused(&self, status: StatusCode) {
        error!(
            "Location `{}` refuses our credentials with {status}: check its section in the configuration",
            self.name()
        );
    }

    async fn send(
        &self,
        asker: &Asker,
        question: &Question,
        proof: Option<&Proof>,
    ) -> Result<Reply, Silence> {
        let bounds = Bounds {
            total: self.config.timeout,
            response: self.config.response_timeout,
            size: self.config.max_response_size,
        };
        let mut failed = 0;
        loop {
            let Some(peer) = self.peer(failed) else {
                self.failed(Reason::Connect);
                return Err(self.silent(Reason::Connect));
            };
            let Ok(head) = self.head(&peer, asker, question, proof) else {
                return Err(self.silent(Reason::Body));
            };
            // What is safe may be asked of the next peer whatever went wrong, as long as there is time.
            let another = self.peer(failed + 1).is_some();
            let ask_another = another && question.method.is_safe();
            let failure = match asker
                .transport
                .exchange(&peer.http, &head, question.body.as_ref(), bounds)
                .await
            {
                Ok(reply) if ask_another && !is_ironics(&reply) => {
                    failed += 1;
                    continue;
                }
                Ok(reply) => {
                    self.peer_answered(failed);
                    return Ok(reply);
                }
                Err(failure) => failure,
            };
            let (reason, sent) = match failure {
                Failure::Connect | Failure::ConnectTimeout if another => {
                    failed += 1;
                    continue;
                }
                Failure::Broken | Failure::CutOff if ask_another => {
                    failed += 1;
                    continue;
                }
                Failure::Connect => (Reason::Connect, false),
                Failure::ConnectTimeout => (Reason::Timeout, false),
                Failure::Timeout => (Reason::Timeout, true),
                Failure::Broken => (Reason::Connect, true),
                Failure::CutOff | Failure::TooLarge => (Reason::Body, true),
            };
            self.failed(reason);
            // What is safe changes nothing, executed or not.
            let sent = sent && !question.method.is_safe();
            return Err(Silence {
                sent,
                ..self.silent(reason)
            });
        }
    }

    fn head(
        &self,
        peer: &Peer,
        asker: &Asker,
        question: &Question,
        proof: Option<&Proof>,
    ) -> Result<RequestHeader, Box<pingora::Error>> {
        // Without the capitals of header names, which cost a second map.
        let mut head = RequestHeader::build_no_case(question.method.clone(), b"/", Some(12))?;
        for (name, value) in &question.headers {
            head.append_header(name.clone(), value.clone())?;
        }
        self.dress(
            &mut head,
            peer,
            &question.path,
            question.version,
            asker,
            proof,
        )?;
        for unwanted in ["transfer-encoding", "expect", "content-length"] {
            head.remove_header(unwanted);
        }
        if let Some(body) = &question.body {
            head.insert_header(http::header::CONTENT_LENGTH, body.len())?;
        }
        Ok(head)
    }

    /// Is that Ironic speaking, or something in between?
    fn sort(&self, reply: Reply, question: &Question) -> Result<Reply, Silence> {
        if is_ironics(&reply) {
            self.answered();
            if reply.status == StatusCode::NOT_ACCEPTABLE {
                self.correct_range(&reply);
            }
            return Ok(reply);
        }
        let reason = if reply.status.is_server_error() {
            Reason::Status
        } else {
            Reason::Body
        };
        self.failed(reason);
        Err(Silence {
            sent: !question.method.is_safe(),
            ..self.silent(reason)
        })
    }

    /// A 406 tells the range: it may be another one since the last probe.
    fn correct_range(&self, reply: &Reply) {
        let (Some(range), Some(known)) = (range_of(&reply.headers), self.standing()) else {
            return;
        };
        if range != known.range {
            self.learn(Standing {
                range,
                base: known.base.clone(),
            });
            self.look_again.notify_one();
        }
    }

    pub fn learn(&self, standing: Standing) {
        self.standing.store(Some(Arc::new(standing)));
        self.told.fetch_add(1, Ordering::AcqRel);
    }

    /// One question of a fan-out: what cannot be told from it is silence.
    pub async fn ask(&self, asker: &Asker, question: &Question) -> Result<Reply, Silence> {
        let reply = self.exchange(asker, question).await?;
        if reply.status.is_server_error() || reply.status == StatusCode::TOO_MANY_REQUESTS {
            return Err(Silence {
                reply: Some(Box::new(reply)),
                ..self.silent(Reason::Status)
            });
        }
        Ok(reply)
    }

    /// The answer of a location is no list or document of Ironic's.
    pub fn misspoke(&self) -> Silence {
        self.failed(Reason::Body);
        self.silent(Reason::Body)
    }

    /// Asks which versions it has. `None`: it did not tell.
    pub async fn probe(&self, asker: &Asker) -> Option<Standing> {
        let question = Question::get("/".to_owned(), Microversion::new(1, 1));
        // Public at every Ironic: no credential is shown before the location is known to be one.
        let reply = self.send(asker, &question, None).await.ok()?;
        let standing = standing(&reply);
        match standing {
            Some(_) => self.answered(),
            None => self.failed(Reason::Body),
        }
        standing
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
