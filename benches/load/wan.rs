//! Long links: how many round trips an operation takes, seen by the client, over http and over https. Each location is
//! behind a relay that keeps everything on its way.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use crate::bars::Bar;
use crate::bars::Bars;
use crate::bench::Bench;
use crate::link::Link;
use crate::process::Process;
use crate::process::QUIET;
use crate::secured::Certificate;
use crate::simulated::Location;
use crate::simulated::Nature;
use crate::simulated::Silence;
use crate::wire::Target;
use crate::wire::Wire;
use crate::wire::next_marker;

const LOCATIONS: u32 = 3;
const NODES: u32 = 200;
/// Nobody asks anything for so long: longer than web servers' shortest keep-alive.
const SILENCE: Duration = Duration::from_secs(6);
/// What the machine may add, in round trips.
const NOISE: f64 = 0.3;

/// What the locations speak.
#[derive(Clone, Copy, Debug)]
enum Scheme<'a> {
    Http,
    Https(&'a Certificate),
}

impl Scheme<'_> {
    fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https(_) => "https",
        }
    }

    /// What the gateway is told of so many locations.
    fn trusts(self) -> String {
        match self {
            Self::Http => String::new(),
            Self::Https(certificate) => certificate.trusted_by(LOCATIONS),
        }
    }
}

/// Locations, and the gateway at the other end of their links.
struct World {
    locations: Vec<Arc<Location>>,
    links: Vec<Arc<Link>>,
    gateway: Process,
}

impl World {
    fn of(bench: &Bench, scheme: Scheme, round_trip: Duration, loss: f64) -> io::Result<Self> {
        let runtime = bench.world.handle();
        let nature = Nature {
            nodes: NODES,
            latency: Duration::ZERO,
            failures: 0.0,
            silence: Silence::None,
        };
        let locations: Vec<_> = (0..LOCATIONS)
            .map(|index| {
                let tls = match scheme {
                    Scheme::Http => None,
                    Scheme::Https(certificate) => Some(certificate.acceptor()?),
                };
                Location::start(runtime, index, nature, tls)
            })
            .collect::<io::Result<_>>()?;
        let links: Vec<_> = locations
            .iter()
            .map(|location| Link::to(runtime, location.address, round_trip, loss))
            .collect::<io::Result<_>>()?;
        let endpoint = |address: SocketAddr| format!("{}://{address}", scheme.name());
        let endpoints = links.iter().map(|link| endpoint(link.address));
        let gateway = Process::gateway_at(endpoints, 1000, &(QUIET.to_owned() + &scheme.trusts()))?;
        Ok(Self {
            locations,
            links,
            gateway,
        })
    }
}

/// What has been before an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    /// No connection that a client's request could use.
    Nothing,
    /// The operation above it.
    Use,
    Silence,
    /// The locations have closed all connections.
    Closing,
}

/// What is asked, and how many round trips that may take: fleet.md's table, which is in docs/performance.md.
struct Operation {
    what: &'static str,
    before: Before,
    method: &'static str,
    /// `{marker}` stands for that of the page before.
    path: String,
    body: &'static str,
    /// When connections are open.
    rounds: f64,
}

impl Operation {
    fn allowed(&self, scheme: Scheme) -> f64 {
        let connecting = match (self.before, scheme) {
            (Before::Use | Before::Silence, _) => 0.0,
            // One for TCP, one for TLS 1.3, also if it goes on with an earlier session.
            (Before::Nothing | Before::Closing, Scheme::Http) => 1.0,
            (Before::Nothing | Before::Closing, Scheme::Https(_)) => 2.0,
        };
        self.rounds + connecting
    }
}

fn operations(uuids: &[String]) -> Vec<Operation> {
    let node = |place: usize| format!("/v1/nodes/{}", uuids[place]);
    let get = |what, before, path: String, rounds| Operation {
        what,
        before,
        method: "GET",
        path,
        body: "",
        rounds,
    };
    let write = |what, before, method, path: String, body, rounds| Operation {
        what,
        before,
        method,
        path,
        body,
        rounds,
    };
    let change = "[{\"op\": \"add\", \"path\": \"/extra/a\", \"value\": 1}]";
    let create = "{\"driver\": \"fake-hardware\", \"name\": \"a-new-one\"}";
    let list = |query: &str| format!("/v1/nodes{query}");
    vec![
        get("A node, unknown here", Before::Nothing, node(0), 1.0),
        get("The same, known", Before::Use, node(0), 1.0),
        get(
            "Another, unknown here, connections warm",
            Before::Use,
            node(1),
            1.0,
        ),
        write("PATCH of it", Before::Use, "PATCH", node(1), change, 1.0),
        write(
            "PUT of its maintenance",
            Before::Use,
            "PUT",
            node(1) + "/maintenance",
            "{}",
            1.0,
        ),
        write(
            "Create, with a name that has to be unique",
            Before::Use,
            "POST",
            list(""),
            create,
            2.0,
        ),
        get("List of all", Before::Use, list(""), 1.0),
        get("A walk, first page", Before::Use, list("?limit=50"), 1.0),
        get(
            "A walk, next page",
            Before::Use,
            list("?limit=50&marker={marker}"),
            1.0,
        ),
        get(
            "Sorted list, first page",
            Before::Use,
            list("?limit=50&sort_key=name"),
            3.0,
        ),
        get(
            "Sorted list, next page",
            Before::Use,
            list("?limit=50&sort_key=name&marker={marker}"),
            1.0,
        ),
        get(
            "Sorted list again, first page",
            Before::Use,
            list("?limit=50&sort_key=name"),
            2.0,
        ),
        write("DELETE", Before::Use, "DELETE", node(1), "", 1.0),
        get(
            "A known node after a silence",
            Before::Silence,
            node(0),
            1.0,
        ),
        get(
            "A known node, connections closed",
            Before::Closing,
            node(0),
            1.0,
        ),
        write(
            "PATCH of it, connections closed",
            Before::Closing,
            "PATCH",
            node(0),
            change,
            1.0,
        ),
    ]
}

pub(crate) fn measure(bench: &mut Bench, millis: u64) -> io::Result<()> {
    let round_trip = Duration::from_millis(millis);
    let certificate = Certificate::make();
    if let Err(error) = &certificate {
        eprintln!("openssl made no certificate, so no figures of https: {error}");
    }
    let mut schemes = vec![Scheme::Http];
    schemes.extend(certificate.iter().map(Scheme::Https));
    let mut groups: Vec<(String, Vec<Option<Bar>>)> = Vec::new();
    for scheme in &schemes {
        let told = operate(bench, *scheme, round_trip)?;
        if groups.is_empty() {
            groups.extend(
                told.iter()
                    .map(|(what, _)| ((*what).to_owned(), Vec::new())),
            );
        }
        for ((_, bars), (_, bar)) in groups.iter_mut().zip(told) {
            bars.push(Some(bar));
        }
    }
    let series: Vec<_> = schemes
        .iter()
        .map(|scheme| scheme.name().to_owned())
        .collect();
    let bars = Bars {
        title: &format!("What a client waits for over links of {millis} ms"),
        x: "round trips",
        series: &series,
        groups: &groups,
    };
    bench.report.plot("wan.svg", bars.svg());
    lossy(bench, round_trip)
}

/// All operations, one after the other.
fn operate(
    bench: &mut Bench,
    scheme: Scheme,
    round_trip: Duration,
) -> io::Result<Vec<(&'static str, Bar)>> {
    let name = scheme.name();
    bench.progress(&format!("locations behind long links, over {name}"));
    let world = World::of(bench, scheme, round_trip, 0.0)?;
    let target = Target::plain(world.gateway.address);
    let mut wire = Wire::new(&target);
    let (mut told, mut marker) = (Vec::new(), String::new());
    for operation in operations(world.locations[1].uuids()) {
        match operation.before {
            Before::Nothing | Before::Use => {}
            Before::Silence => {
                bench.progress(&format!("{} s of silence", SILENCE.as_secs()));
                thread::sleep(SILENCE);
            }
            Before::Closing => world.links.iter().for_each(|link| link.close_all()),
        }
        let path = operation.path.replace("{marker}", &marker);
        let request = target.request(operation.method, &path, operation.body);
        let mut body = Vec::new();
        let sent = Instant::now();
        let outcome = bench
            .driver
            .block_on(wire.exchange(&request, Some(&mut body)));
        let taken = sent.elapsed().as_secs_f64() / round_trip.as_secs_f64();
        let what = operation.what;
        let outcome = outcome.map_err(|error| io::Error::other(format!("{what}: {error}")))?;
        if !outcome.is_success() {
            let text = format!("{what}: answered with {}", outcome.status);
            return Err(io::Error::other(text));
        }
        if let Some(next) = next_marker(&body) {
            marker = next;
        }
        let allowed = operation.allowed(scheme);
        let report = &mut bench.report;
        report.figure(format!("{what}, {name}"), taken, "RTT", allowed + NOISE);
        told.push((
            what,
            Bar {
                measured: taken,
                allowed,
            },
        ));
    }
    Ok(told)
}

/// One part in fifty is lost: what waits for it waits, and nothing else.
fn lossy(bench: &mut Bench, round_trip: Duration) -> io::Result<()> {
    let count = if bench.options.quick { 40 } else { 200 };
    bench.progress(&format!("{count} shows over links that lose 2 %"));
    let world = World::of(bench, Scheme::Http, round_trip, 0.02)?;
    let target = Target::plain(world.gateway.address);
    let mut wire = Wire::new(&target);
    let request = target.get(&format!("/v1/nodes/{}", world.locations[0].uuids()[0]));
    bench.once(&mut wire, &request)?;
    let mut times: Vec<f64> = (0..count)
        .map(|_| bench.once(&mut wire, &request))
        .map(|taken| Ok(taken?.as_secs_f64() / round_trip.as_secs_f64()))
        .collect::<io::Result<_>>()?;
    times.sort_by(f64::total_cmp);
    let report = &mut bench.report;
    report.figure(
        "Loss of 2 %: a known node, p50",
        times[count / 2],
        "RTT",
        1.0 + NOISE,
    );
    report.figure(
        "Loss of 2 %: a known node, p99",
        times[count * 99 / 100],
        "RTT",
        None,
    );
    Ok(())
}
