use pingora::protocols::l4::stream::Stream as Socket;
use tokio::net::TcpListener;
use tokio::net::TcpStream;

use super::*;
use crate::wire::message::Head;

/// What is made of the answer `text`, which comes in parts of that many bytes; then the connection ends.
async fn heard(method: Method, text: &str, part: usize) -> Result<(Reply, After), Fault> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let ours = TcpStream::connect(address).await.unwrap();
    let (mut theirs, _) = listener.accept().await.unwrap();
    theirs.set_nodelay(true).unwrap();
    let head = Head::new(method, "/").unwrap();
    let mut stream: Stream = Box::new(Socket::from(ours));
    let bounds = Bounds {
        response: Duration::from_secs(10),
        silence: Duration::from_secs(10),
        deadline: Instant::now() + Duration::from_secs(20),
        size: 1000,
    };
    let message = Message {
        head: &head,
        body: Sent::Nothing,
        begun: None,
    };
    let budget = Budget::new(1 << 20);
    let speaking = async move {
        // Else the end would be a reset.
        let asked = theirs.read(&mut [0; 256]).await.unwrap();
        assert!(asked > 0);
        for part in text.as_bytes().chunks(part) {
            // The listener may have heard enough.
            if theirs.write_all(part).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        theirs
    };
    let listening = converse(&mut stream, message, bounds, &budget, None);
    let speaking = async { drop(speaking.await) };
    tokio::join!(listening, speaking).0
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table")]
async fn how_answers_end() {
    use After::{Closed, Kept};
    let get = Method::GET;
    let large = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{}",
        "x".repeat(900)
    );
    for (method, text, wanted) in [
        (
            &get,
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
            Ok(("{}", Kept)),
        ),
        (
            &get,
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
            Ok(("{}", Closed)),
        ),
        (
            &get,
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: a, Close\r\n\r\n{}",
            Ok(("{}", Closed)),
        ),
        (
            &get,
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 200 OK",
            Ok(("{}", Closed)),
        ),
        (
            &get,
            "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\nContent-Length: 2\r\n\r\n{}",
            Ok(("{}", Kept)),
        ),
        (
            &get,
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
            Err("the answer is not HTTP"),
        ),
        (
            &get,
            "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\n{}",
            Err("the answer is not HTTP"),
        ),
        (
            &get,
            "HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n",
            Err("the answer is too large"),
        ),
        (
            &get,
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}",
            Err("the answer's body is cut off"),
        ),
        (
            &get,
            large.as_str(),
            Ok((&large[large.len() - 900..], Kept)),
        ),
        (&get, "HTTP/1.1 200 OK\r\n\r\n{}", Ok(("{}", Closed))),
        (
            &get,
            "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
            Ok(("{}", Closed)),
        ),
        (
            &get,
            "HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\n{}",
            Ok(("{}", Kept)),
        ),
        (&get, "HTTP/1.1 204 No Content\r\n\r\n", Ok(("", Kept))),
        (
            &get,
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
            Ok(("", Kept)),
        ),
        (
            &Method::HEAD,
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
            Ok(("", Kept)),
        ),
        (
            &get,
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            Ok(("", Kept)),
        ),
        (
            &get,
            "HTTP/1.1 101 Switching Protocols\r\n\r\n",
            Err("the answer is not HTTP"),
        ),
        (
            &get,
            &"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(5),
            Err("the answer is not HTTP"),
        ),
        (
            &get,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;a=b\r\n{\r\n1\r\n}\r\n0\r\nA: b\r\n\r\n",
            Ok(("{}", Kept)),
        ),
        (
            &get,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, Chunked\r\nContent-Length: 7\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
            Ok(("{}", Kept)),
        ),
        (
            &get,
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n0\r\n\r\n",
            Ok(("", Closed)),
        ),
        (
            &get,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}X\r\n0\r\n\r\n",
            Err("the answer's body is cut off"),
        ),
        (
            &get,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
            Err("the answer's body is cut off"),
        ),
        (
            &get,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
            Err("the answer's body is cut off"),
        ),
        (
            &get,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n",
            Err("the answer is too large"),
        ),
        (
            &get,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n{}",
            Ok(("{}", Closed)),
        ),
        (
            &get,
            "HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n",
            Ok(("", Kept)),
        ),
        (&get, "HTTP/2 200 OK\r\n\r\n", Err("the answer is not HTTP")),
        (&get, "<html>", Err("the answer is not HTTP")),
        (&get, "HTTP/1.1 200", Err("closed")),
        (&get, "", Err("closed")),
    ] {
        for part in [1, 7, 4096] {
            let heard = heard(method.clone(), text, part).await;
            let heard = heard.map_err(|fault| fault.to_string());
            let made = heard
                .as_ref()
                .map(|(reply, after)| (std::str::from_utf8(&reply.body).unwrap(), *after))
                .map_err(String::as_str);
            // What follows the answer may come later than the answer is looked at.
            let early = matches!((&made, &wanted), (Ok((one, Kept)), Ok((other, Closed))) if one == other && part < 4096);
            assert!(early || made == wanted, "{text:?} in {part}s: {made:?}");
        }
    }
}

#[tokio::test]
async fn an_endless_head_ends() {
    let text = format!("HTTP/1.1 200 OK\r\nA: {}", "x".repeat(LARGEST_HEAD + READ));
    let fault = heard(Method::GET, &text, 4096).await.map(drop).unwrap_err();
    assert!(matches!(fault, Fault::NotHttp), "{fault}");
}

#[tokio::test]
async fn fields_that_are_heeded_are_what_was_sent() {
    let text = "HTTP/1.1 200 OK\r\nAllow:\r\nLocation:   \r\nX-OPENSTACK-IRONIC-API-VERSION: 1.90  \r\nContent-Language: a\r\n b\r\n\
                content-TYPE: 1\r\nContent-Type: 2\r\nSet-Cookie: a=b\r\nServer: x\r\nContent-Length: 2\r\n\r\n{}";
    // At once, and byte by byte.
    for part in [text.len(), 1] {
        let (reply, _) = heard(Method::GET, text, part).await.unwrap();
        let told = |name: &str| -> Vec<&[u8]> {
            let values = reply.headers.get_all(name).into_iter();
            values.map(HeaderValue::as_bytes).collect()
        };
        for (name, values) in [
            ("allow", &[&b""[..]][..]),
            ("location", &[b""]),
            ("x-openstack-ironic-api-version", &[b"1.90"]),
            ("content-language", &[b"a   b"]),
            ("content-type", &[b"1", b"2"]),
        ] {
            assert_eq!(told(name), values, "{name}");
        }
        assert_eq!((reply.headers.len(), &reply.body[..]), (6, &b"{}"[..]));
    }
}
