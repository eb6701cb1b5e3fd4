//! What may identify a thing, as Ironic judges it (`ironic/common/args.py`, `ironic/common/utils.py`).

use bytes::Bytes;
use uuid::Uuid;

/// Columns of names and UUIDs hold no more, so nothing longer can be there.
const LONGEST: usize = 255;

/// `uuidutils.is_uuid_like`: such an identifier is never a name.
pub fn is_uuid_like(text: &str) -> bool {
    // oslo.utils takes one with or without hyphens, in braces, or as a URN; so does this parser.
    Uuid::try_parse(text).is_ok()
}

/// `utils.is_valid_logical_name`: RFC 3986's unreserved characters.
pub fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= LONGEST
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
}

/// Dots are a name to Ironic; to web servers in front of it they lead up and out of a collection (RFC 3986 5.2.4).
pub fn is_way_up(text: &str) -> bool {
    matches!(text, "." | "..")
}

/// `strutils.is_int_like`: a number as Python writes it.
pub fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    text == "0" || is_plain && !digits.starts_with('0')
}

/// `args.uuid_or_name`
pub fn is_uuid_or_name(text: &str) -> bool {
    is_name(text) || is_uuid_like(text)
}

/// An identifier that nobody has, of the same form as one that is not to be asked for, or that nobody has either. Whatever
/// else is wrong with a request Ironic then says all the same, and there is nothing that it could be carried out on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    pub ident: String,
    /// What of it is strange to the client, and stands for this.
    strange: String,
    meant: String,
}

impl Alias {
    pub fn of(ident: &str) -> Self {
        let uuid = Uuid::new_v4().to_string();
        if is_uuid_like(ident) {
            return Self {
                ident: uuid.clone(),
                strange: uuid,
                meant: ident.to_owned(),
            };
        }
        let strange = format!("-{uuid}");
        // What is too long for a name is refused for that.
        let most = if is_name(ident) {
            LONGEST - strange.len()
        } else {
            ident.len()
        };
        let (kept, meant) = ident.split_at(ident.len().min(most));
        Self {
            ident: format!("{kept}{strange}"),
            strange,
            meant: meant.to_owned(),
        }
    }

    /// Ironic's words, as if the client's own identifier had been asked for.
    pub fn reword(&self, words: &[u8]) -> Bytes {
        self.reword_text(&String::from_utf8_lossy(words)).into()
    }

    pub fn reword_text(&self, words: &str) -> String {
        words.replace(&self.strange, &self.meant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_as_ironic_takes_them() {
        let longest = "x".repeat(255);
        for name in ["a", "s1-beta", "_x", "~", "a.b", "None", longest.as_str()] {
            assert!(is_name(name), "{name}");
        }
        let longer = "x".repeat(256);
        for name in ["", "a b", "a/b", "ä", "a!", "a\n", longer.as_str()] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn an_alias_is_of_the_same_form_and_unseen() {
        let longest = "x".repeat(255);
        for ident in [
            "detail",
            "1be26c0b-03f2-4d2e-ae87-c02d7f33c123",
            "12345678901234567890123456789012",
            "7",
            longest.as_str(),
        ] {
            let alias = Alias::of(ident);
            assert_ne!(alias.ident, ident);
            assert_eq!(is_uuid_like(&alias.ident), is_uuid_like(ident));
            assert!(is_uuid_or_name(&alias.ident) && !is_integer(&alias.ident));
            let words = format!("Node {} could not be found.", alias.ident);
            assert_eq!(
                alias.reword(words.as_bytes()),
                format!("Node {ident} could not be found.")
            );
        }
    }

    #[test]
    fn integers_as_python_writes_them() {
        for (text, expected) in [
            ("0", true),
            ("7", true),
            ("-12", true),
            ("12345678901234567890123456789012", true),
            ("", false),
            ("-", false),
            ("-0", false),
            ("007", false),
            ("7a", false),
            ("1_0", false),
            ("1.0", false),
        ] {
            assert_eq!(is_integer(text), expected, "{text}");
        }
    }

    #[test]
    fn uuids_as_ironic_takes_them() {
        for (text, expected) in [
            ("1be26c0b-03f2-4d2e-ae87-c02d7f33c123", true),
            ("1BE26C0B03F24D2EAE87C02D7F33C123", true),
            ("1be26c0b-03f2-4d2e-ae87-c02d7f33c12", false),
            ("", false),
            ("name", false),
        ] {
            assert_eq!(is_uuid_like(text), expected, "{text}");
        }
    }
}
