//! A marker: the item behind which a page begins and, if another location may have an item with the same identifier,
//! the location: `<uuid>@<location>`. Clients need not know; the plain form is taken too.

use crate::config::LocationId;
use crate::locations::Locations;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker {
    pub item: String,
    pub location: Option<LocationId>,
}

impl Marker {
    /// An `@` that no location's name follows belongs to the item.
    pub fn parse(text: &str, locations: &Locations) -> Self {
        let by_name = |name: &str| locations.by_name(name).map(|location| location.id);
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
            Some(location) => format!("{}@{}", self.item, locations.location(location).name()),
            None => self.item.clone(),
        }
    }
}
