//! W3C Trace Context, level 1: which trace a request belongs to.

use std::fmt;

use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;

pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

const SAMPLED: u8 = 1;

/// A `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    pub trace: u128,
    pub span: u64,
    pub is_sampled: bool,
}

impl TraceParent {
    /// What a request names; `None`: nothing, or nothing that is one (3.2.2.3: then a new trace begins).
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut lines = headers.get_all(TRACEPARENT).iter();
        let line = lines.next()?;
        // Two of them are none.
        lines.next().is_none().then_some(())?;
        Self::parse(line.to_str().ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let part = |from: usize, to: usize| {
            let part = text.get(from..to)?;
            part.bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
                .then_some(part)
        };
        let is_dash = |at: usize| text.as_bytes().get(at) == Some(&b'-');
        let version = part(0, 2).filter(|version| *version != "ff")?;
        // Later versions begin like the first one, and may go on behind another dash.
        let ends = text.len() == 55 || (version != "00" && is_dash(55));
        if !ends || !is_dash(2) || !is_dash(35) || !is_dash(52) {
            return None;
        }
        let parent = Self {
            trace: u128::from_str_radix(part(3, 35)?, 16).ok()?,
            span: u64::from_str_radix(part(36, 52)?, 16).ok()?,
            is_sampled: u8::from_str_radix(part(53, 55)?, 16).ok()? & SAMPLED != 0,
        };
        (parent.trace != 0 && parent.span != 0).then_some(parent)
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = u8::from(self.is_sampled);
        write!(f, "00-{:032x}-{:016x}-{flags:02x}", self.trace, self.span)
    }
}

/// What a location is told of the trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    pub parent: HeaderValue,
    pub state: Option<HeaderValue>,
}

impl TraceContext {
    /// The client's own, as it is: nobody here takes part.
    pub fn passed(headers: &HeaderMap) -> Option<Self> {
        TraceParent::of(headers)?;
        Some(Self {
            parent: headers.get(TRACEPARENT)?.clone(),
            state: state(headers),
        })
    }

    pub fn below(parent: TraceParent, state: Option<HeaderValue>) -> Option<Self> {
        let parent = HeaderValue::try_from(parent.to_string()).ok()?;
        Some(Self { parent, state })
    }
}

/// `tracestate`, several lines as one (3.3.1).
pub fn state(headers: &HeaderMap) -> Option<HeaderValue> {
    let lines: Vec<_> = headers.get_all(TRACESTATE).iter().collect();
    match lines[..] {
        [] => None,
        [line] => Some(line.clone()),
        _ => {
            let lines: Vec<_> = lines.iter().map(|line| line.as_bytes()).collect();
            HeaderValue::from_bytes(&lines.join(&b","[..])).ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn only_a_well_formed_parent_is_one() {
        let valid = format!("00-{TRACE}-00f067aa0ba902b7-01");
        #[rustfmt::skip]
        let cases = [
            (valid.clone(), Some(true)),
            (format!("00-{TRACE}-00f067aa0ba902b7-00"), Some(false)),
            (format!("00-{TRACE}-00f067aa0ba902b7-03"), Some(true)),
            (format!("cc-{TRACE}-00f067aa0ba902b7-01"), Some(true)),
            (format!("cc-{TRACE}-00f067aa0ba902b7-01-what-follows"), Some(true)),
            (format!("cc-{TRACE}-00f067aa0ba902b7-01.what-follows"), None),
            (format!("{valid}-more"), None),
            (format!("ff-{TRACE}-00f067aa0ba902b7-01"), None),
            (format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase()), None),
            (format!("00-{TRACE}-0000000000000000-01"), None),
            ("00-00000000000000000000000000000000-00f067aa0ba902b7-01".to_owned(), None),
            (format!("00-{TRACE}-00f067aa0ba902b7"), None),
            (format!("00_{TRACE}-00f067aa0ba902b7-01"), None),
            (format!("00-+{}-00f067aa0ba902b7-01", &TRACE[1..]), None),
            (String::new(), None),
        ];
        for (text, sampled) in cases {
            let parsed = TraceParent::parse(&text);
            assert_eq!(parsed.map(|parent| parent.is_sampled), sampled, "{text}");
        }
        assert_eq!(TraceParent::parse(&valid).unwrap().to_string(), valid);
    }

    #[test]
    fn two_parents_are_none_and_two_states_are_one() {
        let mut headers = HeaderMap::new();
        let parent = HeaderValue::try_from(format!("00-{TRACE}-00f067aa0ba902b7-01")).unwrap();
        headers.append(TRACEPARENT, parent.clone());
        headers.append(TRACESTATE, HeaderValue::from_static("a=1"));
        headers.append(TRACESTATE, HeaderValue::from_static("b=2"));
        let passed = TraceContext::passed(&headers).unwrap();
        assert_eq!(
            (passed.parent, passed.state.unwrap()),
            (parent.clone(), HeaderValue::from_static("a=1,b=2"))
        );
        headers.append(TRACEPARENT, parent);
        assert_eq!(TraceContext::passed(&headers), None);
    }
}
