//! Many locations behind one gateway: what an operation costs, as questions and items counted at the locations, and what
//! the gateway takes of the machine meanwhile.

mod sites;

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use crate::bars::Bar;
use crate::bars::Bars;
use crate::bench::Bench;
use crate::process::Memory;
use crate::process::Process;
use crate::process::QUIET;
use crate::report::Row;
use crate::report::megabytes;
use crate::wire::Target;
use crate::wire::Wire;
use crate::wire::next_marker;
pub(crate) use sites::Shape;
use sites::Sites;
use sites::uuid;

/// As it is by default.
const SWEEPING: &str = "[api]\nauth_strategy = noauth\n";
/// A sweep takes no longer, on however busy a machine.
const SWEEP: Duration = Duration::from_mins(5);

/// One fleet, and what is told of it.
struct Fleet<'a> {
    bench: &'a mut Bench,
    shape: Shape,
    sites: Arc<Sites>,
    /// What was asked, and what may be.
    counts: Vec<(String, Bar)>,
    /// How long clients waited.
    waits: Vec<Row>,
}

/// What an operation may ask of all locations together.
#[derive(Clone, Copy)]
struct Most {
    questions: f64,
    items: f64,
}

pub(crate) fn measure(bench: &mut Bench) -> io::Result<()> {
    let mut groups: Vec<(String, Vec<Option<Bar>>)> = Vec::new();
    let (mut waits, mut series) = (Vec::new(), Vec::new());
    for shape in bench.options.fleet.clone() {
        let mut fleet = Fleet {
            sites: Sites::start(bench.world.handle(), shape)?,
            bench: &mut *bench,
            shape,
            counts: Vec::new(),
            waits: Vec::new(),
        };
        fleet.costs()?;
        fleet.stands()?;
        if groups.is_empty() {
            groups.extend(
                fleet
                    .counts
                    .iter()
                    .map(|(what, _)| (what.clone(), Vec::new())),
            );
        }
        for ((_, bars), (_, bar)) in groups.iter_mut().zip(fleet.counts) {
            bars.push(Some(bar));
        }
        waits.extend(fleet.waits);
        series.push(shape.to_string());
    }
    let bars = Bars {
        title: "What locations are asked, of what is allowed",
        x: "% of what is allowed",
        series: &series,
        groups: &groups,
    };
    let report = &mut bench.report;
    report.plot("fleet-counts.svg", bars.svg());
    report.distribution(
        "fleet-waits.svg",
        "A known node of a fleet, and pages of walks",
        &waits,
    );
    report.load("Fleets, as a client sees them", &waits);
    Ok(())
}

impl Fleet<'_> {
    fn progress(&self, what: &str) {
        self.bench.progress(&format!("{}: {what}", self.shape));
    }

    fn figure(
        &mut self,
        what: &str,
        measured: f64,
        unit: &'static str,
        limit: impl Into<Option<f64>>,
    ) {
        let text = format!("{}: {what}", self.shape);
        self.bench.report.figure(text, measured, unit, limit);
    }

    /// What the locations were asked since the last time.
    fn count(&mut self, what: &str, most: Most) {
        let asked = self.sites.asked();
        for (of, measured, allowed) in [
            ("questions", asked.questions, most.questions),
            ("items read", asked.items, most.items),
        ] {
            self.figure(&format!("{what}: {of}"), measured, "", allowed);
            if allowed > 0.0 {
                let bar = Bar {
                    measured: measured / allowed * 100.0,
                    allowed: 100.0,
                };
                self.counts.push((format!("{what}: {of}"), bar));
            }
        }
    }

    /// What is asked, and how long that takes, of a gateway that asks nothing by itself.
    fn costs(&mut self) -> io::Result<()> {
        let Shape { locations, nodes } = self.shape;
        let (all, each) = (f64::from(self.shape.all()), f64::from(locations));
        self.progress("a gateway that does not sweep");
        let gateway = Process::gateway_at(self.sites.endpoints(), 1000, QUIET)?;
        self.wait_for_versions(u64::from(locations));
        let target = Target::plain(gateway.address);
        let wire = &mut Wire::new(&target);
        let short = Most {
            questions: 20.0_f64.min(each),
            items: 40.0,
        };
        self.once(wire, &target, "limit=10, cold", "/v1/nodes?limit=10", short)?;
        self.once(wire, &target, "limit=10 again", "/v1/nodes?limit=10", short)?;
        let node = format!("/v1/nodes/{}", uuid((locations / 2, nodes / 3)));
        for (what, questions) in [("a node, unknown here", each), ("the same, known", 1.0)] {
            let most = Most {
                questions,
                items: 1.0,
            };
            self.once(wire, &target, what, &node, most)?;
        }
        let pages = (all / f64::from(sites::PAGE)).ceil();
        let most = Most {
            questions: pages + 2.0 * each,
            items: 1.1 * all + each,
        };
        self.walk(&target, "unsorted walk", "", most)?;
        // One scan of keys, a question about the key, and for each page what each location has of it.
        let scan = each * (f64::from(nodes) / f64::from(sites::PAGE)).ceil().max(1.0);
        let most = Most {
            questions: scan + each + 1.0 + pages * each.min(f64::from(sites::PAGE)),
            items: all + 1.1 * all + 1.0,
        };
        self.walk(&target, "sorted walk", "&sort_key=name", most)?;
        self.known(&target)?;
        self.nobody(&target)?;
        let most = self.sites.asked().most_open;
        self.figure("most connections to locations", most, "", None);
        let peak = megabytes(gateway.memory(Memory::Peak));
        self.figure("memory at most", peak, "MB", 250.0);
        Ok(())
    }

    fn wait_for_versions(&self, asked: u64) {
        while self.sites.roots() < asked {
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn once(
        &mut self,
        wire: &mut Wire,
        target: &Target,
        what: &str,
        path: &str,
        most: Most,
    ) -> io::Result<()> {
        self.sites.asked();
        let taken = self.bench.once(wire, &target.get(path))?;
        self.count(what, most);
        self.figure(&format!("{what}: time"), millis(taken), "ms", None);
        Ok(())
    }

    /// From the first page to the last.
    fn walk(&mut self, target: &Target, what: &str, query: &str, most: Most) -> io::Result<()> {
        self.progress(what);
        self.sites.asked();
        let mut wire = Wire::new(target);
        let mut pages = Row::of(&format!("{}: {what}", self.shape));
        let (mut first, mut slowest) = (Duration::ZERO, Duration::ZERO);
        let mut next = Some(String::new());
        while let Some(marker) = next {
            let path = format!("/v1/nodes?limit={}{query}{marker}", sites::PAGE);
            let request = target.get(&path);
            let mut body = Vec::new();
            let sent = Instant::now();
            let page = wire.exchange(&request, Some(&mut body));
            let outcome = self.bench.driver.block_on(page)?;
            let taken = sent.elapsed();
            if !outcome.is_success() {
                let text = format!("{what}: a page was answered with {}", outcome.status);
                return Err(io::Error::other(text));
            }
            if pages.samples.served() == 0 {
                first = taken;
            } else {
                slowest = slowest.max(taken);
            }
            pages.add(taken);
            next = next_marker(&body).map(|marker| format!("&marker={marker}"));
        }
        let full = (f64::from(self.shape.all()) / f64::from(sites::PAGE)).ceil();
        let count = pages.samples.served() as f64;
        self.figure(&format!("{what}: pages"), count, "", full);
        self.count(what, most);
        self.figure(&format!("{what}: first page"), millis(first), "ms", None);
        let median = pages.samples.percentile(0.5);
        self.figure(&format!("{what}: median page"), millis(median), "ms", None);
        if full > 1.0 {
            let what = format!("{what}: slowest later page");
            self.figure(&what, millis(slowest), "ms", None);
        }
        self.waits.push(pages);
        Ok(())
    }

    /// Nodes all over the fleet, each by a client of its own.
    fn known(&mut self, target: &Target) -> io::Result<()> {
        let Shape { locations, nodes } = self.shape;
        self.progress("known nodes");
        self.sites.asked();
        let mut shows = Row::of(&format!("{}: known node", self.shape));
        let count = 200;
        for number in 0..count {
            let at = (number * locations / count, number * 7 % nodes);
            let request = target.get(&format!("/v1/nodes/{}", uuid(at)));
            shows.add(self.bench.once(&mut Wire::new(target), &request)?);
        }
        let count = f64::from(count);
        let most = Most {
            questions: count,
            items: count,
        };
        self.count("200 known nodes", most);
        let [middle, last] = [0.5, 0.99].map(|share| millis(shows.samples.percentile(share)));
        self.figure("a known node, p50", middle, "ms", 5.0);
        self.figure("a known node, p99", last, "ms", None);
        self.waits.push(shows);
        Ok(())
    }

    fn nobody(&mut self, target: &Target) -> io::Result<()> {
        self.progress("a UUID that nobody has");
        self.sites.asked();
        let request = target.get("/v1/nodes/ffffffff-ffff-4000-8000-000000000000");
        let mut wire = Wire::new(target);
        let sent = Instant::now();
        let asked = wire.exchange(&request, None);
        let outcome = self.bench.driver.block_on(asked)?;
        let taken = sent.elapsed();
        if outcome.status != 404 {
            let text = format!("a UUID of nobody: answered with {}", outcome.status);
            return Err(io::Error::other(text));
        }
        let most = Most {
            questions: f64::from(self.shape.locations),
            items: 0.0,
        };
        self.count("a UUID of nobody", most);
        self.figure("a UUID of nobody: time", millis(taken), "ms", None);
        Ok(())
    }

    /// A gateway as it is by default, from its start on, and what it takes while nobody asks for anything.
    fn stands(&mut self) -> io::Result<()> {
        let locations = self.shape.locations;
        self.progress("a gateway that sweeps");
        let (roots, started) = (self.sites.roots(), Instant::now());
        self.sites.asked();
        let gateway = Process::gateway_at(self.sites.endpoints(), 1000, SWEEPING)?;
        let ready = gateway.ready.as_secs_f64();
        self.figure("start to READY=1", ready, "s", 10.0);
        self.wait_for_versions(roots + u64::from(locations));
        let known = started.elapsed().as_secs_f64();
        self.figure("start to all versions known", known, "s", 10.0);
        while !gateway.log().contains("Swept: ") {
            if started.elapsed() > SWEEP {
                return Err(io::Error::other("no sweep came to its end"));
            }
            thread::sleep(Duration::from_millis(100));
        }
        let swept = started.elapsed().as_secs_f64();
        self.figure("start to all nodes known", swept, "s", None);
        let asked = self.sites.asked().questions;
        self.figure("first sweep: questions", asked, "", None);
        self.idle(&gateway);
        let memory = megabytes(gateway.memory(Memory::Now));
        let what = format!("memory with {} nodes known", self.shape.all());
        self.figure(&what, memory, "MB", 250.0);
        for words in [&["status"][..], &["status", "--format", "json"]] {
            let (text, taken) = gateway.told(words)?;
            let what = words.join(" ");
            self.figure(&format!("`{what}`: time"), millis(taken), "ms", None);
            let lines = text.lines().count() as f64;
            self.figure(&format!("`{what}`: lines"), lines, "", None);
        }
        self.looked_at(&gateway)?;
        let lines = gateway.log().lines().count() as f64;
        self.figure("lines of log", lines, "", None);
        Ok(())
    }

    fn idle(&mut self, gateway: &Process) {
        let lasting = self.bench.lasting(60.0);
        self.progress(&format!("{:.0} s of silence", lasting.as_secs_f64()));
        self.sites.asked();
        let (before, roots) = (gateway.cpu(), self.sites.roots());
        thread::sleep(lasting);
        let seconds = lasting.as_secs_f64();
        let used = gateway.cpu().saturating_sub(before).as_secs_f64() / seconds;
        let questions = self.sites.asked().questions + (self.sites.roots() - roots) as f64;
        let each = questions / f64::from(self.shape.locations) / (seconds / 60.0);
        self.figure("idle: share of a core", used * 100.0, "%", 2.0);
        self.figure("idle: questions a minute and location", each, "", 1.0);
    }

    /// What a scraper reads every quarter of a minute, and people when something is wrong.
    fn looked_at(&mut self, gateway: &Process) -> io::Result<()> {
        for (path, accept, most) in [
            ("/metrics", "text/plain", Some((5.0, 100.0))),
            ("/status", "text/html", Some((0.5, 100.0))),
            ("/status", "application/json", None),
        ] {
            let (bytes, taken) = gateway.looked_at(path, accept)?;
            let (largest, longest) = most.unzip();
            let what = format!("`{path}` as {accept}");
            let size = bytes as f64 / 1e6;
            self.figure(&format!("{what}: size"), size, "MB", largest);
            self.figure(&format!("{what}: time"), millis(taken), "ms", longest);
        }
        Ok(())
    }
}

fn millis(taken: Duration) -> f64 {
    taken.as_secs_f64() * 1e3
}
