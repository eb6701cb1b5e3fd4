//! oslo.config's types for values with several elements.

use crate::oslo::ini::is_space;

/// oslo's `List` of texts.
pub(crate) fn list(text: &str) -> Vec<String> {
    let text = text.trim_matches(is_space).trim_end_matches(',');
    if text.is_empty() {
        return Vec::new();
    }
    text.split(',')
        .map(|item| item.trim_matches(is_space).to_owned())
        .collect()
}

/// Why a text is no dictionary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DictFault {
    #[error("must be NAME:VALUE, NAME:VALUE and so on")]
    NoPair,
    #[error("holds an empty name")]
    EmptyName,
    #[error("holds the same name twice")]
    Duplicate,
}

/// oslo's `Dict` of texts, in the order of the text. A piece without `:` belongs to the next one.
pub(crate) fn dict(text: &str) -> Result<Vec<(String, String)>, DictFault> {
    let text = text.trim_matches(is_space);
    let mut pairs: Vec<(String, String)> = Vec::new();
    if text.is_empty() {
        return Ok(pairs);
    }
    let mut pending = String::new();
    for piece in text.split(',') {
        pending.push_str(piece);
        let Some((name, value)) = pending.split_once(':') else {
            pending.push(',');
            continue;
        };
        let (name, value) = (name.trim_matches(is_space), value.trim_matches(is_space));
        if name.is_empty() {
            return Err(DictFault::EmptyName);
        }
        if pairs.iter().any(|(known, _)| known == name) {
            return Err(DictFault::Duplicate);
        }
        pairs.push((name.to_owned(), value.to_owned()));
        pending.clear();
    }
    // Else a piece still waits for its `:`, be it the empty one after a last comma.
    if pending.is_empty() {
        Ok(pairs)
    } else {
        Err(DictFault::NoPair)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lists_are_cut_at_commas() {
        for (text, expected) in [
            ("", &[] as &[&str]),
            (" , ,", &["", ""]),
            (",,", &[]),
            ("a", &["a"]),
            (" a , b,", &["a", "b"]),
            ("a,,b", &["a", "", "b"]),
            ("\"a,b\"", &["\"a", "b\""]),
            ("a,\nb", &["a", "b"]),
        ] {
            assert_eq!(list(text), expected, "{text:?}");
        }
    }

    #[test]
    fn dictionaries_are_cut_at_commas_and_colons() {
        for (text, expected) in [
            ("", Ok(vec![])),
            (
                "_:loc1, grp1:loc2",
                Ok(vec![("_", "loc1"), ("grp1", "loc2")]),
            ),
            ("a:b:c", Ok(vec![("a", "b:c")])),
            ("b: 1 ,\na:2", Ok(vec![("b", "1"), ("a", "2")])),
            ("_:loc1\ngrp1:loc2", Ok(vec![("_", "loc1\ngrp1:loc2")])),
            ("x,y,b:z", Ok(vec![("x,y,b", "z")])),
            ("a:x,y,b:z", Ok(vec![("a", "x"), ("y,b", "z")])),
            ("a:", Ok(vec![("a", "")])),
            ("a:b,", Err(DictFault::NoPair)),
            ("a", Err(DictFault::NoPair)),
            (",", Err(DictFault::NoPair)),
            (":b", Err(DictFault::EmptyName)),
            ("a:b,a:c", Err(DictFault::Duplicate)),
        ] {
            let expected = expected.map(|pairs| {
                let owned = pairs
                    .iter()
                    .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
                owned.collect::<Vec<_>>()
            });
            assert_eq!(dict(text), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_much(text in "\\PC*|[:,$'\" \t\r\na-c]*") {
            let pieces = text.split(',').count();
            prop_assert!(list(&text).len() <= pieces);
            prop_assert!(dict(&text).is_ok_and(|pairs| pairs.len() <= pieces) || !text.is_empty());
        }
    }
}
