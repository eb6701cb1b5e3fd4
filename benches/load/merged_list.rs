//! Lists of details of several locations, merged, beside one location's own.

use std::io;

use crate::bench::Bench;
use crate::bench::addresses;
use crate::bench::get;
use crate::process::Memory;
use crate::process::Process;
use crate::report::Row;
use crate::report::megabytes;
use crate::wire::Target;

pub(crate) fn measure(bench: &mut Bench) -> io::Result<()> {
    let locations = bench.locations(bench.options.locations, bench.nature(bench.options.nodes))?;
    let to = locations[0].address;
    let count = locations.len();
    let all = count * bench.options.nodes as usize;
    let page: usize = locations.iter().map(|location| location.size()).sum();
    let one = get(
        &Target::plain(to),
        &format!("/v1/nodes/detail?limit={}", bench.options.nodes),
    );
    let mut rows = Vec::new();
    let (lasting, short) = (bench.lasting(6.0), bench.lasting(1.5));
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
    bench.progress("one location's list of details: no proxy");
    let samples = bench.closed(&Target::plain(to), 1, short, &one);
    rows.push(Row {
        name: "1 list, no proxy".to_owned(),
        samples,
        cpu: None,
        peak: None,
    });
    for (name, process) in &others {
        bench.progress(&format!("one location's list of details: {name}"));
        bench.measure(name, process, 1, short, &one);
        rows.push(bench.measure(&format!("1 list, {name}"), process, 1, short, &one));
    }
    drop(others);
    bench.progress("merged list of details: gateway");
    let gateway = Process::gateway(&addresses(&locations), all)?;
    let idle = gateway.memory(Memory::Now);
    let merged = get(&Target::plain(to), &format!("/v1/nodes/detail?limit={all}"));
    // The first pages teach the directory.
    bench.measure("", &gateway, 1, short, &merged);
    let row = bench.measure(
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
    bench.report.load(
        &format!(
            "List of details of {count} x {} nodes, {:.1} MB, one at a time",
            bench.options.nodes,
            megabytes(page as u64)
        ),
        &rows,
    );
    if let Some(cost) = cost {
        bench
            .report
            .figure("Merged list: CPU per request", cost * 1e3, "ms", 25.0);
    }
    bench.report.figure(
        "Merged list: peak memory over idle, of the page",
        used as f64 / page as f64,
        "x",
        2.5,
    );
    Ok(())
}
