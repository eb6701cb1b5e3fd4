//! Tells the service manager that all loops turn, and how the gateway is.

use std::sync::Arc;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use crate::admin::summary::summary;
use crate::current::Follow;
use crate::lifecycle::Lifecycle;
use crate::lifecycle::Stage;
use crate::systemd;

/// Between two looks, unless the watchdog wants more.
const PAUSE: Duration = Duration::from_secs(5);

pub(super) struct Heartbeat {
    pub(super) lifecycle: Arc<Lifecycle>,
    pub(super) follow: Follow,
}

impl Heartbeat {
    /// Until another process speaks for the service. On a thread of its own: a reload reads files and asks for names, which
    /// takes as long as it takes, and a watchdog would end a process that serves meanwhile.
    pub(super) fn begin(self) {
        thread::spawn(move || self.tell());
    }

    fn tell(self) {
        let watchdog = systemd::watchdog();
        // systemd ends a service that was silent for the whole time, and recommends half of it
        // (sd_watchdog_enabled(3)); with a third, two messages may be lost.
        let pause = watchdog.map_or(PAUSE, |limit| (limit / 3).min(PAUSE));
        let mut said = String::new();
        loop {
            let line = match self.lifecycle.stage() {
                Stage::Replaced => return,
                Stage::Leaving | Stage::Draining => "draining".to_owned(),
                Stage::Starting | Stage::Serving => summary(&self.follow.borrow().federation),
            };
            if line != said {
                systemd::status(&line);
                said = line;
            }
            match self.lifecycle.stuck(Instant::now()) {
                None if watchdog.is_some() => systemd::alive(),
                None => {}
                // And no sign of life, so that a watchdog ends this process.
                Some(name) => log::error!("The background task {name} is stuck"),
            }
            thread::sleep(pause);
        }
    }
}
