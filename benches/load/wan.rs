//! Long links: how many round trips an operation takes, seen by the client. Each location is behind a relay that keeps
//! everything on its way for half a round trip, also the handshake of TCP, and that can lose.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::bench::Bench;
use crate::process::Process;
use crate::simulated::Location;
use crate::simulated::Nature;
use crate::simulated::Silence;
use crate::wire::Target;
use crate::wire::Wire;

const LOCATIONS: u32 = 3;
const NODES: u32 = 200;
/// What TCP waits at least before it sends again what was lost (RFC 6298 says 1 s, Linux 200 ms).
const RETRANSMISSION: Duration = Duration::from_millis(200);
/// Nobody asks anything for so long: longer than web servers' shortest keep-alive.
const SILENCE: Duration = Duration::from_secs(6);

/// A link to one location.
#[derive(Debug)]
struct Link {
    address: SocketAddr,
    round_trip: Duration,
    /// Share of the parts that are lost once.
    loss: f64,
}

impl Link {
    fn to(
        runtime: &Handle,
        location: SocketAddr,
        round_trip: Duration,
        loss: f64,
    ) -> io::Result<Arc<Self>> {
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let link = Arc::new(Self {
            address: listener.local_addr()?,
            round_trip,
            loss,
        });
        let serving = Arc::clone(&link);
        runtime.spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let link = Arc::clone(&serving);
                // A connection that breaks is its client's business.
                tokio::spawn(async move { link.carry(near, location).await.ok() });
            }
        });
        Ok(link)
    }

    async fn carry(self: Arc<Self>, near: TcpStream, location: SocketAddr) -> io::Result<()> {
        let accepted = Instant::now();
        let far = TcpStream::connect(location).await?;
        near.set_nodelay(true)?;
        far.set_nodelay(true)?;
        let (near_read, near_write) = near.into_split();
        let (far_read, far_write) = far.into_split();
        // The kernel has shaken hands at once; over a long link nobody could have sent anything before a round trip.
        let up = Arc::clone(&self).pass(near_read, far_write, accepted + self.round_trip);
        let down = Arc::clone(&self).pass(far_read, near_write, accepted);
        tokio::join!(up, down);
        Ok(())
    }

    /// Each part arrives half a round trip after it was sent, and none before the one ahead of it.
    async fn pass(self: Arc<Self>, mut from: OwnedReadHalf, mut to: OwnedWriteHalf, open: Instant) {
        let (sender, mut sent) = mpsc::unbounded_channel::<(Instant, Bytes)>();
        let arriving = async move {
            while let Some((at, part)) = sent.recv().await {
                tokio::time::sleep_until(at.into()).await;
                if to.write_all(&part).await.is_err() {
                    return;
                }
            }
            to.shutdown().await.ok();
        };
        let sending = async move {
            let mut earliest = open;
            loop {
                let mut part = vec![0; 64 << 10];
                let Ok(read @ 1..) = from.read(&mut part).await else {
                    return;
                };
                part.truncate(read);
                let lost = fastrand::f64() < self.loss;
                let late = if lost {
                    self.round_trip.max(RETRANSMISSION)
                } else {
                    Duration::ZERO
                };
                earliest = earliest.max(Instant::now()) + late;
                if sender
                    .send((earliest + self.round_trip / 2, part.into()))
                    .is_err()
                {
                    return;
                }
            }
        };
        tokio::join!(arriving, sending);
    }
}

pub(crate) fn measure(bench: &mut Bench, millis: u64) -> io::Result<()> {
    let round_trip = Duration::from_millis(millis);
    let runtime = bench.world.handle().clone();
    let nature = Nature {
        nodes: NODES,
        latency: Duration::ZERO,
        failures: 0.0,
        silence: Silence::None,
    };
    let locations = bench.locations(LOCATIONS, nature)?;
    let links: Vec<Arc<Link>> = locations
        .iter()
        .map(|location| Link::to(&runtime, location.address, round_trip, 0.0))
        .collect::<Result<_, _>>()?;
    bench.progress(&format!("the gateway in front of links of {millis} ms"));
    let addresses: Vec<SocketAddr> = links.iter().map(|link| link.address).collect();
    let gateway = Process::gateway(&addresses, 1000)?;
    let target = Target::plain(gateway.address);
    let mut wire = Wire::new(&target);
    let mut ask = |bench: &mut Bench, what: &str, request: &Bytes, allowed: Option<f64>| {
        let taken = bench.once(&mut wire, request);
        let taken = taken.map_err(|error| io::Error::other(format!("{what}: {error}")))?;
        let taken = taken.as_secs_f64() / round_trip.as_secs_f64();
        bench
            .report
            .figure(what, taken, "RTT", allowed.map(|allowed| allowed + 0.3));
        io::Result::Ok(())
    };
    let [first, second] = [
        locations[1].uuids()[0].as_str(),
        locations[1].uuids()[1].as_str(),
    ];
    let node = |ident: &str| format!("/v1/nodes/{ident}");
    let change = "[{\"op\": \"add\", \"path\": \"/extra/a\", \"value\": 1}]";
    let create = "{\"driver\": \"fake-hardware\", \"name\": \"a-new-one\"}";
    // How many round trips each may take: fleet.md's table, which is in docs/performance.md.
    for (what, method, path, body, allowed) in [
        ("A node, unknown here", "GET", node(first), "", Some(2.0)),
        ("The same, known", "GET", node(first), "", Some(1.0)),
        (
            "Another, unknown here, connections warm",
            "GET",
            node(second),
            "",
            Some(1.0),
        ),
        ("PATCH of it", "PATCH", node(second), change, Some(1.0)),
        (
            "PUT of its maintenance",
            "PUT",
            node(second) + "/maintenance",
            "{}",
            Some(1.0),
        ),
        (
            "Create, with a name that has to be unique",
            "POST",
            "/v1/nodes".to_owned(),
            create,
            Some(2.0),
        ),
        ("List of all", "GET", "/v1/nodes".to_owned(), "", Some(1.0)),
        (
            "Page of a walk",
            "GET",
            "/v1/nodes?limit=50".to_owned(),
            "",
            Some(1.0),
        ),
        (
            "Sorted list, first page",
            "GET",
            "/v1/nodes?limit=50&sort_key=name".to_owned(),
            "",
            Some(3.0),
        ),
        ("DELETE", "DELETE", node(second), "", Some(1.0)),
    ] {
        ask(bench, what, &target.request(method, &path, body), allowed)?;
    }
    bench.progress(&format!("{} s of silence", SILENCE.as_secs()));
    thread::sleep(SILENCE);
    ask(
        bench,
        "A known node after a silence",
        &target.get(&node(first)),
        Some(1.0),
    )?;
    lossy(bench, &locations, round_trip)
}

/// One part in fifty is lost: what waits for it waits, and nothing else.
fn lossy(bench: &mut Bench, locations: &[Arc<Location>], round_trip: Duration) -> io::Result<()> {
    let count = if bench.options.quick { 40 } else { 200 };
    bench.progress(&format!("{count} shows over links that lose 2 %"));
    let runtime = bench.world.handle().clone();
    let links: Vec<Arc<Link>> = locations
        .iter()
        .map(|location| Link::to(&runtime, location.address, round_trip, 0.02))
        .collect::<Result<_, _>>()?;
    let addresses: Vec<SocketAddr> = links.iter().map(|link| link.address).collect();
    let gateway = Process::gateway(&addresses, 1000)?;
    let target = Target::plain(gateway.address);
    let mut wire = Wire::new(&target);
    let request = target.get(&format!("/v1/nodes/{}", locations[0].uuids()[0]));
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
        1.3,
    );
    report.figure(
        "Loss of 2 %: a known node, p99",
        times[count * 99 / 100],
        "RTT",
        None,
    );
    Ok(())
}
