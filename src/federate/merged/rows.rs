//! The items of a page as they are written to the client.

use crate::api::link::Base;
use crate::api::page::Item;
use crate::config::LocationId;

/// One item, its links pointing at us.
#[derive(Clone, Debug)]
pub struct Body {
    pub name: Option<String>,
    pub text: Vec<u8>,
}

impl Body {
    pub fn new(item: &Item<'_>, base: &Base) -> Self {
        let mut text = Vec::with_capacity(item.length(base));
        item.write(&mut text, base);
        Self {
            name: item.name().map(std::borrow::Cow::into_owned),
            text,
        }
    }
}

/// What is on the page: whose it is, and what it is called.
#[derive(Clone, Debug)]
pub struct Seen {
    pub id: Option<String>,
    pub name: Option<String>,
    pub location: LocationId,
}
