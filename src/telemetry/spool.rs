//! Log lines on their way out. One thread writes them, so that no request waits for the reader: if nobody reads a pipe
//! or a disk is full, lines are lost and counted, and requests go on. Under load many lines leave in one system call; a
//! single line leaves at once.

use std::fmt;
use std::io;
use std::io::Write;
use std::mem;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use log::warn;
use once_cell::sync::OnceCell;

/// A line waits no longer than this, if somebody takes it.
const DELAY: Duration = Duration::from_millis(20);
/// Bytes that may wait. What comes beyond them is lost.
const HELD: usize = 4 << 20;
/// How long the end of the process waits for its last lines.
const LAST: Duration = Duration::from_secs(1);

/// Where lines are put.
#[derive(Clone)]
pub struct Spool(Arc<Shared>);

impl fmt::Debug for Spool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Spool")
    }
}

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    /// Lines wait, or have left. The writer and `finish` both wait for it, so that each change is told to all.
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    lines: Vec<u8>,
    /// Some are being written.
    leaving: bool,
    /// Lost since the last warning about it.
    lost: u64,
    /// Lost since the start.
    lost_in_all: u64,
    /// Where lines go from now on, if not where they went.
    sink: Option<Sink>,
}

type Sink = Box<dyn Write + Send>;

impl Waiting {
    fn lose(&mut self, lines: &[u8]) {
        // The text after the last line feed is empty and no line.
        let lost = lines.split(|byte| *byte == b'\n').count() as u64 - 1;
        self.lost += lost;
        self.lost_in_all += lost;
    }
}

static SPOOL: OnceCell<Spool> = OnceCell::new();
/// That of `[audit] log_file`.
static AUDIT: OnceCell<Spool> = OnceCell::new();

/// Records of `[audit]` go there from now on.
pub fn audit_into(sink: Sink) {
    // Whoever opens the spool takes the sink; if it is open already, the sink is left for it.
    let mut sink = Some(sink);
    let spool = AUDIT.get_or_init(|| open(sink.take().unwrap_or_else(|| Box::new(io::sink()))));
    if let Some(sink) = sink {
        spool.pour_into(sink);
    }
}

/// Where they are put, once there is a file for them.
pub fn audit() -> Option<&'static Spool> {
    AUDIT.get()
}

/// Begins to write to `sink`.
fn open(sink: Sink) -> Spool {
    let spool = Spool(Arc::default());
    let writer = spool.clone();
    thread::spawn(move || writer.run(sink));
    spool
}

/// Begins to write the log.
pub fn start(sink: Sink) -> Spool {
    let spool = open(sink);
    // A second logger in one process is a test's own doing.
    let _ = SPOOL.set(spool.clone());
    spool
}

/// The one of this process, once it is started.
pub fn current() -> Option<&'static Spool> {
    SPOOL.get()
}

/// Waits for what waits to be written: the process is about to end.
pub fn finish() {
    for spool in [&SPOOL, &AUDIT].into_iter().filter_map(OnceCell::get) {
        spool.finish(LAST);
    }
}

/// Lines that nobody took since the start.
pub fn lost() -> u64 {
    let spools = [&SPOOL, &AUDIT].into_iter().filter_map(OnceCell::get);
    spools.map(|spool| spool.waiting().lost_in_all).sum()
}

impl Spool {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Lines that have not left yet go there. What was written to before is closed.
    pub fn pour_into(&self, sink: Sink) {
        self.waiting().sink = Some(sink);
        self.0.changed.notify_all();
    }

    fn run(&self, mut sink: Sink) {
        loop {
            let begun = Instant::now();
            let (lines, other) = self.next();
            if let Some(other) = other {
                sink = other;
            }
            // The log may be a pipe that nobody reads: no lock is held here.
            let written = sink.write_all(&lines).and_then(|()| sink.flush());
            let lost = {
                let mut waiting = self.waiting();
                waiting.leaving = false;
                self.0.changed.notify_all();
                if written.is_ok() {
                    mem::take(&mut waiting.lost)
                } else {
                    waiting.lose(&lines);
                    0
                }
            };
            if lost > 0 {
                warn!(
                    "{lost} lines of the log were lost: nobody read it, or there was no room for it"
                );
            }
            // Whatever comes meanwhile leaves together: under load one write for some hundred lines. The wait for the
            // first line counts, so that after a quiet time there is no pause.
            thread::sleep(DELAY.saturating_sub(begun.elapsed()));
        }
    }

    /// What waits, once something does, and where it goes, if that is new.
    fn next(&self) -> (Vec<u8>, Option<Sink>) {
        let waiting = self.waiting();
        let mut waiting = self
            .0
            .changed
            .wait_while(waiting, |waiting| {
                waiting.lines.is_empty() && waiting.sink.is_none()
            })
            .unwrap_or_else(PoisonError::into_inner);
        waiting.leaving = true;
        (mem::take(&mut waiting.lines), waiting.sink.take())
    }

    fn finish(&self, patience: Duration) {
        let waiting = self.waiting();
        let left = |waiting: &mut Waiting| waiting.leaving || !waiting.lines.is_empty();
        drop(self.0.changed.wait_timeout_while(waiting, patience, left));
    }
}

impl Write for Spool {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut waiting = self.waiting();
        if waiting.lines.len() + line.len() > HELD {
            waiting.lose(line);
        } else {
            let first = waiting.lines.is_empty();
            waiting.lines.extend_from_slice(line);
            // Later lines find the writer awake, or on its way to them.
            drop(waiting);
            if first {
                self.0.changed.notify_all();
            }
        }
        Ok(line.len())
    }

    /// Nothing: the thread flushes, and whoever waited for that would wait for the log's reader.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<Vec<u8>>>>);

    impl Write for Kept {
        fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().push(lines.to_vec());
            Ok(lines.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn many_lines_leave_together_and_none_is_lost() {
        let sink = Kept::default();
        let mut spool = start(Box::new(sink.clone()));
        let mut wanted = Vec::new();
        for n in 0..1000 {
            let line = format!("{n}\n").into_bytes();
            spool.write_all(&line).unwrap();
            wanted.extend_from_slice(&line);
        }
        let deadline = Instant::now() + Duration::from_secs(10);
        while sink.0.lock().unwrap().concat().len() < wanted.len() && Instant::now() < deadline {
            thread::yield_now();
        }
        let writes = sink.0.lock().unwrap();
        assert_eq!(writes.concat(), wanted);
        assert!(writes.len() < 500, "{} system calls", writes.len());
    }

    /// Takes nothing until it is told to.
    struct Stuck(std::sync::mpsc::Receiver<()>, Kept);

    impl Write for Stuck {
        fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            self.1.write(lines)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_log_that_nobody_reads_costs_lines_and_no_time() {
        let (open, stuck) = std::sync::mpsc::channel();
        let sink = Kept::default();
        let mut spool = start(Box::new(Stuck(stuck, sink.clone())));
        let line = [&[b'x'; 1023][..], b"\n"].concat();
        let begun = Instant::now();
        for _ in 0..20_000 {
            spool.write_all(&line).unwrap();
        }
        assert!(begun.elapsed() < Duration::from_secs(5));
        let lost = spool.waiting().lost;
        assert!((10_000..20_000).contains(&lost), "{lost}");
        spool.finish(Duration::from_millis(10));
        drop(open);
        spool.finish(Duration::from_secs(10));
        let written = sink.0.lock().unwrap().concat().len() / line.len();
        assert_eq!(written as u64 + lost, 20_000, "all others are there");
        assert_eq!(spool.waiting().lost, 0, "that was told");
    }

    #[test]
    fn lines_go_to_another_place_from_now_on() {
        let (first, second) = (Kept::default(), Kept::default());
        let mut spool = start(Box::new(first.clone()));
        spool.write_all(b"one\n").unwrap();
        spool.finish(Duration::from_secs(10));
        spool.pour_into(Box::new(second.clone()));
        spool.write_all(b"two\n").unwrap();
        spool.finish(Duration::from_secs(10));
        let written = |sink: &Kept| sink.0.lock().unwrap().concat();
        assert_eq!(
            (written(&first), written(&second)),
            (b"one\n".to_vec(), b"two\n".to_vec())
        );
    }

    struct Full;

    impl Write for Full {
        fn write(&mut self, _lines: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_find_no_room_are_counted() {
        let mut spool = start(Box::new(Full));
        spool.write_all(b"one\ntwo\n").unwrap();
        spool.finish(Duration::from_secs(10));
        let deadline = Instant::now() + Duration::from_secs(10);
        while spool.waiting().lost < 2 && Instant::now() < deadline {
            thread::yield_now();
        }
        assert_eq!(spool.waiting().lost_in_all, 2);
    }
}
