//! Requests by route, method and status, and how long they took by route.

use std::sync::OnceLock;
use std::time::Duration;

use http::Method;

use crate::metrics::counter::Counter;
use crate::metrics::counter::Histogram;
use crate::metrics::template::Template;

/// Methods that are counted each; a client may send any word.
const METHODS: [&str; 8] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other",
];
/// Statuses of HTTP, from 100 to 599; the place before them is for requests whose client left without an answer.
const CODES: usize = 501;

/// All requests.
#[derive(Debug)]
pub struct Requests(Box<[Seen]>);

/// Those of one route.
#[derive(Debug, Default)]
struct Seen {
    took: Histogram,
    /// By method; most routes have one or two, so the places for statuses are made when they are needed.
    codes: [OnceLock<Box<[Counter; CODES]>>; METHODS.len()],
}

/// A line of it.
#[derive(Debug, PartialEq, Eq)]
pub struct Counted {
    pub template: Template,
    pub method: &'static str,
    /// `None`: the client left.
    pub code: Option<u16>,
    pub count: u64,
}

impl Requests {
    pub(crate) fn new() -> Self {
        Self(Template::all().map(|_| Seen::default()).collect())
    }

    /// `code` 0: nothing was answered.
    pub fn count(&self, template: Template, method: &Method, code: u16, took: Duration) {
        let Some(seen) = self.0.get(template.number()) else {
            return;
        };
        seen.took.observe(took);
        let method = method.as_str();
        let place = METHODS.iter().position(|known| *known == method);
        let codes = seen.codes[place.unwrap_or(METHODS.len() - 1)]
            .get_or_init(|| Box::new([const { Counter::new() }; CODES]));
        let place = usize::from(code).saturating_sub(99);
        codes[if place < CODES { place } else { 0 }].bump();
    }

    /// What was counted at least once.
    pub fn counted(&self) -> impl Iterator<Item = Counted> {
        self.seen().flat_map(|(template, seen)| {
            let methods = METHODS.into_iter().zip(&seen.codes);
            methods.flat_map(move |(method, codes)| {
                let codes = codes.get().into_iter().flat_map(|codes| codes.iter());
                let counts = codes.map(Counter::count).enumerate();
                counts
                    .filter(|(_, count)| *count > 0)
                    .map(move |(place, count)| Counted {
                        template,
                        method,
                        code: u16::try_from(place)
                            .ok()
                            .filter(|place| *place > 0)
                            .map(|place| place + 99),
                        count,
                    })
            })
        })
    }

    /// How long requests took, where there were any.
    pub fn took(&self) -> impl Iterator<Item = (Template, &Histogram)> {
        self.seen()
            .filter(|(_, seen)| seen.codes.iter().any(|codes| codes.get().is_some()))
            .map(|(template, seen)| (template, &seen.took))
    }

    fn seen(&self) -> impl Iterator<Item = (Template, &Seen)> {
        Template::all().zip(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_is_counted_apart() {
        let requests = Requests::new();
        let list = Method::from_bytes(b"PROPFIND").unwrap();
        for (method, code, times) in [
            (&Method::GET, 200, 2),
            (&Method::GET, 599, 1),
            (&Method::GET, 100, 1),
            (&Method::GET, 0, 1),
            (&Method::GET, 600, 1),
            (&list, 405, 1),
        ] {
            for _ in 0..times {
                requests.count(Template::NONE, method, code, Duration::from_millis(1));
            }
        }
        let lines: Vec<_> = requests
            .counted()
            .map(|line| (line.method, line.code, line.count))
            .collect();
        assert_eq!(
            lines,
            [
                ("GET", None, 2),
                ("GET", Some(100), 1),
                ("GET", Some(200), 2),
                ("GET", Some(599), 1),
                ("other", Some(405), 1),
            ]
        );
        let took: Vec<_> = requests.took().collect();
        assert_eq!(took.len(), 1);
        assert_eq!(
            took[0]
                .1
                .buckets()
                .iter()
                .map(|(_, count)| count)
                .sum::<u64>(),
            7
        );
    }
}
