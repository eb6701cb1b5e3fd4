//! Polls in flight: a request that wants the same thing waits for the poll that is already under way.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use tokio::sync::watch;

/// Polls under way by what they look for; `V` is what they bring in.
#[derive(Debug)]
pub struct Polls<K, V> {
    underway: Mutex<Underway<K, V>>,
}

#[derive(Debug)]
struct Underway<K, V> {
    /// Requests and polls are numbered together, which tells which came first.
    last: u64,
    polls: HashMap<K, (u64, watch::Receiver<Option<V>>)>,
}

/// When a request came.
#[derive(Clone, Copy, Debug)]
pub struct Arrival(u64);

/// What is to be done about a poll.
#[derive(Debug)]
pub enum Turn<'a, K: Eq + Hash, V> {
    /// Nobody polls: the caller has to, and has to publish the result.
    Lead(Poll<'a, K, V>),
    /// Somebody does.
    Join(Shared<V>),
}

/// Somebody else's poll.
#[derive(Debug)]
pub struct Shared<V> {
    verdict: watch::Receiver<Option<V>>,
    /// The poll began after the request arrived, so its *no* is recent enough.
    pub is_later: bool,
}

/// A poll under way; dropped in any way, including cancellation, it leaves the list.
#[derive(Debug)]
pub struct Poll<'a, K: Eq + Hash, V> {
    polls: &'a Polls<K, V>,
    key: K,
    sender: watch::Sender<Option<V>>,
}

impl<K, V> Default for Polls<K, V> {
    fn default() -> Self {
        let underway = Underway {
            last: 0,
            polls: HashMap::new(),
        };
        Self {
            underway: Mutex::new(underway),
        }
    }
}

impl<K: Clone + Eq + Hash, V: Clone> Polls<K, V> {
    pub fn arrive(&self) -> Arrival {
        let mut underway = self.lock();
        underway.last += 1;
        Arrival(underway.last)
    }

    pub fn turn(&self, key: &K, came: Arrival) -> Turn<'_, K, V> {
        let mut underway = self.lock();
        if let Some((began, verdict)) = underway.polls.get(key) {
            return Turn::Join(Shared {
                verdict: verdict.clone(),
                is_later: *began > came.0,
            });
        }
        underway.last += 1;
        let (sender, receiver) = watch::channel(None);
        let began = underway.last;
        underway.polls.insert(key.clone(), (began, receiver));
        Turn::Lead(Poll {
            polls: self,
            key: key.clone(),
            sender,
        })
    }
}

impl<K, V> Polls<K, V> {
    fn lock(&self) -> MutexGuard<'_, Underway<K, V>> {
        self.underway.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V: Clone> Shared<V> {
    /// `None`: whoever polled went away before the answer.
    pub async fn verdict(&mut self) -> Option<V> {
        // Fails when the sender is dropped, as by a client that leaves while it leads.
        let verdict = self.verdict.wait_for(Option::is_some).await;
        verdict.ok().and_then(|verdict| verdict.clone())
    }
}

impl<K: Eq + Hash, V> Poll<'_, K, V> {
    pub fn tell(self, verdict: V) {
        self.sender.send_replace(Some(verdict));
    }
}

impl<K: Eq + Hash, V> Drop for Poll<'_, K, V> {
    fn drop(&mut self) {
        self.polls.lock().polls.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_came_later_is_told_so() {
        let polls = Polls::default();
        let (first, second) = (polls.arrive(), polls.arrive());
        let Turn::Lead(poll) = polls.turn(&"a", first) else {
            panic!("nobody polls yet");
        };
        let late = polls.arrive();
        for (came, is_later) in [(first, true), (second, true), (late, false)] {
            let Turn::Join(shared) = polls.turn(&"a", came) else {
                panic!("somebody polls");
            };
            assert_eq!(shared.is_later, is_later);
        }
        assert!(matches!(polls.turn(&"b", late), Turn::Lead(_)));
        let Turn::Join(mut shared) = polls.turn(&"a", second) else {
            panic!("somebody polls");
        };
        poll.tell(7);
        assert_eq!(shared.verdict().await, Some(7));
        assert!(matches!(polls.turn(&"a", late), Turn::Lead(_)));
    }

    #[tokio::test]
    async fn a_poll_that_is_dropped_is_nobody_s_answer() {
        let polls: Polls<_, u8> = Polls::default();
        let came = polls.arrive();
        let Turn::Lead(poll) = polls.turn(&"a", came) else {
            panic!("nobody polls yet");
        };
        let Turn::Join(mut shared) = polls.turn(&"a", came) else {
            panic!("somebody polls");
        };
        drop(poll);
        assert_eq!(shared.verdict().await, None);
        assert!(matches!(polls.turn(&"a", came), Turn::Lead(_)));
    }
}
