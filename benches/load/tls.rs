//! TLS towards clients and towards locations: handshakes, small answers, large ones.

use std::io;
use std::sync::Arc;

use crate::bench::Bench;
use crate::bench::get;
use crate::bench::shows;
use crate::connections;
use crate::drive::Requests;
use crate::process::Memory;
use crate::process::Process;
use crate::process::QUIET;
use crate::report::Row;
use crate::report::megabytes;
use crate::secured::Certificate;
use crate::simulated::Location;
use crate::wire::Target;

const ROUNDS: usize = 5;
const IDLE: u64 = 2000;

/// One load on one process.
struct Load {
    row: Row,
    process: Arc<Process>,
    target: Target,
    requests: Requests,
    connections: usize,
}

pub(crate) fn measure(bench: &mut Bench) -> io::Result<()> {
    let certificate = match Certificate::make() {
        Ok(certificate) => certificate,
        Err(error) => {
            eprintln!("openssl made no certificate, so no figures of TLS: {error}");
            return Ok(());
        }
    };
    let nature = bench.nature(bench.options.nodes);
    let plain = bench.locations(bench.options.locations, nature)?;
    let secured: Vec<_> = (0..bench.options.locations)
        .map(|index| {
            let acceptor = certificate.acceptor()?;
            Location::start(bench.world.handle(), index, nature, Some(acceptor))
        })
        .collect::<io::Result<_>>()?;
    let all = plain.len() * bench.options.nodes as usize;
    let to = plain[0].address;
    let gateway = |locations: &[Arc<Location>], more: &str| {
        let endpoints = locations.iter().map(|at| at.endpoint().to_owned());
        Process::gateway_at(endpoints, all, &format!("{QUIET}{more}")).map(Arc::new)
    };
    let serves = format!(
        "[api]\nenable_ssl_api = true\ncert_file = {}\nkey_file = {}\n",
        certificate.chain().display(),
        certificate.key().display()
    );
    let trusts = certificate.trusted_by(bench.options.locations);
    let neither = gateway(&plain, "")?;
    let downstream = gateway(&plain, &serves)?;
    let upstream = gateway(&secured, &trusts)?;
    let (keeping, anew) = (certificate.connector(true)?, certificate.connector(false)?);
    let show = shows(&Target::plain(to), plain[0].uuids());
    let list = get(&Target::plain(to), &format!("/v1/nodes/detail?limit={all}"));
    let connections = bench.options.connections;
    let of =
        |name: &str, process: &Arc<Process>, target: Target, requests: &Requests, connections| {
            Load {
                row: Row::of(name),
                process: Arc::clone(process),
                target,
                requests: Arc::clone(requests),
                connections,
            }
        };
    let at = Target::secured(downstream.address, keeping.clone());
    let mut shown = vec![
        of(
            "no TLS",
            &neither,
            Target::plain(neither.address),
            &show,
            connections,
        ),
        of(
            "TLS to clients",
            &downstream,
            at.clone(),
            &show,
            connections,
        ),
        of(
            "TLS to locations",
            &upstream,
            Target::plain(upstream.address),
            &show,
            connections,
        ),
    ];
    let mut listed = vec![
        of("no TLS", &neither, Target::plain(neither.address), &list, 1),
        of("TLS to clients", &downstream, at.clone(), &list, 1),
        of(
            "TLS to locations",
            &upstream,
            Target::plain(upstream.address),
            &list,
            1,
        ),
    ];
    let mut begun = vec![
        of(
            "no TLS",
            &neither,
            Target::plain(neither.address).anew(),
            &show,
            connections,
        ),
        of(
            "whole handshake",
            &downstream,
            Target::secured(downstream.address, anew.clone()).anew(),
            &show,
            connections,
        ),
        of(
            "session resumed",
            &downstream,
            at.clone().anew(),
            &show,
            connections,
        ),
    ];
    let bind = format!("ssl crt {}", certificate.both().display());
    if let Some(haproxy) = Process::haproxy_at(to, &bind).transpose()? {
        let haproxy = Arc::new(haproxy);
        let address = haproxy.address;
        begun.push(of(
            "whole handshake, HAProxy",
            &haproxy,
            Target::secured(address, anew).anew(),
            &show,
            connections,
        ));
        begun.push(of(
            "session resumed, HAProxy",
            &haproxy,
            Target::secured(address, keeping).anew(),
            &show,
            connections,
        ));
    }
    turns(bench, "show through TLS", &mut shown);
    turns(bench, "merged list through TLS", &mut listed);
    turns(bench, "a connection for each show", &mut begun);
    figures(bench, &shown, &listed, &begun);
    bench.progress(&format!("{IDLE} clients that hold a TLS connection"));
    let before = downstream.memory(Memory::Now);
    let request = at.get(&format!("/v1/nodes/{}", plain[0].uuids()[0]));
    let held = connections::hold(&bench.driver, &at, &request, IDLE)?;
    let each = downstream.memory(Memory::Now).saturating_sub(before) as f64 / IDLE as f64;
    drop(held);
    bench.report.figure(
        "TLS: memory of an idle connection",
        each / 1024.0,
        "KiB",
        None,
    );
    for (title, loads) in [
        (
            format!("Show one cached node through TLS, {connections} connections"),
            shown,
        ),
        ("Merged list through TLS".to_owned(), listed),
        (
            format!("A connection for each show, {connections} at a time"),
            begun,
        ),
    ] {
        let rows: Vec<Row> = loads.into_iter().map(|load| load.row).collect();
        bench.report.load(&title, &rows);
    }
    Ok(())
}

/// In turns, so that whatever else the machine does meets all alike; the first round is to warm up.
fn turns(bench: &Bench, what: &str, loads: &mut [Load]) {
    for round in 0..=ROUNDS {
        for load in &mut *loads {
            bench.progress(&format!("{what}, round {round}: {}", load.row.name));
            let taken = Row::measured("", Some(&load.process), || {
                bench.closed(
                    &load.target,
                    load.connections,
                    bench.lasting(1.6),
                    &load.requests,
                )
            });
            if round > 0 {
                load.row.join(taken);
            }
        }
    }
}

fn figures(bench: &mut Bench, shown: &[Load], listed: &[Load], begun: &[Load]) {
    let cost = |load: &Load| load.row.cost().unwrap_or(f64::NAN);
    for (what, loads) in [("show", shown), ("merged list", listed)] {
        for load in &loads[1..] {
            bench.report.ratio(
                format!("{}: CPU of a {what}, of that without TLS", load.row.name),
                (&load.row, &loads[0].row),
                None,
            );
        }
    }
    for load in &listed[1..] {
        let row = &load.row;
        let bytes = row.samples.bytes as f64 / row.samples.served().max(1) as f64;
        let added = cost(load) - cost(&listed[0]);
        bench.report.figure(
            format!(
                "{}: of a list, for each second of CPU that it adds",
                row.name
            ),
            megabytes(bytes as u64) / added.max(1e-9),
            "MB",
            None,
        );
    }
    let added = |load: &Load| (cost(load) - cost(&begun[0])) * 1e6;
    for load in &begun[1..] {
        bench.report.figure(
            format!("{}: CPU beside the request", load.row.name),
            added(load),
            "us",
            None,
        );
    }
    if let [_, whole, resumed, whole_there, resumed_there] = begun {
        bench.report.ratio(
            "TLS: CPU of a connection and a show, of HAProxy's",
            (&whole.row, &whole_there.row),
            None,
        );
        bench.report.ratio(
            "TLS, session resumed: the same",
            (&resumed.row, &resumed_there.row),
            None,
        );
    }
}
