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
    Text { folded: String, exact: String },
}

impl SortValue {
    /// From the raw JSON; a member that is missing is NULL, lists and objects compare as the text they are.
    pub fn new(raw: Option<&[u8]>) -> Self {
        let Some(raw) = raw else { return Self::Null };
        match raw {
            b"null" => return Self::Null,
            b"true" => return Self::Number(1.0),
            b"false" => return Self::Number(0.0),
            _ => {}
        }
        if let Some(text) = json::decode(raw) {
            return Self::Text {
                folded: text.to_lowercase(),
                exact: text.into_owned(),
            };
        }
        let text = String::from_utf8_lossy(raw);
        text.parse().map_or_else(
            |_| Self::Text {
                folded: text.to_lowercase(),
                exact: text.to_string(),
            },
            Self::Number,
        )
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Number(_) => 1,
            Self::Text { .. } => 2,
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
            (Self::Number(one), Self::Number(two)) => one.total_cmp(two),
            (
                Self::Text {
                    folded: one,
                    exact: exactly_one,
                },
                Self::Text {
                    folded: two,
                    exact: exactly_two,
                },
            ) => one.cmp(two).then_with(|| exactly_one.cmp(exactly_two)),
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
