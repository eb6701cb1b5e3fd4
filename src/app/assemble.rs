//! Builds the parts that serve requests from a configuration: at the start, and again at each reload.

use std::sync::Arc;

use thiserror::Error;

use crate::auth::AuthSetupError;
use crate::auth::Authenticator;
use crate::auth::access::Gate;
use crate::config::Config;
use crate::coordination::backend;
use crate::current::Current;
use crate::federate::Federation;
use crate::gateway::context::Surroundings;
use crate::gateway::door::Guard;
use crate::gateway::service::Service;
use crate::locations::Locations;
use crate::locations::location::LocationError;
use crate::policy::in_force::Policy;
use crate::policy::in_force::PolicyError;
use crate::tls::pem::TlsError;

/// A file that the configuration names cannot be used.
#[derive(Debug, Error)]
pub enum AssembleError {
    #[error("{0}")]
    Location(#[from] LocationError),
    #[error("{0}: {source}", source = std::error::Error::source(.0).map_or_else(String::new, ToString::to_string))]
    Auth(#[from] AuthSetupError),
    #[error("[coordination] backend_url: {0}")]
    Coordination(#[from] TlsError),
    #[error("[oslo_policy] {0}")]
    Policy(#[from] PolicyError),
}

/// Builds everything anew, except for parts whose configuration is the same as `before`.
pub(super) fn assemble(
    config: Config,
    surroundings: &Arc<Surroundings>,
    before: Option<(&Current, &Service)>,
) -> Result<(Current, Service), AssembleError> {
    let (current, service) = before.unzip();
    let federation = current.map(|current| &*current.federation);
    let locations = Locations::new(&config, federation.map(|known| &*known.locations))?;
    let authenticator = match current.filter(|current| current.config.auth == config.auth) {
        // Kept with its cache of tokens: an empty one would validate every client's token again at once.
        Some(current) => Arc::clone(&current.authenticator),
        None => Arc::new(Authenticator::new(&config.auth)?),
    };
    let policy = Arc::new(Policy::load(&config.policy)?);
    let backend = backend(
        config.coordination.as_ref(),
        federation.and_then(|known| known.backend.as_ref()),
    )?;
    let locations = Arc::new(locations);
    let federation = Federation::new(&config, locations, backend, federation);
    let federation = Arc::new(federation);
    let guard = Guard {
        authenticator: Arc::clone(&authenticator),
        gate: Gate::new(&config.policy, Arc::clone(&policy)),
    };
    let service = Service::new(
        &config,
        Arc::clone(&federation),
        guard,
        Arc::clone(surroundings),
        service,
    );
    let current = Current {
        config,
        federation,
        authenticator,
        policy,
    };
    Ok((current, service))
}
