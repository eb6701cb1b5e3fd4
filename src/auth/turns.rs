//! Who is checked next. A check costs (a question to Keystone, a bcrypt), and anybody may ask for one: so those whom we
//! know have turns of their own, and of strangers each address has its share. Strangers can slow strangers, nobody else.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::Weak;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::wire::network::network;

/// How long somebody waits for a turn.
const LONGEST_QUEUE: Duration = Duration::from_secs(10);
/// Addresses that are kept before those without a check are forgotten.
const REMEMBERED: usize = 1024;

/// Who is to be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asking {
    /// With what was found good before.
    Familiar,
    /// From this address, if it is known.
    Stranger(Option<IpAddr>),
}

/// So many checks at a time, of either kind.
#[derive(Debug)]
pub struct Turns {
    familiar: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
    /// Checks of one address at a time. It waits for its own share first, so the queue of all is short and fair.
    share: usize,
    addresses: Mutex<HashMap<Option<IpAddr>, Weak<Semaphore>>>,
}

/// A check may begin. The turn ends with it.
#[derive(Debug)]
pub struct Turn {
    _of_all: OwnedSemaphorePermit,
    _share: Option<OwnedSemaphorePermit>,
}

impl Turns {
    pub fn new(at_a_time: usize) -> Self {
        Self {
            familiar: Arc::new(Semaphore::new(at_a_time)),
            strangers: Arc::new(Semaphore::new(at_a_time)),
            // Half, so that one address alone cannot take every turn.
            share: (at_a_time / 2).max(1),
            addresses: Mutex::default(),
        }
    }

    /// `None`: it took too long.
    pub async fn take(&self, asking: Asking) -> Option<Turn> {
        timeout(LONGEST_QUEUE, self.wait(asking)).await.ok()?
    }

    async fn wait(&self, asking: Asking) -> Option<Turn> {
        let (share, all) = match asking {
            Asking::Familiar => (None, &self.familiar),
            Asking::Stranger(address) => {
                let share = self.share_of(address).acquire_owned().await.ok()?;
                (Some(share), &self.strangers)
            }
        };
        Some(Turn {
            _of_all: Arc::clone(all).acquire_owned().await.ok()?,
            _share: share,
        })
    }

    fn share_of(&self, address: Option<IpAddr>) -> Arc<Semaphore> {
        let address = address.map(network);
        let mut addresses = self
            .addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = addresses.get(&address).and_then(Weak::upgrade) {
            return share;
        }
        if addresses.len() >= REMEMBERED {
            addresses.retain(|_, share| share.strong_count() > 0);
        }
        let share = Arc::new(Semaphore::new(self.share));
        addresses.insert(address, Arc::downgrade(&share));
        share
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn from(last: u8) -> Asking {
        Asking::Stranger(Some(IpAddr::from([192, 0, 2, last])))
    }

    #[tokio::test]
    async fn one_address_takes_its_share_and_no_more() {
        let turns = Turns::new(4);
        let first = turns.take(from(1)).now_or_never().flatten();
        let second = turns.take(from(1)).now_or_never().flatten();
        assert!(first.is_some() && second.is_some());
        assert!(turns.take(from(1)).now_or_never().is_none(), "it waits");
        let others = [
            turns.take(from(2)).now_or_never().flatten(),
            turns.take(from(3)).now_or_never().flatten(),
        ];
        assert!(others.iter().all(Option::is_some));
        assert!(
            turns.take(from(4)).now_or_never().is_none(),
            "all are taken"
        );
        let known: Vec<_> = (0..4)
            .filter_map(|_| turns.take(Asking::Familiar).now_or_never().flatten())
            .collect();
        assert_eq!(known.len(), 4, "but for those whom we know");
        drop(first);
        assert!(turns.take(from(4)).now_or_never().flatten().is_some());
    }

    #[tokio::test]
    async fn who_waits_long_is_told() {
        tokio::time::pause();
        let turns = Turns::new(1);
        let _taken = turns.take(from(1)).await.unwrap();
        assert!(turns.take(from(2)).await.is_none());
    }
}
