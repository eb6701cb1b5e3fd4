//! Load on the gateway, and on what it is to be compared with: `cargo bench --bench load`.
//!
//! `cargo bench --bench load -- --quick` takes a minute. `-- --url http://gateway:6385 --header 'X-Auth-Token: …'` puts
//! load on a gateway of your own, with requests that change nothing unless `--writes` says otherwise.
//!
//! Everything runs on this machine, the simulated locations and the client included. So latencies are those of a
//! machine that is busy; the processor time of the measured process alone is what can be compared.

#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts become ratios here; what an f64 cannot hold does not occur"
)]
#![allow(
    clippy::expect_used,
    clippy::too_many_lines,
    clippy::unchecked_time_subtraction,
    reason = "what fails here is a failed run; a table of options is long"
)]

mod drive;
#[path = "../corpus/nodes.rs"]
#[expect(dead_code, reason = "lists are put together here, of any size")]
mod nodes;
mod pass_through;
mod plot;
mod process;
mod report;
mod simulated;
mod wire;

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use clap::Parser;
use clap::ValueEnum;
use tokio::runtime::Builder;
use tokio::runtime::Runtime;
use url::Url;

use crate::drive::Requests;
use crate::drive::Samples;
use crate::plot::Line;
use crate::process::GATEWAY;
use crate::process::Memory;
use crate::process::Process;
use crate::report::Report;
use crate::report::Row;
use crate::report::megabytes;
use crate::simulated::Location;
use crate::simulated::Nature;
use crate::simulated::Silence;
use crate::wire::Target;
use crate::wire::Wire;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Connections of the open loops: more than are ever busy at half load.
const OPEN_CONNECTIONS: usize = 64;

/// Load on ironic-proxy.
#[derive(Debug, Parser)]
struct Options {
    /// Take a minute, not four.
    #[arg(long)]
    quick: bool,
    /// Put load on this gateway instead of one in front of simulated locations.
    #[arg(long)]
    url: Option<Url>,
    /// A header for each request to --url, as `Name: value`; may be repeated.
    #[arg(long = "header")]
    headers: Vec<String>,
    /// Create and delete nodes of this hardware type at --url too.
    #[arg(long, value_name = "DRIVER", requires = "url")]
    writes: Option<String>,
    /// Only these loads; may be repeated.
    #[arg(long, value_enum)]
    only: Vec<Part>,
    /// Simulated locations.
    #[arg(long, default_value_t = 3)]
    locations: u32,
    /// Nodes of each simulated location.
    #[arg(long, default_value_t = 1000)]
    nodes: u32,
    /// Milliseconds that a simulated location thinks about each answer.
    #[arg(long, default_value_t = 0)]
    latency: u64,
    /// Share of the questions that a simulated location answers with 500.
    #[arg(long, default_value_t = 0.0)]
    failures: f64,
    /// Connections of the closed loops.
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// Requests a second of the open loops; else half of what the slowest served in a closed one.
    #[arg(long)]
    rate: Option<f64>,
    /// Seconds of each load; else as long as the whole run allows.
    #[arg(long)]
    seconds: Option<f64>,
    /// Cargo says so.
    #[arg(long, hide = true)]
    bench: bool,
    /// Be the bare pass-through.
    #[arg(long, hide = true, value_name = "ADDRESS")]
    pass_through: Option<SocketAddr>,
}

/// A part of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    Start,
    Show,
    List,
    Cold,
    Growth,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let done = match options.pass_through {
        Some(to) => pass_through::serve(to),
        None => Bench::new(options).and_then(Bench::run),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}

struct Bench {
    options: Options,
    /// Where the simulated locations live.
    world: Runtime,
    /// Where the load comes from.
    driver: Runtime,
    report: Report,
    began: Instant,
}

impl Bench {
    fn new(options: Options) -> io::Result<Self> {
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
        })
    }

    fn run(mut self) -> io::Result<()> {
        if let Some(url) = self.options.url.clone() {
            self.operators(&url)?;
            return self.report.finish();
        }
        for part in [
            Part::Start,
            Part::Show,
            Part::List,
            Part::Cold,
            Part::Growth,
        ] {
            if !self.options.only.is_empty() && !self.options.only.contains(&part) {
                continue;
            }
            match part {
                Part::Start => self.start()?,
                Part::Show => self.show()?,
                Part::List => self.merged_list()?,
                Part::Cold => self.cold_look_up()?,
                Part::Growth => {
                    self.growth_in_nodes()?;
                    self.growth_in_locations()?;
                    self.growth_in_concurrency()?;
                }
            }
        }
        self.report.finish()
    }

    fn progress(&self, what: &str) {
        eprintln!("[{:>5.1} s] {what}", self.began.elapsed().as_secs_f64());
    }

    /// How long one load lasts.
    fn lasting(&self, seconds: f64) -> Duration {
        let usual = if self.options.quick {
            seconds / 4.0
        } else {
            seconds
        };
        Duration::from_secs_f64(self.options.seconds.unwrap_or(usual))
    }

    fn nature(&self, nodes: u32) -> Nature {
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

    fn locations(&self, count: u32, nature: Nature) -> io::Result<Vec<Arc<Location>>> {
        (0..count)
            .map(|index| Location::start(self.world.handle(), index, nature))
            .collect()
    }

    fn closed(
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
    fn measure(
        &self,
        name: &str,
        process: &Process,
        connections: usize,
        lasting: Duration,
        requests: &Requests,
    ) -> Row {
        let before = process.cpu();
        let samples = self.closed(
            &Target::plain(process.address),
            connections,
            lasting,
            requests,
        );
        Row {
            name: name.to_owned(),
            samples,
            cpu: Some(process.cpu().saturating_sub(before)),
            peak: Some(process.memory(Memory::Peak)),
        }
    }

    /// One request that must succeed, and how long it took.
    fn once(&self, wire: &mut Wire, request: &Bytes) -> io::Result<Duration> {
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

    fn start(&mut self) -> io::Result<()> {
        self.progress("start-up and idle memory, three locations");
        let locations = self.locations(3, self.nature(10))?;
        let mut ready = Vec::new();
        let mut idle = 0;
        for _ in 0..5 {
            let gateway = Process::gateway(&addresses(&locations), 1000)?;
            ready.push(gateway.ready);
            idle = idle.max(gateway.memory(Memory::Now));
        }
        ready.sort_unstable();
        self.report.figure(
            "Start to ready, median of 5",
            ready[2].as_secs_f64(),
            "s",
            1.0,
        );
        self.report
            .figure("Idle memory with 3 locations", megabytes(idle), "MB", 20.0);
        let size = fs::metadata(GATEWAY)?.len();
        self.report
            .figure("Size of the binary", megabytes(size), "MB", None);
        Ok(())
    }

    fn show(&mut self) -> io::Result<()> {
        let locations = self.locations(self.options.locations, self.nature(self.options.nodes))?;
        let to = locations[0].address;
        let mut rows: Vec<(&str, Option<Process>)> = vec![("no proxy", None)];
        for (name, process) in [
            ("nginx", Process::nginx(to)),
            ("HAProxy", Process::haproxy(to)),
        ] {
            match process.transpose()? {
                Some(process) => rows.push((name, Some(process))),
                None => eprintln!("{name} is not installed: no row for it"),
            }
        }
        rows.push(("bare Pingora", Some(Process::pass_through(to)?)));
        rows.push((
            "gateway",
            Some(Process::gateway(&addresses(&locations), 1000)?),
        ));
        let target = |process: &Option<Process>| {
            Target::plain(process.as_ref().map_or(to, |process| process.address))
        };
        let requests = shows(&target(&None), locations[0].uuids());
        let connections = self.options.connections;
        for (name, process) in &rows {
            self.progress(&format!("show one node, warming up: {name}"));
            self.closed(&target(process), connections, self.lasting(1.0), &requests);
        }
        // In turns, so that whatever else the machine does meets all alike.
        let mut closed: Vec<Row> = Vec::new();
        let mut open: Vec<Row> = Vec::new();
        for round in 0..2 {
            for (index, (name, process)) in rows.iter().enumerate() {
                self.progress(&format!(
                    "show one node, closed loop, round {}: {name}",
                    round + 1
                ));
                let before = process.as_ref().map(Process::cpu);
                let samples =
                    self.closed(&target(process), connections, self.lasting(3.0), &requests);
                let cpu = process
                    .as_ref()
                    .map(Process::cpu)
                    .zip(before)
                    .map(|(now, then)| now - then);
                add(
                    &mut closed,
                    index,
                    Row {
                        name: (*name).to_owned(),
                        samples,
                        cpu,
                        peak: peak(process.as_ref()),
                    },
                );
            }
        }
        let slowest = closed
            .iter()
            .map(|row| row.samples.throughput())
            .fold(f64::INFINITY, f64::min);
        let rate = self.options.rate.unwrap_or(slowest / 2.0);
        for round in 0..3 {
            for (index, (name, process)) in rows.iter().enumerate() {
                self.progress(&format!(
                    "show one node, {rate:.0} a second, round {}: {name}",
                    round + 1
                ));
                let before = process.as_ref().map(Process::cpu);
                let samples = self.driver.block_on(drive::open(
                    &target(process),
                    OPEN_CONNECTIONS,
                    rate,
                    self.lasting(2.4),
                    &requests,
                ));
                let cpu = process
                    .as_ref()
                    .map(Process::cpu)
                    .zip(before)
                    .map(|(now, then)| now - then);
                add(
                    &mut open,
                    index,
                    Row {
                        name: (*name).to_owned(),
                        samples,
                        cpu,
                        peak: peak(process.as_ref()),
                    },
                );
            }
        }
        self.report.load(
            &format!("Show one cached node of 3 KB, closed loop, {connections} connections"),
            &closed,
        );
        self.report.load(
            &format!("The same, open loop: {rate:.0} requests a second"),
            &open,
        );
        self.report.distribution(
            "latency.svg",
            "Latency of showing one node, open loop at half load",
            &open,
        );
        let [.., bare, gateway] = &closed[..] else {
            return Ok(());
        };
        if let (Some(bare), Some(gateway)) = (bare.cost(), gateway.cost()) {
            self.report.figure(
                "Show: CPU per request, of the bare Pingora's",
                gateway / bare,
                "x",
                1.15,
            );
        }
        let [.., bare, gateway] = &open[..] else {
            return Ok(());
        };
        let added = gateway.samples.percentile(0.99).as_secs_f64()
            - bare.samples.percentile(0.99).as_secs_f64();
        self.report.figure(
            "Show: p99 at half load, added to the bare Pingora's",
            added * 1e3,
            "ms",
            0.3,
        );
        Ok(())
    }

    fn merged_list(&mut self) -> io::Result<()> {
        let locations = self.locations(self.options.locations, self.nature(self.options.nodes))?;
        let to = locations[0].address;
        let count = locations.len();
        let all = count * self.options.nodes as usize;
        let page: usize = locations.iter().map(|location| location.size()).sum();
        let one = get(
            &Target::plain(to),
            &format!("/v1/nodes/detail?limit={}", self.options.nodes),
        );
        let mut rows = Vec::new();
        let (lasting, short) = (self.lasting(6.0), self.lasting(1.5));
        let mut others = Vec::new();
        others.extend(
            Process::nginx(to)
                .transpose()?
                .map(|process| ("nginx", process)),
        );
        others.extend(
            Process::haproxy(to)
                .transpose()?
                .map(|process| ("HAProxy", process)),
        );
        others.push(("bare Pingora", Process::pass_through(to)?));
        self.progress("one location's list of details: no proxy");
        let samples = self.closed(&Target::plain(to), 1, short, &one);
        rows.push(Row {
            name: "1 list, no proxy".to_owned(),
            samples,
            cpu: None,
            peak: None,
        });
        for (name, process) in &others {
            self.progress(&format!("one location's list of details: {name}"));
            self.measure(name, process, 1, short, &one);
            rows.push(self.measure(&format!("1 list, {name}"), process, 1, short, &one));
        }
        drop(others);
        self.progress("merged list of details: gateway");
        let gateway = Process::gateway(&addresses(&locations), all)?;
        let idle = gateway.memory(Memory::Now);
        let merged = get(&Target::plain(to), &format!("/v1/nodes/detail?limit={all}"));
        // The first pages teach the directory.
        self.measure("", &gateway, 1, short, &merged);
        let row = self.measure(
            &format!("{count} lists merged, gateway"),
            &gateway,
            1,
            lasting,
            &merged,
        );
        let (cost, used) = (
            row.cost(),
            gateway.memory(Memory::Peak).saturating_sub(idle),
        );
        rows.push(row);
        self.report.load(
            &format!(
                "List of details of {count} x {} nodes, {:.1} MB, one at a time",
                self.options.nodes,
                megabytes(page as u64)
            ),
            &rows,
        );
        if let Some(cost) = cost {
            self.report
                .figure("Merged list: CPU per request", cost * 1e3, "ms", 25.0);
        }
        self.report.figure(
            "Merged list: peak memory over idle, of the page",
            used as f64 / page as f64,
            "x",
            2.5,
        );
        Ok(())
    }

    /// One node after another that the gateway has never heard of, and each once more.
    fn cold_look_up(&mut self) -> io::Result<()> {
        const LOCATIONS: u32 = 100;
        const LATENCY: Duration = Duration::from_millis(50);
        let count = if self.options.quick { 8 } else { 24 };
        let nature = Nature {
            nodes: count,
            latency: LATENCY,
            failures: 0.0,
            silence: Silence::None,
        };
        let mut locations = self.locations(LOCATIONS, nature)?;
        for dark in [false, true] {
            if dark {
                let nature = Nature {
                    silence: Silence::Resources,
                    ..nature
                };
                let last = locations.len() - 1;
                locations[last] = Location::start(self.world.handle(), LOCATIONS - 1, nature)?;
            }
            let which = if dark { "one of them dark" } else { "all well" };
            self.progress(&format!(
                "cold look-ups among {LOCATIONS} locations, {which}"
            ));
            let gateway = Process::gateway(&addresses(&locations), 1000)?;
            let target = Target::plain(gateway.address);
            let mut wire = Wire::new(&target);
            let (mut cold, mut warm) = (Row::of("not seen before"), Row::of("seen before"));
            let before = gateway.cpu();
            for step in 0..count as usize {
                let location = &locations[step * 37 % (locations.len() - 1)];
                let request = target.get(&format!("/v1/nodes/{}", location.uuids()[step]));
                cold.add(self.once(&mut wire, &request)?);
                warm.add(self.once(&mut wire, &request)?);
            }
            let cost = (gateway.cpu() - before).as_secs_f64() / f64::from(count);
            let (slow, fast) = (cold.samples.percentile(0.5), warm.samples.percentile(0.5));
            cold.peak = Some(gateway.memory(Memory::Peak));
            self.report.load(
                &format!(
                    "Show one node, {LOCATIONS} locations at {} ms, {which}",
                    LATENCY.as_millis()
                ),
                &[cold, warm],
            );
            let looked_up = slow.saturating_sub(fast).as_secs_f64() * 1e3;
            let text =
                format!("Cold look-up among {LOCATIONS} locations, {which}: added to the show");
            self.report
                .figure(text, looked_up, "ms", LATENCY.as_secs_f64() * 1e3 + 10.0);
            self.report
                .figure(format!("The same, {which}: CPU"), cost * 1e3, "ms", None);
        }
        Ok(())
    }

    fn growth_in_nodes(&mut self) -> io::Result<()> {
        let mut line = Line {
            name: "merged list of details, 3 locations".to_owned(),
            points: Vec::new(),
        };
        for nodes in [30, 100, 300, 1000, 3000] {
            if self.options.quick && nodes == 3000 {
                break;
            }
            self.progress(&format!("growth: 3 x {nodes} nodes"));
            let locations = self.locations(3, self.nature(nodes))?;
            line.points
                .push((f64::from(3 * nodes), self.list_cost(&locations)? * 1e3));
        }
        self.report
            .growth("nodes", "CPU milliseconds a list", &[line]);
        Ok(())
    }

    fn growth_in_locations(&mut self) -> io::Result<()> {
        let mut list = Line {
            name: "merged list of details, 30 nodes each".to_owned(),
            points: Vec::new(),
        };
        let mut show = Line {
            name: "show of one cached node".to_owned(),
            points: Vec::new(),
        };
        for count in [1, 3, 10, 30, 100] {
            self.progress(&format!("growth: {count} locations"));
            let locations = self.locations(count, self.nature(30))?;
            list.points
                .push((f64::from(count), self.list_cost(&locations)? * 1e3));
            let gateway = Process::gateway(&addresses(&locations), 1000)?;
            let requests = shows(&Target::plain(gateway.address), locations[0].uuids());
            let connections = self.options.connections;
            self.measure("", &gateway, connections, self.lasting(0.4), &requests);
            let row = self.measure("", &gateway, connections, self.lasting(1.2), &requests);
            show.points
                .push((f64::from(count), row.cost().unwrap_or_default() * 1e3));
        }
        self.report
            .growth("locations", "CPU milliseconds a request", &[list, show]);
        Ok(())
    }

    /// CPU seconds of listing all nodes on one page.
    fn list_cost(&self, locations: &[Arc<Location>]) -> io::Result<f64> {
        let all: usize = locations
            .iter()
            .map(|location| location.uuids().len())
            .sum();
        let gateway = Process::gateway(&addresses(locations), all)?;
        let list = get(
            &Target::plain(gateway.address),
            &format!("/v1/nodes/detail?limit={all}"),
        );
        self.measure("", &gateway, 1, self.lasting(0.4), &list);
        let row = self.measure("", &gateway, 1, self.lasting(1.6), &list);
        row.cost()
            .ok_or_else(|| io::Error::other("no list was answered"))
    }

    fn growth_in_concurrency(&mut self) -> io::Result<()> {
        let locations = self.locations(3, self.nature(1000))?;
        let gateway = Process::gateway(&addresses(&locations), 1000)?;
        let requests = shows(&Target::plain(gateway.address), locations[0].uuids());
        self.measure(
            "",
            &gateway,
            self.options.connections,
            self.lasting(1.0),
            &requests,
        );
        let names = ["CPU a request", "latency, median", "memory, MB"];
        let mut lines = names.map(|name| Line {
            name: name.to_owned(),
            points: Vec::new(),
        });
        for connections in [1_u32, 4, 16, 64, 256, 512] {
            self.progress(&format!("growth: {connections} connections"));
            let row = self.measure(
                "",
                &gateway,
                connections as usize,
                self.lasting(2.0),
                &requests,
            );
            let memory = megabytes(gateway.memory(Memory::Now));
            let values = [
                row.cost().unwrap_or_default() * 1e3,
                row.samples.percentile(0.5).as_secs_f64() * 1e3,
                memory,
            ];
            for (line, value) in lines.iter_mut().zip(values) {
                line.points.push((f64::from(connections), value));
            }
        }
        self.report
            .growth("concurrency", "milliseconds, or MB", &lines);
        Ok(())
    }

    /// Load on a gateway that is not ours: nothing is known of it but its address.
    fn operators(&mut self, url: &Url) -> io::Result<()> {
        let target = self
            .driver
            .block_on(Target::of(url, &self.options.headers))?;
        let mut wire = Wire::new(&target);
        let mut body = Vec::new();
        let list = target.get("/v1/nodes?fields=uuid&limit=1000");
        let outcome = self
            .driver
            .block_on(wire.exchange(&list, Some(&mut body)))?;
        if !outcome.is_success() {
            let text = String::from_utf8_lossy(&body);
            return Err(io::Error::other(format!(
                "{url} answers {}: {text}",
                outcome.status
            )));
        }
        let document: serde_json::Value = serde_json::from_slice(&body)?;
        let nodes = document["nodes"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let uuids: Vec<String> = nodes
            .iter()
            .filter_map(|node| node["uuid"].as_str().map(str::to_owned))
            .collect();
        if uuids.is_empty() {
            return Err(io::Error::other(format!("{url} has no nodes to show")));
        }
        self.progress(&format!("{} nodes found", uuids.len()));
        let connections = self.options.connections;
        let row = |name: &str, samples| Row {
            name: name.to_owned(),
            samples,
            cpu: None,
            peak: None,
        };
        let requests = shows(&target, &uuids);
        self.progress("show one node, closed loop");
        let closed = self.closed(&target, connections, self.lasting(10.0), &requests);
        let rate = self
            .options
            .rate
            .unwrap_or(closed.throughput() / 2.0)
            .max(1.0);
        self.progress(&format!("show one node, {rate:.0} a second"));
        let open = self.driver.block_on(drive::open(
            &target,
            OPEN_CONNECTIONS,
            rate,
            self.lasting(10.0),
            &requests,
        ));
        self.progress("list of details");
        let pages = get(&target, "/v1/nodes/detail");
        let pages = self.closed(&target, 1, self.lasting(10.0), &pages);
        let mut rows = vec![
            row(&format!("show, {connections} connections"), closed),
            row(&format!("show, {rate:.0} a second"), open),
            row("list of details", pages),
        ];
        self.report
            .distribution("latency.svg", &format!("Latency of {url}"), &rows[1..]);
        if let Some(driver) = self.options.writes.clone() {
            self.progress("create and delete nodes");
            rows.push(self.creates_and_deletes(&target, &driver)?);
        }
        self.report.load(url.as_str(), &rows);
        Ok(())
    }

    fn creates_and_deletes(&self, target: &Target, driver: &str) -> io::Result<Row> {
        let mut row = Row::of("create or delete a node");
        let mut wire = Wire::new(target);
        let began = Instant::now();
        while began.elapsed() < self.lasting(10.0) {
            let name = format!("ironic-proxy-load-{:016x}", fastrand::u64(..));
            let body = format!("{{\"name\": \"{name}\", \"driver\": \"{driver}\"}}");
            row.add(self.once(&mut wire, &target.request("POST", "/v1/nodes", &body))?);
            row.add(self.once(
                &mut wire,
                &target.request("DELETE", &format!("/v1/nodes/{name}"), ""),
            )?);
        }
        Ok(row)
    }
}

impl Row {
    fn of(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            samples: Samples::default(),
            cpu: None,
            peak: None,
        }
    }

    /// One more request that succeeded, one after the other.
    fn add(&mut self, latency: Duration) {
        self.samples.add(Samples {
            latencies: vec![latency],
            elapsed: latency,
            ..Samples::default()
        });
    }
}

/// Another round of the row at `index`, or its first.
fn add(rows: &mut Vec<Row>, index: usize, row: Row) {
    match rows.get_mut(index) {
        Some(known) => {
            known.samples.add(row.samples);
            known.cpu = known.cpu.zip(row.cpu).map(|(one, other)| one + other);
            known.peak = row.peak;
        }
        None => rows.push(row),
    }
}

fn peak(process: Option<&Process>) -> Option<u64> {
    process.map(|process| process.memory(Memory::Peak))
}

fn addresses(locations: &[Arc<Location>]) -> Vec<SocketAddr> {
    locations.iter().map(|location| location.address).collect()
}

fn get(target: &Target, path: &str) -> Requests {
    let request = target.get(path);
    Arc::new(move |_| request.clone())
}

/// One node after the other.
fn shows(target: &Target, uuids: &[String]) -> Requests {
    let requests: Vec<Bytes> = uuids
        .iter()
        .map(|uuid| target.get(&format!("/v1/nodes/{uuid}")))
        .collect();
    Arc::new(move |index| requests[index as usize % requests.len()].clone())
}
