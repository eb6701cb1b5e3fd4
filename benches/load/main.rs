//! Load on the gateway, and on what it is to be compared with: `cargo bench --bench load`.
//!
//! `cargo bench --bench load -- --quick` takes a minute. `-- --url http://gateway:6385 --header 'X-Auth-Token: …'` puts
//! load on a gateway of your own, with requests that change nothing unless `--writes` says otherwise.
//!
//! Everything runs on this machine, the simulated locations and the client included. So latencies are those of a
//! machine that is busy; the processor time of the measured process alone is what can be compared.

#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts become ratios here; what an f64 cannot hold does not occur"
)]
#![allow(
    clippy::expect_used,
    clippy::too_many_lines,
    clippy::unchecked_time_subtraction,
    reason = "what fails here is a failed run; a table of options is long"
)]

mod bars;
mod bench;
mod cold_look_up;
mod connections;
mod drive;
mod fleet;
mod growth;
mod keystone;
mod link;
mod machine;
mod merged_list;
#[path = "../corpus/nodes.rs"]
#[expect(dead_code, reason = "lists are put together here, of any size")]
mod nodes;
mod operators;
mod pass_through;
mod plot;
mod process;
mod report;
mod secured;
mod show;
mod simulated;
mod start;
mod tls;
mod wan;
mod wire;

use std::io;
use std::process::ExitCode;

use clap::Parser;

use crate::bench::Bench;
use crate::bench::Options;
use crate::bench::Part;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let options = Options::parse();
    let done = match options.pass_through {
        Some(to) => pass_through::serve(to),
        None => Bench::new(options).and_then(run),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut bench: Bench) -> io::Result<()> {
    if let Some(url) = bench.options.url.clone() {
        operators::measure(&mut bench, &url)?;
        return bench.finish();
    }
    if !bench.options.fleet.is_empty() {
        fleet::measure(&mut bench)?;
        return bench.finish();
    }
    if let Some(millis) = bench.options.wan {
        wan::measure(&mut bench, millis)?;
        return bench.finish();
    }
    for part in [
        Part::Start,
        Part::Show,
        Part::List,
        Part::Cold,
        Part::Connections,
        Part::Tls,
        Part::Growth,
    ] {
        if !bench.options.only.is_empty() && !bench.options.only.contains(&part) {
            continue;
        }
        match part {
            Part::Start => start::measure(&mut bench)?,
            Part::Show => show::measure(&mut bench)?,
            Part::List => merged_list::measure(&mut bench)?,
            Part::Cold => cold_look_up::measure(&mut bench)?,
            Part::Connections => connections::measure(&mut bench)?,
            Part::Tls => tls::measure(&mut bench)?,
            Part::Growth => growth::measure(&mut bench)?,
        }
    }
    bench.finish()
}
