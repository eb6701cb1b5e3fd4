//! The state of the gateway in one sentence, for `status` and `systemctl status`.

use std::fmt::Write as _;

use jiff::Timestamp;

use crate::config::State;
use crate::coordination::Backend;
use crate::coordination::Condition;
use crate::federate::Federation;
use crate::locations::location::Location;
use crate::locations::record::Observed;

/// Most locations that are named in one line.
pub(super) const TOLD: usize = 5;

/// `2 of 3 locations, loc3 down 4 min (timeout); 312 nodes`
pub fn summary(federation: &Federation) -> String {
    let locations = &federation.locations;
    let others: Vec<&Location> = locations
        .iter()
        .filter(|location| !location.is_usable())
        .collect();
    let all = locations.iter().len();
    let mut text = format!("{} of {all} locations", all - others.len());
    let now = Timestamp::now();
    // Writing to a String cannot fail.
    for location in others.iter().take(TOLD) {
        let _ = write!(text, ", {} {}", location.name(), trouble(location, now));
    }
    let more = others.len().saturating_sub(TOLD);
    if more > 0 {
        let _ = write!(text, ", {more} more");
    }
    let nodes: usize = federation.locator.nodes_by_location().values().sum();
    let _ = write!(text, "; {nodes} nodes");
    let condition = federation.backend.as_deref().map(Backend::condition);
    if let Some(Condition {
        why: Some(why),
        since,
    }) = condition
    {
        let down = span(now.as_second() - since.as_second());
        let _ = write!(text, "; coordination backend down {down} ({why})");
    }
    text
}

fn trouble(location: &Location, now: Timestamp) -> String {
    if location.order().state == State::Maintenance {
        return "in maintenance".to_owned();
    }
    let (observed, since) = location.observed();
    match observed {
        Observed::Down(reason) => {
            let seconds = now.as_second() - since.as_second();
            format!("down {} ({reason})", span(seconds))
        }
        Observed::Up if location.is_quarantined() => "in quarantine".to_owned(),
        Observed::Up => "not usable".to_owned(),
        Observed::Unknown => "not asked yet".to_owned(),
    }
}

/// In its largest unit.
pub(super) fn span(seconds: i64) -> String {
    match seconds.max(0) {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..3600 => format!("{} min", seconds / 60),
        seconds @ 3600..86_400 => format!("{} h", seconds / 3600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_one_unit() {
        for (seconds, expected) in [
            (-3, "0 s"),
            (59, "59 s"),
            (240, "4 min"),
            (3599, "59 min"),
            (7300, "2 h"),
            (200_000, "2 d"),
        ] {
            assert_eq!(span(seconds), expected);
        }
    }
}
