//! The command line and its subcommands.

pub mod check;
pub mod cli;
pub mod policy;
pub mod sync;
pub mod terminal;
