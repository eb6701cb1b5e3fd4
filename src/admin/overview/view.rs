//! What part of the page is wanted: all of it stands in the query, so that a page that is read again stays as it is.

use crate::admin::overview::condition::Condition;
use crate::api::query::Query;

/// How often the page is read again, in seconds; 0: it is not.
const PAUSES: [u32; 3] = [10, 30, 0];
const PAUSE: u32 = 30;

/// The part of the page that is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// What was searched for.
    pub search: String,
    /// Only locations of which this is true.
    pub only: Option<Condition>,
    /// From 1.
    pub page: usize,
    pub pause: u32,
}

impl View {
    /// What makes no sense is as if it were not there: whoever has come here wants to see something.
    pub fn read(query: Option<&str>) -> Self {
        let query = Query::parse(query).unwrap_or_default();
        let number = |name| query.value(name)?.parse::<usize>().ok();
        let pause = query.value("refresh").and_then(|text| text.parse().ok());
        Self {
            search: query.value("q").unwrap_or_default().trim().to_owned(),
            only: query.value("only").and_then(Condition::read),
            page: number("page").unwrap_or(1).max(1),
            pause: pause
                .filter(|pause| PAUSES.contains(pause))
                .unwrap_or(PAUSE),
        }
    }

    /// The address of this view.
    pub fn address(&self) -> String {
        let mut query = Query::default();
        if !self.search.is_empty() {
            query = query.with("q", &*self.search);
        }
        if let Some(only) = self.only {
            query = query.with("only", only.word());
        }
        if self.page > 1 {
            query = query.with("page", self.page.to_string());
        }
        if self.pause != PAUSE {
            query = query.with("refresh", self.pause.to_string());
        }
        let mut address = "/status".to_owned();
        query.append_to(&mut address);
        address
    }

    #[must_use]
    pub fn at(&self, page: usize) -> Self {
        Self {
            page,
            ..self.clone()
        }
    }

    #[must_use]
    pub fn showing(&self, only: Option<Condition>) -> Self {
        Self {
            only,
            page: 1,
            ..self.clone()
        }
    }

    /// The same with each pause that there may be.
    pub fn paces(&self) -> impl Iterator<Item = Self> {
        PAUSES.into_iter().map(|pause| Self {
            pause,
            ..self.clone()
        })
    }

    pub fn has_usual_pause(&self) -> bool {
        self.pause == PAUSE
    }

    /// Whether something that is called so was searched for: each word stands in some name.
    pub fn finds<'a>(&self, names: &(impl Iterator<Item = &'a str> + Clone)) -> bool {
        self.search.split_whitespace().all(|word| {
            let word = word.to_lowercase();
            names
                .clone()
                .any(|name| name.to_lowercase().contains(&word))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_is_its_address() {
        for (query, address) in [
            (None, "/status"),
            (Some(""), "/status"),
            (Some("page=0&refresh=1&only=nothing&x=y"), "/status"),
            (Some("page=-1&refresh=30"), "/status"),
            (Some("q=;"), "/status"),
            (Some("q=%ff"), "/status"),
            (
                Some("refresh=0&page=3&q=+a%26b+c+&only=down"),
                "/status?q=a%26b%20c&only=down&page=3&refresh=0",
            ),
        ] {
            let view = View::read(query);
            assert_eq!(view.address(), address, "{query:?}");
            let (_, again) = address.split_once('?').unwrap_or_default();
            assert_eq!(View::read(Some(again)), view);
        }
    }

    #[test]
    fn what_is_found() {
        let names = ["Berlin-1", "gpu", "http://192.0.2.1"];
        for (search, found) in [
            ("", true),
            ("berlin", true),
            ("GPU berl", true),
            ("gpu lyon", false),
            ("192.0.2", true),
            ("n-1 gpu 2.1", true),
        ] {
            let view = View {
                search: search.to_owned(),
                ..View::read(None)
            };
            assert_eq!(view.finds(&names.into_iter()), found, "{search}");
        }
    }
}
