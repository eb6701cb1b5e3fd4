//! Who may do what: Ironic's rules in oslo.policy's language, with an operator's own in their place.

pub mod caller;
pub mod files;
pub mod grammar;
pub mod in_force;
pub mod language;
pub mod targets;
