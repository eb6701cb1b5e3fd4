//! Lines on their way to the log. Under load many leave in one system call; a line that comes alone leaves at once.

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

use once_cell::sync::OnceCell;

/// A line waits no longer than this.
const DELAY: Duration = Duration::from_millis(20);
/// More than this is not held: whoever writes more waits.
const HELD: usize = 1 << 20;

/// Where lines are put.
#[derive(Clone)]
pub struct Spool(Arc<Shared>);

impl fmt::Debug for Spool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Spool")
    }
}

struct Shared {
    waiting: Mutex<Waiting>,
    /// Lines wait.
    some: Condvar,
    sink: Mutex<Box<dyn Write + Send>>,
}

struct Waiting {
    lines: Vec<u8>,
    /// When lines left last, if any did.
    left: Option<Instant>,
}

static SPOOL: OnceCell<Spool> = OnceCell::new();

/// Begins to write to `sink`.
pub fn start(sink: Box<dyn Write + Send>) -> Spool {
    let waiting = Waiting {
        lines: Vec::new(),
        left: None,
    };
    let shared = Shared {
        waiting: Mutex::new(waiting),
        some: Condvar::new(),
        sink: Mutex::new(sink),
    };
    let spool = Spool(Arc::new(shared));
    let writer = spool.clone();
    thread::spawn(move || writer.run());
    // A second logger in one process is a test's own doing.
    let _ = SPOOL.set(spool.clone());
    spool
}

/// Writes what waits: the process is about to end.
pub fn finish() {
    if let Some(spool) = SPOOL.get() {
        spool.release(spool.waiting());
    }
}

impl Spool {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes all that waits, in order.
    fn release(&self, mut waiting: MutexGuard<'_, Waiting>) {
        // Taken before the lines are let go of, so that nobody's later lines overtake them.
        let mut sink = self.0.sink.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = mem::take(&mut waiting.lines);
        waiting.left = Some(Instant::now());
        drop(waiting);
        // A log that cannot be written has nowhere to say so.
        let _ = sink.write_all(&lines).and_then(|()| sink.flush());
    }

    fn run(&self) {
        loop {
            let waiting = self
                .0
                .some
                .wait_while(self.waiting(), |waiting| waiting.lines.is_empty());
            drop(waiting);
            thread::sleep(DELAY);
            self.release(self.waiting());
        }
    }
}

impl Write for Spool {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut waiting = self.waiting();
        let first = waiting.lines.is_empty();
        waiting.lines.extend_from_slice(line);
        if waiting.lines.len() > HELD
            || (first && waiting.left.is_none_or(|left| left.elapsed() >= DELAY))
        {
            self.release(waiting);
        } else if first {
            self.0.some.notify_one();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<Vec<u8>>>>);

    impl Write for Sink {
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
        let sink = Sink::default();
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
}
