//! The routes that requests are counted by. A label is a template of the table and never what a client wrote, so there
//! are as many as there are routes.

use std::collections::HashMap;

use once_cell::sync::Lazy;

use crate::api::collection::Collection;
use crate::api::route::Route;
use crate::api::route::TABLE;
use crate::api::route::table::Row;

/// A route, as far as requests are counted by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Template(u16);

/// Made once: a request finds its template by the number of its row.
static KNOWN: Lazy<Known> = Lazy::new(Known::new);

struct Known {
    texts: Vec<String>,
    /// By row of the table.
    rows: Vec<Template>,
}

/// Before those of the table; below each collection there may be what a newer Ironic has.
const OTHERS: [&str; 5] = ["none", "/", "/v1", "/healthcheck", "/v1/{collection}/{...}"];

impl Template {
    /// It was refused before its path was understood, or the path leads nowhere.
    pub const NONE: Self = Self(0);
    const ROOT: Self = Self(1);
    const V1: Self = Self(2);
    pub const HEALTHCHECK: Self = Self(3);
    const COLLECTION: Self = Self(4);

    pub fn of(route: &Route) -> Self {
        match route {
            Route::Root => Self::ROOT,
            Route::V1 => Self::V1,
            Route::Known { row, .. } => Self::of_row(row),
            Route::UnknownBelow { of, .. } => {
                let place = Collection::ALL.iter().position(|known| known == of);
                place.map_or(Self::NONE, Self::below)
            }
            Route::UnknownCollection => Self::COLLECTION,
            Route::NotPermitted => Self::NONE,
        }
    }

    /// A reference to a row is its number, since all rows are of one table.
    fn of_row(row: &'static Row) -> Self {
        let distance = std::ptr::from_ref(row)
            .addr()
            .wrapping_sub(TABLE.as_ptr().addr());
        let number = distance / size_of::<Row>();
        KNOWN.rows.get(number).copied().unwrap_or(Self::NONE)
    }

    fn below(collection: usize) -> Self {
        Self(u16::try_from(OTHERS.len() + collection).unwrap_or(0))
    }

    pub fn all() -> impl ExactSizeIterator<Item = Self> {
        (0..u16::try_from(KNOWN.texts.len()).unwrap_or(u16::MAX)).map(Self)
    }

    pub fn number(self) -> usize {
        self.0.into()
    }

    pub fn text(self) -> &'static str {
        KNOWN
            .texts
            .get(self.number())
            .map_or(OTHERS[0], String::as_str)
    }
}

impl Known {
    fn new() -> Self {
        let mut texts: Vec<String> = OTHERS.map(str::to_owned).into();
        for collection in Collection::ALL {
            let member = spelled(&format!("{}/{{}}", collection.facts().path));
            texts.push(format!("{member}/{{...}}"));
        }
        let mut numbers: HashMap<&str, Template> = HashMap::new();
        let rows = TABLE
            .iter()
            .map(|row| {
                *numbers.entry(row.template).or_insert_with(|| {
                    texts.push(spelled(row.template));
                    Template(u16::try_from(texts.len() - 1).unwrap_or(0))
                })
            })
            .collect();
        Self { texts, rows }
    }
}

/// `/v1/nodes/{node}/traits/{trait}`
fn spelled(template: &str) -> String {
    let mut text = "/v1".to_owned();
    let mut before = "";
    for segment in template.split('/') {
        text.push('/');
        if segment == "{}" {
            text.push('{');
            text.push_str(one_of(before));
            text.push('}');
        } else {
            text.push_str(segment);
        }
        before = segment;
    }
    text
}

/// What stands behind this segment.
fn one_of(collection: &str) -> &str {
    match collection {
        "bios" => "setting",
        "chassis" => "chassis",
        "heartbeat" => "node",
        "history" => "event",
        "vendor_passthru" => "method",
        plural => plural.strip_suffix('s').unwrap_or(plural),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_row_has_its_template() {
        for row in TABLE {
            let text = Template::of_row(row).text();
            let shape: Vec<_> = text
                .trim_start_matches("/v1/")
                .split('/')
                .map(|segment| {
                    if segment.starts_with('{') {
                        "{}"
                    } else {
                        segment
                    }
                })
                .collect();
            assert_eq!(shape.join("/"), row.template);
        }
    }

    #[test]
    fn no_two_are_spelled_alike() {
        let texts: BTreeSet<_> = Template::all().map(Template::text).collect();
        assert_eq!(texts.len(), Template::all().len());
        for text in [
            "/v1/nodes/{node}/states/power",
            "/v1/nodes/{node}/portgroups/{portgroup}/ports",
            "/v1/volume/connectors/{connector}",
            "/v1/inspection_rules/{inspection_rule}",
            "/v1/chassis/{chassis}",
            "/v1/nodes/{node}/{...}",
        ] {
            assert!(texts.contains(text), "{text} is not among {texts:#?}");
        }
    }

    #[test]
    fn what_is_not_of_the_table_has_one_too() {
        for (route, text) in [
            (Route::Root, "/"),
            (Route::V1, "/v1"),
            (Route::UnknownCollection, "/v1/{collection}/{...}"),
            (Route::NotPermitted, "none"),
            (
                Route::UnknownBelow {
                    of: Collection::Ports,
                    ident: "a".to_owned(),
                },
                "/v1/ports/{port}/{...}",
            ),
        ] {
            assert_eq!(Template::of(&route).text(), text);
        }
    }
}
