//! Large buffers that are used again. A merged list of 10 MB passes through 20 MB of them; the allocator keeps for a
//! second, for each thread, what was freed, so that lists in a row took 7.9 times the page of memory, and what it gave
//! back had to be asked of the kernel again page by page.

use std::mem;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use tokio::runtime::Handle;

/// Smaller ones the allocator keeps as well as we would.
const LARGE: usize = 256 << 10;
/// Bytes that are kept at most.
const KEPT: usize = 64 << 20;
/// How long one is kept that nobody uses.
const UNUSED: Duration = Duration::from_secs(1);

static POOL: Mutex<Pool> = Mutex::new(Pool {
    free: Vec::new(),
    size: 0,
    swept: false,
});

/// All that nobody uses.
struct Pool {
    free: Vec<Free>,
    size: usize,
    /// Somebody gives back what is not used any longer.
    swept: bool,
}

struct Free {
    buffer: Vec<u8>,
    since: Instant,
}

/// A buffer that comes back when its last reader is done.
struct Lent(Vec<u8>);

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        give_back(mem::take(&mut self.0));
    }
}

/// An empty buffer for so many bytes.
pub fn of(size: usize) -> Vec<u8> {
    let found = (size >= LARGE).then(|| pool().take(size)).flatten();
    found.unwrap_or_else(|| Vec::with_capacity(size))
}

/// What is in a buffer, which is used again afterwards.
pub fn lend(buffer: Vec<u8>) -> Bytes {
    if buffer.capacity() < LARGE {
        Bytes::from(buffer)
    } else {
        Bytes::from_owner(Lent(buffer))
    }
}

fn pool() -> MutexGuard<'static, Pool> {
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

fn give_back(mut buffer: Vec<u8>) {
    // Outside of the runtime nobody could look after it.
    let Ok(runtime) = Handle::try_current() else {
        return;
    };
    buffer.clear();
    let mut pool = pool();
    if pool.size + buffer.capacity() <= KEPT {
        pool.size += buffer.capacity();
        pool.free.push(Free {
            buffer,
            since: Instant::now(),
        });
        if !mem::replace(&mut pool.swept, true) {
            runtime.spawn(sweep());
        }
    }
}

async fn sweep() {
    loop {
        tokio::time::sleep(UNUSED).await;
        let unused = {
            let mut pool = pool();
            let unused = pool.unused(Instant::now());
            pool.swept = !pool.free.is_empty();
            if !pool.swept {
                return;
            }
            unused
        };
        drop(unused);
    }
}

impl Pool {
    /// The smallest that is large enough, unless most of it would be wasted.
    fn take(&mut self, size: usize) -> Option<Vec<u8>> {
        let capacity = |free: &Free| free.buffer.capacity();
        let fits = |free: &Free| (size..=size.saturating_mul(2)).contains(&capacity(free));
        let (found, _) = self
            .free
            .iter()
            .enumerate()
            .filter(|(_, free)| fits(free))
            .min_by_key(|(_, free)| capacity(free))?;
        let Free { buffer, .. } = self.free.swap_remove(found);
        self.size -= buffer.capacity();
        Some(buffer)
    }

    fn unused(&mut self, now: Instant) -> Vec<Free> {
        let is_unused = |free: &mut Free| now.saturating_duration_since(free.since) >= UNUSED;
        let unused: Vec<_> = self.free.extract_if(.., is_unused).collect();
        let size: usize = unused.iter().map(|free| free.buffer.capacity()).sum();
        self.size -= size;
        unused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_used_again_and_not_for_ever() {
        let mut pool = Pool {
            free: Vec::new(),
            size: 0,
            swept: true,
        };
        let now = Instant::now();
        for size in [4 << 20, 1 << 20, 3 << 20] {
            let buffer = Vec::with_capacity(size);
            pool.size += buffer.capacity();
            pool.free.push(Free { buffer, since: now });
        }
        assert_eq!(
            pool.take(2 << 20).map(|found| found.capacity()),
            Some(3 << 20)
        );
        assert_eq!(pool.take(1 << 10).map(|found| found.capacity()), None);
        assert_eq!(pool.take(5 << 20).map(|found| found.capacity()), None);
        assert_eq!(pool.size, 5 << 20);
        assert_eq!(pool.unused(now).len(), 0);
        assert_eq!(pool.unused(now + UNUSED).len(), 2);
        assert_eq!((pool.size, pool.free.len()), (0, 0));
    }

    #[tokio::test]
    async fn what_is_lent_comes_back() {
        let size = 7 << 20;
        let mut buffer = of(size);
        buffer.extend_from_slice(b"list");
        let at = buffer.as_ptr();
        let bytes = lend(buffer);
        let part = bytes.slice(1..);
        drop(bytes);
        assert_eq!(part, b"ist"[..], "somebody reads it");
        drop(part);
        let again = of(size - 1);
        assert_eq!((again.as_ptr(), again.len()), (at, 0));
    }
}
