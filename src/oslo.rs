//! oslo.config's rules: which files are read, how a line is understood, how an option is found and what its text means.
//! Knows no option of its own and nothing of Ironic: what there is to configure is a [`option::Schema`].

mod advice;
mod ini;
mod interpolate;
mod layers;
pub(crate) mod notes;
pub(crate) mod option;
pub(crate) mod reader;
pub(crate) mod record;
mod resolve;
pub(crate) mod section;
pub mod sources;
mod value;
