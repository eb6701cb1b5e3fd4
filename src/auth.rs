//! Who is asking, and may they: the door of the house.

pub mod access;
pub mod http_basic;
pub mod identity;
pub mod token;

use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use http::HeaderMap;
use http::HeaderValue;
use http::StatusCode;
use serde_json::json;
use thiserror::Error;

use crate::api::fault::Fault;
use crate::auth::http_basic::BasicError;
use crate::auth::http_basic::HttpBasic;
use crate::auth::http_basic::UserFileError;
use crate::auth::identity::Identity;
use crate::auth::token::TokenError;
use crate::auth::token::Tokens;
use crate::config::AuthStrategy;
use crate::keystone::client::SetupError;
use crate::tls::Certified;

const BASIC_CHALLENGE: HeaderValue = HeaderValue::from_static("Basic realm=\"Baremetal API\"");
/// How long nothing needs to be done where no token of ours ages.
const NEVER: Duration = Duration::from_hours(1);

/// Why the door cannot be made.
#[derive(Debug, Error)]
pub enum AuthSetupError {
    #[error("http_basic_auth_user_file")]
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

/// What to say to who does not get in. The body is JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: StatusCode,
    /// `WWW-Authenticate`
    pub challenge: Option<HeaderValue>,
    /// `Retry-After`, in seconds.
    pub retry_after: Option<u32>,
    pub body: Bytes,
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
    pub async fn authenticate(&self, headers: &HeaderMap) -> Result<Identity, AuthError> {
        Ok(match &self.door {
            Door::Open => Identity::Anonymous,
            Door::Basic(basic) => Identity::Basic(basic.authenticate(headers).await?),
            Door::Keystone(tokens) => Identity::Keystone(tokens.authenticate(headers).await?),
        })
    }

    /// The user's own token, for a location that is to see it. Only a Keystone's user has one.
    pub fn user_token(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        match &self.door {
            Door::Open | Door::Basic(_) => None,
            Door::Keystone(_) => Tokens::user_token(headers),
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

impl AuthError {
    /// The answer Ironic gives, byte for byte; the 503, which is HTML there, in the shape of its other errors.
    pub fn answer(&self) -> Answer {
        match self {
            Self::Basic(error) => match error {
                BasicError::Missing | BasicError::Incorrect => Answer {
                    challenge: Some(BASIC_CHALLENGE),
                    ..basic(StatusCode::UNAUTHORIZED, error)
                },
                BasicError::Unparsable | BasicError::Unsupported(_) | BasicError::Undecodable => {
                    basic(StatusCode::BAD_REQUEST, error)
                }
                BasicError::Busy => fault(StatusCode::SERVICE_UNAVAILABLE, error),
            },
            Self::Token(error) => match error {
                TokenError::Unauthorized { challenge } => Answer {
                    status: StatusCode::UNAUTHORIZED,
                    challenge: Some(challenge.clone()),
                    retry_after: None,
                    body: Bytes::from_static(KEYSTONE_UNAUTHORIZED.as_bytes()),
                },
                TokenError::Repeated(_) => fault(StatusCode::BAD_REQUEST, error),
                TokenError::Unavailable => fault(StatusCode::SERVICE_UNAVAILABLE, error),
            },
        }
    }
}

const KEYSTONE_UNAUTHORIZED: &str = r#"{"error": {"code": 401, "title": "Unauthorized", "message": "The request you have made requires authentication."}}"#;

fn basic(status: StatusCode, error: &BasicError) -> Answer {
    let message = json!(error.to_string());
    let body = format!(
        "{{\"error\":{{\"message\":{message},\"code\":{}}}}}",
        status.as_u16()
    );
    Answer {
        status,
        challenge: None,
        retry_after: None,
        body: body.into(),
    }
}

fn fault(status: StatusCode, error: &impl ToString) -> Answer {
    let fault = Fault::new(status, error.to_string());
    Answer {
        status,
        challenge: None,
        retry_after: fault.retry_after,
        body: fault.body(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_those_of_ironic() {
        let challenge = HeaderValue::from_static("Keystone uri=\"http://k/v3\"");
        let keystone = "Keystone uri=\"http://k/v3\"";
        let basic = "Basic realm=\"Baremetal API\"";
        #[rustfmt::skip]
        let cases: [(AuthError, u16, Option<&str>, &str); 9] = [
            (TokenError::Unauthorized { challenge }.into(), 401, Some(keystone),
                r#"{"error": {"code": 401, "title": "Unauthorized", "message": "The request you have made requires authentication."}}"#),
            (TokenError::Unavailable.into(), 503, None,
                r#"{"error_message": "{\"faultcode\": \"Server\", \"faultstring\": \"The Keystone service is temporarily unavailable.\", \"debuginfo\": null}"}"#),
            (TokenError::Repeated(http::header::HOST).into(), 400, None,
                r#"{"error_message": "{\"faultcode\": \"Client\", \"faultstring\": \"More than one host header.\", \"debuginfo\": null}"}"#),
            (BasicError::Missing.into(), 401, Some(basic),
                r#"{"error":{"message":"Authorization required","code":401}}"#),
            (BasicError::Incorrect.into(), 401, Some(basic),
                r#"{"error":{"message":"Incorrect username or password","code":401}}"#),
            (BasicError::Unparsable.into(), 400, None,
                r#"{"error":{"message":"Could not parse Authorization header","code":400}}"#),
            (BasicError::Undecodable.into(), 400, None,
                r#"{"error":{"message":"Could not decode authorization token","code":400}}"#),
            (BasicError::Unsupported(r"Be\arer".into()).into(), 400, None,
                r#"{"error":{"message":"Unsupported authorization type \"Be\\arer\"","code":400}}"#),
            (BasicError::Busy.into(), 503, None,
                r#"{"error_message": "{\"faultcode\": \"Server\", \"faultstring\": \"Too many passwords are being checked, please retry.\", \"debuginfo\": null}"}"#),
        ];
        for (error, status, challenge, body) in cases {
            let answer = error.answer();
            assert_eq!(answer.status.as_u16(), status, "{error}");
            assert_eq!(
                answer
                    .challenge
                    .as_ref()
                    .map(|value| value.to_str().unwrap()),
                challenge,
                "{error}"
            );
            assert_eq!(answer.retry_after.is_some(), status == 503, "{error}");
            assert_eq!(answer.body, body);
        }
    }

    #[tokio::test]
    async fn without_a_strategy_everybody_comes_in() {
        let open = Authenticator::new(&AuthStrategy::Noauth).unwrap();
        assert_eq!(
            open.authenticate(&HeaderMap::new()).await,
            Ok(Identity::Anonymous)
        );
        assert_eq!(open.challenge(), None);
    }
}
