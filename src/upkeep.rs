//! What runs beside requests: probes of locations, the sweep that fills the directory, certificates that change.

pub mod certificates;
pub mod health;
pub mod policy;
pub mod sweep;
