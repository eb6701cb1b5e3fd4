//! What a client accepts, as pecan and webob read it: controllers have JSON only, and the routing layer words its errors
//! for browsers unless JSON is what the client wants most.

use http::HeaderMap;
use http::header::ACCEPT;

const JSON: &str = "application/json";

/// How the routing layer's errors are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Words {
    Json,
    Html,
    Plain,
}

/// An `Accept` header.
#[derive(Clone, Debug, PartialEq)]
pub enum Accept {
    /// None, or `*/*`: `ParsableErrorMiddleware` makes that JSON.
    Any,
    /// `application/json` and nothing else, as most clients send it: there is nothing to parse.
    Json,
    /// Not of RFC 9110's form: webob then takes it for "anything".
    Invalid,
    Ranges {
        text: String,
        ranges: Vec<Range>,
    },
}

/// One media range.
#[derive(Clone, Debug, PartialEq)]
pub struct Range {
    kind: String,
    subkind: String,
    /// It has parameters, which none of our media types has.
    narrowed: bool,
    quality: f32,
}

impl Accept {
    pub fn of(headers: &HeaderMap) -> Self {
        let mut lines = headers.get_all(ACCEPT).iter();
        match (lines.next(), lines.next()) {
            (None, _) => return Self::Any,
            (Some(line), None) if line == JSON => return Self::Json,
            _ => {}
        }
        let lines = headers.get_all(ACCEPT).iter();
        let lines: Option<Vec<&str>> = lines.map(|line| line.to_str().ok()).collect();
        let Some(text) = lines.map(|lines| lines.join(",")) else {
            return Self::Invalid;
        };
        if text == "*/*" {
            return Self::Any;
        }
        let elements = text
            .split(',')
            .map(str::trim)
            // A list may have empty elements (RFC 9110, 5.6.1).
            .filter(|text| !text.is_empty());
        match elements.map(range).collect() {
            Some(ranges) => Self::Ranges { text, ranges },
            None => Self::Invalid,
        }
    }

    /// Whether a controller answers: else it is a 406, before anything is done.
    pub fn takes_json(&self) -> bool {
        match self {
            Self::Any | Self::Json | Self::Invalid => true,
            // Pecan also looks how the text begins, whatever follows.
            Self::Ranges { text, .. } => {
                text.is_empty()
                    || text.starts_with("application/json")
                    || self.quality("application", "json") > 0.0
            }
        }
    }

    pub fn words(&self) -> Words {
        match self {
            Self::Any | Self::Json => return Words::Json,
            Self::Invalid => return Words::Html,
            Self::Ranges { .. } => {}
        }
        let json = self.quality("application", "json");
        let html = self.quality("text", "html");
        let plain = self.quality("text", "plain");
        // Of what is wanted alike, what pecan and webob name first.
        if json > html && json > plain {
            Words::Json
        } else if html > 0.0 {
            Words::Html
        } else {
            Words::Plain
        }
    }

    /// As the client spelled it.
    pub fn text(&self) -> &str {
        match self {
            Self::Any | Self::Invalid => "*/*",
            Self::Json => JSON,
            Self::Ranges { text, .. } => text,
        }
    }

    /// By the most specific range that fits.
    pub fn quality(&self, kind: &str, subkind: &str) -> f32 {
        let ranges = match self {
            Self::Any | Self::Invalid => return 1.0,
            Self::Json if (kind, subkind) == ("application", "json") => return 1.0,
            Self::Json => return 0.0,
            Self::Ranges { ranges, .. } => ranges,
        };
        let specificity = |range: &Range| {
            let fits = |mine: &str, wanted: &str| mine.eq_ignore_ascii_case(wanted);
            match (&*range.kind, &*range.subkind) {
                _ if range.narrowed => None,
                ("*", "*") => Some(1),
                (mine, "*") if fits(mine, kind) => Some(2),
                (mine, sub) if fits(mine, kind) && fits(sub, subkind) => Some(3),
                _ => None,
            }
        };
        ranges
            .iter()
            .filter_map(|range| Some((specificity(range)?, range.quality)))
            .max_by_key(|(specificity, _)| *specificity)
            .map_or(0.0, |(_, quality)| quality)
    }
}

fn range(text: &str) -> Option<Range> {
    let is_token = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
    };
    let mut parts = text.split(';').map(str::trim);
    let (kind, subkind) = parts.next()?.split_once('/')?;
    let sound = is_token(kind) && is_token(subkind) && (kind != "*" || subkind == "*");
    let mut range = Range {
        kind: kind.to_owned(),
        subkind: subkind.to_owned(),
        narrowed: false,
        quality: 1.0,
    };
    for parameter in parts {
        let (name, value) = parameter.split_once('=')?;
        if name.eq_ignore_ascii_case("q") {
            range.quality = value
                .parse()
                .ok()
                .filter(|quality| (0.0..=1.0).contains(quality))?;
            // What follows is an extension, which narrows nothing.
            break;
        }
        range.narrowed = true;
    }
    sound.then_some(range)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn accept(lines: &[&'static str]) -> Accept {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(ACCEPT, HeaderValue::from_static(line));
        }
        Accept::of(&headers)
    }

    /// As Ironic 39 answered (`tests/outside/test_oracle.py` asks it again).
    #[test]
    fn as_ironic_negotiates() {
        for (lines, takes_json, words) in [
            (&[][..], true, Words::Json),
            (&["*/*"], true, Words::Json),
            (&[""], true, Words::Plain),
            (&["nonsense"], true, Words::Html),
            (&["*/*;q=0.5"], true, Words::Html),
            (&["*/*;q=0"], false, Words::Plain),
            (&["application/*"], true, Words::Json),
            (&["application/json"], true, Words::Json),
            (&["application/json;q=0"], true, Words::Plain),
            (&["application/json;version=1"], true, Words::Plain),
            (&["*/*, application/json;q=0"], false, Words::Html),
            (&["text/html"], false, Words::Html),
            (&["text/plain"], false, Words::Plain),
            (&["image/png"], false, Words::Plain),
            (&["text/html, application/json"], true, Words::Html),
            (&["text/html", "application/json"], true, Words::Html),
            (&["text/html;q=0.5, application/json"], true, Words::Json),
            (
                &["application/vnd.openstack.ironic.v1+json"],
                false,
                Words::Plain,
            ),
            (
                &["text/html,application/xhtml+xml,*/*;q=0.8"],
                true,
                Words::Html,
            ),
        ] {
            let accept = accept(lines);
            assert_eq!(accept.takes_json(), takes_json, "{lines:?}");
            assert_eq!(accept.words(), words, "{lines:?}");
        }
    }
}
