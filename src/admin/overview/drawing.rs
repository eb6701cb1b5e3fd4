//! Lines and bars, as the numbers of an SVG.

use std::fmt::Write as _;
use std::time::Duration;

use crate::metrics::history::HOUR;
use crate::metrics::history::Minute;

/// Of a spark line; its template has the same.
const WIDTH: f64 = 120.0;
const HEIGHT: f64 = 24.0;
/// Room for the pen.
const MARGIN: f64 = 2.0;
/// All spark lines have one scale, so that a slow location is seen among fast ones: logarithms from 1 ms to a minute.
const FASTEST: f64 = 0.001;
const SLOWEST: f64 = 60.0;

/// A spark line.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spark {
    /// `d` of a path: a line for each stretch without gaps.
    pub path: String,
    /// Where the newest answer is, `x` and `y`.
    pub end: Option<(String, String)>,
}

/// Draws what was measured in the last minutes, the newest at the right edge.
pub fn spark(minutes: &[Option<Duration>]) -> Spark {
    let mut spark = Spark::default();
    let mut is_drawing = false;
    for (age, took) in minutes.iter().take(HOUR + 1).enumerate() {
        let Some(took) = took else {
            is_drawing = false;
            continue;
        };
        let place = HOUR + 1 - minutes.len().min(HOUR + 1) + age;
        let (x, y) = (across(place), height(*took));
        // Writing to a String cannot fail.
        let _ = write!(
            spark.path,
            "{}{x:.1} {y:.1}",
            if is_drawing { 'L' } else { 'M' }
        );
        is_drawing = true;
        spark.end = (age + 1 == minutes.len()).then(|| (format!("{x:.1}"), format!("{y:.1}")));
    }
    spark
}

#[expect(clippy::cast_precision_loss, reason = "at most an hour of minutes")]
fn across(place: usize) -> f64 {
    MARGIN + (WIDTH - 2.0 * MARGIN) * place as f64 / HOUR as f64
}

/// From above, as SVG counts.
pub fn height(took: Duration) -> f64 {
    let seconds = took.as_secs_f64().clamp(FASTEST, SLOWEST);
    let share = (seconds / FASTEST).ln() / (SLOWEST / FASTEST).ln();
    HEIGHT - MARGIN - (HEIGHT - 2.0 * MARGIN) * share
}

/// Bars of an hour.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bars {
    /// `d` of the paths of all requests, and of those that failed.
    pub requests: String,
    pub failed: String,
    /// The highest bar.
    pub most: u64,
}

/// Of bars; their template has the same.
const BAR: usize = 5;
const TALL: u64 = 80;

/// Draws how many requests there were.
pub fn bars(minutes: &[Minute]) -> Bars {
    let most = minutes.iter().map(|minute| minute.totals.requests).max();
    let mut bars = Bars {
        most: most.unwrap_or_default(),
        ..Bars::default()
    };
    let empty = HOUR + 1 - minutes.len().min(HOUR + 1);
    for (place, minute) in minutes.iter().enumerate() {
        let x = (empty + place) * BAR;
        bar(
            &mut bars.requests,
            x,
            part(minute.totals.requests, bars.most),
        );
        bar(&mut bars.failed, x, part(minute.totals.failed, bars.most));
    }
    bars
}

/// However few there were, they are seen.
fn part(count: u64, most: u64) -> u64 {
    let exact = u128::from(count) * u128::from(TALL) / u128::from(most.max(1));
    let exact = u64::try_from(exact).unwrap_or(TALL);
    if count > 0 { exact.max(2) } else { 0 }
}

fn bar(path: &mut String, x: usize, tall: u64) {
    if tall > 0 {
        // Writing to a String cannot fail.
        let _ = write!(path, "M{x} {TALL}v-{tall}h{}v{tall}z", BAR - 1);
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::metrics::history::Totals;

    #[test]
    fn a_line_has_gaps_where_nothing_was_answered() {
        let millis = |millis| Some(Duration::from_millis(millis));
        assert_eq!(spark(&[]), Spark::default());
        let line = spark(&[millis(1), millis(0), None, millis(60_000)]);
        assert_eq!(line.path, "M112.2 22.0L114.1 22.0M118.0 2.0");
        assert_eq!(line.end, Some(("118.0".to_owned(), "2.0".to_owned())));
        let silent = spark(&[millis(8), None]);
        assert_eq!((silent.end, silent.path.matches('M').count()), (None, 1));
        let full = vec![millis(10); HOUR + 1];
        assert!(spark(&full).path.starts_with("M2.0 "));
    }

    #[test]
    fn slower_is_higher() {
        let heights = [0, 1, 10, 100, 1000, 60_000, 900_000]
            .map(Duration::from_millis)
            .map(height);
        assert!(
            heights.is_sorted_by(|one, other| one >= other),
            "{heights:?}"
        );
        assert!(heights.iter().all(|y| (0.0..=HEIGHT).contains(y)));
    }

    #[test]
    fn bars_are_shares_of_the_highest() {
        let minute = |requests, failed| Minute {
            ended: Timestamp::UNIX_EPOCH,
            totals: Totals {
                requests,
                failed,
                ..Totals::default()
            },
        };
        assert_eq!(bars(&[]), Bars::default());
        assert_eq!(bars(&[minute(0, 0)]).requests, "");
        let drawn = bars(&[minute(0, 0), minute(50_000, 1), minute(25_000, 25_000)]);
        assert_eq!(drawn.most, 50_000);
        assert_eq!(drawn.requests, "M295 80v-80h4v80zM300 80v-40h4v40z");
        assert_eq!(drawn.failed, "M295 80v-2h4v2zM300 80v-40h4v40z");
    }
}
