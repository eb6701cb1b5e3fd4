//! Ironic's vocabulary as pure values: nothing here does I/O or knows the configuration.

pub mod accept;
pub mod bmc;
pub mod body;
pub mod collection;
pub mod fault;
pub mod groups;
pub mod header;
pub mod identifier;
pub mod json;
pub mod link;
pub mod media;
pub mod merged_page;
pub mod microversion;
pub mod page;
pub mod query;
pub mod resource;
pub mod route;
pub mod rules;
pub mod trace;
pub mod version_document;
