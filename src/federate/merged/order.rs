//! The order of a merged list. Locations have different databases, which order NULLs and letters differently, so the
//! order is ours: NULL first, then values; text without regard to case, then by its characters; `desc` is the exact
//! reverse.

use std::cmp::Ordering;

use crate::api::json;

/// `sort_dir`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Ascending,
    Descending,
}

impl Direction {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ascending => "asc",
            Self::Descending => "desc",
        }
    }

    pub fn apply(self, ordering: Ordering) -> Ordering {
        match self {
            Self::Ascending => ordering,
            Self::Descending => ordering.reverse(),
        }
    }
}

/// The value of a sort key. Times are ISO 8601 with a fixed offset, so they compare as text.
#[derive(Clone, Debug)]
pub enum SortValue {
    Null,
    Number(f64),
    Text(Text),
}

/// Text with its case-folded form, which is kept only if it differs: most text is in lower case already.
#[derive(Clone, Debug)]
pub struct Text {
    exact: Box<str>,
    folded: Option<Box<str>>,
}

impl Text {
    fn new(exact: &str) -> Self {
        let folded = exact.to_lowercase();
        Self {
            folded: (folded != exact).then(|| folded.into()),
            exact: exact.into(),
        }
    }

    fn folded(&self) -> &str {
        self.folded.as_deref().unwrap_or(&self.exact)
    }
}

/// How a database may compare text: as its bytes (`SQLite`; `PostgreSQL` with the locale C), or without regard to case
/// (`MySQL`). We order by the second and then by the first; a guess of what a location does saves questions, no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collation {
    Exact,
    Folded,
}

impl Collation {
    pub fn compare(self, one: &SortValue, two: &SortValue) -> Ordering {
        match (one, two) {
            (SortValue::Text(one), SortValue::Text(two)) => match self {
                Self::Exact => one.exact.cmp(&two.exact),
                Self::Folded => one.folded().cmp(two.folded()),
            },
            _ => one.cmp(two),
        }
    }
}

impl SortValue {
    /// From the raw JSON; a member that is missing is NULL, lists and objects compare as the text they are.
    pub fn new(raw: Option<&[u8]>) -> Self {
        let Some(raw) = raw else { return Self::Null };
        match raw {
            b"null" => return Self::Null,
            // Databases keep booleans as 0 and 1, so false comes first.
            b"true" => return Self::Number(1.0),
            b"false" => return Self::Number(0.0),
            _ => {}
        }
        if let Some(text) = json::decode(raw) {
            return Self::Text(Text::new(&text));
        }
        let text = String::from_utf8_lossy(raw);
        text.parse()
            .map_or_else(|_| Self::Text(Text::new(&text)), Self::Number)
    }

    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Bytes that it takes beside itself.
    pub fn weight(&self) -> usize {
        match self {
            Self::Null | Self::Number(_) => 0,
            Self::Text(text) => {
                text.exact.len() + text.folded.as_ref().map_or(0, |text| text.len())
            }
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Number(_) => 1,
            Self::Text(_) => 2,
        }
    }
}

impl PartialEq for SortValue {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for SortValue {}

impl PartialOrd for SortValue {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SortValue {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            // `f64` has no `Ord`; JSON has no NaN, and the order must be total for `sort_by`.
            (Self::Number(one), Self::Number(two)) => one.total_cmp(two),
            (Self::Text(one), Self::Text(two)) => one
                .folded()
                .cmp(two.folded())
                .then_with(|| one.exact.cmp(&two.exact)),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_order_for_all_databases() {
        let ordered: Vec<SortValue> = [
            None,
            Some("false"),
            Some("true"),
            Some("2"),
            Some("10"),
            Some(r#""""#),
            Some(r#""A""#),
            Some(r#""a""#),
            Some(r#""B""#),
            Some(r#""\u0062""#),
            Some(r#""é""#),
        ]
        .iter()
        .map(|raw| SortValue::new(raw.map(str::as_bytes)))
        .collect();
        assert!(ordered.is_sorted(), "{ordered:?}");
        assert_eq!(SortValue::new(Some(b"null")), SortValue::new(None));
        assert_eq!(
            SortValue::new(Some(br#""\u0062""#)),
            SortValue::new(Some(br#""b""#))
        );
    }
}
