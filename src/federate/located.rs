//! Resources that exist at one location only, and whose names are unique over all of them.

pub mod allocate;
pub mod beside;
pub mod create;
pub mod home;
pub mod place;
pub mod unique;
pub mod update;
