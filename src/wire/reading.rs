//! Reading without holding memory for what has not come.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::Poll;
use std::task::ready;

use bytes::BytesMut;
use pingora::protocols::Stream;
use tokio::io::AsyncRead;
use tokio::io::ReadBuf;

/// Most heads, and most answers about one thing, come at once.
pub(super) const READ: usize = 8 << 10;

/// The next bytes, behind those that are there already; 0: the other side has ended. They pass through the stack: most of
/// the time a connection waits, as idle clients do for minutes and 5000 polled locations all at once, and a copy of a few
/// kilobytes costs less than their memory.
pub(super) async fn more(stream: &mut Stream, onto: &mut BytesMut) -> io::Result<usize> {
    poll_fn(|context| {
        let mut part = [MaybeUninit::uninit(); READ];
        let mut part = ReadBuf::uninit(&mut part);
        ready!(Pin::new(&mut *stream).poll_read(context, &mut part))?;
        onto.extend_from_slice(part.filled());
        Poll::Ready(Ok(part.filled().len()))
    })
    .await
}
