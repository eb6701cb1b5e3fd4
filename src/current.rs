//! What is in force: all that a reload replaces. Whoever does more than one thing takes it once and stays with it.

use std::sync::Arc;

use tokio::sync::watch;

use crate::auth::Authenticator;
use crate::config::Config;
use crate::federate::Federation;
use crate::policy::in_force::Policy;

/// One configuration, and what was made of it.
#[derive(Debug)]
pub struct Current {
    pub config: Config,
    pub federation: Arc<Federation>,
    pub authenticator: Arc<Authenticator>,
    pub policy: Arc<Policy>,
}

/// Shows what is in force now, and tells when that is another one.
pub type Follow = watch::Receiver<Arc<Current>>;

/// The same, for whoever brings another one into force.
pub type Lead = watch::Sender<Arc<Current>>;
