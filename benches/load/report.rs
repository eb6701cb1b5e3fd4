//! The results, as a table, as JSON and as plots.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use serde_json::json;

use crate::drive::Samples;
use crate::plot::Line;
use crate::plot::Plot;
use crate::plot::Scale;
use crate::process::Memory;
use crate::process::Process;

/// Rounds of one ratio that differ by more say more of the machine than of the program.
const NOISE: f64 = 1.25;
/// Nor can a run be believed of whose processors others had more than this share.
const OTHERS: f64 = 0.1;

const SHARES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];

/// What one load did to one process.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) samples: Samples,
    /// Processor time that the process used; unknown of what is not ours.
    pub(crate) cpu: Option<Duration>,
    /// The same of each round, a request, in seconds.
    pub(crate) rounds: Vec<f64>,
    /// Resident bytes at most, since it was started.
    pub(crate) peak: Option<u64>,
}

impl Row {
    pub(crate) fn of(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            samples: Samples::default(),
            cpu: None,
            rounds: Vec::new(),
            peak: None,
        }
    }

    /// One round of load, and what it cost the process, if it is ours.
    pub(crate) fn measured(
        name: &str,
        process: Option<&Process>,
        load: impl FnOnce() -> Samples,
    ) -> Self {
        let before = process.map(Process::cpu);
        let samples = load();
        let after = process.map(Process::cpu);
        let mut row = Self {
            samples,
            cpu: after
                .zip(before)
                .map(|(after, before)| after.saturating_sub(before)),
            peak: process.map(|process| process.memory(Memory::Peak)),
            ..Self::of(name)
        };
        row.rounds.extend(row.cost());
        row
    }

    /// One more request that succeeded, one after the other.
    pub(crate) fn add(&mut self, latency: Duration) {
        self.samples.add(Samples {
            latencies: vec![latency],
            elapsed: latency,
            ..Samples::default()
        });
    }

    /// Another round of the same.
    pub(crate) fn join(&mut self, round: Self) {
        self.cpu = match (self.cpu, round.cpu) {
            (Some(one), Some(other)) => Some(one + other),
            (one, other) => one.or(other),
        };
        self.samples.add(round.samples);
        self.rounds.extend(round.rounds);
        self.peak = round.peak;
    }

    /// What each round cost, of what the same round of the other cost; ascending.
    fn ratios(&self, other: &Self) -> Vec<f64> {
        let rounds = self.rounds.iter().zip(&other.rounds);
        let mut ratios: Vec<f64> = rounds.map(|(own, other)| own / other).collect();
        ratios.sort_by(f64::total_cmp);
        ratios
    }

    /// Seconds a request.
    pub(crate) fn cost(&self) -> Option<f64> {
        let served = (self.samples.served() > 0).then(|| self.samples.served() as f64)?;
        self.cpu.map(|cpu| cpu.as_secs_f64() / served)
    }

    fn json(&self) -> Value {
        let samples = &self.samples;
        let latency: serde_json::Map<String, Value> = SHARES
            .into_iter()
            .chain([("max", 1.0)])
            .map(|(name, share)| {
                (
                    name.to_owned(),
                    samples.percentile(share).as_secs_f64().into(),
                )
            })
            .collect();
        json!({
            "name": self.name,
            "requests": samples.served(),
            "failures": samples.failures,
            "requests_per_second": samples.throughput(),
            "bytes_per_second": samples.bytes as f64 / samples.elapsed.as_secs_f64().max(1e-9),
            "latency_seconds": latency,
            "cpu_seconds_per_request": self.cost(),
            "peak_memory_bytes": self.peak,
        })
    }
}

/// One figure that the gateway is to reach.
#[derive(Debug)]
struct Figure {
    text: String,
    measured: f64,
    limit: Option<f64>,
    unit: &'static str,
    /// From the lowest round to the highest.
    rounds: Option<(f64, f64)>,
}

/// Everything that was measured in this run.
#[derive(Debug, Default)]
pub(crate) struct Report {
    loads: Vec<Value>,
    figures: Vec<Figure>,
    growth: Vec<Value>,
    plots: Vec<(String, String)>,
}

impl Report {
    /// Prints the rows of one load and keeps them.
    pub(crate) fn load(&mut self, title: &str, rows: &[Row]) {
        println!("\n{title}");
        println!(
            "{:<26}{:>10}{:>9}{:>9}{:>9}{:>9}{:>9}{:>12}{:>11}{:>9}{:>7}",
            "",
            "req/s",
            "p50",
            "p90",
            "p99",
            "p99.9",
            "max",
            "CPU/req",
            "req/CPU-s",
            "peak",
            "failed"
        );
        for row in rows {
            print!("{:<26}{:>10.0}", row.name, row.samples.throughput());
            for share in SHARES.into_iter().map(|(_, share)| share).chain([1.0]) {
                print!(
                    "{:>9}",
                    duration(row.samples.percentile(share).as_secs_f64())
                );
            }
            let cost = row.cost();
            println!(
                "{:>12}{:>11}{:>9}{:>7}",
                cost.map_or_else(|| "-".to_owned(), duration),
                cost.map_or_else(|| "-".to_owned(), |cost| format!("{:.0}", 1.0 / cost)),
                row.peak.map_or_else(
                    || "-".to_owned(),
                    |peak| format!("{:.1} MB", megabytes(peak))
                ),
                row.samples.failures,
            );
        }
        let rows: Vec<Value> = rows.iter().map(Row::json).collect();
        self.loads.push(json!({ "title": title, "rows": rows }));
    }

    /// One of the figures, and what it should not exceed.
    pub(crate) fn figure(
        &mut self,
        text: impl Into<String>,
        measured: f64,
        unit: &'static str,
        limit: impl Into<Option<f64>>,
    ) {
        self.figures.push(Figure {
            text: text.into(),
            measured,
            limit: limit.into(),
            unit,
            rounds: None,
        });
    }

    /// CPU per request of one load, of the other's: the median of the rounds.
    pub(crate) fn ratio(
        &mut self,
        text: impl Into<String>,
        (own, other): (&Row, &Row),
        limit: impl Into<Option<f64>>,
    ) {
        let ratios = own.ratios(other);
        let (Some(low), Some(high)) = (ratios.first(), ratios.last()) else {
            return;
        };
        self.figures.push(Figure {
            text: text.into(),
            measured: ratios[ratios.len() / 2],
            limit: limit.into(),
            unit: "x",
            rounds: Some((*low, *high)),
        });
    }

    /// How cost grows, as a line each, by what grows.
    pub(crate) fn growth(&mut self, what: &str, y: &str, lines: &[Line]) {
        let title = format!("Growth in {what}");
        println!("\n{title}");
        for line in lines {
            let slope = exponent(&line.points);
            let points = line
                .points
                .iter()
                .map(|(x, y)| format!("{x:.0}: {}", short(*y)));
            println!(
                "{:<40} {}   exponent {slope:.2}",
                line.name,
                points.collect::<Vec<_>>().join("  ")
            );
            self.growth.push(
                json!({ "in": what, "of": line.name, "points": line.points, "exponent": slope }),
            );
        }
        let plot = Plot {
            title: &title,
            x: (what, Scale::Log),
            y: (y, Scale::Log),
            lines,
        };
        self.plots
            .push((format!("growth-{}.svg", what.replace(' ', "-")), plot.svg()));
    }

    /// The latency distribution of each row.
    pub(crate) fn distribution(&mut self, file: &str, title: &str, rows: &[Row]) {
        let shares = (0..=80).map(|step| 1.0 - 10f64.powf(-f64::from(step) / 20.0));
        let line = |row: &Row| {
            let enough = |share: &f64| (1.0 - share) * row.samples.served() as f64 >= 1.0;
            let point = |share| (share, row.samples.percentile(share).as_secs_f64() * 1000.0);
            Line {
                name: row.name.clone(),
                points: shares.clone().filter(enough).map(point).collect(),
            }
        };
        let lines: Vec<Line> = rows.iter().map(line).collect();
        let plot = Plot {
            title,
            x: ("share of requests that are as fast", Scale::Nines),
            y: ("milliseconds", Scale::Log),
            lines: &lines,
        };
        self.plot(file, plot.svg());
    }

    /// Another plot, in a file of this name.
    pub(crate) fn plot(&mut self, file: &str, svg: String) {
        self.plots.push((file.to_owned(), svg));
    }

    /// Prints the figures and writes the files. `others`: the share of the machine that others had.
    pub(crate) fn finish(self, others: Option<f64>) -> io::Result<()> {
        if !self.figures.is_empty() {
            println!("\n{:<74}{:>14}{:>14}", "Figure", "measured", "limit");
        }
        for figure in &self.figures {
            let verdict = match figure.limit {
                Some(limit) if figure.measured > limit => "not reached",
                Some(_) => "reached",
                None => "",
            };
            let rounds = figure.rounds.map_or_else(String::new, |(low, high)| {
                let noise = if high / low > NOISE {
                    ", too noisy to believe"
                } else {
                    ""
                };
                format!(" ({} to {}{noise})", short(low), short(high))
            });
            println!(
                "{:<74}{:>14}{:>14} {verdict}{rounds}",
                figure.text,
                format!("{} {}", short(figure.measured), figure.unit),
                figure.limit.map_or_else(String::new, |limit| format!(
                    "{} {}",
                    short(limit),
                    figure.unit
                )),
            );
        }
        if let Some(share) = others {
            let noise = if share > OTHERS {
                ": too noisy to believe"
            } else {
                ""
            };
            println!("\nOthers had {:.0} % of the machine{noise}", share * 100.0);
        }
        let figures: Vec<Value> = self
            .figures
            .iter()
            .map(|figure| {
                json!({
                    "figure": figure.text, "measured": figure.measured,
                    "limit": figure.limit, "unit": figure.unit, "rounds": figure.rounds,
                })
            })
            .collect();
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).with_file_name("load");
        fs::create_dir_all(&directory)?;
        let report = json!({ "loads": self.loads, "growth": self.growth, "figures": figures, "others": others });
        fs::write(
            directory.join("report.json"),
            serde_json::to_vec_pretty(&report)?,
        )?;
        for (name, svg) in &self.plots {
            fs::write(directory.join(name), svg)?;
        }
        println!(
            "\nreport.json and {} plots are in {}",
            self.plots.len(),
            directory.display()
        );
        Ok(())
    }
}

/// Of cost in the power of what grows: 1 is linear.
fn exponent(points: &[(f64, f64)]) -> f64 {
    let logs: Vec<(f64, f64)> = points
        .iter()
        .map(|(x, y)| (x.ln(), y.max(1e-9).ln()))
        .collect();
    let count = logs.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| logs.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let slope: f64 = logs.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    slope / logs.iter().map(|point| (point.0 - x).powi(2)).sum::<f64>()
}

pub(crate) fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

fn short(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn duration(seconds: f64) -> String {
    if seconds < 1e-3 {
        format!("{:.1} us", seconds * 1e6)
    } else if seconds < 1.0 {
        format!("{:.2} ms", seconds * 1e3)
    } else {
        format!("{seconds:.2} s")
    }
}
