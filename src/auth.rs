//! Authentication and authorisation: who is asking, and whether they may.

pub mod access;
pub mod http_basic;
pub mod identity;
mod memcached;
pub mod token;
pub mod turns;

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

use http::HeaderMap;
use http::HeaderValue;
use thiserror::Error;

use crate::auth::http_basic::BasicError;
use crate::auth::http_basic::HttpBasic;
use crate::auth::http_basic::users::UserFileError;
use crate::auth::identity::Identity;
use crate::auth::token::TokenError;
use crate::auth::token::Tokens;
use crate::auth::token::validator::UseOfCache;
use crate::config::AuthStrategy;
use crate::keystone::client::SetupError;
use crate::tls::Certified;

pub const BASIC_CHALLENGE: HeaderValue = HeaderValue::from_static("Basic realm=\"Baremetal API\"");
/// How long nothing needs to be done where no token of ours ages.
const NEVER: Duration = Duration::from_hours(1);

/// Why the door cannot be made.
#[derive(Debug, Error)]
pub enum AuthSetupError {
    #[error("[DEFAULT] http_basic_auth_user_file")]
    UserFile(#[from] UserFileError),
    #[error("[keystone_authtoken]")]
    Keystone(#[from] SetupError),
}

/// Why a request does not get in.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AuthError {
    #[error(transparent)]
    Basic(#[from] BasicError),
    #[error(transparent)]
    Token(#[from] TokenError),
}

/// Finds out who is asking, by the one strategy that is configured.
#[derive(Debug)]
pub struct Authenticator {
    door: Door,
}

#[derive(Debug)]
enum Door {
    Open,
    Basic(Box<HttpBasic>),
    Keystone(Box<Tokens>),
}

impl Authenticator {
    /// Reads the files the strategy names, speaks to nobody.
    pub fn new(strategy: &AuthStrategy) -> Result<Self, AuthSetupError> {
        let door = match strategy {
            AuthStrategy::Noauth => Door::Open,
            AuthStrategy::HttpBasic { user_file } => {
                Door::Basic(Box::new(HttpBasic::new(user_file)?))
            }
            AuthStrategy::Keystone(keystone) => Door::Keystone(Box::new(Tokens::new(keystone)?)),
        };
        Ok(Self { door })
    }

    /// Who sent these header fields. Looks at nothing but the fields that prove it.
    pub async fn authenticate(
        &self,
        headers: &HeaderMap,
        from: Option<IpAddr>,
    ) -> Result<Identity, AuthError> {
        Ok(match &self.door {
            Door::Open => Identity::Anonymous,
            Door::Basic(basic) => Identity::Basic(basic.authenticate(headers, from).await?),
            Door::Keystone(tokens) => Identity::Keystone(tokens.authenticate(headers, from).await?),
        })
    }

    /// Whether rules bind anybody: without Keystone Ironic asks none (`authorize` in `ironic/common/policy.py`).
    pub fn knows_rights(&self) -> bool {
        matches!(self.door, Door::Keystone(_))
    }

    /// Whether they prove it by something that was found right before, so that nobody need be asked first.
    pub fn knows(&self, headers: &HeaderMap) -> bool {
        match &self.door {
            Door::Open => false,
            Door::Basic(basic) => basic.knows(headers),
            Door::Keystone(tokens) => tokens.knows(headers),
        }
    }

    /// The user's own token, for a location that is to see it. Only a Keystone's user has one.
    pub fn user_token(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        match &self.door {
            Door::Open | Door::Basic(_) => None,
            Door::Keystone(_) => Tokens::user_token(headers),
        }
    }

    /// How often a token was known, and how often Keystone had to be asked.
    pub fn use_of_cache(&self) -> Option<&UseOfCache> {
        match &self.door {
            Door::Open | Door::Basic(_) => None,
            Door::Keystone(tokens) => Some(tokens.use_of_cache()),
        }
    }

    /// `WWW-Authenticate` for a 401 that a location gave to a token of the user.
    pub fn challenge(&self) -> Option<HeaderValue> {
        match &self.door {
            Door::Open => None,
            Door::Basic(_) => Some(BASIC_CHALLENGE),
            Door::Keystone(tokens) => Some(tokens.challenge().clone()),
        }
    }

    /// Whether tokens could be validated: our own is asked for, and shown as a client's would be.
    ///
    /// # Errors
    /// Why not, in one line.
    pub async fn try_out(&self) -> Result<(), String> {
        match &self.door {
            Door::Open | Door::Basic(_) => Ok(()),
            Door::Keystone(tokens) => tokens.try_out().await,
        }
    }

    /// One step of the loop that keeps our own token at the inbound Keystone fresh. Returns when the next one is due.
    pub async fn keep_fresh(&self) -> Instant {
        match &self.door {
            Door::Open | Door::Basic(_) => Instant::now() + NEVER,
            Door::Keystone(tokens) => tokens.keep_fresh().await,
        }
    }
}

impl Certified for Authenticator {
    fn title(&self) -> String {
        "[keystone_authtoken]".to_owned()
    }

    fn files(&self) -> Vec<PathBuf> {
        match &self.door {
            Door::Open | Door::Basic(_) => Vec::new(),
            Door::Keystone(tokens) => tokens.keystone().session().files(),
        }
    }

    fn proofs(&self) -> Vec<PathBuf> {
        match &self.door {
            Door::Open | Door::Basic(_) => Vec::new(),
            Door::Keystone(tokens) => {
                let session = tokens.keystone().session();
                session.certfile.iter().cloned().collect()
            }
        }
    }

    fn reload(&self) -> Result<(), String> {
        match &self.door {
            Door::Open | Door::Basic(_) => Ok(()),
            Door::Keystone(tokens) => tokens
                .keystone()
                .reload()
                .map_err(|error| error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn without_a_strategy_everybody_comes_in() {
        let open = Authenticator::new(&AuthStrategy::Noauth).unwrap();
        assert_eq!(
            open.authenticate(&HeaderMap::new(), None).await,
            Ok(Identity::Anonymous)
        );
        assert_eq!(open.challenge(), None);
    }
}
