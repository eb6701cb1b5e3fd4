//! Load: closed loops for throughput and cost, open loops for latency.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::wire::Target;
use crate::wire::Wire;

/// How long requests may still take after an open loop has ended.
const GRACE: Duration = Duration::from_secs(5);

/// The `n`th request.
pub(crate) type Requests = Arc<dyn Fn(u64) -> Bytes + Send + Sync>;

/// What was measured at the client.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples {
    /// Of requests that succeeded, ascending.
    pub(crate) latencies: Vec<Duration>,
    /// Requests that failed, or were not served in time.
    pub(crate) failures: u64,
    /// Bytes of the bodies.
    pub(crate) bytes: u64,
    pub(crate) elapsed: Duration,
}

impl Samples {
    pub(crate) fn served(&self) -> usize {
        self.latencies.len()
    }

    /// Requests a second.
    pub(crate) fn throughput(&self) -> f64 {
        self.served() as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// The latency that the given share of the requests does not exceed.
    pub(crate) fn percentile(&self, share: f64) -> Duration {
        let last = self.served().saturating_sub(1);
        let rank = (share * self.served() as f64).ceil() as usize;
        self.latencies
            .get(rank.saturating_sub(1).min(last))
            .copied()
            .unwrap_or_default()
    }

    /// Adds another round of the same.
    pub(crate) fn add(&mut self, other: Self) {
        self.latencies.extend(other.latencies);
        self.latencies.sort_unstable();
        self.failures += other.failures;
        self.bytes += other.bytes;
        self.elapsed += other.elapsed;
    }

    fn note(&mut self, latency: Duration, answer: &std::io::Result<crate::wire::Outcome>) {
        match answer {
            Ok(outcome) if outcome.is_success() => {
                self.latencies.push(latency);
                self.bytes += outcome.bytes;
            }
            Ok(_) | Err(_) => self.failures += 1,
        }
    }
}

async fn gather(mut workers: JoinSet<Samples>, began: Instant) -> Samples {
    let mut all = Samples::default();
    while let Some(samples) = workers.join_next().await {
        all.add(samples.unwrap_or_default());
    }
    all.elapsed = began.elapsed();
    all
}

/// Each connection sends its next request when it has the answer to the last one.
pub(crate) async fn closed(
    target: &Target,
    connections: usize,
    lasting: Duration,
    requests: &Requests,
) -> Samples {
    let began = Instant::now();
    let next = Arc::new(AtomicU64::new(0));
    let mut workers = JoinSet::new();
    for _ in 0..connections {
        let (mut wire, requests, next) =
            (Wire::new(target), Arc::clone(requests), Arc::clone(&next));
        workers.spawn(async move {
            let mut samples = Samples::default();
            while began.elapsed() < lasting {
                let request = requests(next.fetch_add(1, Ordering::Relaxed));
                let sent = Instant::now();
                let answer = wire.exchange(&request, None).await;
                samples.note(sent.elapsed(), &answer);
                if answer.is_err() {
                    // Not to spin on a server that is gone.
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
            samples
        });
    }
    gather(workers, began).await
}

/// Requests arrive `rate` times a second, whether or not earlier ones are answered; latency counts from the
/// arrival, so what waits behind a slow answer is slow too.
pub(crate) async fn open(
    target: &Target,
    connections: usize,
    rate: f64,
    lasting: Duration,
    requests: &Requests,
) -> Samples {
    let arrivals = Arc::new(Semaphore::new(0));
    let next = Arc::new(AtomicU64::new(0));
    let over = Arc::new(AtomicBool::new(false));
    let total = (rate * lasting.as_secs_f64()).max(1.0) as u64;
    // Connections are made before the clock starts.
    let began = Instant::now() + Duration::from_millis(50 + connections as u64);
    let due = move |index: u64| began + Duration::from_secs_f64(index as f64 / rate);
    let mut workers = JoinSet::new();
    for _ in 0..connections {
        let (mut wire, requests, next) =
            (Wire::new(target), Arc::clone(requests), Arc::clone(&next));
        let (arrivals, over) = (Arc::clone(&arrivals), Arc::clone(&over));
        workers.spawn(async move {
            let mut samples = Samples::default();
            // The first exchange opens the connection.
            let _ = wire.exchange(&requests(0), None).await;
            while let Ok(arrival) = arrivals.acquire().await {
                arrival.forget();
                if over.load(Ordering::Relaxed) {
                    break;
                }
                let index = next.fetch_add(1, Ordering::Relaxed);
                let answer = wire.exchange(&requests(index), None).await;
                samples.note(due(index).elapsed(), &answer);
            }
            samples
        });
    }
    let clock = {
        let (arrivals, next, over) = (Arc::clone(&arrivals), Arc::clone(&next), Arc::clone(&over));
        // A thread of its own: the runtime's timers count in milliseconds.
        thread::spawn(move || {
            let mut arrived = 0;
            while arrived < total {
                thread::sleep(due(arrived).saturating_duration_since(Instant::now()));
                let now = Instant::now()
                    .saturating_duration_since(began)
                    .as_secs_f64();
                let by_now = ((now * rate) as u64 + 1).min(total);
                if by_now > arrived {
                    arrivals.add_permits((by_now - arrived) as usize);
                    arrived = by_now;
                }
            }
            let deadline = Instant::now() + GRACE;
            while next.load(Ordering::Relaxed) < total && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(1));
            }
            over.store(true, Ordering::Relaxed);
            arrivals.close();
        })
    };
    let mut samples = gather(workers, began).await;
    // It only ends by itself.
    let _ = clock.join();
    samples.elapsed = lasting;
    samples.failures += total.saturating_sub(samples.served() as u64 + samples.failures);
    samples
}
