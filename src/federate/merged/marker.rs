//! A marker: the item behind which a page begins and, where another location may have one that is called the same, the
//! location: `<uuid>@<location>`. Clients need not know; the plain form is taken too.

use crate::config::LocationId;
use crate::locations::Locations;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker {
    pub item: String,
    pub location: Option<LocationId>,
}

impl Marker {
    /// What follows an `@` and is no location belongs to the item's own name.
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
