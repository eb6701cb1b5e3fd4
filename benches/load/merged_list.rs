//! Lists of details of several locations, merged, beside one location's own.

use std::io;
use std::net::SocketAddr;

use crate::bench::Bench;
use crate::bench::addresses;
use crate::bench::get;
use crate::keystone;
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
        samples,
        ..Row::of("1 list, no proxy")
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
            .figure("Merged list: CPU per request", cost * 1e3, "ms", 8.0);
    }
    bench.report.figure(
        "Merged list: peak memory over idle, of the page",
        used as f64 / page as f64,
        "x",
        2.5,
    );
    drop(gateway);
    of_a_project(bench, &addresses(&locations), all)
}

/// What a project is shown is found and masked item by item; an administrator's list of the same nodes is not.
fn of_a_project(bench: &mut Bench, locations: &[SocketAddr], all: usize) -> io::Result<()> {
    bench.progress("merged list of details: a project's beside an administrator's");
    let keystone = keystone::start(bench.world.handle())?;
    let gateway = Process::gateway_with(keystone, locations, all)?;
    let lasting = bench.lasting(1.5);
    let path = format!("/v1/nodes/detail?limit={all}");
    let [admin, member] = [keystone::ADMIN, keystone::MEMBER]
        .map(|token| get(&Target::plain(gateway.address).with_token(token), &path));
    // In turns, since other programs come and go; the first round teaches the directory.
    let mut ratios = Vec::new();
    for _ in 0..6 {
        let [admin, member] =
            [&admin, &member].map(|list| bench.measure("", &gateway, 1, lasting, list).cost());
        ratios.extend(admin.zip(member).map(|(admin, member)| member / admin));
    }
    if ratios.len() < 6 {
        return Err(io::Error::other("a list with a token was not served"));
    }
    ratios.remove(0);
    ratios.sort_by(f64::total_cmp);
    bench.report.figure(
        "Merged list: CPU per request, a project's against an administrator's",
        ratios[ratios.len() / 2],
        "x",
        1.2,
    );
    Ok(())
}
