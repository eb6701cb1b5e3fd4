//! What is typed: the command line, and the subcommands.

pub mod check;
pub mod cli;
pub mod policy;
pub mod sync;
pub mod terminal;
