//! Where the process is in its life, for whoever asks from outside whether it can be used, and whether it turns at all.

use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use tokio::sync::watch;

/// From the first instruction to the last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// The locations are being asked for the first time.
    #[default]
    Starting,
    Serving,
    /// Neighbours are told to send no more; whoever comes is served (`[api] shutdown_delay`).
    Leaving,
    /// What is in flight is finished.
    Draining,
    /// The same, while another process serves in our place.
    Replaced,
}

impl Stage {
    /// Whether no new connection is taken.
    pub fn is_draining(self) -> bool {
        self >= Self::Draining
    }
}

/// A loop that has not come round for this long is stuck.
const STUCK: Duration = Duration::from_secs(30);
/// Between two rounds of a pulse.
const BEAT: Duration = Duration::from_secs(1);

/// When each loop came round last; `None`: it has ended, and cannot be stuck.
type Beats = Mutex<Vec<Option<(&'static str, Instant)>>>;

/// A loop's hold on its own beat.
struct Pulse<'a> {
    beats: &'a Beats,
    index: usize,
}

impl<'a> Pulse<'a> {
    fn new(beats: &'a Beats, name: &'static str) -> Self {
        let mut all = locked(beats);
        all.push(Some((name, Instant::now())));
        let index = all.len() - 1;
        Self { beats, index }
    }

    fn beat(&self) {
        if let Some((_, last)) = &mut locked(self.beats)[self.index] {
            *last = Instant::now();
        }
    }
}

impl Drop for Pulse<'_> {
    fn drop(&mut self) {
        // Nobody catches what a service of Pingora's panics with: such a loop has not ended, it is missing.
        if !thread::panicking() {
            locked(self.beats)[self.index] = None;
        }
    }
}

/// The life of one process; shared by all who live it.
#[derive(Debug, Default)]
pub struct Lifecycle {
    stage: watch::Sender<Stage>,
    beats: Beats,
    /// What is kept on disk is another process's to read by now.
    bequeathed: AtomicBool,
}

impl Lifecycle {
    pub fn stage(&self) -> Stage {
        *self.stage.borrow()
    }

    /// A later stage begins; there is no way back.
    pub fn reach(&self, stage: Stage) {
        self.stage.send_if_modified(|now| {
            let later = stage > *now;
            if later {
                *now = stage;
            }
            later
        });
    }

    /// Told of each stage from now on.
    pub fn watch(&self) -> watch::Receiver<Stage> {
        self.stage.subscribe()
    }

    /// Another process reads what is kept on disk, so that nothing of it may change; `false`: it has failed.
    pub fn bequeath(&self, bequeathed: bool) {
        self.bequeathed.store(bequeathed, Ordering::SeqCst);
    }

    pub fn is_bequeathed(&self) -> bool {
        self.bequeathed.load(Ordering::SeqCst)
    }

    /// Shows that the loop it is spawned on turns; never ends.
    pub async fn pulse(&self, name: &'static str) {
        let pulse = Pulse::new(&self.beats, name);
        loop {
            tokio::time::sleep(BEAT).await;
            pulse.beat();
        }
    }

    /// The loop that does not turn any longer.
    pub fn stuck(&self, now: Instant) -> Option<&'static str> {
        let is_late = |last| now.saturating_duration_since(last) > STUCK;
        let beats = locked(&self.beats);
        let mut late = beats.iter().flatten().filter(|(_, last)| is_late(*last));
        late.next().map(|(name, _)| *name)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn there_is_no_way_back() {
        let life = Lifecycle::default();
        assert_eq!(life.stage(), Stage::Starting);
        for (reached, stage) in [
            (Stage::Serving, Stage::Serving),
            (Stage::Draining, Stage::Draining),
            (Stage::Leaving, Stage::Draining),
            (Stage::Serving, Stage::Draining),
            (Stage::Replaced, Stage::Replaced),
            (Stage::Draining, Stage::Replaced),
        ] {
            life.reach(reached);
            assert_eq!(life.stage(), stage, "{reached:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_stands_still_is_told() {
        let life = Lifecycle::default();
        assert_eq!(life.stuck(Instant::now()), None, "nobody promised to turn");
        let mut pulse = Box::pin(life.pulse("api"));
        tokio::select! {
            () = &mut pulse => {}
            () = tokio::time::sleep(BEAT * 2) => {}
        }
        assert_eq!(life.stuck(Instant::now()), None);
        let later = Instant::now() + STUCK + BEAT;
        assert_eq!(life.stuck(later), Some("api"), "nobody polls it");
        drop(pulse);
        assert_eq!(life.stuck(later), None, "it has ended");
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_panics_is_told() {
        let life = Arc::new(Lifecycle::default());
        let lived = Arc::clone(&life);
        let fallen = tokio::spawn(async move {
            let probes = async {
                tokio::time::sleep(BEAT * 2).await;
                panic!("as any of them might");
            };
            tokio::select! {
                () = lived.pulse("health") => {}
                () = probes => {}
            }
        });
        assert!(fallen.await.is_err());
        assert_eq!(life.stuck(Instant::now() + STUCK * 2), Some("health"));
    }
}
