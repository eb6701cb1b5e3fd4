//! Why the backend cannot be used.

use redis::ErrorKind;
use redis::RedisError;
use thiserror::Error;

use crate::tls::pem::TlsError;

/// Why it cannot be used. Never holds its address or what it said: that may be a password.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Away {
    #[error("there is no connection to it yet")]
    Starting,
    #[error("it cannot be connected to ({0})")]
    Unreachable(std::io::ErrorKind),
    #[error("it did not answer in time")]
    Late,
    #[error("it closed the connection")]
    Lost,
    #[error("it refuses the user or the password")]
    Login,
    #[error("it is a replica that cannot be written")]
    ReadOnly,
    #[error("it answers with an error ({0})")]
    Refused(String),
    #[error("TLS: {0}")]
    Tls(TlsError),
    #[error("no sentinel knows a master of that name")]
    NoMaster,
}

impl From<RedisError> for Away {
    fn from(error: RedisError) -> Self {
        if error.is_timeout() {
            return Self::Late;
        }
        match error.kind() {
            ErrorKind::AuthenticationFailed => Self::Login,
            ErrorKind::Io => Self::Lost,
            // Its first word is a code such as MISCONF; what follows may quote anything.
            _ => match error.code() {
                Some("READONLY") => Self::ReadOnly,
                Some("NOAUTH" | "WRONGPASS" | "NOPERM") => Self::Login,
                Some(code) => Self::Refused(
                    code.chars()
                        .filter(char::is_ascii_uppercase)
                        .take(20)
                        .collect(),
                ),
                None => Self::Lost,
            },
        }
    }
}
