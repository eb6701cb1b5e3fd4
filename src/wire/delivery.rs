//! What became of bytes that were written to a connection which then ended, or says nothing.

use std::time::Duration;

use pingora::protocols::Stream;
use pingora::protocols::l4::ext::get_tcp_info;

/// How much the other side had acknowledged before something was written.
pub(super) struct Delivery {
    acknowledged: u64,
}

impl Delivery {
    /// `None`: this kernel does not tell.
    pub(super) fn before(stream: &Stream) -> Option<Self> {
        let acknowledged = acknowledged(stream)?;
        Some(Self { acknowledged })
    }

    /// Whether not a byte that was written since had arrived when the other side closed. Of a connection that ended
    /// otherwise it tells nothing: an acknowledgement may be lost, and a reset has none.
    pub(super) fn is_none(&self, stream: &Stream) -> bool {
        acknowledged(stream) == Some(self.acknowledged)
    }
}

/// Whether something that was written before such a pause is not acknowledged, and nothing was in that time.
pub(super) fn is_swallowed(stream: &Stream, pause: Duration) -> bool {
    get_tcp_info(stream.id()).is_ok_and(|told| {
        let heard = Duration::from_millis(told.tcpi_last_ack_recv.into());
        told.tcpi_unacked > 0 && heard >= pause
    })
}

fn acknowledged(stream: &Stream) -> Option<u64> {
    let told = get_tcp_info(stream.id()).ok()?;
    Some(told.tcpi_bytes_acked)
}

#[cfg(test)]
mod tests {
    use pingora::protocols::l4::stream::Stream as Socket;
    use tokio::io::AsyncReadExt;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;
    use tokio::net::TcpStream;

    use super::*;

    async fn pair() -> (Stream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let ours = TcpStream::connect(address).await.unwrap();
        let (mut theirs, _) = listener.accept().await.unwrap();
        let mut ours: Stream = Box::new(Socket::from(ours));
        // Used before, as those in the pool are.
        ours.write_all(b"before").await.unwrap();
        theirs.read_exact(&mut [0; 6]).await.unwrap();
        theirs.write_all(b"after").await.unwrap();
        ours.read_exact(&mut [0; 5]).await.unwrap();
        (ours, theirs)
    }

    /// Reads until the other side's end; no end in time would be another fault.
    async fn is_closed(stream: &mut Stream) -> bool {
        let mut room = [0; 8];
        let read = stream.read(&mut room);
        let read = tokio::time::timeout(Duration::from_secs(10), read).await;
        matches!(read.unwrap(), Ok(0))
    }

    /// Their end and our request cross: we write before we see it.
    #[tokio::test]
    async fn what_was_written_to_a_closed_connection_has_not_arrived() {
        let (mut ours, theirs) = pair().await;
        let delivery = Delivery::before(&ours).unwrap();
        drop(theirs);
        ours.write_all(b"POST").await.unwrap();
        assert!(is_closed(&mut ours).await);
        assert!(delivery.is_none(&ours));
    }

    #[tokio::test]
    async fn what_was_read_before_the_end_has_arrived() {
        for read in [1, 4] {
            let (mut ours, mut theirs) = pair().await;
            let delivery = Delivery::before(&ours).unwrap();
            ours.write_all(b"POST").await.unwrap();
            theirs.read_exact(&mut vec![0; read]).await.unwrap();
            theirs.shutdown().await.unwrap();
            assert!(is_closed(&mut ours).await);
            assert!(!delivery.is_none(&ours), "{read} bytes read");
        }
    }
}
