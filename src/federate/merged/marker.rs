//! Where a page begins.
//!
//! A marker is the item before it and, if another location may have an item with the same identifier, the location:
//! `<uuid>@<tag of the location>`. Clients need not know; the plain form is taken too, and the location's name.
//!
//! What a sorted walk goes on in has a name, which stands in the links to its further pages: an item does not tell it from
//! what another walk read before things were made, here or at another replica. Whoever does not know the name starts anew
//! from the marker.

use std::fmt;

use crate::api::query::Query;
use crate::config::LocationId;
use crate::locations::Locations;

/// The parameter that carries the name.
pub const WALK: &str = "walk";

/// What says which page of a list is asked for, and not which list.
pub const PAGING: &[&str] = &["limit", "marker", WALK];

/// The name of what a walk goes on in: 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalkName(pub u64);

impl WalkName {
    /// Anything else is an argument that Ironic does not know, and refuses.
    pub fn parse(text: &str) -> Option<Self> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let is_name = text.len() == 16 && text.bytes().all(is_digit);
        u64::from_str_radix(text, 16)
            .ok()
            .filter(|_| is_name)
            .map(Self)
    }
}

impl fmt::Display for WalkName {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{:016x}", self.0)
    }
}

/// What a link to a next page says of where it begins; `None`: it is no such link.
pub fn onward(next: &str) -> Option<Query> {
    let (_, query) = next.split_once('?')?;
    let query = Query::parse(Some(query)).ok()?.only(&["marker", WALK]);
    query.value("marker").is_some().then_some(query)
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker {
    pub item: String,
    pub location: Option<LocationId>,
}

impl Marker {
    /// An `@` that no location's name follows belongs to the item.
    pub fn parse(text: &str, locations: &Locations) -> Self {
        let by_name = |name: &str| {
            let mut all = locations.iter();
            let location = locations.by_name(name);
            let location = location.or_else(|| all.find(|one| tag(one.name()) == name));
            location.map(|location| location.id)
        };
        let located = text
            .match_indices('@')
            .find_map(|(at, _)| Some((&text[..at], by_name(&text[at + 1..])?)));
        match located {
            Some((item, location)) if !item.is_empty() => Self {
                item: item.to_owned(),
                location: Some(location),
            },
            _ => Self {
                item: text.to_owned(),
                location: None,
            },
        }
    }

    /// As it stands in `next`.
    pub fn text(&self, locations: &Locations) -> String {
        match self.location {
            Some(location) => {
                let name = locations.location(location).name();
                format!("{}@{}", self.item, tag(name))
            }
            None => self.item.clone(),
        }
    }
}

/// Stands for a location, whose name not every client may know (`[api] tell_location`): FNV-1a, since replicas of any
/// version have to agree.
fn tag(name: &str) -> String {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte.to_ascii_lowercase())).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}
