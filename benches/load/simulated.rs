//! Simulated locations: canned answers of Ironic on keep-alive connections.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use bytes::Bytes;
use memchr::memmem;
use pingora::tls::TlsAcceptor;
use serde::Deserialize;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::runtime::Handle;

use crate::nodes;

/// The newest API version of every simulated location.
pub(crate) const NEWEST: &str = "1.115";

/// What a simulated location is like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nature {
    pub(crate) nodes: u32,
    /// From the last byte of a question to the first of its answer.
    pub(crate) latency: Duration,
    /// Share of the questions that get a 500.
    pub(crate) failures: f64,
    pub(crate) silence: Silence,
}

/// Which questions get no answer at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Silence {
    None,
    /// All but for the versions: a location that went dark after it was found.
    Resources,
}

/// A simulated location; it lives as long as the runtime it was started on.
#[derive(Debug)]
pub(crate) struct Location {
    pub(crate) address: SocketAddr,
    nature: Nature,
    base: String,
    versions: Bytes,
    uuids: Vec<String>,
    names: Vec<String>,
    records: Vec<Bytes>,
    /// Whole answers by the path that asks for them.
    answers: Mutex<HashMap<String, Bytes>>,
}

#[derive(Deserialize)]
struct Idents {
    uuid: String,
    name: String,
}

impl Location {
    /// Begins to answer on a free port, through TLS if there is something that speaks it.
    pub(crate) fn start(
        runtime: &Handle,
        index: u32,
        nature: Nature,
        tls: Option<TlsAcceptor>,
    ) -> io::Result<Arc<Self>> {
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let address = listener.local_addr()?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let base = format!("{scheme}://{address}");
        let records: Vec<Bytes> = (0..nature.nodes)
            .map(|node| nodes::node_detail(index, &base, node).into())
            .collect();
        let idents = records.iter().map(|record| serde_json::from_slice(record));
        let idents: Vec<Idents> = idents.collect::<Result<_, _>>()?;
        let (uuids, names) = idents
            .into_iter()
            .map(|node| (node.uuid, node.name))
            .unzip();
        let location = Arc::new(Self {
            address,
            nature,
            versions: versions(&base),
            uuids,
            names,
            records,
            answers: Mutex::default(),
            base,
        });
        let serving = Arc::clone(&location);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (location, tls) = (Arc::clone(&serving), tls.clone());
                // A connection that breaks is its client's business.
                tokio::spawn(async move {
                    stream.set_nodelay(true).ok()?;
                    match tls {
                        None => location.serve(stream).await.ok(),
                        Some(tls) => location.serve(tls.accept(stream).await.ok()?).await.ok(),
                    }
                });
            }
        });
        Ok(location)
    }

    /// Where it is to be asked.
    pub(crate) fn endpoint(&self) -> &str {
        &self.base
    }

    /// Identifiers of its nodes, in its own order.
    pub(crate) fn uuids(&self) -> &[String] {
        &self.uuids
    }

    /// Bytes of a list with details of all nodes.
    pub(crate) fn size(&self) -> usize {
        self.records.iter().map(|record| record.len() + 2).sum()
    }

    async fn serve(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
        let mut received = Vec::with_capacity(8 << 10);
        while let Some(head) = next_head(&mut stream, &mut received).await? {
            let mut words = head.split_ascii_whitespace();
            let (method, path) = (
                words.next().unwrap_or_default(),
                words.next().unwrap_or_default(),
            );
            if self.nature.silence == Silence::Resources && path != "/" {
                // The client gives up first.
                std::future::pending::<()>().await;
            }
            if !self.nature.latency.is_zero() {
                tokio::time::sleep(self.nature.latency).await;
            }
            let answer = if path != "/" && fastrand::f64() < self.nature.failures {
                fault("500 Internal Server Error", "The database went away")
            } else {
                self.answer(method, path)
            };
            stream.write_all(&answer).await?;
            stream.flush().await?;
        }
        Ok(())
    }

    fn answer(&self, method: &str, path: &str) -> Bytes {
        match method {
            "GET" => {}
            "POST" => {
                let record = nodes::node_detail(u32::MAX, &self.base, fastrand::u32(..));
                return answer("201 Created", &record);
            }
            "PATCH" => return self.make(path),
            "PUT" => return answer("202 Accepted", b""),
            _ => return answer("204 No Content", b""),
        }
        if path == "/" {
            return self.versions.clone();
        }
        let known = |answers: &HashMap<String, Bytes>| answers.get(path).cloned();
        if let Some(answer) = known(&self.answers.lock().unwrap_or_else(PoisonError::into_inner)) {
            return answer;
        }
        let made = self.make(path);
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.insert(path.to_owned(), made.clone());
        made
    }

    fn make(&self, path: &str) -> Bytes {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let parameter = |wanted: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs
                .find(|(name, _)| *name == wanted)
                .map(|(_, value)| value)
        };
        let brief = parameter("fields").is_some();
        match path
            .strip_prefix("/v1/nodes")
            .map(|rest| rest.trim_matches('/'))
        {
            Some("") => self.page(parameter, Detail::Brief),
            Some("detail") => self.page(parameter, Detail::Full),
            Some(ident) => match self
                .uuids
                .iter()
                .chain(&self.names)
                .position(|known| known == ident)
            {
                Some(place) if brief => {
                    answer("200 OK", self.brief(place % self.uuids.len()).as_bytes())
                }
                Some(place) => answer("200 OK", &self.records[place % self.uuids.len()]),
                None => fault(
                    "404 Not Found",
                    &format!("Node {ident} could not be found."),
                ),
            },
            None => fault("404 Not Found", "The resource could not be found."),
        }
    }

    fn brief(&self, node: usize) -> String {
        let (uuid, name, base) = (&self.uuids[node], &self.names[node], &self.base);
        format!(
            "{{\"uuid\": \"{uuid}\", \"name\": \"{name}\", \"links\": [{{\"href\": \
             \"{base}/v1/nodes/{uuid}\", \"rel\": \"self\"}}, {{\"href\": \"{base}/nodes/{uuid}\", \
             \"rel\": \"bookmark\"}}]}}"
        )
    }

    fn page<'q>(&self, parameter: impl Fn(&str) -> Option<&'q str>, detail: Detail) -> Bytes {
        let mut order: Vec<usize> = (0..self.uuids.len()).collect();
        if parameter("sort_key") == Some("name") {
            order.sort_by_key(|&node| &self.names[node]);
        }
        let start = parameter("marker")
            .and_then(|marker| order.iter().position(|&node| self.uuids[node] == marker))
            .map_or(0, |place| place + 1);
        let limit = parameter("limit")
            .and_then(|limit| limit.parse().ok())
            .unwrap_or(usize::MAX);
        let end = self.uuids.len().min(start.saturating_add(limit));
        let mut body = b"{\"nodes\": [".to_vec();
        for (place, &node) in order[start..end].iter().enumerate() {
            if place > 0 {
                body.extend_from_slice(b", ");
            }
            match detail {
                Detail::Full => body.extend_from_slice(&self.records[node]),
                Detail::Brief => body.extend_from_slice(self.brief(node).as_bytes()),
            }
        }
        body.push(b']');
        if end < self.uuids.len() && end > start {
            let next = format!(
                ", \"next\": \"{}/v1/nodes?marker={}\"",
                self.base,
                self.uuids[order[end - 1]]
            );
            body.extend_from_slice(next.as_bytes());
        }
        body.push(b'}');
        answer("200 OK", &body)
    }
}

/// The root document.
pub(crate) fn versions(base: &str) -> Bytes {
    let document = format!(
        "{{\"name\": \"OpenStack Ironic API\", \"default_version\": {{\"id\": \"v1\", \"links\": \
         [{{\"href\": \"{base}/v1/\", \"rel\": \"self\"}}], \"status\": \"CURRENT\", \
         \"min_version\": \"1.1\", \"version\": \"{NEWEST}\"}}, \"versions\": []}}"
    );
    answer("200 OK", document.as_bytes())
}

#[derive(Clone, Copy)]
enum Detail {
    Full,
    Brief,
}

/// The head of the next request, when its body has come in too; `None`: there is no other.
pub(crate) async fn next_head(
    stream: &mut (impl AsyncRead + Unpin),
    received: &mut Vec<u8>,
) -> io::Result<Option<String>> {
    let end = loop {
        if let Some(end) = memmem::find(received, b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(received).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(&received[..end]).into_owned();
    let length = content_length(&head);
    while received.len() < end + length {
        if stream.read_buf(received).await? == 0 {
            return Ok(None);
        }
    }
    received.drain(..end + length);
    Ok(Some(head))
}

fn content_length(head: &str) -> usize {
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    fields
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok())
        .unwrap_or(0)
}

/// Head and body, as Ironic's web server writes them.
pub(crate) fn answer(status: &str, body: &[u8]) -> Bytes {
    let mut head = format!("HTTP/1.1 {status}\r\n");
    if body.is_empty() && !status.starts_with("204") {
        head.push_str("Content-Length: 0\r\n");
    }
    if !body.is_empty() {
        // Writing to a String cannot fail.
        let _ = write!(
            head,
            "Content-Type: application/json\r\nContent-Length: {}\r\n",
            body.len()
        );
    }
    let _ = write!(
        head,
        "X-OpenStack-Ironic-API-Minimum-Version: 1.1\r\nX-OpenStack-Ironic-API-Maximum-Version: {NEWEST}\r\n\
         X-OpenStack-Ironic-API-Version: {NEWEST}\r\n\
         OpenStack-Request-ID: req-6f5a4d0e-2a44-4b3c-9f0e-0d4f1e6b7c11\r\n\
         Date: Sun, 22 Nov 2026 10:00:00 GMT\r\nServer: Cheroot/10.0.1\r\n\r\n"
    );
    let mut whole = head.into_bytes();
    whole.extend_from_slice(body);
    whole.into()
}

pub(crate) fn fault(status: &str, text: &str) -> Bytes {
    let body = format!(
        "{{\"error_message\": \"{{\\\"faultcode\\\": \\\"Client\\\", \\\"faultstring\\\": \\\"{text}\\\", \
         \\\"debuginfo\\\": null}}\"}}"
    );
    answer(status, body.as_bytes())
}
