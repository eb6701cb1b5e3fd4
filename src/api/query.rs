//! A client's query string: decoded once, read by name, and sent re-encoded.

use std::borrow::Cow;

use percent_encoding::AsciiSet;
use percent_encoding::NON_ALPHANUMERIC;
use percent_encoding::percent_decode_str;
use percent_encoding::utf8_percent_encode;
use thiserror::Error;

/// What stays as it is in a parameter: unreserved characters, and the comma of `fields=a,b` for the reader's sake.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b',')
    .remove(b':');

/// Why a query is refused: two parsers could read it differently.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum QueryError {
    #[error("Unexpected character ';' in the query string")]
    Semicolon,
    #[error("The query string is not valid percent-encoded UTF-8")]
    Encoding,
    /// Pecan, Ironic's web framework, reads a method from it.
    #[error("Unexpected arguments: _method")]
    MethodOverride,
}

/// Parameters in the client's order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Bytes that it takes.
    pub fn weight(&self) -> usize {
        let of_pair = |(name, value): &(String, String)| {
            size_of::<(String, String)>() + name.len() + value.len()
        };
        self.0.iter().map(of_pair).sum()
    }

    pub fn parse(raw: Option<&str>) -> Result<Self, QueryError> {
        let raw = raw.unwrap_or_default();
        if raw.is_empty() {
            return Ok(Self::default());
        }
        // It once separated parameters as `&` does (HTML 4.01, B.2.2), and still does for some parsers.
        if raw.contains(';') {
            return Err(QueryError::Semicolon);
        }
        let decode = |text: &str| {
            // A query is a form, to webob as to browsers.
            let spaced = text.replace('+', " ");
            if !is_percent_encoded(&spaced) {
                return Err(QueryError::Encoding);
            }
            let decoded = percent_decode_str(&spaced)
                .decode_utf8()
                .map_err(|_| QueryError::Encoding)?;
            if decoded.chars().any(char::is_control) {
                return Err(QueryError::Encoding);
            }
            Ok(decoded.into_owned())
        };
        let mut pairs = Vec::new();
        for pair in raw.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name)?;
            if name == "_method" {
                return Err(QueryError::MethodOverride);
            }
            pairs.push((name, decode(value)?));
        }
        Ok(Self(pairs))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The parameter's value; the last one, should it be repeated.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .rev()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// Whether the parameter is there and is what `strutils.bool_from_string` of oslo.utils reads as true.
    pub fn is_on(&self, name: &str) -> bool {
        const TRUE: &[&str] = &["1", "t", "true", "on", "y", "yes"];
        let value = self.value(name);
        value.is_some_and(|value| TRUE.contains(&value.trim().to_lowercase().as_str()))
    }

    /// Every value of a parameter that may be repeated, such as `fields`.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// How many items a page is to have, as Python's `int()` reads it: blanks, a sign and single underscores between
    /// digits are fine. What is wrong with it is said in Ironic's words.
    pub fn limit(&self) -> Result<Option<usize>, String> {
        let Some(text) = self.value("limit") else {
            return Ok(None);
        };
        let trimmed = text.trim();
        let (negative, digits) = match trimmed.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, trimmed.strip_prefix('+').unwrap_or(trimmed)),
        };
        let groups_of_digits = digits
            .split('_')
            .all(|group| !group.is_empty() && group.bytes().all(|byte| byte.is_ascii_digit()));
        if !groups_of_digits {
            return Err(format!("Expected an integer for limit: {text}"));
        }
        // Python's integers have no end, and what is too large is cut to `max_limit` anyway.
        let number = digits.replace('_', "").parse().unwrap_or(usize::MAX);
        if negative || number == 0 {
            return Err("Limit must be positive".to_owned());
        }
        Ok(Some(number))
    }

    /// The members that are asked for, of every `fields`, in lower case as Ironic reads them (`string_list` of
    /// `ironic/common/args.py`); `None`: it says nothing of them.
    pub fn fields(&self) -> Option<Vec<String>> {
        self.value("fields")?;
        let names = self.values("fields").flat_map(|value| value.split(','));
        let names = names.map(|name| name.trim().to_lowercase());
        Some(names.filter(|name| !name.is_empty()).collect())
    }

    /// The query with these fields too, if it names fields; and which of them are to be taken out again.
    #[must_use]
    pub fn with_fields(&self, needed: &[&'static str]) -> (Self, Vec<&'static str>) {
        // `fields=` names none: Ironic shows links alone.
        let Some(mut asked) = self.fields() else {
            return (self.clone(), Vec::new());
        };
        let missing: Vec<&'static str> = needed
            .iter()
            .copied()
            .filter(|name| !asked.iter().any(|field| field == name))
            .collect();
        asked.extend(missing.iter().map(|name| (*name).to_owned()));
        let fields = asked.join(",");
        (self.without(&["fields"]).with("fields", fields), missing)
    }

    /// Names and values, in the client's order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The first of `names` that occurs more than once.
    pub fn repeated<'a>(&self, names: &[&'a str]) -> Option<&'a str> {
        names
            .iter()
            .copied()
            .find(|name| self.values(name).count() > 1)
    }

    /// The same without some parameters.
    #[must_use]
    pub fn without(&self, names: &[&str]) -> Self {
        Self(
            self.0
                .iter()
                .filter(|(name, _)| !names.contains(&name.as_str()))
                .cloned()
                .collect(),
        )
    }

    /// Some parameters alone.
    #[must_use]
    pub fn only(&self, names: &[&str]) -> Self {
        Self(
            self.0
                .iter()
                .filter(|(name, _)| names.contains(&name.as_str()))
                .cloned()
                .collect(),
        )
    }

    /// The same with more parameters at the end.
    #[must_use]
    pub fn and(mut self, more: &Self) -> Self {
        self.0.extend_from_slice(&more.0);
        self
    }

    /// The same with one more parameter at the end.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.0.push((name.to_owned(), value.into()));
        self
    }

    /// Appends `?a=b&c=d` to a path, or nothing.
    pub fn append_to(&self, path: &mut String) {
        for (index, (name, value)) in self.0.iter().enumerate() {
            path.push(if index == 0 { '?' } else { '&' });
            path.extend(utf8_percent_encode(name, ENCODED));
            path.push('=');
            path.extend(utf8_percent_encode(value, ENCODED));
        }
    }
}

/// One path segment as it is sent.
pub fn encode_segment(segment: &str) -> Cow<'_, str> {
    utf8_percent_encode(segment, ENCODED).into()
}

/// Every `%` is followed by two hexadecimal digits.
pub fn is_percent_encoded(text: &str) -> bool {
    let bytes = text.as_bytes();
    let hex = |index: usize| bytes.get(index).is_some_and(u8::is_ascii_hexdigit);
    (0..bytes.len())
        .filter(|&index| bytes[index] == b'%')
        .all(|index| hex(index + 1) && hex(index + 2))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sent(raw: &str) -> Result<String, QueryError> {
        let mut path = String::new();
        Query::parse(Some(raw))?.append_to(&mut path);
        Ok(path)
    }

    #[test]
    fn limit_as_python_reads_it() {
        let limit = |text: &str| Query::default().with("limit", text).limit();
        assert_eq!(Query::default().limit(), Ok(None));
        for (text, expected) in [
            ("1", 1),
            ("+1", 1),
            (" 2 ", 2),
            ("1_0", 10),
            ("99999999999999999999", usize::MAX),
        ] {
            assert_eq!(limit(text), Ok(Some(expected)), "{text}");
        }
        for text in ["", "abc", "1.5", "1__0", "_1", "+", "0x1"] {
            assert_eq!(
                limit(text).unwrap_err(),
                format!("Expected an integer for limit: {text}")
            );
        }
        for text in ["0", "-1", "-0"] {
            assert_eq!(limit(text).unwrap_err(), "Limit must be positive");
        }
    }

    #[test]
    fn decoded_once_and_re_encoded() {
        for (raw, encoded) in [
            ("", ""),
            ("limit=1&&fields=uuid,name&", "?limit=1&fields=uuid,name"),
            ("limit=%31", "?limit=1"),
            ("limit=+1", "?limit=%201"),
            ("a=b%3Bc=d", "?a=b%3Bc%3Dd"),
            ("a", "?a="),
            ("x=%2541", "?x=%2541"),
        ] {
            assert_eq!(sent(raw).as_deref(), Ok(encoded), "{raw}");
        }
        for (raw, error) in [
            ("a=1;b=2", QueryError::Semicolon),
            ("a=%", QueryError::Encoding),
            ("a=%ff", QueryError::Encoding),
            ("a=%0a", QueryError::Encoding),
            ("%5Fmethod=delete", QueryError::MethodOverride),
        ] {
            assert_eq!(sent(raw), Err(error), "{raw}");
        }
    }

    #[test]
    fn repeated_parameters_are_seen() {
        let query = Query::parse(Some("node=a&fields=x&node=b&fields=y")).unwrap();
        assert_eq!(query.repeated(&["limit", "node"]), Some("node"));
        assert_eq!(query.repeated(&["limit"]), None);
        assert_eq!(query.values("fields").collect::<Vec<_>>(), ["x", "y"]);
        assert_eq!(query.value("node"), Some("b"));
    }

    proptest! {
        #[test]
        fn what_is_sent_reads_the_same(pairs in prop::collection::vec(("[a-z_]{1,8}x", "\\PC{0,12}"), 0..5)) {
            let query = Query(pairs);
            let mut path = String::new();
            query.append_to(&mut path);
            prop_assert_eq!(Query::parse(path.strip_prefix('?')), Ok(query));
        }

        #[test]
        fn no_query_panics(raw in "[ -~]{0,40}") {
            let _: Result<Query, QueryError> = Query::parse(Some(&raw));
        }
    }

    #[test]
    fn fields_are_added_unless_they_are_asked_for() {
        for (asked, sent, added) in [
            ("fields=name", "name,uuid,owner", &["uuid", "owner"][..]),
            ("fields=UUID,Owner", "uuid,owner", &[]),
            ("fields=name&fields= Owner,", "name,owner,uuid", &["uuid"]),
            ("fields=", "uuid,owner", &["uuid", "owner"]),
        ] {
            let query = Query::parse(Some(asked)).unwrap();
            let (query, strip) = query.with_fields(&["uuid", "owner"]);
            assert_eq!((query.value("fields"), &strip[..]), (Some(sent), added));
        }
        let (query, strip) = Query::default().with_fields(&["uuid"]);
        assert!(query.is_empty() && strip.is_empty());
    }
}
