//! Connections that nobody uses just now, kept for the next question to the same peer.
//!
//! Pingora's own pool starts a task for each connection that is given back, to notice when it ends, and asks the kernel
//! for its address when it is taken out: 12,000 instructions and a system call a request. Here a connection is looked at
//! when it is taken, and all of them once a second.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use futures_util::FutureExt;
use pingora::protocols::Stream;
use tokio::io::AsyncReadExt;

/// How long one that ended may stay.
const SWEEP: Duration = Duration::from_secs(1);

/// Which peer a connection leads to, with which certificates.
pub(super) type Key = u64;

#[derive(Clone)]
pub(super) struct Idle {
    kept: Arc<Mutex<Kept>>,
    most: usize,
}

#[derive(Default)]
struct Kept {
    /// Those of a peer in the order in which they were given back.
    by_peer: HashMap<Key, Vec<Parked>>,
    /// Whose and until when, in the order in which all were given back. Those that were taken or ended meanwhile are
    /// passed over: with thousands of peers a look at each of them would cost more than the connection.
    order: VecDeque<(Key, Instant)>,
    count: usize,
    /// Somebody looks after them.
    swept: bool,
}

struct Parked {
    stream: Stream,
    since: Instant,
    until: Instant,
}

impl Idle {
    pub(super) fn new(most: usize) -> Self {
        Self {
            kept: Arc::default(),
            most,
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one that was used last, so that the others may come to their end; if that was no longer ago than `age`.
    pub(super) fn take(&self, key: Key, age: Duration) -> Option<Stream> {
        let now = Instant::now();
        loop {
            let mut parked = {
                let mut kept = self.kept();
                let parked = kept.by_peer.get_mut(&key)?;
                let is_young = |parked: &mut Parked| now.duration_since(parked.since) <= age;
                let parked = parked.pop_if(is_young)?;
                kept.count -= 1;
                parked
            };
            if parked.is_alive(now) {
                return Some(parked.stream);
            }
        }
    }

    /// Whether there is one to [`take`](Self::take).
    pub(super) fn has(&self, key: Key, age: Duration) -> bool {
        let now = Instant::now();
        let mut kept = self.kept();
        let last = kept
            .by_peer
            .get_mut(&key)
            .and_then(|parked| parked.last_mut());
        last.is_some_and(|last| now.duration_since(last.since) <= age && last.is_alive(now))
    }

    /// Keeps a connection on which nothing is under way, for `patience`.
    pub(super) fn put(&self, key: Key, stream: Stream, patience: Duration) {
        let since = Instant::now();
        let parked = Parked {
            stream,
            since,
            until: since + patience,
        };
        let (oldest, swept) = {
            let mut kept = self.kept();
            let oldest = (kept.count >= self.most).then(|| kept.oldest()).flatten();
            if kept.order.len() > 4 * self.most {
                kept.forget_taken();
            }
            kept.order.push_back((key, parked.until));
            kept.by_peer.entry(key).or_default().push(parked);
            kept.count += 1;
            (oldest, mem::replace(&mut kept.swept, true))
        };
        drop(oldest);
        if !swept {
            tokio::spawn(self.clone().sweep());
        }
    }

    /// Closes what has ended, until nothing is left.
    async fn sweep(self) {
        loop {
            tokio::time::sleep(SWEEP).await;
            let ended = {
                let mut kept = self.kept();
                let ended = kept.ended(Instant::now());
                if kept.count == 0 {
                    kept.swept = false;
                    return;
                }
                ended
            };
            // Closing is a system call each: nobody waits for it.
            drop(ended);
        }
    }
}

impl Kept {
    fn ended(&mut self, now: Instant) -> Vec<Parked> {
        let mut ended = Vec::new();
        for parked in self.by_peer.values_mut() {
            ended.extend(parked.extract_if(.., |parked| !parked.is_alive(now)));
        }
        self.by_peer.retain(|_, parked| !parked.is_empty());
        self.count -= ended.len();
        ended
    }

    fn oldest(&mut self) -> Option<Parked> {
        loop {
            let (key, until) = self.order.pop_front()?;
            let Some(parked) = self.by_peer.get_mut(&key) else {
                continue;
            };
            if parked.first().is_some_and(|first| first.until == until) {
                self.count -= 1;
                return Some(parked.remove(0));
            }
        }
    }

    fn forget_taken(&mut self) {
        let by_peer = &self.by_peer;
        self.order.retain(|(key, until)| {
            let parked = by_peer.get(key).into_iter().flatten();
            parked.into_iter().any(|parked| parked.until == *until)
        });
    }
}

impl Parked {
    /// Whether its time is not over, and nothing came: its end, or what nobody asked for.
    fn is_alive(&mut self, now: Instant) -> bool {
        let mut byte = [0];
        // Not to be told that it is quiet when it was the task's budget that was used up.
        let read = tokio::task::unconstrained(self.stream.read(&mut byte));
        now < self.until && read.now_or_never().is_none()
    }
}

#[cfg(test)]
mod tests {
    use pingora::protocols::l4::stream::Stream as Socket;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;
    use tokio::net::TcpStream;

    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    async fn pair() -> (Stream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let ours = TcpStream::connect(address).await.unwrap();
        let (theirs, _) = listener.accept().await.unwrap();
        (Box::new(Socket::from(ours)), theirs)
    }

    /// Until the end that the other side made has come to ours.
    async fn noticed(idle: &Idle) -> bool {
        let deadline = Instant::now() + Duration::from_secs(10);
        while idle.kept().count > 0 && Instant::now() < deadline {
            tokio::task::yield_now().await;
            drop(idle.kept().ended(Instant::now()));
        }
        idle.kept().count == 0
    }

    #[tokio::test]
    async fn the_one_used_last_is_used_next() {
        let idle = Idle::new(8);
        let ((first, _a), (second, _b)) = (pair().await, pair().await);
        let ids = [first.id(), second.id()];
        idle.put(1, first, LONG);
        idle.put(1, second, LONG);
        assert!(idle.take(2, LONG).is_none(), "another peer's");
        assert!(idle.take(1, Duration::ZERO).is_none(), "too old");
        assert_eq!(idle.take(1, LONG).unwrap().id(), ids[1]);
        assert_eq!(idle.take(1, LONG).unwrap().id(), ids[0]);
        assert!(idle.take(1, LONG).is_none());
    }

    #[tokio::test]
    async fn what_ended_or_speaks_unasked_is_not_used() {
        let idle = Idle::new(8);
        let (closed, theirs) = pair().await;
        idle.put(1, closed, LONG);
        drop(theirs);
        assert!(noticed(&idle).await);
        let (chatty, mut theirs) = pair().await;
        idle.put(1, chatty, LONG);
        theirs.write_all(b"HTTP/1.1 408 \r\n\r\n").await.unwrap();
        assert!(noticed(&idle).await);
        let (late, _theirs) = pair().await;
        idle.put(1, late, Duration::ZERO);
        assert!(idle.take(1, LONG).is_none(), "its time is over");
    }

    #[tokio::test]
    async fn there_are_no_more_than_so_many() {
        let idle = Idle::new(2);
        let mut theirs = Vec::new();
        for key in [1, 2, 3] {
            let (stream, other) = pair().await;
            idle.put(key, stream, LONG);
            theirs.push(other);
        }
        assert_eq!(idle.kept().count, 2);
        assert!(
            idle.take(1, LONG).is_none(),
            "the one that waited longest left"
        );
        assert!(idle.take(2, LONG).is_some() && idle.take(3, LONG).is_some());
    }

    #[tokio::test]
    async fn what_was_taken_and_given_back_is_young_again() {
        let idle = Idle::new(2);
        let ((first, _a), (second, _b), (third, _c)) = (pair().await, pair().await, pair().await);
        idle.put(1, first, LONG);
        idle.put(2, second, LONG);
        for _ in 0..20 {
            let again = idle.take(1, LONG).unwrap();
            idle.put(1, again, LONG);
            assert!(idle.kept().order.len() <= 9, "what is over is forgotten");
        }
        idle.put(3, third, LONG);
        assert!(idle.take(2, LONG).is_none());
        assert!(idle.take(1, LONG).is_some() && idle.take(3, LONG).is_some());
    }
}
