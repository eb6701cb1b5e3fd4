//! Numbers, times and names, as people read them.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::admin::summary::span;

/// `12 345`, with spaces that do not break.
pub fn count(number: impl TryInto<u64>) -> String {
    let digits = number.try_into().unwrap_or(u64::MAX).to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3 * 2);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// `1 node`, `2 nodes`
pub fn of(number: usize, one: &str, more: &str) -> String {
    format!(
        "{} {}",
        count(number as u64),
        if number == 1 { one } else { more }
    )
}

/// `loc1`, `loc1 and loc2`, `loc1, loc2 and 7 more`
pub fn names(names: &[&str], most: usize) -> String {
    let more = names.len().saturating_sub(most);
    match names {
        _ if more > 0 => format!(
            "{} and {} more",
            names[..most].join(", "),
            count(more as u64)
        ),
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// `0.4 ms`, `12 ms`, `1.25 s`
pub fn took(took: Duration) -> String {
    let seconds = took.as_secs_f64();
    if seconds < 0.000_95 {
        format!("{:.1} ms", seconds * 1e3)
    } else if seconds < 0.9995 {
        format!("{:.0} ms", seconds * 1e3)
    } else if seconds < 9.995 {
        format!("{seconds:.2} s")
    } else {
        format!("{seconds:.0} s")
    }
}

/// A time, said in three ways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// RFC 3339.
    pub exact: String,
    /// As short as can be: `14:02`, `23 Nov 14:02`, `2025-11-23`.
    pub short: String,
    /// How long ago.
    pub ago: String,
}

/// Tells times.
#[derive(Clone, Debug)]
pub struct Clock {
    pub now: Timestamp,
    pub zone: TimeZone,
}

impl Clock {
    pub fn moment(&self, at: Timestamp) -> Moment {
        let (now, then) = (
            self.now.to_zoned_datetime(self.zone.clone()),
            at.to_zoned_datetime(self.zone.clone()),
        );
        let form = if now.date() == then.date() {
            "%H:%M"
        } else if now.year() == then.year() {
            "%-d %b %H:%M"
        } else {
            "%Y-%m-%d"
        };
        Moment {
            exact: at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            short: then.strftime(form).to_string(),
            ago: span(self.now.as_second() - at.as_second()),
        }
    }

    /// What the times of this page are in.
    pub fn zone(&self) -> String {
        let now = self.now.to_zoned_datetime(self.zone.clone());
        now.strftime("%Z").to_string()
    }

    /// How long until then: `over`, `23 d`.
    pub fn left(&self, end: Timestamp) -> String {
        match end.as_second() - self.now.as_second() {
            ..=0 => "over".to_owned(),
            seconds => span(seconds),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_people_read_it() {
        let counts =
            [0_u64, 999, 1000, 1_234_567].map(|number| count(number).replace('\u{202f}', "_"));
        assert_eq!(counts, ["0", "999", "1_000", "1_234_567"]);
        assert_eq!(
            [of(1, "node", "nodes"), of(0, "node", "nodes")],
            ["1 node", "0 nodes"]
        );
        for (all, told) in [
            (&[][..], ""),
            (&["a"][..], "a"),
            (&["a", "b"], "a and b"),
            (&["a", "b", "c"], "a, b and c"),
            (&["a", "b", "c", "d", "e"], "a, b, c and 2 more"),
        ] {
            assert_eq!(names(all, 3), told);
        }
        for (micros, told) in [
            (400, "0.4 ms"),
            (1_000, "1 ms"),
            (12_400, "12 ms"),
            (999_400, "999 ms"),
            (1_250_000, "1.25 s"),
            (59_800_000, "60 s"),
        ] {
            assert_eq!(took(Duration::from_micros(micros)), told);
        }
    }

    #[test]
    fn times_are_short() {
        let clock = Clock {
            now: "2026-11-26T14:05:00Z".parse().unwrap(),
            zone: TimeZone::UTC,
        };
        for (at, short, ago) in [
            ("2026-11-26T14:02:00Z", "14:02", "3 min"),
            ("2026-11-25T23:59:00Z", "25 Nov 23:59", "14 h"),
            ("2025-12-31T23:59:00Z", "2025-12-31", "329 d"),
        ] {
            let moment = clock.moment(at.parse().unwrap());
            assert_eq!(
                (&*moment.exact, &*moment.short, &*moment.ago),
                (at, short, ago)
            );
        }
        let end = |text: &str| clock.left(text.parse().unwrap());
        assert_eq!(
            [end("2026-11-26T14:05:00Z"), end("2026-12-26T14:05:00Z")],
            ["over", "30 d"]
        );
        assert_eq!(clock.zone(), "UTC");
    }
}
