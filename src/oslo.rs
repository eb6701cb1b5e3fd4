//! The rules of oslo.config: which files are read, how a line is parsed, how an option is looked up and what its value
//! means.
//!
//! The room defines no option and knows nothing of Ironic: the options are passed in as a `option::Schema`.

mod advice;
pub(crate) mod ini;
mod interpolate;
mod layers;
pub(crate) mod notes;
pub(crate) mod option;
pub mod passing;
pub(crate) mod reader;
pub(crate) mod record;
mod resolve;
pub mod secret;
pub(crate) mod section;
pub mod sources;
mod value;
