//! The command line and its subcommands.

pub mod check;
pub mod cli;
pub mod manual;
pub mod operate;
pub mod policy;
pub mod socket;
pub mod survey;
pub mod sync;
pub mod terminal;
