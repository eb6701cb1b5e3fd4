//! What runs beside requests: health checks of locations, the sweep that fills the directory, files that change.

pub mod certificates;
pub mod chronicle;
pub mod health;
pub mod policy;
pub mod sweep;
pub mod sync;
