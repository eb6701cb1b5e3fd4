//! Showing one node whose location is known, beside nginx, `HAProxy` and a bare Pingora.

use std::hint::black_box;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;

use ironic_proxy::api::route::TABLE;
use ironic_proxy::auth::access::Gate;
use ironic_proxy::auth::access::Passage;
use ironic_proxy::auth::identity::Identity;
use ironic_proxy::config::PolicyConfig;
use ironic_proxy::config::PolicyFiles;
use ironic_proxy::config::ProjectScoped;
use ironic_proxy::keystone::message::Validated;
use ironic_proxy::locations::traffic::Outcome;
use ironic_proxy::locations::traffic::Traffic;
use ironic_proxy::metrics::Metrics;
use ironic_proxy::metrics::template::Template;
use ironic_proxy::policy::in_force::Policy;

use crate::bench::Bench;
use crate::bench::OPEN_CONNECTIONS;
use crate::bench::addresses;
use crate::bench::shows;
use crate::drive;
use crate::process::Process;
use crate::report::Row;
use crate::wire::Target;

const ROUNDS: usize = 5;

pub(crate) fn measure(bench: &mut Bench) -> io::Result<()> {
    let locations = bench.locations(bench.options.locations, bench.nature(bench.options.nodes))?;
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
    let connections = bench.options.connections;
    for (name, process) in &rows {
        bench.progress(&format!("show one node, warming up: {name}"));
        bench.closed(&target(process), connections, bench.lasting(1.0), &requests);
    }
    // In turns, so that whatever else the machine does meets all alike.
    let mut closed: Vec<Row> = Vec::new();
    let mut open: Vec<Row> = Vec::new();
    for round in 0..ROUNDS {
        for (index, (name, process)) in rows.iter().enumerate() {
            bench.progress(&format!(
                "show one node, closed loop, round {}: {name}",
                round + 1
            ));
            let served = Row::measured(name, process.as_ref(), || {
                bench.closed(&target(process), connections, bench.lasting(1.6), &requests)
            });
            add(&mut closed, index, served);
        }
    }
    let slowest = closed
        .iter()
        .map(|row| row.samples.throughput())
        .fold(f64::INFINITY, f64::min);
    let rate = bench.options.rate.unwrap_or(slowest / 2.0);
    for round in 0..ROUNDS {
        for (index, (name, process)) in rows.iter().enumerate() {
            bench.progress(&format!(
                "show one node, {rate:.0} a second, round {}: {name}",
                round + 1
            ));
            let served = Row::measured(name, process.as_ref(), || {
                bench.driver.block_on(drive::open(
                    &target(process),
                    OPEN_CONNECTIONS,
                    rate,
                    bench.lasting(1.6),
                    &requests,
                ))
            });
            add(&mut open, index, served);
        }
    }
    bench.report.load(
        &format!("Show one cached node of 3 KB, closed loop, {connections} connections"),
        &closed,
    );
    bench.report.load(
        &format!("The same, open loop: {rate:.0} requests a second"),
        &open,
    );
    bench.report.distribution(
        "latency.svg",
        "Latency of showing one node, open loop at half load",
        &open,
    );
    let [.., bare, gateway] = &closed[..] else {
        return Ok(());
    };
    bench.report.ratio(
        "Show: CPU per request, of the bare Pingora's",
        (gateway, bare),
        1.0,
    );
    if let Some(gateway) = gateway.cost() {
        bench.report.figure(
            "Show: what counting it for /metrics adds to the CPU per request",
            counting().as_secs_f64() / gateway * 100.0,
            "%",
            1.0,
        );
        for (method, template) in [
            ("GET", "nodes/{}"),
            ("GET", "nodes"),
            ("DELETE", "nodes/{}"),
        ] {
            bench.report.figure(
                format!("Show: what judging an administrator adds to that, {method} {template}"),
                judging(method, template).as_secs_f64() / gateway * 100.0,
                "%",
                2.0,
            );
        }
    }
    let [.., bare, gateway] = &open[..] else {
        return Ok(());
    };
    bench
        .report
        .ratio("Show: the same at half load", (gateway, bare), None);
    let added = gateway.samples.percentile(0.99).as_secs_f64()
        - bare.samples.percentile(0.99).as_secs_f64();
    bench.report.figure(
        "Show: p99 at half load, added to the bare Pingora's",
        added * 1e3,
        "ms",
        0.3,
    );
    Ok(())
}

/// What it takes to count one request and its question, as the gateway does.
fn counting() -> Duration {
    const TIMES: u32 = 1_000_000;
    let (metrics, traffic) = (Metrics::new(), Traffic::default());
    let method = http::Method::GET;
    let begun = Instant::now();
    for _ in 0..TIMES {
        let now = Instant::now();
        let template = black_box(Template::HEALTHCHECK);
        traffic.asked(black_box(Outcome::Has), begun.elapsed());
        metrics
            .requests
            .count(template, &method, black_box(200), now - begun);
    }
    begun.elapsed() / TIMES
}

/// What it costs to judge an administrator of the system by the rules in force: without a policy this is saved.
fn judging(method: &str, template: &str) -> Duration {
    const TIMES: u32 = 200_000;
    let config = PolicyConfig {
        files: PolicyFiles::default(),
        project_scoped_access: ProjectScoped::Policy,
        elevated_project: None,
        own_nodes: true,
        tell_location: true,
    };
    let policy = Policy::load(&config).expect("the rules of Ironic are rules");
    let gate = Gate::new(&config, Arc::new(policy));
    let roles = ["admin", "manager", "member", "reader"];
    let admin = Identity::Keystone(Arc::new(Validated {
        user_id: "user".to_owned(),
        user_name: "admin".to_owned(),
        user_domain_id: Some("default".to_owned()),
        project: None,
        domain_id: None,
        system: true,
        is_admin_project: true,
        roles: roles.map(str::to_owned).to_vec(),
        expires_at: SystemTime::UNIX_EPOCH,
    }));
    let row = TABLE
        .iter()
        .find(|row| row.method == method && row.template == template)
        .expect("a route of the table");
    let begun = Instant::now();
    for _ in 0..TIMES {
        let passage = gate.check(black_box(&admin), Some(black_box(row)));
        assert!(matches!(passage, Ok(Passage::Whole)), "{method} {template}");
    }
    begun.elapsed() / TIMES
}

/// Another round of the row at `index`, or its first.
fn add(rows: &mut Vec<Row>, index: usize, row: Row) {
    match rows.get_mut(index) {
        Some(known) => known.join(row),
        None => rows.push(row),
    }
}
