//! A long link to one location: a relay that keeps everything on its way for half a round trip, also the handshake of TCP,
//! and that can lose and break.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::sync::watch;

/// What TCP waits at least before it sends again what was lost (RFC 6298 says 1 s, Linux 200 ms).
const RETRANSMISSION: Duration = Duration::from_millis(200);

/// A link to one location.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) address: SocketAddr,
    round_trip: Duration,
    /// Share of the parts that are lost once.
    loss: f64,
    /// All connections are closed when it tells.
    closing: watch::Sender<()>,
}

impl Link {
    pub(crate) fn to(
        runtime: &Handle,
        location: SocketAddr,
        round_trip: Duration,
        loss: f64,
    ) -> io::Result<Arc<Self>> {
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let link = Arc::new(Self {
            address: listener.local_addr()?,
            round_trip,
            loss,
            closing: watch::Sender::default(),
        });
        let serving = Arc::clone(&link);
        runtime.spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let link = Arc::clone(&serving);
                // A connection that breaks is its client's business.
                tokio::spawn(async move { link.carry(near, location).await.ok() });
            }
        });
        Ok(link)
    }

    /// Ends all connections, as a web server does that starts anew, and returns when that is done.
    pub(crate) fn close_all(&self) {
        self.closing.send_replace(());
        while self.closing.receiver_count() > 0 {
            thread::sleep(Duration::from_millis(1));
        }
    }

    async fn carry(self: Arc<Self>, near: TcpStream, location: SocketAddr) -> io::Result<()> {
        let accepted = Instant::now();
        let mut closing = self.closing.subscribe();
        let far = TcpStream::connect(location).await?;
        near.set_nodelay(true)?;
        far.set_nodelay(true)?;
        let (near_read, near_write) = near.into_split();
        let (far_read, far_write) = far.into_split();
        // The kernel has shaken hands at once; over a long link nobody could have sent anything before a round trip.
        let up = Arc::clone(&self).pass(near_read, far_write, accepted + self.round_trip);
        let down = Arc::clone(&self).pass(far_read, near_write, accepted);
        let both = async { tokio::join!(up, down) };
        tokio::select! {
            _ = both => {}
            _ = closing.changed() => {}
        }
        Ok(())
    }

    /// Each part arrives half a round trip after it was sent, and none before the one ahead of it.
    async fn pass(self: Arc<Self>, mut from: OwnedReadHalf, mut to: OwnedWriteHalf, open: Instant) {
        let (sender, mut sent) = mpsc::unbounded_channel::<(Instant, Bytes)>();
        let arriving = async move {
            while let Some((at, part)) = sent.recv().await {
                tokio::time::sleep_until(at.into()).await;
                if to.write_all(&part).await.is_err() {
                    return;
                }
            }
            to.shutdown().await.ok();
        };
        let sending = async move {
            let mut earliest = open;
            loop {
                let mut part = vec![0; 64 << 10];
                let Ok(read @ 1..) = from.read(&mut part).await else {
                    return;
                };
                part.truncate(read);
                let lost = fastrand::f64() < self.loss;
                let late = if lost {
                    self.round_trip.max(RETRANSMISSION)
                } else {
                    Duration::ZERO
                };
                earliest = earliest.max(Instant::now()) + late;
                if sender
                    .send((earliest + self.round_trip / 2, part.into()))
                    .is_err()
                {
                    return;
                }
            }
        };
        tokio::join!(arriving, sending);
    }
}
