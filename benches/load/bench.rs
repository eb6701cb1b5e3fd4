//! What every load is measured with.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use clap::Parser;
use clap::ValueEnum;
use tokio::runtime::Builder;
use tokio::runtime::Runtime;
use url::Url;

use crate::drive;
use crate::drive::Requests;
use crate::drive::Samples;
use crate::fleet::Shape;
use crate::machine::Machine;
use crate::process::Process;
use crate::report::Report;
use crate::report::Row;
use crate::simulated::Location;
use crate::simulated::Nature;
use crate::simulated::Silence;
use crate::wire::Target;
use crate::wire::Wire;

/// Connections of the open loops: more than are ever busy at half load.
pub(crate) const OPEN_CONNECTIONS: usize = 64;

/// Load on ironic-proxy.
#[derive(Debug, Parser)]
pub(crate) struct Options {
    /// Take a minute, not four.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Put load on this gateway instead of one in front of simulated locations.
    #[arg(long)]
    pub(crate) url: Option<Url>,
    /// A header for each request to --url, as `Name: value`; may be repeated.
    #[arg(long = "header")]
    pub(crate) headers: Vec<String>,
    /// Create and delete nodes of this hardware type at --url too.
    #[arg(long, value_name = "DRIVER", requires = "url")]
    pub(crate) writes: Option<String>,
    /// Only these loads; may be repeated.
    #[arg(long, value_enum)]
    pub(crate) only: Vec<Part>,
    /// Fleets instead, such as 50x10 for 50 locations of 10 nodes each, and what they cost.
    #[arg(
        long,
        value_name = "LOCATIONSxNODES",
        num_args = 0..,
        default_missing_values = ["5000x10", "20x10000"]
    )]
    pub(crate) fleet: Vec<Shape>,
    /// Long links instead, of so many milliseconds there and back: how many round trips an operation takes.
    #[arg(long, value_name = "MS", num_args = 0..=1, default_missing_value = "200")]
    pub(crate) wan: Option<u64>,
    /// Simulated locations.
    #[arg(long, default_value_t = 3)]
    pub(crate) locations: u32,
    /// Nodes of each simulated location.
    #[arg(long, default_value_t = 1000)]
    pub(crate) nodes: u32,
    /// Milliseconds that a simulated location thinks about each answer.
    #[arg(long, default_value_t = 0)]
    pub(crate) latency: u64,
    /// Share of the questions that a simulated location answers with 500.
    #[arg(long, default_value_t = 0.0)]
    pub(crate) failures: f64,
    /// Connections of the closed loops.
    #[arg(long, default_value_t = 16)]
    pub(crate) connections: usize,
    /// Requests a second of the open loops; else half of what the slowest served in a closed one.
    #[arg(long)]
    pub(crate) rate: Option<f64>,
    /// Seconds of each load; else as long as the whole run allows.
    #[arg(long)]
    pub(crate) seconds: Option<f64>,
    /// Cargo says so.
    #[arg(long, hide = true)]
    pub(crate) bench: bool,
    /// Be the bare pass-through.
    #[arg(long, hide = true, value_name = "ADDRESS")]
    pub(crate) pass_through: Option<SocketAddr>,
}

/// A part of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    Start,
    Show,
    List,
    Cold,
    Connections,
    Tls,
    Growth,
}

/// A run: what was typed, where it runs, and what came out.
pub(crate) struct Bench {
    pub(crate) options: Options,
    /// Where the simulated locations live.
    pub(crate) world: Runtime,
    /// Where the load comes from.
    pub(crate) driver: Runtime,
    pub(crate) report: Report,
    pub(crate) began: Instant,
    /// As it was then.
    machine: Option<Machine>,
}

impl Bench {
    pub(crate) fn new(options: Options) -> io::Result<Self> {
        let runtime = || {
            Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
        };
        Ok(Self {
            options,
            world: runtime()?,
            driver: runtime()?,
            report: Report::default(),
            began: Instant::now(),
            machine: Machine::now(),
        })
    }

    /// Prints what was measured, and how far that can be believed.
    pub(crate) fn finish(self) -> io::Result<()> {
        let others = self
            .machine
            .zip(Machine::now())
            .map(|(before, now)| now.others(before));
        self.report.finish(others)
    }

    pub(crate) fn progress(&self, what: &str) {
        eprintln!("[{:>5.1} s] {what}", self.began.elapsed().as_secs_f64());
    }

    /// How long one load lasts.
    pub(crate) fn lasting(&self, seconds: f64) -> Duration {
        let usual = if self.options.quick {
            seconds / 4.0
        } else {
            seconds
        };
        Duration::from_secs_f64(self.options.seconds.unwrap_or(usual))
    }

    pub(crate) fn nature(&self, nodes: u32) -> Nature {
        let Options {
            latency, failures, ..
        } = self.options;
        Nature {
            nodes,
            latency: Duration::from_millis(latency),
            failures,
            silence: Silence::None,
        }
    }

    pub(crate) fn locations(&self, count: u32, nature: Nature) -> io::Result<Vec<Arc<Location>>> {
        (0..count)
            .map(|index| Location::start(self.world.handle(), index, nature, None))
            .collect()
    }

    pub(crate) fn closed(
        &self,
        target: &Target,
        connections: usize,
        lasting: Duration,
        requests: &Requests,
    ) -> Samples {
        self.driver
            .block_on(drive::closed(target, connections, lasting, requests))
    }

    /// A closed loop, and what it cost the process.
    pub(crate) fn measure(
        &self,
        name: &str,
        process: &Process,
        connections: usize,
        lasting: Duration,
        requests: &Requests,
    ) -> Row {
        Row::measured(name, Some(process), || {
            let target = Target::plain(process.address);
            self.closed(&target, connections, lasting, requests)
        })
    }

    /// One request that must succeed, and how long it took.
    pub(crate) fn once(&self, wire: &mut Wire, request: &Bytes) -> io::Result<Duration> {
        let sent = Instant::now();
        let outcome = self.driver.block_on(wire.exchange(request, None))?;
        if outcome.is_success() {
            Ok(sent.elapsed())
        } else {
            Err(io::Error::other(format!(
                "a request was answered with {}",
                outcome.status
            )))
        }
    }
}

pub(crate) fn addresses(locations: &[Arc<Location>]) -> Vec<SocketAddr> {
    locations.iter().map(|location| location.address).collect()
}

pub(crate) fn get(target: &Target, path: &str) -> Requests {
    let request = target.get(path);
    Arc::new(move |_| request.clone())
}

/// One node after the other.
pub(crate) fn shows(target: &Target, uuids: &[String]) -> Requests {
    let requests: Vec<Bytes> = uuids
        .iter()
        .map(|uuid| target.get(&format!("/v1/nodes/{uuid}")))
        .collect();
    Arc::new(move |index| requests[index as usize % requests.len()].clone())
}
