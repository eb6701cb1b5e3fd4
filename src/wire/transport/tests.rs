use std::io;
use std::time::Instant;

use http::Method;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use super::*;
use crate::wire::budget::FREE;
use crate::wire::message::Head;

#[test]
fn only_who_refuses_us_has_executed_nothing() {
    for (name, refuses_us) in [
        ("CertificateRequired", true),
        ("UnknownCA", true),
        ("HandshakeFailure", true),
        ("DecryptError", true),
        ("InternalError", false),
        ("DecodeError", false),
        ("UnexpectedMessage", false),
        ("BadRecordMac", false),
    ] {
        let fault = || Fault::Head(io::Error::other(format!("received fatal alert: {name}")));
        let transport = Transport::new(1, Budget::new(1 << 20));
        let peer = HttpPeer::new("127.0.0.1:1", true, String::new());
        let first = transport.first_failure(&peer, &fault());
        assert_eq!(first.was_sent(), !refuses_us, "{name}");
        // Who had answered on this connection before had no such objection.
        assert!(used_failure(&fault()).was_sent(), "{name}");
        assert!(failure(&fault()).was_sent(), "{name}");
    }
}

/// A password whose answer finds no memory counted as an attempt, and a write may be done.
#[tokio::test]
async fn what_is_answered_was_sent_though_nobody_can_hold_the_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = HttpPeer::new(listener.local_addr().unwrap(), false, String::new());
    let answering = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let length = 4 * FREE;
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        // Who holds no more of it closes.
        let _ = stream.write_all(&vec![b' '; length]).await;
        stream
    };
    let budget = Budget::new(FREE);
    let transport = Transport::new(1, budget);
    let head = Head::new(Method::POST, "/v3/auth/tokens").unwrap();
    let message = Message {
        head: &head,
        body: Sent::Nothing,
        begun: None,
    };
    let bounds = bounds(Duration::from_secs(30));
    let (answer, _stream) = tokio::join!(transport.exchange(&peer, message, bounds), answering);
    assert!(answer.is_err_and(Failure::was_sent));
}

fn bounds(deadline: Duration) -> Bounds {
    let patience = Duration::from_secs(30);
    Bounds {
        response: patience,
        silence: patience,
        deadline: Instant::now() + deadline,
        size: 1 << 20,
    }
}

#[tokio::test]
async fn what_has_no_connection_by_its_deadline_was_not_sent() {
    // The kernel lets us in, and nobody shakes hands.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = HttpPeer::new(listener.local_addr().unwrap(), true, "localhost".to_owned());
    let transport = Transport::new(1, Budget::new(1 << 20));
    let head = Head::new(Method::POST, "/v1/nodes").unwrap();
    let message = Message {
        head: &head,
        body: Sent::Nothing,
        begun: None,
    };
    let bounds = bounds(Duration::from_millis(50));
    let failure = transport
        .exchange(&peer, message, bounds)
        .await
        .unwrap_err();
    assert_eq!((failure, failure.was_sent()), (Failure::TooLate, false));
}
