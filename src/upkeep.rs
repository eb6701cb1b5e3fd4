//! What runs beside requests: health checks of locations, the sweep that fills the directory, files that change, spans for a collector.

pub mod certificates;
pub mod chronicle;
pub mod coordination;
pub mod health;
pub mod policy;
pub mod spans;
pub mod sweep;
pub mod sync;
