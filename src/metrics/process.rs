//! What the kernel knows of this process, under the names that every Prometheus client library gives it.

use std::fs;
use std::sync::LazyLock;
use std::time::Duration;

use rustix::param::clock_ticks_per_second;
use rustix::param::page_size;
use rustix::process::Resource;
use rustix::process::getrlimit;
use rustix::time::ClockId;
use rustix::time::clock_gettime;

/// Read from `/proc`; what cannot be read is not told.
#[derive(Debug, Default)]
pub struct Usage {
    pub cpu_seconds: Option<f64>,
    pub threads: Option<u64>,
    /// Seconds since 1970.
    pub started: Option<f64>,
    pub virtual_bytes: Option<u64>,
    pub resident_bytes: Option<u64>,
    pub open_files: Option<u64>,
    pub max_files: Option<u64>,
}

#[expect(
    clippy::cast_precision_loss,
    reason = "ticks and seconds of a process fit into the 53 bits of a double"
)]
fn seconds(ticks: u64) -> f64 {
    ticks as f64 / clock_ticks_per_second() as f64
}

/// When the machine was started, in seconds since 1970. `btime` of `/proc/stat` is not there under `ProcSubset=pid`, which
/// operators' units may have. Taken once: a clock that is set makes no other process of this one.
static BOOTED: LazyLock<f64> = LazyLock::new(|| {
    let seconds = |clock| {
        let now = Duration::try_from(clock_gettime(clock));
        now.unwrap_or_default().as_secs_f64()
    };
    seconds(ClockId::Realtime) - seconds(ClockId::Boottime)
});

impl Usage {
    pub fn now() -> Self {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let fields = Fields::of(&stat);
        let files = fs::read_dir("/proc/self/fd").ok().map(Iterator::count);
        Self {
            cpu_seconds: fields
                .number(14)
                .zip(fields.number(15))
                .map(|(user, system)| seconds(user + system)),
            threads: fields.number(20),
            started: fields.number(22).map(|ticks| *BOOTED + seconds(ticks)),
            virtual_bytes: fields.number(23),
            resident_bytes: fields.number(24).map(|pages| pages * page_size() as u64),
            // The directory that is being read is one of them.
            open_files: files.map(|files| files.saturating_sub(1) as u64),
            max_files: getrlimit(Resource::Nofile).current,
        }
    }
}

/// `proc_pid_stat(5)`.
struct Fields<'a>(Vec<&'a str>);

impl<'a> Fields<'a> {
    /// From the third on: the second is the program's name in brackets, which may hold blanks and brackets.
    fn of(stat: &'a str) -> Self {
        let behind = stat.rsplit_once(')').map_or("", |(_, behind)| behind);
        Self(behind.split_whitespace().collect())
    }

    /// By the number of the manual.
    fn number(&self, field: usize) -> Option<u64> {
        self.0.get(field.checked_sub(3)?)?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn the_name_of_a_program_may_hold_anything() {
        let fields = Fields::of("42 (a) b) c) S 1 42 42 0");
        assert_eq!(fields.number(4), Some(1));
        assert_eq!(fields.number(3), None);
        assert_eq!(fields.number(1), None);
    }

    #[test]
    fn this_process_is_known() {
        let usage = Usage::now();
        assert!(usage.cpu_seconds.is_some_and(|cpu| cpu >= 0.0));
        assert!(usage.threads.is_some_and(|threads| threads > 0));
        assert!(usage.resident_bytes < usage.virtual_bytes);
        assert!(usage.open_files <= usage.max_files);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        assert!((1e9..=now.as_secs_f64() + 1.0).contains(&usage.started.unwrap()));
    }
}
