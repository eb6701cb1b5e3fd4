//! The typed configuration. A [`Config`] that exists is valid: [`Config::load`] reports all mistakes of the operator
//! at once. How files are read is in `oslo/`; this room defines what the options of Ironic, keystoneauth and the
//! gateway mean.

mod adapter;
mod admin;
mod api;
mod audit;
mod bmc;
mod coordination;
mod cors;
mod credential;
mod endpoint;
mod groups;
mod healthcheck;
mod inbound;
mod keystoneauth;
mod limits;
mod location;
mod memcache;
mod options;
mod policy;
mod service;
#[cfg(test)]
mod tests;
mod trace;
mod whereabouts;

// Other rooms use these names only, so that files in here can change freely.
pub use crate::config::adapter::EndpointSource;
pub use crate::config::admin::{AdminConfig, default_socket, runtime_socket};
pub use crate::config::api::{ApiConfig, Listen, ListenerTls, Partial, TlsVersion};
pub use crate::config::audit::{AuditConfig, AuditMap};
pub use crate::config::bmc::{BmcConfig, BmcRange, Fit};
pub use crate::config::coordination::{
    ClientTls, CoordinationConfig, Login, SentinelConfig, ServerAddress,
};
pub use crate::config::cors::CorsConfig;
pub use crate::config::credential::{
    CredentialRef, DomainRef, Interface, KeystoneAuth, KeystoneMethod, LocationAuth, ProjectRef,
    Scope, Session, UserRef,
};
pub use crate::config::endpoint::{Endpoint, EndpointError};
pub use crate::config::groups::{GroupMap, LocationId};
pub use crate::config::healthcheck::{HealthcheckConfig, Network};
pub use crate::config::inbound::{AuthStrategy, KeystoneInbound};
pub use crate::config::limits::{LimitsConfig, RateConfig};
pub use crate::config::location::{ExpectScope, LocationConfig, State};
pub use crate::config::memcache::MemcacheConfig;
pub(crate) use crate::config::options::LOCATION_PREFIX;
pub use crate::config::policy::{PolicyConfig, PolicyFiles, ProjectScoped, Unfound};
pub use crate::config::service::{Config, DirectoryConfig, LogConfig};
pub use crate::config::trace::TraceConfig;
pub use crate::config::whereabouts::{SocketOption, Whereabouts};
pub use crate::oslo::notes::Errors;
pub use crate::oslo::secret::Secret;
pub use crate::oslo::sources::{Given, Source, Sources};
