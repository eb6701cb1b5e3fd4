//! `GET /status` for people: one HTML document that needs nothing else, neither script nor image nor style sheet.
//!
//! - [`view`]: which part of it is wanted;
//! - [`condition`]: how a location is, at a glance;
//! - [`row`]: what is told of one;
//! - [`mod@headline`]: the sentence at the top;
//! - [`drawing`]: lines and bars;
//! - [`wording`]: numbers, times and names.
//!
//! The templates beside these files escape whatever they are given: names, reasons and errors come from outside.

pub mod condition;
pub mod drawing;
pub mod headline;
pub mod row;
pub mod view;
pub mod wording;

use std::collections::HashMap;
use std::fs;

use askama::Template;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use once_cell::sync::Lazy;
use ring::digest;

use crate::admin::controls::Controls;
use crate::admin::documents::Process;
use crate::admin::documents::groups;
use crate::admin::documents::word;
use crate::admin::overview::condition::Condition;
use crate::admin::overview::condition::Measure;
use crate::admin::overview::condition::ending;
use crate::admin::overview::drawing::Bars;
use crate::admin::overview::drawing::bars;
use crate::admin::overview::headline::Headline;
use crate::admin::overview::headline::Subject;
use crate::admin::overview::headline::headline;
use crate::admin::overview::row::Judged;
use crate::admin::overview::row::Row;
use crate::admin::overview::view::View;
use crate::admin::overview::wording::Clock;
use crate::admin::overview::wording::Moment;
use crate::admin::overview::wording::count;
use crate::config::LocationId;
use crate::current::Current;
use crate::metrics::history::Change;
use crate::metrics::history::Minute;
use crate::metrics::history::Totals;
use crate::metrics::history::Turn;
use crate::tls::expiry;

/// Locations, and groups, on one page.
const ROWS: usize = 50;

const STYLE: &str = include_str!("overview/style.css");

/// Nothing is loaded or run, and the one style sheet is the one above: whatever a name or an error text might smuggle in
/// would do nothing.
pub static POLICY: Lazy<String> = Lazy::new(|| {
    let hash = STANDARD.encode(digest::digest(&digest::SHA256, STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
});

/// The document.
#[derive(Debug, Template)]
#[template(path = "overview/page.html", config = "src/admin/askama.toml")]
struct Page<'a> {
    style: &'static str,
    host: String,
    headline: Headline,
    view: &'a View,
    now: Moment,
    zone: String,
    facts: Vec<(&'static str, String)>,
    chips: Vec<Chip>,
    rows: Vec<Row>,
    ways: Ways,
    shown: Shown,
    groups: Vec<(String, String)>,
    more_groups: usize,
    hour: Hour,
    changes: Vec<ShownChange>,
    started: Moment,
}

/// A filter.
#[derive(Debug)]
struct Chip {
    address: String,
    title: &'static str,
    tone: &'static str,
    count: String,
    is_on: bool,
}

/// Which of the rows are on this page.
#[derive(Debug, PartialEq, Eq)]
struct Shown {
    first: usize,
    last: usize,
    found: usize,
    page: usize,
    pages: usize,
}

/// Ways to other pages.
#[derive(Debug)]
struct Ways {
    /// The first and the one before.
    back: Option<[String; 2]>,
    /// The next and the last.
    on: Option<[String; 2]>,
}

impl Ways {
    fn of(view: &View, shown: &Shown) -> Self {
        let to = |pages: [usize; 2]| pages.map(|page| view.at(page).address());
        Self {
            back: (shown.page > 1).then(|| to([1, shown.page - 1])),
            on: (shown.page < shown.pages).then(|| to([shown.page + 1, shown.pages])),
        }
    }
}

impl Shown {
    fn of(found: usize, page: usize) -> Self {
        let pages = found.div_ceil(ROWS).max(1);
        let page = page.min(pages);
        let before = (page - 1) * ROWS;
        Self {
            first: (before + 1).min(found),
            last: (before + ROWS).min(found),
            found,
            page,
            pages,
        }
    }
}

/// How many requests there were, as people read it.
#[derive(Debug)]
struct Figures {
    requests: String,
    failed: String,
    refused: String,
    left: String,
}

impl Figures {
    fn of(totals: Totals) -> Self {
        Self {
            requests: count(totals.requests),
            failed: count(totals.failed),
            refused: count(totals.refused),
            left: count(totals.left),
        }
    }
}

#[derive(Debug)]
struct Hour {
    all: Figures,
    /// How many of them failed; nothing if none did.
    share: String,
    bars: Bars,
    busiest: String,
    in_words: String,
    minutes: Vec<(Moment, Figures)>,
}

impl Hour {
    fn of(minutes: &[Minute], clock: &Clock) -> Self {
        let mut totals = Totals::default();
        for minute in minutes {
            totals = totals.and(minute.totals);
        }
        let bars = bars(minutes);
        let all = Figures::of(totals);
        let busiest = count(bars.most);
        let told = minutes.iter().rev();
        Self {
            in_words: format!(
                "Requests of each minute of the last hour: {} in all, {} of them failed; {busiest} in the busiest minute",
                all.requests, all.failed,
            ),
            minutes: told
                .filter(|minute| minute.totals.requests > 0)
                .map(|minute| (clock.moment(minute.ended), Figures::of(minute.totals)))
                .collect(),
            share: share(totals),
            all,
            bars,
            busiest,
        }
    }
}

/// ` (0.3 %)`
fn share(totals: Totals) -> String {
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let share = totals.failed as f64 * 100.0 / totals.requests.max(1) as f64;
    match totals.failed {
        0 => String::new(),
        _ if share < 0.1 => " (< 0.1 %)".to_owned(),
        _ => format!(" ({share:.1} %)"),
    }
}

/// A change.
#[derive(Debug)]
struct ShownChange {
    at: Moment,
    of: String,
    what: String,
    tone: &'static str,
    turn: &'static str,
}

impl ShownChange {
    fn of(change: Change, clock: &Clock) -> Self {
        let (tone, turn) = match change.turn {
            Turn::Worse => ("bad", "Worse"),
            Turn::Better => ("good", "Better"),
            Turn::Wanted => ("wanted", "Wanted"),
        };
        Self {
            at: clock.moment(change.at),
            of: change.of,
            what: change.what,
            tone,
            turn,
        }
    }
}

/// The page as it is now.
pub fn page(
    controls: &dyn Controls,
    process: &Process<'_>,
    view: &View,
) -> Result<String, askama::Error> {
    let current = controls.current();
    let nodes = process.federation.locator.nodes_by_location();
    let clock = Clock {
        now: Timestamp::now(),
        zone: TimeZone::system(),
    };
    let measure = Measure {
        now: clock.now,
        slow: current.config.api.slow_request,
    };
    let mut all: Vec<Judged<'_>> = process
        .federation
        .locations
        .iter()
        .map(|location| Judged::new(location, &measure))
        .collect();
    let subjects: Vec<Subject<'_>> = all.iter().map(Judged::subject).collect();
    let headline = headline(&subjects, process.lifecycle.stage(), &clock);
    drop(subjects);
    let counts = Condition::ALL.map(|condition| all.iter().filter(|one| one.is(condition)).count());
    let groups_of = |one: &Judged<'_>| -> Vec<String> {
        let groups = process.federation.groups.groups_of(one.location.id);
        groups
            .map(|group| if group.is_empty() { "_" } else { group }.to_owned())
            .collect()
    };
    let total = all.len();
    all.retain(|one| {
        view.only.is_none_or(|only| one.is(only))
            && (view.search.is_empty() || one.is_found(view, &groups_of(one)))
    });
    // Those that need somebody first; it is a stable sort, so the others keep the order of the configuration.
    all.sort_by_key(Judged::urgency);
    let shown = Shown::of(all.len(), view.page);
    let rows = all
        .iter()
        .skip((shown.page - 1) * ROWS)
        .take(ROWS)
        .map(|one| {
            let nodes = nodes.get(&one.location.id).copied().unwrap_or_default();
            Row::new(one, &clock, &groups_of(one), nodes)
        })
        .collect();
    let mut groups: Vec<_> = groups(process.federation)
        .into_iter()
        .filter(|(group, location)| view.finds(&[group.as_str(), location.as_str()].into_iter()))
        .collect();
    let more_groups = groups.len().saturating_sub(ROWS);
    groups.truncate(ROWS);
    let metrics = controls.metrics();
    let minutes = metrics
        .history
        .hour(clock.now, Totals::of(&metrics.requests));
    let changes = metrics.history.changes().into_iter();
    Page {
        style: STYLE,
        host: host(),
        headline,
        view,
        now: clock.moment(clock.now),
        zone: clock.zone(),
        facts: facts(process, &current, &nodes, &clock),
        chips: chips(view, total, &counts),
        rows,
        ways: Ways::of(view, &shown),
        shown,
        groups,
        more_groups,
        hour: Hour::of(&minutes, &clock),
        changes: changes
            .map(|change| ShownChange::of(change, &clock))
            .collect(),
        started: clock.moment(process.started),
    }
    .render()
}

fn chips(view: &View, total: usize, counts: &[usize; Condition::ALL.len()]) -> Vec<Chip> {
    let chip = |only: Option<Condition>, number: usize| Chip {
        address: view.showing(only).address(),
        title: only.map_or("All", Condition::title),
        tone: only.map_or("all", |only| only.tone().word()),
        count: count(number as u64),
        is_on: view.only == only,
    };
    let each = Condition::ALL.into_iter().zip(*counts);
    // One that is chosen stays there, so that it can be seen that there is none any longer.
    let there = each.filter(|(only, number)| *number > 0 || view.only == Some(*only));
    let there = there.map(|(only, number)| chip(Some(only), number));
    std::iter::once(chip(None, total)).chain(there).collect()
}

/// What is to be known of the gateway itself.
fn facts(
    process: &Process<'_>,
    current: &Current,
    nodes: &HashMap<LocationId, usize>,
    clock: &Clock,
) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("Stage", word(process.lifecycle.stage()).to_owned()),
        ("Nodes", count(nodes.values().sum::<usize>() as u64)),
        ("Requests in flight", count(process.in_flight as u64)),
    ];
    if let Some(range) = process.federation.locations.common() {
        facts.push((
            "API versions",
            format!("{} to {}", range.min(), range.max()),
        ));
    }
    let listener = current.config.api.tls.as_ref();
    if let Some(end) = listener.and_then(|tls| expiry::first_end(&tls.cert_file)) {
        let left = clock.left(end);
        let sign = ending(clock.now, end).map_or_else(String::new, |sign| {
            format!(" – {}", sign.title().to_lowercase())
        });
        facts.push(("Own certificate", format!("{left}{sign}")));
    }
    facts.push(("Version", env!("CARGO_PKG_VERSION").to_owned()));
    facts
}

/// Whose page it is: replicas look alike.
fn host() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_rows_are_shown() {
        for (found, page, expected) in [
            (0, 1, (0, 0, 1, 1)),
            (0, 9, (0, 0, 1, 1)),
            (3, 1, (1, 3, 1, 1)),
            (50, 2, (1, 50, 1, 1)),
            (51, 2, (51, 51, 2, 2)),
            (5000, 3, (101, 150, 3, 100)),
            (5000, usize::MAX, (4951, 5000, 100, 100)),
        ] {
            let shown = Shown::of(found, page);
            let told = (shown.first, shown.last, shown.page, shown.pages);
            assert_eq!(told, expected, "{found} {page}");
        }
    }
}
