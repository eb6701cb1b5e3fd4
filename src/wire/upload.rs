//! A large body of a client on its way to a location: passed on part by part as it arrives, and never held as a whole.

use std::fmt;

use bytes::Bytes;
use thiserror::Error;
use tokio::sync::Mutex;
use tokio::sync::MutexGuard;
use tokio::sync::mpsc;

/// What is kept so that a request which was refused before it was executed can be sent again.
const KEPT: usize = 64 << 10;

enum Part {
    More(Bytes),
    End,
}

/// The client does not send the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the body was not sent to its end")]
pub struct Abandoned;

/// Where the client's parts go in. Dropped without [`Self::end`], the body is abandoned.
#[derive(Debug)]
pub struct Feed(mpsc::Sender<Part>);

/// Where they come out.
pub struct Upload {
    /// As announced; `None`: it is chunked.
    pub length: Option<u64>,
    source: Mutex<Source>,
}

/// The parts, for one sender at a time.
pub struct Source {
    parts: mpsc::Receiver<Part>,
    kept: Vec<Bytes>,
    size: usize,
    /// The next of `kept` to send.
    position: usize,
    ended: bool,
}

pub fn channel(length: Option<u64>) -> (Feed, Upload) {
    // One part under way: with more, a slow location would fill our memory instead of slowing down the client.
    let (sender, parts) = mpsc::channel(1);
    let source = Source {
        parts,
        kept: Vec::new(),
        size: 0,
        position: 0,
        ended: false,
    };
    let upload = Upload {
        length,
        source: Mutex::new(source),
    };
    (Feed(sender), upload)
}

impl Feed {
    /// Waits until the part before is on its way. `false`: nobody wants the rest.
    pub async fn send(&self, part: Bytes) -> bool {
        self.0.send(Part::More(part)).await.is_ok()
    }

    pub async fn end(self) {
        // Nobody may be left who wants to know.
        let _ = self.0.send(Part::End).await;
    }
}

impl Upload {
    /// Whether it can be sent from its beginning.
    pub async fn is_at_hand(&self) -> bool {
        self.source.lock().await.size <= KEPT
    }

    /// From the beginning. `None`: that was sent already, and not kept.
    pub async fn begin(&self) -> Option<MutexGuard<'_, Source>> {
        let mut source = self.source.lock().await;
        source.position = 0;
        (source.size <= KEPT).then_some(source)
    }
}

impl Source {
    pub async fn next(&mut self) -> Result<Option<Bytes>, Abandoned> {
        if let Some(part) = self.kept.get(self.position) {
            self.position += 1;
            return Ok(Some(part.clone()));
        }
        if self.ended {
            return Ok(None);
        }
        match self.parts.recv().await {
            Some(Part::More(part)) => {
                self.size += part.len();
                if self.size <= KEPT {
                    self.kept.push(part.clone());
                    self.position += 1;
                } else {
                    // It cannot be sent again any more, so there is no use in keeping its beginning.
                    self.kept = Vec::new();
                }
                Ok(Some(part))
            }
            Some(Part::End) => {
                self.ended = true;
                Ok(None)
            }
            None => Err(Abandoned),
        }
    }
}

impl fmt::Debug for Source {
    // Bodies hold what operators keep secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({} bytes so far)", self.size)
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Upload({:?})", self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_small_one_can_be_sent_again_a_large_one_cannot() {
        let (feed, upload) = channel(None);
        let part = Bytes::from(vec![7; KEPT / 2]);
        let feeding = async {
            for _ in 0..2 {
                assert!(feed.send(part.clone()).await);
            }
            feed.send(Bytes::from_static(b"x")).await;
            feed.end().await;
        };
        let sending = async {
            for _ in 0..2 {
                let mut source = upload.begin().await.unwrap();
                assert_eq!(source.next().await, Ok(Some(part.clone())));
                assert_eq!(source.next().await, Ok(Some(part.clone())));
            }
            let mut source = upload.begin().await.unwrap();
            for _ in 0..2 {
                source.next().await.unwrap();
            }
            assert_eq!(source.next().await, Ok(Some(Bytes::from_static(b"x"))));
            assert_eq!(source.next().await, Ok(None));
            drop(source);
            assert!(!upload.is_at_hand().await);
            assert!(upload.begin().await.is_none());
        };
        tokio::join!(feeding, sending);
    }

    #[tokio::test]
    async fn an_abandoned_one_has_no_end() {
        let (feed, upload) = channel(Some(9));
        feed.send(Bytes::from_static(b"half")).await;
        drop(feed);
        let mut source = upload.begin().await.unwrap();
        assert!(source.next().await.unwrap().is_some());
        assert_eq!(source.next().await, Err(Abandoned));
    }
}
