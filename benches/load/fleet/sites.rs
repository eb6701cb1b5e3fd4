//! All locations of a fleet in one process and on one port, each below a path of its own, and what they were asked.

use std::fmt;
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::runtime::Handle;

use crate::simulated;

/// What a location gives at most at once, as `[api] max_limit` of Ironic has it.
pub(crate) const PAGE: u32 = 1000;

/// After so long without a question no more come of what was asked before.
const CALM: Duration = Duration::from_millis(200);

/// How many locations, and of how many nodes each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) locations: u32,
    pub(crate) nodes: u32,
}

impl Shape {
    pub(crate) fn all(self) -> u32 {
        self.locations * self.nodes
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} x {}", self.locations, self.nodes)
    }
}

impl FromStr for Shape {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // A node's number is four digits of its UUID.
        let number = |text: &str| {
            text.parse()
                .ok()
                .filter(|number| (1..=0xffff).contains(number))
        };
        text.split_once('x')
            .and_then(|(locations, nodes)| {
                Some(Self {
                    locations: number(locations)?,
                    nodes: number(nodes)?,
                })
            })
            .ok_or("not like 50x10, or more than 65535")
    }
}

/// All locations.
#[derive(Debug)]
pub(crate) struct Sites {
    shape: Shape,
    address: SocketAddr,
    roots: AtomicU64,
    questions: AtomicU64,
    items: AtomicU64,
    open: AtomicI64,
    most_open: AtomicI64,
}

/// What was asked since the last time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) questions: f64,
    pub(crate) items: f64,
    pub(crate) most_open: f64,
}

impl Sites {
    pub(crate) fn start(runtime: &Handle, shape: Shape) -> io::Result<Arc<Self>> {
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let sites = Arc::new(Self {
            shape,
            address: listener.local_addr()?,
            roots: AtomicU64::new(0),
            questions: AtomicU64::new(0),
            items: AtomicU64::new(0),
            open: AtomicI64::new(0),
            most_open: AtomicI64::new(0),
        });
        let serving = Arc::clone(&sites);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let sites = Arc::clone(&serving);
                tokio::spawn(async move {
                    let open = sites.open.fetch_add(1, Ordering::Relaxed) + 1;
                    sites.most_open.fetch_max(open, Ordering::Relaxed);
                    // A connection that breaks is its client's business.
                    sites.serve(stream).await.ok();
                    sites.open.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
        Ok(sites)
    }

    pub(crate) fn endpoints(&self) -> impl Iterator<Item = String> {
        let address = self.address;
        (0..self.shape.locations).map(move |location| format!("http://{address}/{location}"))
    }

    /// Questions for versions so far.
    pub(crate) fn roots(&self) -> u64 {
        self.roots.load(Ordering::Relaxed)
    }

    /// When nothing comes any more: an answer that suffices does not wait for the others.
    pub(crate) fn asked(&self) -> Asked {
        let mut seen = None;
        loop {
            let now = self.questions.load(Ordering::Relaxed);
            if seen.replace(now) == Some(now) {
                break;
            }
            thread::sleep(CALM);
        }
        let open = self.open.load(Ordering::Relaxed);
        Asked {
            questions: self.questions.swap(0, Ordering::Relaxed) as f64,
            items: self.items.swap(0, Ordering::Relaxed) as f64,
            most_open: self.most_open.swap(open, Ordering::Relaxed) as f64,
        }
    }

    async fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut received = Vec::with_capacity(1 << 10);
        while let Some(head) = simulated::next_head(&mut stream, &mut received).await? {
            let target = head.split_ascii_whitespace().nth(1).unwrap_or_default();
            let (location, path) = target[1..].split_once('/').unwrap_or_default();
            let answer = self.answer(location.parse().unwrap_or_default(), path);
            stream.write_all(&answer).await?;
        }
        Ok(())
    }

    fn answer(&self, location: u32, path: &str) -> Bytes {
        let base = format!("http://{}/{location}", self.address);
        if path.is_empty() {
            self.roots.fetch_add(1, Ordering::Relaxed);
            return simulated::versions(&base);
        }
        self.questions.fetch_add(1, Ordering::Relaxed);
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        match path.strip_prefix("v1/nodes") {
            Some("" | "/detail") => self.page(location, &base, query),
            Some(member) => {
                let ident = member.trim_matches('/');
                match place(ident) {
                    Some((home, node)) if home == location && node < self.shape.nodes => {
                        self.items.fetch_add(1, Ordering::Relaxed);
                        let mut body = String::new();
                        write_node(&mut body, &base, (location, node), Detail::Full);
                        simulated::answer("200 OK", body.as_bytes())
                    }
                    _ => simulated::fault(
                        "404 Not Found",
                        &format!("Node {ident} could not be found."),
                    ),
                }
            }
            None => simulated::fault("404 Not Found", "The resource could not be found."),
        }
    }

    /// In the order in which nodes were made, which is also that of their names.
    fn page(&self, location: u32, base: &str, query: &str) -> Bytes {
        let parameter = |wanted: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs
                .find(|(name, _)| *name == wanted)
                .map(|(_, value)| value)
        };
        let nodes = self.shape.nodes;
        let marker = parameter("marker").and_then(place).map(|(_, node)| node);
        let limit = parameter("limit").and_then(|limit| limit.parse().ok());
        let limit = limit.unwrap_or(PAGE).min(PAGE);
        let detail = match parameter("fields") {
            Some(_) => Detail::Brief,
            None => Detail::Full,
        };
        let shown: Vec<u32> = if parameter("sort_dir") == Some("desc") {
            let behind = marker.unwrap_or(nodes);
            (0..behind).rev().take(limit as usize).collect()
        } else {
            let first = marker.map_or(0, |marker| marker + 1);
            (first..nodes).take(limit as usize).collect()
        };
        self.items.fetch_add(shown.len() as u64, Ordering::Relaxed);
        let mut body = String::from("{\"nodes\": [");
        for (index, &node) in shown.iter().enumerate() {
            if index > 0 {
                body.push_str(", ");
            }
            write_node(&mut body, base, (location, node), detail);
        }
        body.push(']');
        // Ironic names a next page whenever this one is full (`ironic/api/controllers/v1/collection.py`).
        if let Some(&last) = shown.last().filter(|_| shown.len() == limit as usize) {
            let marker = uuid((location, last));
            // Writing to a String cannot fail.
            let _ = write!(
                body,
                ", \"next\": \"{base}/v1/nodes?limit={limit}&marker={marker}\""
            );
        }
        body.push('}');
        simulated::answer("200 OK", body.as_bytes())
    }
}

#[derive(Clone, Copy)]
enum Detail {
    Full,
    Brief,
}

pub(crate) fn uuid((location, node): (u32, u32)) -> String {
    format!("{location:08x}-{node:04x}-4000-8000-000000000000")
}

/// Whose uuid that is.
fn place(uuid: &str) -> Option<(u32, u32)> {
    let (location, rest) = uuid.split_once('-')?;
    let (node, _) = rest.split_once('-')?;
    let number = |text| u32::from_str_radix(text, 16).ok();
    Some((number(location)?, number(node)?))
}

/// By name each page of all nodes has some of every location, which is what costs most.
fn write_node(body: &mut String, base: &str, at: (u32, u32), detail: Detail) {
    let (uuid, (location, node)) = (uuid(at), at);
    // Writing to a String cannot fail, here and below.
    let _ = write!(
        body,
        "{{\"uuid\": \"{uuid}\", \"name\": \"n-{node:05}-{location:05}\", "
    );
    if let Detail::Full = detail {
        body.push_str(
            "\"instance_uuid\": null, \"maintenance\": false, \"power_state\": \"power on\", \
             \"provision_state\": \"active\", ",
        );
    }
    let _ = write!(
        body,
        "\"links\": [{{\"href\": \"{base}/v1/nodes/{uuid}\", \"rel\": \"self\"}}, {{\"href\": \
         \"{base}/nodes/{uuid}\", \"rel\": \"bookmark\"}}]}}"
    );
}
