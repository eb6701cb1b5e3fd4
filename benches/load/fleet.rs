//! Thousands of locations behind one gateway: what an operation costs, as questions and items counted at the locations,
//! and what the gateway takes of the machine meanwhile. All of them are one process and one port, each below a path of
//! its own.

use std::collections::HashMap;
use std::fmt::Write;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::runtime::Handle;

use crate::bench::Bench;
use crate::process::Memory;
use crate::process::Process;
use crate::report::megabytes;
use crate::simulated;
use crate::wire::Target;
use crate::wire::Wire;

const LOCATIONS: u32 = 5000;
const NODES: u32 = 10;

/// All locations, and what they were asked.
#[derive(Debug)]
struct Fleet {
    address: SocketAddr,
    /// By uuid: its location and its place there.
    nodes: HashMap<String, (u32, u32)>,
    roots: AtomicU64,
    questions: AtomicU64,
    items: AtomicU64,
    open: AtomicI64,
    most_open: AtomicI64,
}

/// What was asked since the last time.
struct Asked {
    questions: f64,
    items: f64,
    most_open: f64,
}

impl Fleet {
    fn start(runtime: &Handle) -> io::Result<Arc<Self>> {
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let all = (0..LOCATIONS).flat_map(|location| (0..NODES).map(move |node| (location, node)));
        let fleet = Arc::new(Self {
            address: listener.local_addr()?,
            nodes: all.map(|at| (uuid(at), at)).collect(),
            roots: AtomicU64::new(0),
            questions: AtomicU64::new(0),
            items: AtomicU64::new(0),
            open: AtomicI64::new(0),
            most_open: AtomicI64::new(0),
        });
        let serving = Arc::clone(&fleet);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let fleet = Arc::clone(&serving);
                tokio::spawn(async move {
                    let open = fleet.open.fetch_add(1, Ordering::Relaxed) + 1;
                    fleet.most_open.fetch_max(open, Ordering::Relaxed);
                    // A connection that breaks is its client's business.
                    fleet.serve(stream).await.ok();
                    fleet.open.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
        Ok(fleet)
    }

    fn endpoints(&self) -> impl Iterator<Item = String> {
        let address = self.address;
        (0..LOCATIONS).map(move |location| format!("http://{address}/{location}"))
    }

    fn asked(&self) -> Asked {
        let open = self.open.load(Ordering::Relaxed);
        Asked {
            questions: self.questions.swap(0, Ordering::Relaxed) as f64,
            items: self.items.swap(0, Ordering::Relaxed) as f64,
            most_open: self.most_open.swap(open, Ordering::Relaxed) as f64,
        }
    }

    async fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut received = Vec::with_capacity(1 << 10);
        while let Some(head) = simulated::next_head(&mut stream, &mut received).await? {
            let target = head.split_ascii_whitespace().nth(1).unwrap_or_default();
            let (location, path) = target[1..].split_once('/').unwrap_or_default();
            let answer = self.answer(location.parse().unwrap_or_default(), path);
            stream.write_all(&answer).await?;
        }
        Ok(())
    }

    fn answer(&self, location: u32, path: &str) -> Bytes {
        let base = format!("http://{}/{location}", self.address);
        if path.is_empty() {
            self.roots.fetch_add(1, Ordering::Relaxed);
            return simulated::versions(&base);
        }
        self.questions.fetch_add(1, Ordering::Relaxed);
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        match path.strip_prefix("v1/nodes") {
            Some("" | "/detail") => self.page(location, &base, query),
            Some(member) => {
                let ident = member.trim_matches('/');
                match self.nodes.get(ident) {
                    Some(&(home, node)) if home == location => {
                        self.items.fetch_add(1, Ordering::Relaxed);
                        simulated::answer("200 OK", record(&base, (location, node)).as_bytes())
                    }
                    _ => simulated::fault(
                        "404 Not Found",
                        &format!("Node {ident} could not be found."),
                    ),
                }
            }
            None => simulated::fault("404 Not Found", "The resource could not be found."),
        }
    }

    fn page(&self, location: u32, base: &str, query: &str) -> Bytes {
        let parameter = |wanted: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs
                .find(|(name, _)| *name == wanted)
                .map(|(_, value)| value)
        };
        let marker = parameter("marker").and_then(|marker| self.nodes.get(marker));
        let limit = parameter("limit").and_then(|limit| limit.parse().ok());
        let descending = parameter("sort_dir") == Some("desc");
        let mut order: Vec<u32> = (0..NODES).collect();
        if descending {
            order.reverse();
        }
        let rest = order.iter().copied().skip_while(|node| {
            marker.is_some_and(|(_, last)| {
                if descending {
                    node >= last
                } else {
                    node <= last
                }
            })
        });
        let shown: Vec<u32> = rest.take(limit.unwrap_or(1000)).collect();
        self.items.fetch_add(shown.len() as u64, Ordering::Relaxed);
        let mut body = String::from("{\"nodes\": [");
        for (place, &node) in shown.iter().enumerate() {
            // Writing to a String cannot fail.
            let _ = write!(
                body,
                "{}{}",
                if place == 0 { "" } else { ", " },
                record(base, (location, node))
            );
        }
        body.push_str("]}");
        simulated::answer("200 OK", body.as_bytes())
    }
}

fn uuid((location, node): (u32, u32)) -> String {
    format!("{location:08x}-{node:04x}-4000-8000-000000000000")
}

fn record(base: &str, at: (u32, u32)) -> String {
    let (uuid, (location, node)) = (uuid(at), at);
    format!(
        "{{\"uuid\": \"{uuid}\", \"name\": \"n-{location}-{node}\", \"instance_uuid\": null, \"maintenance\": false, \
         \"power_state\": \"power on\", \"provision_state\": \"active\", \"links\": [{{\"href\": \
         \"{base}/v1/nodes/{uuid}\", \"rel\": \"self\"}}, {{\"href\": \"{base}/nodes/{uuid}\", \"rel\": \"bookmark\"}}]}}"
    )
}

pub(crate) fn measure(bench: &mut Bench) -> io::Result<()> {
    bench.progress("the gateway in front of 5000 locations of 10 nodes");
    let fleet = Fleet::start(bench.world.handle())?;
    let started = Instant::now();
    let gateway = Process::gateway_at(
        fleet.endpoints(),
        1000,
        "[api]\nauth_strategy = noauth\n[node_cache]\nsweep_interval = 600\n",
    )?;
    let mut wire = Wire::new(&Target::plain(gateway.address));
    let target = Target::plain(gateway.address);
    let (allowed, seconds) = (|limit: f64| limit, |taken: Duration| taken.as_secs_f64());
    bench.report.figure(
        "Start to READY=1",
        seconds(gateway.ready),
        "s",
        allowed(10.0),
    );
    while fleet.roots.load(Ordering::Relaxed) < u64::from(LOCATIONS) {
        thread::sleep(Duration::from_millis(10));
    }
    let known = seconds(started.elapsed());
    bench
        .report
        .figure("Start to all versions known", known, "s", 10.0);
    let mut ask = |bench: &mut Bench, what: &str, path: &str, limits: [Option<f64>; 3]| {
        fleet.asked();
        let taken = bench.once(&mut wire, &target.get(path))?;
        let asked = fleet.asked();
        let report = &mut bench.report;
        report.figure(format!("{what}: questions"), asked.questions, "", limits[0]);
        report.figure(format!("{what}: items read"), asked.items, "", limits[1]);
        report.figure(
            format!("{what}: time"),
            seconds(taken) * 1e3,
            "ms",
            limits[2],
        );
        io::Result::Ok(())
    };
    bench.progress("pages");
    let short = [Some(20.0), Some(40.0), Some(500.0)];
    ask(bench, "limit=10, cold", "/v1/nodes?limit=10", short)?;
    ask(bench, "limit=10 again", "/v1/nodes?limit=10", short)?;
    let node = format!("/v1/nodes/{}", uuid((LOCATIONS / 2, 3)));
    ask(
        bench,
        "a node, unknown here",
        &node,
        [Some(f64::from(LOCATIONS)), Some(1.0), None],
    )?;
    ask(
        bench,
        "the same, known",
        &node,
        [Some(1.0), Some(1.0), Some(5.0)],
    )?;
    bench.progress("a walk through all 50,000 nodes");
    walk(bench, &fleet, &target)?;
    bench.progress("known nodes");
    let mut times = Vec::new();
    for number in 0..200 {
        let at = (number * 24 % LOCATIONS, number % NODES);
        let path = format!("/v1/nodes/{}", uuid(at));
        times.push(bench.once(&mut Wire::new(&target), &target.get(&path))?);
    }
    times.sort_unstable();
    let (middle, last) = (times[100], times[197]);
    let report = &mut bench.report;
    report.figure("A known node, p50", seconds(middle) * 1e3, "ms", 5.0);
    report.figure("A known node, p99", seconds(last) * 1e3, "ms", None);
    bench.progress("a UUID that nobody has");
    fleet.asked();
    let nobody = target.get("/v1/nodes/ffffffff-0000-4000-8000-000000000000");
    let sent = Instant::now();
    let outcome = bench
        .driver
        .block_on(Wire::new(&target).exchange(&nobody, None))?;
    let (taken, asked) = (sent.elapsed(), fleet.asked());
    let report = &mut bench.report;
    report.figure(
        "A UUID of nobody: status",
        f64::from(outcome.status),
        "",
        404.0,
    );
    report.figure("A UUID of nobody: time", seconds(taken) * 1e3, "ms", None);
    report.figure("A UUID of nobody: questions", asked.questions, "", 5000.0);
    report.figure("Most connections to locations", asked.most_open, "", None);
    idle(bench, &fleet, &gateway);
    for words in [&["status"][..], &["status", "--format", "json"]] {
        let (text, taken) = gateway.told(words)?;
        let report = &mut bench.report;
        let what = words.join(" ");
        report.figure(format!("`{what}`: time"), seconds(taken) * 1e3, "ms", None);
        report.figure(
            format!("`{what}`: lines"),
            text.lines().count() as f64,
            "",
            None,
        );
    }
    looked_at(bench, &gateway)?;
    let lines = gateway.log().lines().count();
    bench.report.figure("Lines of log", lines as f64, "", None);
    Ok(())
}

/// What a scraper reads every quarter of a minute, and people when something is wrong.
fn looked_at(bench: &mut Bench, gateway: &Process) -> io::Result<()> {
    for (path, accept, most) in [
        ("/metrics", "text/plain", Some((5.0, 100.0))),
        ("/status", "text/html", Some((0.5, 100.0))),
        ("/status", "application/json", None),
    ] {
        let (bytes, taken) = gateway.looked_at(path, accept)?;
        let (largest, longest) = most.unzip();
        let report = &mut bench.report;
        let what = format!("`{path}` as {accept}");
        report.figure(format!("{what}: size"), bytes as f64 / 1e6, "MB", largest);
        report.figure(
            format!("{what}: time"),
            taken.as_secs_f64() * 1e3,
            "ms",
            longest,
        );
    }
    Ok(())
}

fn walk(bench: &mut Bench, fleet: &Fleet, target: &Target) -> io::Result<()> {
    fleet.asked();
    let mut wire = Wire::new(target);
    let (mut marker, mut pages, mut slowest) = (String::new(), 0, Duration::ZERO);
    loop {
        let path = format!("/v1/nodes?limit=1000{marker}");
        let mut body = Vec::new();
        let sent = Instant::now();
        let outcome = bench
            .driver
            .block_on(wire.exchange(&target.get(&path), Some(&mut body)))?;
        slowest = slowest.max(sent.elapsed());
        if !outcome.is_success() {
            return Err(io::Error::other(format!(
                "a page was answered with {}",
                outcome.status
            )));
        }
        pages += 1;
        let text = String::from_utf8_lossy(&body);
        let Some(next) = text.split("marker=").nth(1) else {
            break;
        };
        marker = format!("&marker={}", &next[..36]);
    }
    let asked = fleet.asked();
    let (locations, items) = (f64::from(LOCATIONS), f64::from(LOCATIONS * NODES));
    let report = &mut bench.report;
    report.figure("Unsorted walk: pages", f64::from(pages), "", items / 1000.0);
    let allowed = items / 1000.0 + 2.0 * locations;
    report.figure("Unsorted walk: questions", asked.questions, "", allowed);
    report.figure(
        "Unsorted walk: items read",
        asked.items,
        "",
        1.1 * items + locations,
    );
    report.figure(
        "Unsorted walk: slowest page",
        slowest.as_secs_f64() * 1e3,
        "ms",
        None,
    );
    Ok(())
}

/// Nobody asks for anything.
fn idle(bench: &mut Bench, fleet: &Fleet, gateway: &Process) {
    let lasting = bench.lasting(60.0);
    bench.progress(&format!("{:.0} s of silence", lasting.as_secs_f64()));
    fleet.asked();
    let (before, roots) = (gateway.cpu(), fleet.roots.load(Ordering::Relaxed));
    thread::sleep(lasting);
    let used = gateway.cpu().saturating_sub(before).as_secs_f64() / lasting.as_secs_f64();
    let roots = (fleet.roots.load(Ordering::Relaxed) - roots) as f64;
    let questions = fleet.asked().questions + roots;
    let each = questions / f64::from(LOCATIONS) / (lasting.as_secs_f64() / 60.0);
    let memory = megabytes(gateway.memory(Memory::Now));
    let report = &mut bench.report;
    report.figure("Idle: share of a core", used * 100.0, "%", 2.0);
    report.figure("Idle: questions a minute and location", each, "", 1.0);
    report.figure("Memory with 50,000 nodes known", memory, "MB", 250.0);
}
