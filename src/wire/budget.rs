//! One limit for all bodies that are held in memory at the same time: past it, large answers wait or are refused here
//! instead of by the kernel's OOM killer.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use bytes::BufMut;
use bytes::Bytes;
use bytes::buf::Limit;
use thiserror::Error;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;

use crate::wire::buffers;

/// What is counted at once.
const UNIT: usize = 64 << 10;
/// Bytes of each body that are not counted: there are no more of those than requests.
pub const FREE: usize = UNIT;
/// For how long a body that is under way waits for others to be given back.
const PATIENCE: Duration = Duration::from_secs(5);

/// Between two attempts to take units that are held out of the budget.
const AGAIN: Duration = Duration::from_millis(100);

fn units(bytes: usize) -> usize {
    (bytes / UNIT).clamp(1, Semaphore::MAX_PERMITS)
}

/// The bodies that are held exceed the bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("too many bytes are held already")]
pub struct Exhausted;

/// Bytes that may be held at once.
#[derive(Clone, Debug)]
pub struct Budget {
    units: Arc<Semaphore>,
    size: Arc<Mutex<Size>>,
    /// What is held of a part is held of the whole, too.
    within: Option<Arc<Budget>>,
}

/// Units of a budget.
#[derive(Debug)]
struct Size {
    /// How many there are, held or not.
    all: usize,
    /// How many there are to be.
    wanted: usize,
}

impl Budget {
    pub fn new(bytes: usize) -> Self {
        let units = units(bytes);
        Self {
            units: Arc::new(Semaphore::new(units)),
            size: Arc::new(Mutex::new(Size {
                all: units,
                wanted: units,
            })),
            within: None,
        }
    }

    fn part(&self, bytes: usize) -> Self {
        Self {
            within: Some(Arc::new(self.clone())),
            ..Self::new(bytes)
        }
    }

    /// So many units of it, and of all that it is a part of.
    async fn take(&self, units: u32) -> Result<Vec<OwnedSemaphorePermit>, Exhausted> {
        let mut taken = Vec::new();
        let mut next = Some(self);
        while let Some(budget) = next {
            let permit = Arc::clone(&budget.units).acquire_many_owned(units);
            taken.push(permit.await.map_err(|_| Exhausted)?);
            next = budget.within.as_deref();
        }
        Ok(taken)
    }

    fn size(&self) -> MutexGuard<'_, Size> {
        self.size.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another bound. A lower one holds once what is held above it was given back.
    pub async fn resize(&self, bytes: usize) {
        let wanted = units(bytes);
        self.size().wanted = wanted;
        loop {
            {
                let mut size = self.size();
                if size.wanted != wanted {
                    // Somebody wants another one by now.
                    return;
                }
                if wanted >= size.all {
                    self.units.add_permits(wanted - size.all);
                    size.all = wanted;
                    return;
                }
                // This takes units that are free; those that are held come back one by one.
                size.all -= self.units.forget_permits(size.all - wanted);
                if size.all == wanted {
                    return;
                }
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// A body that is about to be read; `announced` bytes are reserved in memory, not in the budget.
    pub fn body(&self, announced: usize) -> Held {
        Held {
            budget: self.clone(),
            bytes: buffers::of(announced),
            permits: Vec::new(),
            paid: FREE,
        }
    }
}

/// For bodies of clients, which hold what they have for as long as they like to stall: they take half of it all, so that
/// answers have room, and strangers an eighth.
#[derive(Clone, Debug)]
pub struct Incoming {
    known: Budget,
    strangers: Budget,
}

impl Incoming {
    /// A part of `all`, which are so many bytes.
    pub fn new(all: &Budget, bytes: usize) -> Self {
        let known = all.part(Self::largest(bytes));
        let strangers = known.part(Self::largest_of_strangers(bytes));
        Self { known, strangers }
    }

    /// What bodies may take of so many bytes in all, and so the largest that can come in.
    pub const fn largest(bytes: usize) -> usize {
        bytes / 2
    }

    pub const fn largest_of_strangers(bytes: usize) -> usize {
        bytes / 8
    }

    pub async fn resize(&self, bytes: usize) {
        self.known.resize(Self::largest(bytes)).await;
        self.strangers
            .resize(Self::largest_of_strangers(bytes))
            .await;
    }

    pub fn body(&self, is_strangers: bool) -> Held {
        if is_strangers {
            self.strangers.body(0)
        } else {
            self.known.body(0)
        }
    }
}

/// A body being read.
#[derive(Debug)]
pub struct Held {
    budget: Budget,
    bytes: Vec<u8>,
    /// Of the budget, and of all that it is a part of.
    permits: Vec<OwnedSemaphorePermit>,
    paid: usize,
}

impl Held {
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub async fn extend(&mut self, part: &[u8]) -> Result<(), Exhausted> {
        self.pay_for(part.len()).await?;
        self.bytes.extend_from_slice(part);
        Ok(())
    }

    /// Where up to `most` further bytes can be read to.
    pub async fn room(&mut self, most: usize) -> Result<Limit<&mut Vec<u8>>, Exhausted> {
        self.pay_for(most).await?;
        self.bytes.reserve(most);
        Ok((&mut self.bytes).limit(most))
    }

    async fn pay_for(&mut self, more: usize) -> Result<(), Exhausted> {
        let needed = self.bytes.len() + more;
        if needed > self.paid {
            let units = (needed - self.paid).div_ceil(UNIT);
            let more = u32::try_from(units).map_err(|_| Exhausted)?;
            // Whoever waits for more holds what it has already: without an end, two bodies could wait for each other
            // for ever.
            let taken = tokio::time::timeout(PATIENCE, self.budget.take(more)).await;
            let taken = taken.map_err(|_| Exhausted)??;
            if self.permits.is_empty() {
                self.permits = taken;
            } else {
                let pairs = self.permits.iter_mut().zip(taken);
                pairs.for_each(|(held, more)| held.merge(more));
            }
            self.paid += units * UNIT;
        }
        Ok(())
    }

    /// The whole body. What it took of the budget is given back when the last part of it is dropped.
    pub fn freeze(self) -> Bytes {
        let bytes = buffers::lend(self.bytes);
        if self.permits.is_empty() {
            return bytes;
        }
        Bytes::from_owner(Paid {
            bytes,
            _permits: self.permits,
        })
    }
}

struct Paid {
    bytes: Bytes,
    _permits: Vec<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for Paid {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn of_two_bounds_the_later_one_holds() {
        let budget = Budget::new(8 * UNIT);
        let mut held = budget.body(0);
        held.extend(&vec![1; 7 * UNIT]).await.unwrap();
        // The first one waits for what is held above it.
        let first = budget.clone();
        let first = tokio::spawn(async move { first.resize(2 * UNIT).await });
        tokio::time::sleep(2 * AGAIN).await;
        budget.resize(8 * UNIT).await;
        drop(held);
        first.await.unwrap();
        assert_eq!(budget.units.available_permits(), 8);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_held_is_bounded_and_given_back() {
        let budget = Budget::new(4 * UNIT);
        let mut small = budget.body(0);
        small.extend(&vec![1; UNIT]).await.unwrap();
        assert_eq!(budget.units.available_permits(), 4, "small ones are free");
        let mut large = budget.body(0);
        for _ in 0..40 {
            large.extend(&[2; UNIT / 10]).await.unwrap();
        }
        assert_eq!(budget.units.available_permits(), 1);
        let bytes = large.freeze();
        let part = bytes.slice(3..5);
        drop(bytes);
        let mut other = budget.body(0);
        assert_eq!(other.extend(&vec![3; 3 * UNIT]).await, Err(Exhausted));
        drop(part);
        assert_eq!(other.extend(&vec![3; 3 * UNIT]).await, Ok(()));
        assert_eq!(small.freeze().len(), UNIT);
    }

    #[tokio::test(start_paused = true)]
    async fn who_stalls_leaves_room_for_others() {
        let all = Budget::new(16 * UNIT);
        let incoming = Incoming::new(&all, 16 * UNIT);
        let mut stranger = incoming.body(true);
        assert_eq!(stranger.extend(&vec![1; 3 * UNIT]).await, Ok(()));
        let mut another = incoming.body(true);
        assert_eq!(another.extend(&vec![1; 2 * UNIT]).await, Err(Exhausted));
        let mut known = incoming.body(false);
        assert_eq!(known.extend(&vec![1; 7 * UNIT]).await, Ok(()));
        assert_eq!(known.extend(&vec![1; UNIT]).await, Err(Exhausted));
        assert_eq!(all.units.available_permits(), 8, "it is part of the whole");
        let mut answer = all.body(0);
        assert_eq!(answer.extend(&vec![1; 9 * UNIT]).await, Ok(()));
        drop((stranger, known.freeze(), answer));
        assert_eq!(all.units.available_permits(), 16);
        incoming.resize(8 * UNIT).await;
        let mut known = incoming.body(false);
        assert_eq!(known.extend(&vec![1; 6 * UNIT]).await, Err(Exhausted));
        assert_eq!(known.extend(&vec![1; 5 * UNIT]).await, Ok(()));
    }
}
