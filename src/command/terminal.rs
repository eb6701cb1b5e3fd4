//! What subcommands print: lines without foreign control characters, and progress if standard error is a terminal.

use std::fmt::Write as _;
use std::io;
use std::io::Write;
use std::time::Duration;

use clap::ValueEnum;
use indicatif::ProgressBar;
use indicatif::ProgressStyle;
use once_cell::sync::Lazy;

/// Output format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON document.
    Json,
}

/// Between two turns of the spinner.
const TICK: Duration = Duration::from_millis(100);

/// What a location, a Keystone or a file said, as a terminal may show it: escape sequences move cursors, set titles and
/// hide text, a line feed begins a line that nobody wrote.
pub fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_harmless(c) {
            shown.push(c);
        } else {
            // Writing to a String does not fail.
            let _ = write!(shown, "{}", c.escape_unicode());
        }
    }
    shown
}

fn is_harmless(c: char) -> bool {
    // Also Unicode's bidirectional controls (UAX 9) and line separators, which can make a line read differently.
    !c.is_control()
        && !matches!(c, '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A line on standard output. Fails if the reader is gone (EPIPE).
pub fn say(line: &str) -> io::Result<()> {
    clear();
    let mut out = io::stdout().lock();
    writeln!(out, "{}", plain(line))?;
    out.flush()
}

/// A line on standard error. A closed standard error is no reason to stop.
pub fn tell(line: &str) {
    clear();
    let _ = writeln!(io::stderr(), "{}", plain(line));
}

/// Rows in aligned columns; the last column is not padded.
pub fn table(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells
            .map(|cell| plain(cell).chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths);
        let padded = cells.map(|(cell, width)| format!("{:width$}", plain(cell), width = *width));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// Where standard error is no terminal it hides itself.
static BAR: Lazy<ProgressBar> = Lazy::new(|| {
    let style = ProgressStyle::with_template("{spinner} {msg} {elapsed}");
    let bar = ProgressBar::new_spinner();
    // The template is right, or the test below fails.
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
});

/// What is being done, and for how long; the next line replaces it.
pub fn progress(line: &str) {
    if BAR.is_finished() {
        BAR.reset();
    }
    BAR.set_message(plain(line));
    BAR.enable_steady_tick(TICK);
}

/// Ends the progress.
pub fn clear() {
    if !BAR.is_finished() {
        BAR.disable_steady_tick();
        BAR.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other() {
        let rows = [["A", "BB", "C"], ["aaa", "b", ""], ["\u{fc}", "bbb\n", "c"]];
        let rows = rows.map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(
            table(&rows),
            ["A    BB        C", "aaa  b", "\u{fc}    bbb\\u{a}  c"]
        );
    }

    #[test]
    fn nothing_reaches_the_terminal_as_a_command() {
        for (text, expected) in [
            ("gr\u{fc}n \u{1f600}", "gr\u{fc}n \u{1f600}"),
            ("a\x1b[2Jb", "a\\u{1b}[2Jb"),
            ("a\nok", "a\\u{a}ok"),
            ("a\rb\x07\x7f", "a\\u{d}b\\u{7}\\u{7f}"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("\u{202e}txt\u{2028}", "\\u{202e}txt\\u{2028}"),
        ] {
            assert_eq!(plain(text), expected);
        }
    }
}
