//! How cost grows with nodes, locations and connections.

use std::io;
use std::sync::Arc;

use crate::bench::Bench;
use crate::bench::addresses;
use crate::bench::get;
use crate::bench::shows;
use crate::plot::Line;
use crate::process::Memory;
use crate::process::Process;
use crate::report::megabytes;
use crate::simulated::Location;
use crate::wire::Target;

pub(crate) fn measure(bench: &mut Bench) -> io::Result<()> {
    in_nodes(bench)?;
    in_locations(bench)?;
    in_concurrency(bench)
}

fn in_nodes(bench: &mut Bench) -> io::Result<()> {
    let mut line = Line {
        name: "merged list of details, 3 locations".to_owned(),
        points: Vec::new(),
    };
    for nodes in [30, 100, 300, 1000, 3000] {
        if bench.options.quick && nodes == 3000 {
            break;
        }
        bench.progress(&format!("growth: 3 x {nodes} nodes"));
        let locations = bench.locations(3, bench.nature(nodes))?;
        line.points
            .push((f64::from(3 * nodes), list_cost(bench, &locations)? * 1e3));
    }
    bench
        .report
        .growth("nodes", "CPU milliseconds a list", &[line]);
    Ok(())
}

fn in_locations(bench: &mut Bench) -> io::Result<()> {
    let mut list = Line {
        name: "merged list of details, 30 nodes each".to_owned(),
        points: Vec::new(),
    };
    let mut show = Line {
        name: "show of one cached node".to_owned(),
        points: Vec::new(),
    };
    for count in [1, 3, 10, 30, 100] {
        bench.progress(&format!("growth: {count} locations"));
        let locations = bench.locations(count, bench.nature(30))?;
        list.points
            .push((f64::from(count), list_cost(bench, &locations)? * 1e3));
        let gateway = Process::gateway(&addresses(&locations), 1000)?;
        let requests = shows(&Target::plain(gateway.address), locations[0].uuids());
        let connections = bench.options.connections;
        bench.measure("", &gateway, connections, bench.lasting(0.4), &requests);
        let row = bench.measure("", &gateway, connections, bench.lasting(1.2), &requests);
        show.points
            .push((f64::from(count), row.cost().unwrap_or_default() * 1e3));
    }
    bench
        .report
        .growth("locations", "CPU milliseconds a request", &[list, show]);
    Ok(())
}

/// CPU seconds of listing all nodes on one page.
fn list_cost(bench: &Bench, locations: &[Arc<Location>]) -> io::Result<f64> {
    let all: usize = locations
        .iter()
        .map(|location| location.uuids().len())
        .sum();
    let gateway = Process::gateway(&addresses(locations), all)?;
    let list = get(
        &Target::plain(gateway.address),
        &format!("/v1/nodes/detail?limit={all}"),
    );
    bench.measure("", &gateway, 1, bench.lasting(0.4), &list);
    let row = bench.measure("", &gateway, 1, bench.lasting(1.6), &list);
    row.cost()
        .ok_or_else(|| io::Error::other("no list was answered"))
}

fn in_concurrency(bench: &mut Bench) -> io::Result<()> {
    let locations = bench.locations(3, bench.nature(1000))?;
    let gateway = Process::gateway(&addresses(&locations), 1000)?;
    let requests = shows(&Target::plain(gateway.address), locations[0].uuids());
    bench.measure(
        "",
        &gateway,
        bench.options.connections,
        bench.lasting(1.0),
        &requests,
    );
    let names = ["CPU a request", "latency, median", "memory, MB"];
    let mut lines = names.map(|name| Line {
        name: name.to_owned(),
        points: Vec::new(),
    });
    for connections in [1_u32, 4, 16, 64, 256, 512] {
        bench.progress(&format!("growth: {connections} connections"));
        let row = bench.measure(
            "",
            &gateway,
            connections as usize,
            bench.lasting(2.0),
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
    bench
        .report
        .growth("concurrency", "milliseconds, or MB", &lines);
    Ok(())
}
