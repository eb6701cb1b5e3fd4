//! systemd's journal, as far as standard error leads there.

use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt as _;

use log::Level;

/// Whether whoever reads standard error is the journal: `JOURNAL_STREAM` names its device and inode (systemd.exec(5)), and
/// is inherited by processes whose standard error is another one.
pub(super) fn is_standard_error() -> bool {
    let Ok(stream) = env::var("JOURNAL_STREAM") else {
        return false;
    };
    fs::metadata("/proc/self/fd/2")
        .is_ok_and(|here| stream == format!("{}:{}", here.dev(), here.ino()))
}

/// syslog(3)'s number.
pub(super) fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}
