//! How long a start takes, what an idle gateway holds, and how quickly a large configuration is read.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::process::Command;
use std::time::Duration;
use std::time::Instant;

use tempfile::TempDir;

use crate::bench::Bench;
use crate::bench::addresses;
use crate::process::GATEWAY;
use crate::process::Memory;
use crate::process::Process;
use crate::report::megabytes;

pub(crate) fn measure(bench: &mut Bench) -> io::Result<()> {
    bench.progress("start-up and idle memory, three locations");
    let locations = bench.locations(3, bench.nature(10))?;
    let mut ready = Vec::new();
    let mut idle = 0;
    for _ in 0..5 {
        let gateway = Process::gateway(&addresses(&locations), 1000)?;
        ready.push(gateway.ready);
        idle = idle.max(gateway.memory(Memory::Now));
    }
    ready.sort_unstable();
    bench.report.figure(
        "Start to ready, median of 5",
        ready[2].as_secs_f64(),
        "s",
        1.0,
    );
    bench
        .report
        .figure("Idle memory with 3 locations", megabytes(idle), "MB", 20.0);
    let size = fs::metadata(GATEWAY)?.len();
    bench
        .report
        .figure("Size of the binary", megabytes(size), "MB", None);
    bench.progress("reading the configuration of 5000 locations");
    let read = reading(5000)?;
    bench.report.figure(
        "Reading 5000 sections, median of 5",
        read.as_secs_f64(),
        "s",
        0.5,
    );
    Ok(())
}

/// How long `--check-config` takes from its start to its end, median of five.
fn reading(sections: usize) -> io::Result<Duration> {
    let directory = TempDir::new()?;
    let groups: Vec<String> = (0..sections).map(|n| format!("g{n}:l{n}")).collect();
    let mut text = format!(
        "[DEFAULT]\ngroups = {}\n[api]\nauth_strategy = noauth\n",
        groups.join(",")
    );
    for n in 0..sections {
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "[group:l{n}]\nauth_type = http_basic\nusername = u\npassword = p\nendpoint_override = http://h{n}:1\n"
        );
    }
    let path = directory.path().join("ironic-proxy.conf");
    fs::write(&path, text)?;
    let mut taken = Vec::new();
    for _ in 0..5 {
        let started = Instant::now();
        let mut command = Command::new(GATEWAY);
        command.args(["--check-config", "--config-file"]).arg(&path);
        let checked = command.output()?;
        taken.push(started.elapsed());
        if !checked.status.success() {
            let said = String::from_utf8_lossy(&checked.stderr);
            return Err(io::Error::other(format!("--check-config: {said}")));
        }
    }
    taken.sort_unstable();
    Ok(taken[2])
}
