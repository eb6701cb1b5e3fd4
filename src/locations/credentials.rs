//! The gateway's credential at one location, and the endpoint in that location's catalog.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use arc_swap::ArcSwapOption;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderName;
use http::HeaderValue;
use http::header::AUTHORIZATION;
use log::warn;
use secrecy::ExposeSecret;
use thiserror::Error;

use crate::config::Endpoint;
use crate::config::EndpointSource;
use crate::config::Interface;
use crate::config::LocationAuth;
use crate::config::LocationConfig;
use crate::keystone::Kept;
use crate::keystone::TokenKeeper;
use crate::keystone::catalog::Wanted;
use crate::keystone::client::Keystone;
use crate::keystone::client::KeystoneError;
use crate::keystone::client::SetupError;
use crate::keystone::client::Timeouts;
use crate::keystone::client::X_AUTH_TOKEN;

/// How long nothing needs to be done for a credential that does not age.
const NEVER: Duration = Duration::from_hours(1);
/// A location that is down for long must not cost its Keystone a token for each request.
const CATALOG_INTERVAL: Duration = Duration::from_mins(1);

/// The header field that lets us in. `Debug` does not show the secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    pub name: HeaderName,
    /// Marked sensitive.
    pub value: HeaderValue,
    /// To be named in [`Credentials::refused`]. 0 for what never changes.
    pub generation: u64,
}

/// Why we cannot go to a location.
#[derive(Clone, Debug, Error)]
pub enum CredentialsError {
    /// Its Keystone gives us no token.
    #[error("no token")]
    Keystone(#[from] KeystoneError),
    /// Its catalog does not list the service as configured, or with an address that cannot be used.
    #[error("no endpoint of the service in the catalog")]
    NoEndpoint,
}

/// The credentials of one location.
#[derive(Debug)]
pub struct Credentials {
    location: String,
    means: Means,
    place: Place,
}

#[derive(Debug)]
enum Means {
    None,
    Fixed(Proof),
    Keystone(TokenKeeper),
}

#[derive(Debug)]
enum Place {
    Fixed(Arc<[Endpoint]>),
    Catalog {
        service_type: String,
        service_name: Option<String>,
        interfaces: Vec<Interface>,
        region: Option<String>,
        chosen: ArcSwapOption<Chosen>,
        asked_anew: Mutex<Option<Instant>>,
    },
}

/// What one token's catalog said.
#[derive(Debug)]
struct Chosen {
    generation: u64,
    endpoints: Arc<[Endpoint]>,
}

impl Credentials {
    /// Reads the certificates, speaks to nobody.
    pub fn new(location: &LocationConfig) -> Result<Self, SetupError> {
        Ok(Self {
            location: location.name.clone(),
            means: Means::new(location)?,
            place: Place::new(&location.endpoints),
        })
    }

    /// What to add to a request; nothing for a location that asks for nothing. Does not wait while the token is good,
    /// else for Keystone, bounded by the location's `timeout`.
    pub async fn header(&self) -> Result<Option<Proof>, CredentialsError> {
        match &self.means {
            Means::None => Ok(None),
            Means::Fixed(proof) => Ok(Some(proof.clone())),
            Means::Keystone(keeper) => {
                let kept = keeper.token().await?;
                Ok(Some(Proof {
                    name: X_AUTH_TOKEN,
                    value: kept.token.header.clone(),
                    generation: kept.generation,
                }))
            }
        }
    }

    /// The location did not accept the proof of this generation: the next [`Self::header`] gives another one, unless
    /// new ones were of no help a moment ago. Proofs that are fixed stay.
    pub fn refused(&self, generation: u64, now: Instant) {
        if let Means::Keystone(keeper) = &self.means {
            keeper.refused(generation, now);
        }
    }

    /// Where the location is, in the order of preference; never empty. Waits as [`Self::header`] does.
    pub async fn endpoints(&self) -> Result<Arc<[Endpoint]>, CredentialsError> {
        match (&self.place, &self.means) {
            (Place::Fixed(endpoints), _) => Ok(Arc::clone(endpoints)),
            (Place::Catalog { .. }, Means::None | Means::Fixed(_)) => {
                Err(CredentialsError::NoEndpoint)
            }
            (Place::Catalog { chosen, .. }, Means::Keystone(keeper)) => {
                let kept = keeper.token().await?;
                let known = chosen.load();
                // A catalog is read once for each token: it holds every service of the cloud.
                if let Some(known) = known
                    .as_ref()
                    .filter(|known| known.generation == kept.generation)
                {
                    return Ok(Arc::clone(&known.endpoints));
                }
                let endpoints = self
                    .place
                    .choose(&kept)
                    .ok_or(CredentialsError::NoEndpoint)?;
                // Allowed, since clouds have it; but the token that was had over TLS would go there in clear.
                if keeper.keystone().base().tls && endpoints.iter().any(|endpoint| !endpoint.tls) {
                    warn!(
                        "The Keystone of location {} speaks TLS, but its catalog names an http address",
                        self.location
                    );
                }
                chosen.store(Some(Arc::new(Chosen {
                    generation: kept.generation,
                    endpoints: Arc::clone(&endpoints),
                })));
                Ok(endpoints)
            }
        }
    }

    /// No address of the location could be reached: if its catalog named them, it is asked for anew, at most once a
    /// minute.
    pub fn endpoint_is_dead(&self, now: Instant) {
        let (Place::Catalog { asked_anew, .. }, Means::Keystone(keeper)) =
            (&self.place, &self.means)
        else {
            return;
        };
        let mut asked = asked_anew.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.is_some_and(|last| now.duration_since(last) < CATALOG_INTERVAL) {
            return;
        }
        *asked = Some(now);
        // A catalog comes with a token (Identity API v3), so a new catalog is a new token.
        if let Some(kept) = keeper.ready(now) {
            keeper.refused(kept.generation, now);
        }
    }

    /// Whether the token at hand is of the whole system; `None`: there is none, or none is needed.
    pub fn sees_the_system(&self) -> Option<bool> {
        match &self.means {
            Means::None | Means::Fixed(_) => None,
            Means::Keystone(keeper) => Some(keeper.ready(Instant::now())?.token.is_system),
        }
    }

    /// How long the token at hand is good for; `None`: there is none, or none is needed.
    pub fn expires(&self) -> Option<Duration> {
        let now = Instant::now();
        match &self.means {
            Means::None | Means::Fixed(_) => None,
            Means::Keystone(keeper) => Some(keeper.ready(now)?.left(now)),
        }
    }

    /// The roles of the token at hand; `None`: there is none, or none is needed.
    pub fn roles(&self) -> Option<Vec<String>> {
        match &self.means {
            Means::None | Means::Fixed(_) => None,
            Means::Keystone(keeper) => Some(keeper.ready(Instant::now())?.token.roles.clone()),
        }
    }

    /// Whether a proof can be shown without asking anybody.
    pub fn is_in_hand(&self) -> bool {
        match &self.means {
            Means::None | Means::Fixed(_) => true,
            Means::Keystone(keeper) => keeper.ready(Instant::now()).is_some(),
        }
    }

    /// Reads the certificates again that speak to Keystone. What is wrong with them leaves everything as it was.
    pub fn reload(&self) -> Result<(), SetupError> {
        match &self.means {
            Means::None | Means::Fixed(_) => Ok(()),
            Means::Keystone(keeper) => keeper.keystone().reload(),
        }
    }

    /// One step of the loop that keeps the token fresh. Returns when the next one is due.
    pub async fn keep_fresh(&self) -> Instant {
        match &self.means {
            Means::None | Means::Fixed(_) => Instant::now() + NEVER,
            Means::Keystone(keeper) => keeper.keep_fresh().await,
        }
    }
}

impl Means {
    fn new(location: &LocationConfig) -> Result<Self, SetupError> {
        Ok(match &location.auth {
            LocationAuth::None => Self::None,
            LocationAuth::HttpBasic { username, password } => {
                let pair = STANDARD.encode(format!("{username}:{}", password.expose_secret()));
                Self::Fixed(fixed(AUTHORIZATION, &format!("Basic {pair}"))?)
            }
            LocationAuth::AdminToken(token) => {
                Self::Fixed(fixed(X_AUTH_TOKEN, token.expose_secret())?)
            }
            LocationAuth::Keystone(auth) => {
                let timeouts = Timeouts {
                    connect: location.connect_timeout,
                    total: location.response_timeout,
                };
                let keystone = Keystone::new(auth, &location.session, timeouts)?;
                Self::Keystone(TokenKeeper::new(
                    keystone,
                    format!("location {}", location.name),
                ))
            }
        })
    }
}

impl Place {
    fn new(source: &EndpointSource) -> Self {
        match source.clone() {
            EndpointSource::Fixed(endpoints) => Self::Fixed(endpoints.into()),
            EndpointSource::Catalog {
                service_type,
                service_name,
                interfaces,
                region,
            } => Self::Catalog {
                service_type,
                service_name,
                interfaces,
                region,
                chosen: ArcSwapOption::empty(),
                asked_anew: Mutex::default(),
            },
        }
    }

    fn choose(&self, kept: &Kept) -> Option<Arc<[Endpoint]>> {
        match self {
            Self::Fixed(endpoints) => Some(Arc::clone(endpoints)),
            Self::Catalog {
                service_type,
                service_name,
                interfaces,
                region,
                ..
            } => {
                let url = kept.token.catalog.url(&Wanted {
                    service_type,
                    service_name: service_name.as_deref(),
                    interfaces,
                    region: region.as_deref(),
                })?;
                Some(Arc::new([url.parse().ok()?]))
            }
        }
    }
}

fn fixed(name: HeaderName, value: &str) -> Result<Proof, SetupError> {
    let mut value = HeaderValue::from_str(value).map_err(|_| SetupError::Secret)?;
    value.set_sensitive(true);
    Ok(Proof {
        name,
        value,
        generation: 0,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering;

    use serde_json::json;

    use super::*;
    use crate::config::Session;
    use crate::keystone::client::install_crypto_provider;
    use crate::keystone::fake::FakeKeystone;
    use crate::keystone::fake::Reply;

    fn location(auth: LocationAuth, endpoints: EndpointSource) -> LocationConfig {
        install_crypto_provider();
        let second = Duration::from_secs(1);
        LocationConfig {
            name: "loc1".into(),
            auth,
            session: Session::default(),
            endpoints,
            state: crate::config::State::Enabled,
            required: true,
            forward_user_token: false,
            expect_scope: crate::config::ExpectScope::System,
            connect_timeout: second * 5,
            response_timeout: second * 5,
            read_timeout: second * 5,
            timeout: second * 5,
            max_concurrent: 1,
            breaker_failures: 1,
            breaker_reset: second,
            probe_interval: second,
            max_response_size: 1,
            bmc_addresses: Vec::new(),
            groups: None,
        }
    }

    fn fixed_place() -> EndpointSource {
        EndpointSource::Fixed(vec!["http://h:6385".parse().unwrap()])
    }

    fn catalog_place() -> EndpointSource {
        EndpointSource::Catalog {
            service_type: "baremetal".into(),
            service_name: None,
            interfaces: vec![Interface::Internal, Interface::Public],
            region: None,
        }
    }

    #[tokio::test]
    async fn what_never_changes_is_ready_at_once() {
        for (auth, field) in [
            (LocationAuth::None, None),
            (
                LocationAuth::HttpBasic {
                    username: "ann".into(),
                    password: "p:\u{e4}".into(),
                },
                Some(("authorization", "Basic YW5uOnA6w6Q=")),
            ),
            (
                LocationAuth::AdminToken("t".into()),
                Some(("x-auth-token", "t")),
            ),
        ] {
            let credentials = Credentials::new(&location(auth, fixed_place())).unwrap();
            let proof = credentials.header().await.unwrap();
            let found = proof
                .as_ref()
                .map(|proof| (proof.name.as_str(), proof.value.to_str().unwrap()));
            assert_eq!(found, field);
            assert!(proof.iter().all(|proof| proof.value.is_sensitive()));
            credentials.refused(0, Instant::now());
            assert_eq!(credentials.header().await.unwrap(), proof);
            assert_eq!(credentials.endpoints().await.unwrap().len(), 1);
        }
        let unsendable = LocationAuth::AdminToken("hidden\n".into());
        let error = Credentials::new(&location(unsendable, fixed_place())).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hidden"));
    }

    #[tokio::test]
    async fn each_new_token_says_anew_where_the_location_is() {
        let count = AtomicUsize::new(0);
        let fake = FakeKeystone::new(move |_| {
            let endpoint = |interface: &str, url: &str| json!({"id": "e", "interface": interface, "region": "r", "region_id": "r", "url": url});
            let number = count.fetch_add(1, Ordering::SeqCst) + 1;
            let endpoints = match number {
                1 => json!([
                    endpoint("public", "http://one:6385/v1/"),
                    endpoint("internal", "https://in/baremetal/v1")
                ]),
                2 => json!([endpoint("public", "http://two:6385")]),
                3 => json!([endpoint("public", "ftp://three")]),
                _ => json!([]),
            };
            let catalog =
                json!([{"id": "s", "type": "baremetal", "name": "ironic", "endpoints": endpoints}]);
            Reply::issued_with(&format!("t{number}"), 60, &catalog)
        });
        let auth = LocationAuth::Keystone(fake.auth());
        let credentials = Credentials::new(&location(auth, catalog_place())).unwrap();
        for (generation, url) in [
            (1, Some("https://in/baremetal")),
            (2, Some("http://two:6385")),
        ] {
            for _ in 0..2 {
                let endpoints = credentials.endpoints().await.ok();
                assert_eq!(
                    endpoints
                        .map(|endpoints| endpoints[0].to_string())
                        .as_deref(),
                    url
                );
            }
            let proof = credentials.header().await.unwrap().unwrap();
            assert_eq!(
                (proof.generation, proof.value.to_str().unwrap()),
                (generation, &*format!("t{generation}"))
            );
            // Each of them worked for a while.
            credentials.refused(generation, Instant::now() + Duration::from_mins(5));
        }
        assert_eq!(fake.issued(), 2, "the catalog costs no request of its own");
    }

    #[tokio::test]
    async fn a_catalog_without_the_service_is_no_place_to_go() {
        let fake = FakeKeystone::new(|_| Reply::issued("t", 60));
        let auth = LocationAuth::Keystone(fake.auth());
        let credentials = Credentials::new(&location(auth, catalog_place())).unwrap();
        assert!(matches!(
            credentials.endpoints().await,
            Err(CredentialsError::NoEndpoint)
        ));
        assert!(credentials.header().await.is_ok());
        let no_catalog = Credentials::new(&location(LocationAuth::None, catalog_place())).unwrap();
        assert!(matches!(
            no_catalog.endpoints().await,
            Err(CredentialsError::NoEndpoint)
        ));
    }

    #[tokio::test]
    async fn no_secret_shows() {
        let fake = FakeKeystone::new(|_| Reply::issued("secret-token", 60));
        for auth in [
            LocationAuth::HttpBasic {
                username: "ann".into(),
                password: "secret-password".into(),
            },
            LocationAuth::AdminToken("secret-token".into()),
            LocationAuth::Keystone(fake.auth()),
        ] {
            let credentials = Credentials::new(&location(auth, fixed_place())).unwrap();
            let proof = credentials.header().await.unwrap();
            let shown = format!("{credentials:?} {proof:?}");
            assert!(
                !shown.contains("secret") && !shown.contains("c2VjcmV0"),
                "{shown}"
            );
        }
    }
}
