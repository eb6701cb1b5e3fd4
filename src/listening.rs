//! The sockets that others connect to: opened, inherited, handed on.
//!
//! - [`open`]: sockets of our own;
//! - [`inherited`]: those of the service manager, or of the process that this one replaces;
//! - [`successor`]: the process that replaces this one.

pub mod inherited;
pub mod open;
pub mod successor;
