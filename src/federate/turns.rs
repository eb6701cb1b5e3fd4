//! Makes requests that claim the same value wait for each other, since both would find it free. This holds within one
//! process; between several gateways only the databases of the locations and the directory's contested entries are
//! left.

use std::collections::HashSet;
use std::hash::Hash;
use std::pin::pin;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use tokio::sync::Notify;

/// What is wanted now.
#[derive(Debug)]
pub struct Turns<K> {
    held: Mutex<HashSet<K>>,
    freed: Notify,
}

/// All that was asked for, until it is dropped.
#[derive(Debug)]
pub struct Turn<'a, K: Eq + Hash> {
    turns: &'a Turns<K>,
    held: HashSet<K>,
}

impl<K> Default for Turns<K> {
    fn default() -> Self {
        Self {
            held: Mutex::default(),
            freed: Notify::new(),
        }
    }
}

impl<K: Clone + Eq + Hash> Turns<K> {
    /// Waits until nobody has any of these. They are taken all at once, so nobody waits in a circle.
    pub async fn take(&self, wanted: HashSet<K>) -> Turn<'_, K> {
        loop {
            // Registered before the look at what is held: a release between the look and the wait would be lost.
            let mut freed = pin!(self.freed.notified());
            freed.as_mut().enable();
            {
                let mut held = self.held();
                if held.is_disjoint(&wanted) {
                    held.extend(wanted.iter().cloned());
                    break;
                }
            }
            freed.await;
        }
        Turn {
            turns: self,
            held: wanted,
        }
    }
}

impl<K> Turns<K> {
    fn held(&self) -> MutexGuard<'_, HashSet<K>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash> Drop for Turn<'_, K> {
    fn drop(&mut self) {
        self.turns.held().retain(|key| !self.held.contains(key));
        self.turns.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering;

    use futures_util::FutureExt;
    use futures_util::future::join_all;

    use super::*;

    #[tokio::test]
    async fn who_wants_the_same_waits() {
        let turns = Turns::default();
        let first = turns.take([1, 2].into()).await;
        assert!(turns.take([2, 3].into()).now_or_never().is_none());
        let other = turns.take([3, 4].into()).now_or_never();
        assert!(other.is_some(), "nobody has these");
        drop((first, other));
        assert!(turns.take([2, 3].into()).now_or_never().is_some());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn never_two_at_once() {
        let turns = Arc::new(Turns::default());
        let inside = Arc::new(AtomicUsize::new(0));
        let tasks = (0..50).map(|number| {
            let (turns, inside) = (Arc::clone(&turns), Arc::clone(&inside));
            tokio::spawn(async move {
                let _turn = turns.take([number % 3, 7].into()).await;
                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                tokio::task::yield_now().await;
                inside.fetch_sub(1, Ordering::SeqCst);
            })
        });
        for done in join_all(tasks).await {
            done.unwrap();
        }
    }
}
