//! Many clients at once: what those cost that only hold a connection, and whether hundreds of busy ones are served
//! as evenly as `HAProxy` serves them.

use std::io;
use std::net::Ipv4Addr;

use futures_util::stream;
use futures_util::stream::StreamExt;
use futures_util::stream::TryStreamExt;
use rustix::process::Resource;
use rustix::process::getrlimit;
use rustix::process::setrlimit;
use tokio::runtime::Runtime;

use crate::bench::Bench;
use crate::bench::addresses;
use crate::bench::shows;
use crate::drive;
use crate::process::Memory;
use crate::process::Process;
use crate::report::Row;
use crate::report::megabytes;
use crate::wire::Target;
use crate::wire::Wire;

const IDLE: u64 = 10_000;
const ROUNDS: usize = 5;
const ACTIVE: usize = 512;
/// Clients at one address: what a gateway takes from strangers at one is bounded (`max_connections_per_address`).
const NEIGHBOURS: u64 = 1000;
/// How many connect at the same time.
const ARRIVING: usize = 64;
/// Files that are open besides.
const OTHER_FILES: u64 = 200;

pub(crate) fn measure(bench: &mut Bench) -> io::Result<()> {
    idle(bench)?;
    active(bench)
}

fn idle(bench: &mut Bench) -> io::Result<()> {
    let locations = bench.locations(bench.options.locations, bench.nature(100))?;
    let gateway = Process::gateway(&addresses(&locations), 1000)?;
    // The gateway keeps half of the files for its locations, and a quarter of the rest for clients that logged in.
    let count = IDLE.min((files()? / 8 * 3).saturating_sub(OTHER_FILES));
    bench.progress(&format!("{count} clients that hold a connection"));
    let target = Target::plain(gateway.address);
    let request = target.get(&format!("/v1/nodes/{}", locations[0].uuids()[0]));
    let before = gateway.memory(Memory::Now);
    let held = hold(&bench.driver, &target, &request, count)?;
    let now = gateway.memory(Memory::Now);
    let cpu = gateway.cpu();
    let resting = bench.lasting(8.0);
    std::thread::sleep(resting);
    let busy = (gateway.cpu() - cpu).as_secs_f64() / resting.as_secs_f64() * 100.0;
    bench.report.figure(
        format!("{count} idle connections: memory of the whole gateway"),
        megabytes(now),
        "MB",
        150.0,
    );
    bench.report.figure(
        "Idle connections: memory of each",
        now.saturating_sub(before) as f64 / count as f64 / 1024.0,
        "KiB",
        None,
    );
    bench.report.figure(
        "Idle connections: share of a core, all together",
        busy,
        "%",
        2.0,
    );
    // They were open all the time.
    drop(held);
    Ok(())
}

/// Connections that have each served one request.
pub(crate) fn hold(
    driver: &Runtime,
    target: &Target,
    request: &bytes::Bytes,
    count: u64,
) -> io::Result<Vec<Wire>> {
    let connected = stream::iter(0..count).map(|index| async move {
        let nth = u8::try_from(index / NEIGHBOURS % 200).unwrap_or_default();
        let client = Ipv4Addr::new(127, 0, 1, 1 + nth);
        let mut wire = Wire::new(&target.clone().from(client.into()));
        let outcome = wire.exchange(request, None).await?;
        if !outcome.is_success() {
            let status = outcome.status;
            return Err(io::Error::other(format!("client {index} got a {status}")));
        }
        Ok(wire)
    });
    driver.block_on(connected.buffer_unordered(ARRIVING).try_collect())
}

fn active(bench: &mut Bench) -> io::Result<()> {
    let locations = bench.locations(bench.options.locations, bench.nature(bench.options.nodes))?;
    let to = locations[0].address;
    let mut served = Vec::new();
    match Process::haproxy(to).transpose()? {
        Some(process) => served.push((Row::of("HAProxy"), process)),
        None => eprintln!("HAProxy is not installed: nothing to compare with"),
    }
    served.push((Row::of("bare Pingora"), Process::pass_through(to)?));
    let gateway = Process::gateway(&addresses(&locations), 1000)?;
    served.push((Row::of("gateway"), gateway));
    for round in 0..=ROUNDS {
        for (row, process) in &mut served {
            // The first is to warm up.
            bench.progress(&format!(
                "{ACTIVE} busy clients, round {round}: {}",
                row.name
            ));
            let requests = shows(&Target::plain(process.address), locations[0].uuids());
            let taken = bench.measure("", process, ACTIVE, bench.lasting(2.0), &requests);
            if round > 0 {
                row.join(taken);
            }
        }
    }
    let slowest = served
        .iter()
        .map(|(row, _)| row.samples.throughput())
        .fold(f64::INFINITY, f64::min);
    let rate = bench.options.rate.unwrap_or(slowest / 2.0);
    let mut calm: Vec<Row> = served.iter().map(|(row, _)| Row::of(&row.name)).collect();
    for round in 0..=ROUNDS {
        for (row, (_, process)) in calm.iter_mut().zip(&served) {
            bench.progress(&format!(
                "{ACTIVE} clients, {rate:.0} requests a second, round {round}: {}",
                row.name
            ));
            let target = Target::plain(process.address);
            let requests = shows(&target, locations[0].uuids());
            let taken = Row::measured("", Some(process), || {
                bench.driver.block_on(drive::open(
                    &target,
                    ACTIVE,
                    rate,
                    bench.lasting(2.0),
                    &requests,
                ))
            });
            if round > 0 {
                row.join(taken);
            }
        }
    }
    let busy: Vec<Row> = served.into_iter().map(|(row, _)| row).collect();
    for (title, rows) in [
        ("closed loop".to_owned(), &busy),
        (format!("open loop of {rate:.0} requests a second"), &calm),
    ] {
        bench.report.load(
            &format!("Show one cached node, {title}, {ACTIVE} connections"),
            rows,
        );
    }
    bench.report.distribution(
        "latency-busy.svg",
        &format!("Latency of showing one node, {ACTIVE} clients that do not wait"),
        &busy,
    );
    for (what, rows) in [
        (format!("{ACTIVE} clients that do not wait"), &busy),
        (format!("{ACTIVE} clients at half load"), &calm),
    ] {
        if let [haproxy, _, gateway] = &rows[..] {
            let p99 = |row: &Row| row.samples.percentile(0.99).as_secs_f64();
            bench.report.figure(
                format!("{what}: p99, of HAProxy's"),
                p99(gateway) / p99(haproxy),
                "x",
                1.5,
            );
        }
    }
    Ok(())
}

/// How many files this process may have open, after it asked for as many as it can get.
fn files() -> io::Result<u64> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit)?;
    Ok(limit.current.unwrap_or(u64::MAX))
}
