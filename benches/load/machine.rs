//! What of the machine others had while we measured.

use std::fs;

/// Processor time so far, in ticks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Machine {
    /// Of all processors, idle or not.
    all: u64,
    /// When they worked, for whomever; what a hypervisor took for its other guests too.
    busy: u64,
    /// Of this process and its children that have ended.
    ours: u64,
}

impl Machine {
    /// `None` where there is no `/proc`.
    pub(crate) fn now() -> Option<Self> {
        let stat = fs::read_to_string("/proc/stat").ok()?;
        // user, nice, system, idle, iowait, irq, softirq, steal (proc_stat(5)).
        let ticks: Vec<u64> = numbers(stat.lines().next()?, 1, 8).collect();
        let own = fs::read_to_string("/proc/self/stat").ok()?;
        let (_, own) = own.rsplit_once(')')?;
        let all = ticks.iter().sum();
        Some(Self {
            all,
            busy: all - ticks.get(3)? - ticks.get(4)?,
            // utime, stime, cutime, cstime: the 14th to 17th, the 12th to 15th after the name (proc_pid_stat(5)).
            ours: numbers(own, 11, 4).sum(),
        })
    }

    /// The share that others had since then.
    pub(crate) fn others(self, before: Self) -> f64 {
        let busy = (self.busy - before.busy).saturating_sub(self.ours - before.ours);
        busy as f64 / (self.all - before.all).max(1) as f64
    }
}

fn numbers(line: &str, from: usize, count: usize) -> impl Iterator<Item = u64> {
    let words = line.split_ascii_whitespace().skip(from).take(count);
    words.filter_map(|word| word.parse().ok())
}
