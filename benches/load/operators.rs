//! Load on a gateway of your own.

use std::io;
use std::time::Instant;

use url::Url;

use crate::bench::Bench;
use crate::bench::OPEN_CONNECTIONS;
use crate::bench::get;
use crate::bench::shows;
use crate::drive;
use crate::report::Row;
use crate::wire::Target;
use crate::wire::Wire;

/// Load on a gateway that is not ours: nothing is known of it but its address.
pub(crate) fn measure(bench: &mut Bench, url: &Url) -> io::Result<()> {
    let target = bench
        .driver
        .block_on(Target::of(url, &bench.options.headers))?;
    let mut wire = Wire::new(&target);
    let mut body = Vec::new();
    let list = target.get("/v1/nodes?fields=uuid&limit=1000");
    let outcome = bench
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
    bench.progress(&format!("{} nodes found", uuids.len()));
    let connections = bench.options.connections;
    let row = |name: &str, samples| Row {
        samples,
        ..Row::of(name)
    };
    let requests = shows(&target, &uuids);
    bench.progress("show one node, closed loop");
    let closed = bench.closed(&target, connections, bench.lasting(10.0), &requests);
    let rate = bench
        .options
        .rate
        .unwrap_or(closed.throughput() / 2.0)
        .max(1.0);
    bench.progress(&format!("show one node, {rate:.0} a second"));
    let open = bench.driver.block_on(drive::open(
        &target,
        OPEN_CONNECTIONS,
        rate,
        bench.lasting(10.0),
        &requests,
    ));
    bench.progress("list of details");
    let pages = get(&target, "/v1/nodes/detail");
    let pages = bench.closed(&target, 1, bench.lasting(10.0), &pages);
    let mut rows = vec![
        row(&format!("show, {connections} connections"), closed),
        row(&format!("show, {rate:.0} a second"), open),
        row("list of details", pages),
    ];
    bench
        .report
        .distribution("latency.svg", &format!("Latency of {url}"), &rows[1..]);
    if let Some(driver) = bench.options.writes.clone() {
        bench.progress("create and delete nodes");
        rows.push(creates_and_deletes(bench, &target, &driver)?);
    }
    bench.report.load(url.as_str(), &rows);
    Ok(())
}

fn creates_and_deletes(bench: &Bench, target: &Target, driver: &str) -> io::Result<Row> {
    let mut row = Row::of("create or delete a node");
    let mut wire = Wire::new(target);
    let began = Instant::now();
    while began.elapsed() < bench.lasting(10.0) {
        let name = format!("ironic-proxy-load-{:016x}", fastrand::u64(..));
        let body = format!("{{\"name\": \"{name}\", \"driver\": \"{driver}\"}}");
        row.add(bench.once(&mut wire, &target.request("POST", "/v1/nodes", &body))?);
        row.add(bench.once(
            &mut wire,
            &target.request("DELETE", &format!("/v1/nodes/{name}"), ""),
        )?);
    }
    Ok(row)
}
