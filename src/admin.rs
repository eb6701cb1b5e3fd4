//! The admin listener, for operators. Reads on a unix socket and, if wanted, on loopback; changes on the socket only.
//! It runs on a thread of its own, beside the crowd and the permits of the API, so it answers while the API is
//! overloaded or draining.
//!
//! - [`controls`]: what it can make happen; `app` provides it;
//! - [`listen`]: the sockets and the thread;
//! - [`route`]: what is asked;
//! - [`answer`]: what is answered;
//! - [`documents`]: the JSON documents (docs/admin.md);
//! - [`finding`]: where a thing is;
//! - [`summary`]: all of it in one sentence;
//! - [`overview`]: the same as a page for people;
//! - [`exposition`]: metrics, family by family on a page.

pub mod answer;
pub mod controls;
pub mod documents;
pub mod exposition;
pub mod finding;
pub mod listen;
pub mod overview;
mod page;
pub mod route;
pub mod summary;
