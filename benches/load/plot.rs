//! Plots as SVG: lines on two axes.

use std::fmt::Write;

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 520.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 190.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 60.0;
// Okabe and Ito's, which people who do not tell red from green can tell apart.
pub(crate) const COLOURS: [&str; 8] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#000000", "#e69f00", "#56b4e9", "#999999",
];

/// One named line.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

/// How values are spread over an axis; every axis here is logarithmic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    /// Of the values themselves.
    Log,
    /// Of what is missing to one: shares of requests, the slow ones in focus.
    Nines,
}

impl Scale {
    fn place(self, value: f64) -> f64 {
        match self {
            Self::Log => value.max(1e-9).log10(),
            Self::Nines => -(1.0 - value).max(1e-9).log10(),
        }
    }

    /// Places of the ticks between two places, and their words.
    fn ticks(self, from: f64, to: f64) -> Vec<(f64, String)> {
        match self {
            Self::Nines => [
                (0.0, "0 %"),
                (0.5, "50 %"),
                (0.9, "90 %"),
                (0.99, "99 %"),
                (0.999, "99.9 %"),
            ]
            .into_iter()
            .chain([(0.9999, "99.99 %")])
            .map(|(share, word)| (self.place(share), word.to_owned()))
            .filter(|(place, _)| (from..=to).contains(place))
            .collect(),
            Self::Log => {
                let decades = from.floor() as i32..=to.ceil() as i32;
                decades
                    .flat_map(|decade| [1.0, 2.0, 5.0].map(|step| step * 10f64.powi(decade)))
                    .map(|value| (self.place(value), word(value)))
                    .filter(|(place, _)| (from - 1e-6..=to + 1e-6).contains(place))
                    .collect()
            }
        }
    }
}

fn word(value: f64) -> String {
    if value >= 1.0 {
        format!("{value:.0}")
    } else {
        format!("{value}")
    }
}

/// What a plot shows.
#[derive(Debug)]
pub(crate) struct Plot<'a> {
    pub(crate) title: &'a str,
    pub(crate) x: (&'a str, Scale),
    pub(crate) y: (&'a str, Scale),
    pub(crate) lines: &'a [Line],
}

impl Plot<'_> {
    pub(crate) fn svg(&self) -> String {
        let (x_scale, y_scale) = (self.x.1, self.y.1);
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let xs = range(points().map(|(x, _)| x_scale.place(*x)), 0.0);
        let ys = range(points().map(|(_, y)| y_scale.place(*y)), 0.06);
        let across = |place: f64| LEFT + (place - xs.0) / (xs.1 - xs.0) * (WIDTH - LEFT - RIGHT);
        let up =
            |place: f64| HEIGHT - BOTTOM - (place - ys.0) / (ys.1 - ys.0) * (HEIGHT - TOP - BOTTOM);
        // A name of the legend that is longer than the margin makes all of it wider.
        let longest = self
            .lines
            .iter()
            .map(|line| line.name.chars().count())
            .max();
        let width = WIDTH + (8.0 * longest.unwrap_or_default() as f64 + 52.0 - RIGHT).max(0.0);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {HEIGHT}\" \
             font-family=\"sans-serif\" font-size=\"13\">\n\
             <rect width=\"{width}\" height=\"{HEIGHT}\" fill=\"white\"/>\n\
             <text x=\"{LEFT}\" y=\"28\" font-size=\"17\">{}</text>\n",
            escaped(self.title)
        );
        // Writing to a String cannot fail, here and below.
        for (place, word) in x_scale.ticks(xs.0, xs.1) {
            let (x, bottom) = (across(place), HEIGHT - BOTTOM);
            let _ = writeln!(
                svg,
                "<path d=\"M{x:.1} {TOP}V{bottom}\" stroke=\"#ddd\"/>\
                 <text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{word}</text>",
                bottom + 18.0
            );
        }
        for (place, word) in y_scale.ticks(ys.0, ys.1) {
            let (y, right) = (up(place), WIDTH - RIGHT);
            let _ = writeln!(
                svg,
                "<path d=\"M{LEFT} {y:.1}H{right}\" stroke=\"#ddd\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{word}</text>",
                LEFT - 6.0,
                y + 4.0
            );
        }
        let _ = writeln!(
            svg,
            "<text x=\"{:.0}\" y=\"{}\" text-anchor=\"middle\">{}</text>\
             <text transform=\"translate(20 {:.0}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            f64::midpoint(LEFT, WIDTH - RIGHT),
            HEIGHT - 14.0,
            escaped(self.x.0),
            HEIGHT / 2.0,
            escaped(self.y.0)
        );
        for (index, (line, colour)) in self.lines.iter().zip(COLOURS.iter().cycle()).enumerate() {
            let mut path = String::new();
            for (x, y) in &line.points {
                let step = if path.is_empty() { 'M' } else { 'L' };
                let _ = write!(
                    path,
                    "{step}{:.1} {:.1}",
                    across(x_scale.place(*x)),
                    up(y_scale.place(*y))
                );
            }
            let legend = TOP + 12.0 + 22.0 * index as f64;
            let right = WIDTH - RIGHT + 14.0;
            let _ = writeln!(
                svg,
                "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\
                 <path d=\"M{right} {:.0}h22\" stroke=\"{colour}\" stroke-width=\"3\"/>\
                 <text x=\"{}\" y=\"{legend:.0}\">{}</text>",
                legend - 4.0,
                right + 28.0,
                escaped(&line.name)
            );
        }
        svg.push_str("</svg>\n");
        svg
    }
}

fn range(places: impl Iterator<Item = f64>, margin: f64) -> (f64, f64) {
    let (low, high) = places.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), place| {
        (low.min(place), high.max(place))
    });
    if !low.is_finite() || !high.is_finite() {
        return (0.0, 1.0);
    }
    let spread = (high - low).max(0.3);
    (low - margin * spread, low + spread + margin * spread)
}

pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
