//! Plots as SVG: what was measured as bars, and what is allowed as a mark on each.

use std::fmt::Write;

use crate::plot::COLOURS;
use crate::plot::escaped;

const WIDTH: f64 = 860.0;
const LEFT: f64 = 330.0;
const RIGHT: f64 = 40.0;
const TOP: f64 = 84.0;
const BOTTOM: f64 = 56.0;
const THICK: f64 = 13.0;
const GAP: f64 = 12.0;

/// One bar.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bar {
    pub(crate) measured: f64,
    pub(crate) allowed: f64,
}

/// What a plot shows, from zero.
#[derive(Debug)]
pub(crate) struct Bars<'a> {
    pub(crate) title: &'a str,
    pub(crate) x: &'a str,
    /// The names of the bars of each group.
    pub(crate) series: &'a [String],
    /// What each group is about, and its bars in the order of `series`.
    pub(crate) groups: &'a [(String, Vec<Option<Bar>>)],
}

impl Bars<'_> {
    pub(crate) fn svg(&self) -> String {
        let bars = || {
            self.groups
                .iter()
                .flat_map(|(_, bars)| bars.iter().flatten())
        };
        let most = bars()
            .map(|bar| bar.measured.max(bar.allowed))
            .fold(0.0, f64::max);
        let step = step(most);
        let end = (most / step * 1.02).ceil().max(1.0) * step;
        let across = |value: f64| LEFT + value / end * (WIDTH - LEFT - RIGHT);
        let group = self.series.len() as f64 * THICK + GAP;
        let bottom = TOP + group * self.groups.len() as f64;
        let height = bottom + BOTTOM;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
             font-family=\"sans-serif\" font-size=\"13\">\n\
             <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"white\"/>\n\
             <text x=\"20\" y=\"28\" font-size=\"17\">{}</text>\n",
            escaped(self.title)
        );
        // Writing to a String cannot fail, here and below.
        for (index, (name, colour)) in self.series.iter().zip(COLOURS).enumerate() {
            let x = LEFT + 130.0 * index as f64;
            let _ = writeln!(
                svg,
                "<rect x=\"{x}\" y=\"46\" width=\"22\" height=\"10\" fill=\"{colour}\"/>\
                 <text x=\"{}\" y=\"56\">{}</text>",
                x + 28.0,
                escaped(name)
            );
        }
        let x = LEFT + 130.0 * self.series.len() as f64;
        let _ = writeln!(
            svg,
            "<path d=\"M{x} 44v14\" stroke=\"black\" stroke-width=\"3\"/><text x=\"{}\" y=\"56\">allowed</text>",
            x + 10.0
        );
        let steps = (end / step).round() as u32;
        for value in (0..=steps).map(|count| f64::from(count) * step) {
            let x = across(value);
            let _ = writeln!(
                svg,
                "<path d=\"M{x:.1} {}V{bottom}\" stroke=\"#ddd\"/>\
                 <text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                TOP - 8.0,
                bottom + 18.0,
                (value * 1e6).round() / 1e6
            );
        }
        let _ = writeln!(
            svg,
            "<text x=\"{:.0}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            f64::midpoint(LEFT, WIDTH - RIGHT),
            height - 14.0,
            escaped(self.x)
        );
        for (index, (name, bars)) in self.groups.iter().enumerate() {
            let top = TOP + group * index as f64;
            let _ = writeln!(
                svg,
                "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 8.0,
                top + (group - GAP) / 2.0 + 4.0,
                escaped(name)
            );
            for (place, (bar, colour)) in bars.iter().zip(COLOURS).enumerate() {
                let Some(bar) = bar else {
                    continue;
                };
                let y = top + THICK * place as f64;
                let (wide, mark) = (across(bar.measured) - LEFT, across(bar.allowed));
                let _ = writeln!(
                    svg,
                    "<rect x=\"{LEFT}\" y=\"{y}\" width=\"{wide:.1}\" height=\"{}\" fill=\"{colour}\"/>\
                     <path d=\"M{mark:.1} {}v{THICK}\" stroke=\"black\" stroke-width=\"3\"/>",
                    THICK - 2.0,
                    y - 1.0
                );
            }
        }
        svg.push_str("</svg>\n");
        svg
    }
}

/// Between two marks of an axis: 1, 2 or 5 of some decade, and five marks or more.
fn step(most: f64) -> f64 {
    let decade = 10f64.powf((most.max(1e-6) / 5.0).log10().floor());
    let fits = |step: &f64| most / step >= 4.0;
    [5.0, 2.0]
        .map(|step| step * decade)
        .into_iter()
        .find(fits)
        .unwrap_or(decade)
}
