use std::io;
use std::time::Instant;

use http::Method;
use tokio::net::TcpListener;

use super::*;
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
    let patience = Duration::from_secs(30);
    let bounds = Bounds {
        response: patience,
        silence: patience,
        deadline: Instant::now() + Duration::from_millis(50),
        size: 1 << 20,
    };
    let failure = transport
        .exchange(&peer, message, bounds)
        .await
        .unwrap_err();
    assert_eq!((failure, failure.was_sent()), (Failure::TooLate, false));
}
