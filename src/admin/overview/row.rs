//! What is told of one location.

use std::time::Duration;
use std::time::Instant;

use jiff::Timestamp;

use crate::admin::overview::condition::Condition;
use crate::admin::overview::condition::Measure;
use crate::admin::overview::condition::Signs;
use crate::admin::overview::condition::ending;
use crate::admin::overview::drawing::Spark;
use crate::admin::overview::drawing::spark;
use crate::admin::overview::headline::Subject;
use crate::admin::overview::view::View;
use crate::admin::overview::wording::Clock;
use crate::admin::overview::wording::Moment;
use crate::admin::overview::wording::count;
use crate::admin::overview::wording::names;
use crate::admin::overview::wording::took;
use crate::api::query::encode_segment;
use crate::config::LocationAuth;
use crate::config::State;
use crate::locations::location::Location;
use crate::locations::record::Observed;
use crate::tls::expiry;

/// Groups, and addresses, that a row names.
const NAMED: usize = 3;

/// A location, judged.
#[derive(Debug)]
pub struct Judged<'a> {
    pub location: &'a Location,
    pub observed: (Observed, Timestamp),
    /// What nine of ten answers stayed below.
    pace: Option<Duration>,
    conditions: Vec<Condition>,
}

impl<'a> Judged<'a> {
    pub fn new(location: &'a Location, measure: &Measure) -> Self {
        let observed = location.observed();
        let pace = location.record.pace(Instant::now());
        let session = &location.config.session;
        let files = session.certfile.iter().chain(&session.cafile);
        let signs = Signs {
            wanted: location.order().state,
            observed: observed.0,
            p90: pace,
            end: files.filter_map(|path| expiry::first_end(path)).min(),
        };
        Self {
            location,
            observed,
            pace,
            conditions: measure.judge(&signs),
        }
    }

    pub fn subject(&self) -> Subject<'_> {
        Subject {
            name: self.location.name(),
            observed: self.observed,
            conditions: &self.conditions,
        }
    }

    pub fn is(&self, condition: Condition) -> bool {
        self.conditions.contains(&condition)
    }

    /// The worst that is true of it.
    pub fn urgency(&self) -> Condition {
        self.conditions.first().copied().unwrap_or(Condition::Up)
    }

    pub fn is_found(&self, view: &View, groups: &[String]) -> bool {
        let addresses = self.location.addresses();
        let names = [self.location.name()].into_iter();
        let names = names.chain(addresses.iter().map(String::as_str));
        view.finds(&names.chain(groups.iter().map(String::as_str)))
    }
}

/// A word with a sign and a colour.
#[derive(Debug)]
pub struct Badge {
    pub tone: &'static str,
    pub text: String,
}

/// Something that ends.
#[derive(Debug)]
pub struct End {
    pub what: &'static str,
    pub left: String,
    pub tone: &'static str,
}

/// One row of the table.
#[derive(Debug)]
pub struct Row {
    pub name: String,
    /// Its document.
    pub document: String,
    pub groups: String,
    pub addresses: String,
    /// Of the worst that is true of it.
    pub tone: &'static str,
    pub badges: Vec<Badge>,
    /// What its operator wants: the state, and who said so and why.
    pub wanted: &'static str,
    pub wanted_since: Option<Moment>,
    pub wanted_by: String,
    pub since: Moment,
    pub spark: Spark,
    pub spark_in_words: String,
    pub latency: String,
    pub versions: String,
    pub nodes: String,
    pub swept: Option<Moment>,
    pub ends: Vec<End>,
}

impl Row {
    pub fn new(judged: &Judged<'_>, clock: &Clock, groups: &[String], nodes: usize) -> Self {
        let location = judged.location;
        let order = location.order();
        let mut minutes = location.traffic.pace.minutes();
        minutes.push(judged.pace);
        let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
        let addresses = location.addresses();
        let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
        let by = [order.by.as_deref(), order.reason.as_deref()];
        Self {
            name: location.name().to_owned(),
            document: format!("/locations/{}", encode_segment(location.name())),
            groups: names(&groups, NAMED),
            addresses: names(&addresses, NAMED),
            tone: judged.urgency().tone().word(),
            badges: judged
                .conditions
                .iter()
                .map(|one| badge(*one, judged))
                .collect(),
            wanted: match order.state {
                State::Enabled => "Enabled",
                State::Draining => "Draining",
                State::ReadOnly => "Read-only",
                State::Maintenance => "Maintenance",
            },
            wanted_since: order.since.map(|since| clock.moment(since)),
            wanted_by: by.into_iter().flatten().collect::<Vec<_>>().join(": "),
            since: clock.moment(judged.observed.1),
            spark: spark(&minutes),
            spark_in_words: in_words(&minutes),
            latency: judged.pace.map_or_else(|| "–".to_owned(), took),
            versions: location.last_standing().map_or_else(
                || "–".to_owned(),
                |standing| format!("{} to {}", standing.range.min(), standing.range.max()),
            ),
            nodes: count(nodes as u64),
            swept: location.record.last_sweep().map(|at| clock.moment(at)),
            ends: ends(location, clock),
        }
    }
}

fn badge(condition: Condition, judged: &Judged<'_>) -> Badge {
    let why = match (condition, judged.observed.0) {
        (Condition::Down, Observed::Down(reason)) => format!(": {reason}"),
        _ => String::new(),
    };
    Badge {
        tone: condition.tone().word(),
        text: format!("{}{why}", condition.title()),
    }
}

/// A spark line in words.
fn in_words(minutes: &[Option<Duration>]) -> String {
    let answered: Vec<Duration> = minutes.iter().copied().flatten().collect();
    let Some((least, most)) = answered.iter().min().zip(answered.iter().max()) else {
        return "No answers in the last hour".to_owned();
    };
    let now = match minutes.last().copied().flatten() {
        Some(now) => took(now),
        None => "no answer".to_owned(),
    };
    format!(
        "90 % of answers within {} to {} in the last hour, now {now}",
        took(*least),
        took(*most)
    )
}

fn ends(location: &Location, clock: &Clock) -> Vec<End> {
    let end = |what, at| End {
        what,
        left: clock.left(at),
        tone: ending(clock.now, at).map_or("good", |sign| sign.tone().word()),
    };
    let session = &location.config.session;
    let files = [("Client", &session.certfile), ("CA", &session.cafile)];
    let certificates = files.into_iter().filter_map(|(what, path)| {
        let at = expiry::first_end(path.as_deref()?)?;
        Some(end(what, at))
    });
    let token = match (&location.config.auth, location.credentials.expires()) {
        (LocationAuth::None | LocationAuth::HttpBasic { .. } | LocationAuth::AdminToken(_), _) => {
            None
        }
        // A token is short-lived and renewed; that it ends soon is nothing to look at.
        (_, Some(left)) => clock.now.checked_add(left).ok().map(|at| End {
            tone: "good",
            ..end("Token", at)
        }),
        (_, None) => Some(End {
            what: "Token",
            left: "none".to_owned(),
            tone: "doubtful",
        }),
    };
    token.into_iter().chain(certificates).collect()
}
