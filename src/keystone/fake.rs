//! A stand-in for Keystone, for the tests of this room and of the rooms above it.

use std::io::BufRead as _;
use std::io::BufReader;
use std::io::Read as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;

use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use serde_json::Value;
use serde_json::json;

use crate::config::DomainRef;
use crate::config::KeystoneAuth;
use crate::config::KeystoneMethod;
use crate::config::Scope;
use crate::config::UserRef;

/// One request, as it came in.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
}

impl Seen {
    pub(crate) fn issues(&self) -> bool {
        self.method == "POST"
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}

/// What to do with a request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Answer {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: Vec<u8>,
    },
    /// Says nothing until the other side gives up.
    Silence,
    /// Closes the connection in the middle of the body.
    Cut,
}

impl Reply {
    pub(crate) fn status(status: u16) -> Self {
        Self::Answer {
            status,
            headers: vec![],
            body: b"<html>secret-in-a-body</html>".to_vec(),
        }
    }

    /// A token for us, good for so many minutes of an hour long ago: nobody's calendar may matter.
    pub(crate) fn issued(token: &str, minutes: u32) -> Self {
        Self::issued_with(token, minutes, &json!([]))
    }

    pub(crate) fn issued_with(token: &str, minutes: u32, catalog: &Value) -> Self {
        let expires_at = format!(
            "2001-01-01T{:02}:{:02}:00.000000Z",
            minutes / 60,
            minutes % 60
        );
        let body = json!({"token": {
            "methods": ["password"], "user": {"id": "gw", "name": "gw", "domain": {"id": "default", "name": "Default"}},
            "issued_at": "2001-01-01T00:00:00.000000Z", "expires_at": expires_at, "catalog": catalog,
        }});
        Self::Answer {
            status: 201,
            headers: vec![("X-Subject-Token", token.to_owned())],
            body: body.to_string().into_bytes(),
        }
    }

    /// What a token of a system user stands for.
    pub(crate) fn described(user: &str, roles: &[&str], expires_at: &str) -> Self {
        let roles: Vec<_> = roles
            .iter()
            .map(|role| json!({"id": role, "name": role}))
            .collect();
        let body = json!({"token": {
            "methods": ["password"], "user": {"id": user, "name": user, "domain": {"id": "default", "name": "Default"}},
            "system": {"all": true}, "roles": roles,
            "issued_at": "2001-01-01T00:00:00.000000Z", "expires_at": expires_at,
        }});
        Self::Answer {
            status: 200,
            headers: vec![],
            body: body.to_string().into_bytes(),
        }
    }
}

/// Listens on a free port until dropped.
pub(crate) struct FakeKeystone {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl FakeKeystone {
    pub(crate) fn new(reply: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, over) = (
            Arc::<Mutex<Vec<_>>>::default(),
            Arc::<AtomicBool>::default(),
        );
        let (memory, stop, reply) = (Arc::clone(&seen), Arc::clone(&over), Arc::new(reply));
        let thread = thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let (memory, reply) = (Arc::clone(&memory), Arc::clone(&reply));
                thread::spawn(move || serve(stream, &memory, &*reply));
            }
        });
        Self {
            address,
            seen,
            over,
            thread: Some(thread),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/v3/", self.address)
    }

    /// A system-scoped password at this Keystone.
    pub(crate) fn auth(&self) -> KeystoneAuth {
        KeystoneAuth {
            auth_url: self.url(),
            method: KeystoneMethod::Password {
                user: UserRef::Name {
                    name: "gw".into(),
                    domain: DomainRef::Id("default".into()),
                },
                password: "secret-password".into(),
            },
            scope: Scope::System,
        }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn issued(&self) -> usize {
        self.seen().iter().filter(|seen| seen.issues()).count()
    }

    pub(crate) fn validated(&self) -> usize {
        self.seen().len() - self.issued()
    }
}

impl Drop for FakeKeystone {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        // Wakes the thread, so that the port is closed before the test goes on.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// One request a connection: nothing is left open when a stand-in goes away.
fn serve(stream: TcpStream, seen: &Mutex<Vec<Seen>>, reply: &dyn Fn(&Seen) -> Reply) {
    let mut reader = BufReader::new(stream);
    let Some(request) = read(&mut reader) else {
        return;
    };
    seen.lock().unwrap().push(request.clone());
    let (status, headers, body, length) = match reply(&request) {
        Reply::Silence => {
            reader
                .get_ref()
                .set_read_timeout(Some(Duration::from_mins(1)))
                .unwrap();
            // Ends when the client closes.
            let _ = reader.read(&mut [0]);
            return;
        }
        Reply::Cut => (200, vec![], b"{\"token\": ".to_vec(), 1000),
        Reply::Answer {
            status,
            headers,
            body,
        } => {
            let length = body.len();
            (status, headers, body, length)
        }
    };
    let mut head =
        format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n")
            .into_bytes();
    for (name, value) in headers {
        head.extend([name.as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    head.extend_from_slice(b"\r\n");
    let mut stream = reader.into_inner();
    // A client that has read enough closes early.
    let _ = stream.write_all(&[head, body].concat());
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Seen> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, target) = (words.next()?, words.next()?);
    let mut headers = HeaderMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        headers.append(
            HeaderName::try_from(name).unwrap(),
            HeaderValue::try_from(value.trim()).unwrap(),
        );
    }
    let length = headers
        .get("content-length")
        .map_or(0, |value| value.to_str().unwrap().parse().unwrap());
    reader.read_exact(&mut vec![0; length]).ok()?;
    Some(Seen {
        method,
        target,
        headers,
    })
}
