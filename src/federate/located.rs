//! Things that live at one location: made there, changed there, the only ones of their name anywhere.

pub mod allocate;
pub mod beside;
pub mod create;
pub mod unique;
pub mod update;
