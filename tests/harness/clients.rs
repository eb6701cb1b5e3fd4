//! Clients for tests of what no request may notice: half of them keep their connection, half make one for each request.
//! Python's are too slow for that.
//!
//!     clients ADDRESS PATH RATE
//!
//! A line on standard input is answered with what came of it so far, as JSON; the end of standard input ends it. Requests
//! begin at RATE a second.

#![allow(clippy::unwrap_used, reason = "what fails here is a failed test")]

use std::io;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;
use std::time::Instant;

use serde_json::json;
use tokio::io::AsyncBufReadExt;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::io::BufReader;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::MissedTickBehavior;
use tokio::time::interval;
use tokio::time::timeout;

/// Connections that are kept.
const KEPT: u32 = 20;
/// A client that waits longer than this has lost its request.
const PATIENCE: Duration = Duration::from_mins(1);
/// Requests without an answer at the same time; on a machine that is too slow for RATE there are fewer a second.
const WAITING: usize = 200;
/// Failures that are told; all are counted.
const TOLD: usize = 10;

#[derive(Debug)]
struct Target {
    address: String,
    path: String,
}

#[derive(Debug, Default)]
struct Outcome {
    /// Answered with 200: on connections that are kept, and on others.
    kept: u64,
    once: u64,
    failed: u64,
    /// Of these: nobody listened, so that nothing was sent.
    refused: u64,
    failures: Vec<String>,
    slowest: Duration,
    /// Of the kept ones: how often an answer said that it is the last.
    closed: u64,
}

type Shared = Arc<Mutex<Outcome>>;

struct Answer {
    status: u16,
    is_last: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, address, path, rate] = &arguments[..] else {
        panic!("clients ADDRESS PATH RATE");
    };
    let rate: u32 = rate.parse().unwrap();
    let target = Arc::new(Target {
        address: address.clone(),
        path: path.clone(),
    });
    let outcome = Shared::default();
    let between = Duration::from_secs(1) / (rate / 2).max(1);
    for place in 0..KEPT {
        let (target, outcome) = (Arc::clone(&target), Arc::clone(&outcome));
        tokio::spawn(async move {
            tokio::time::sleep(between * place).await;
            keep(&target, &outcome, between * KEPT).await;
        });
    }
    let one_shot = Arc::clone(&outcome);
    tokio::spawn(async move {
        let mut ticks = interval(between);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let places = Arc::new(Semaphore::new(WAITING));
        loop {
            ticks.tick().await;
            let place = Arc::clone(&places).acquire_owned().await;
            let (target, outcome) = (Arc::clone(&target), Arc::clone(&one_shot));
            tokio::spawn(async move {
                once(&target, &outcome).await;
                drop(place);
            });
        }
    });
    // tokio's standard input needs a feature that the program does not.
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in io::stdin().lines() {
            tell.send(line).unwrap();
        }
    });
    while told.recv().await.is_some() {
        let now = outcome.lock().unwrap();
        println!(
            "{}",
            json!({
                "kept": now.kept, "once": now.once, "closed": now.closed, "failed": now.failed, "refused": now.refused, "failures": now.failures,
                "slowest": now.slowest.as_secs_f64(),
            })
        );
    }
}

async fn keep(target: &Target, outcome: &Shared, pause: Duration) {
    let mut ticks = interval(pause);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut connection = None;
    loop {
        ticks.tick().await;
        let begun = Instant::now();
        let asked = async {
            let mut open = match connection.take() {
                Some(open) => open,
                None => connect(target).await?,
            };
            let answer = ask(&mut open, target, "keep-alive").await?;
            Ok((open, answer))
        };
        match timeout(PATIENCE, asked).await.unwrap_or_else(late) {
            Ok((open, answer)) => {
                let mut now = outcome.lock().unwrap();
                now.note("kept", begun, &answer);
                if answer.is_last {
                    now.closed += 1;
                } else {
                    connection = Some(open);
                }
            }
            Err(error) => outcome.lock().unwrap().lose("kept", &error),
        }
    }
}

async fn once(target: &Target, outcome: &Shared) {
    let begun = Instant::now();
    let asked = async {
        let mut connection = connect(target).await?;
        ask(&mut connection, target, "close").await
    };
    let asked = timeout(PATIENCE, asked).await.unwrap_or_else(late);
    let mut now = outcome.lock().unwrap();
    match asked {
        Ok(answer) => now.note("once", begun, &answer),
        Err(error) => now.lose("once", &error),
    }
}

fn late<T>(_: tokio::time::error::Elapsed) -> io::Result<T> {
    Err(io::ErrorKind::TimedOut.into())
}

impl Outcome {
    fn note(&mut self, kind: &str, begun: Instant, answer: &Answer) {
        self.slowest = self.slowest.max(begun.elapsed());
        match (answer.status, kind) {
            (200, "kept") => self.kept += 1,
            (200, _) => self.once += 1,
            (status, kind) => self.fail(kind, &status.to_string()),
        }
    }

    fn lose(&mut self, kind: &str, error: &io::Error) {
        if error.kind() == io::ErrorKind::ConnectionRefused {
            self.refused += 1;
            self.failed += 1;
        } else {
            self.fail(kind, &error.to_string());
        }
    }

    fn fail(&mut self, kind: &str, text: &str) {
        self.failed += 1;
        if self.failures.len() < TOLD {
            self.failures.push(format!("{kind}: {text}"));
        }
    }
}

async fn connect(target: &Target) -> io::Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect(&target.address).await?;
    stream.set_nodelay(true)?;
    Ok(BufReader::new(stream))
}

async fn ask(
    connection: &mut BufReader<TcpStream>,
    target: &Target,
    keep: &str,
) -> io::Result<Answer> {
    let head = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nX-OpenStack-Ironic-API-Version: 1.80\r\nConnection: {keep}\r\n\r\n",
        target.path, target.address
    );
    connection.write_all(head.as_bytes()).await?;
    let mut answer = Answer {
        status: 0,
        is_last: false,
    };
    let mut length = 0;
    loop {
        let mut line = String::new();
        if connection.read_line(&mut line).await? == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "closed instead of an answer",
            ));
        }
        let line = line.trim_end().to_ascii_lowercase();
        if let Some(status) = line.strip_prefix("http/1.1 ") {
            answer.status = status[..3].parse().unwrap();
        } else if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.parse().unwrap();
        } else if line == "connection: close" {
            answer.is_last = true;
        } else if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    connection.read_exact(&mut body).await?;
    Ok(answer)
}
