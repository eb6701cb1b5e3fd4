//! The endpoints of a location, in the order in which they are asked, and when the second is asked besides the first.
//!
//! A read is *hedged*, asked of the next endpoint as well, if its first byte comes later than that of nineteen in twenty;
//! what duels are is said in [`contest`](crate::locations::contest). Both are paid for by the reads before, so that a slow
//! location has no more than a twentieth to do on top.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use arc_swap::ArcSwap;

use crate::locations::contest::Contest;
use crate::locations::contest::Order;
use crate::locations::peer::Peer;
use crate::locations::speed::Kind;
use crate::metrics::counter::Counter;

/// In a duel, what the first one is given. What is faster by less is not worth a change, nor a question.
const HEAD_START: Duration = Duration::from_millis(10);
/// No read is hedged sooner, however fast others were.
const SOONEST: Duration = Duration::from_millis(20);
/// When a read is hedged while too little is known of the endpoint.
const UNKNOWN: Duration = Duration::from_secs(1);
/// Reads that pay for one that is asked twice.
const PRICE: u32 = 20;
/// What may be saved up: without savings each read of an idle location would wait for an endpoint that falls silent.
const SAVINGS: u32 = 10 * PRICE;

/// Endpoints, each with every address of its host.
#[derive(Debug)]
pub struct Endpoints {
    peers: ArcSwap<Vec<Arc<Peer>>>,
    contest: Mutex<Contest>,
    /// Reads that have not been spent.
    savings: AtomicU32,
    /// Reads that were asked of two, by which one answered first.
    pub hedges: Hedges,
}

/// Reads that were asked of a second endpoint.
#[derive(Debug, Default)]
pub struct Hedges {
    /// The second one answered first.
    pub won: Counter,
    /// The first one did after all.
    pub lost: Counter,
}

/// The peers in the order in which one question tries them.
#[derive(Debug)]
pub struct Line {
    peers: Arc<Vec<Arc<Peer>>>,
    order: Order,
}

/// When a read is asked of a second endpoint as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Race {
    /// From the question, without a byte of an answer.
    pub after: Duration,
    /// Who is faster is to be found out.
    is_duel: bool,
}

impl Default for Endpoints {
    fn default() -> Self {
        Self {
            peers: ArcSwap::default(),
            contest: Mutex::new(Contest::new(Instant::now())),
            savings: AtomicU32::new(SAVINGS),
            hedges: Hedges::default(),
        }
    }
}

impl Endpoints {
    pub fn all(&self) -> Arc<Vec<Arc<Peer>>> {
        self.peers.load_full()
    }

    pub fn is_empty(&self) -> bool {
        self.peers.load().is_empty()
    }

    /// Other addresses, or the same again: of those it stays known how fast they are, and which one is preferred.
    pub fn set(&self, mut peers: Vec<Peer>) {
        let mut contest = self.contest();
        let before = self.peers.load();
        for peer in &mut peers {
            if let Some(known) = before.iter().find(|known| known.is_same_place(peer)) {
                peer.speed = Arc::clone(&known.speed);
            }
        }
        let first = before.get(contest.order(before.len()).first);
        let place = first.and_then(|first| peers.iter().position(|peer| peer.is_same_place(first)));
        let is_as_before = peers.len() == before.len()
            && peers
                .iter()
                .zip(before.iter())
                .all(|(peer, known)| peer.is_same_place(known));
        if !is_as_before {
            contest.moved(place.unwrap_or(0));
        }
        let peers = peers.into_iter().map(Arc::new).collect();
        self.peers.store(Arc::new(peers));
    }

    /// In the order of this moment.
    pub fn line(&self) -> Line {
        let peers = self.peers.load_full();
        let order = self.contest().order(peers.len());
        Line { peers, order }
    }

    /// A read is about to be asked of the first in a line of several.
    pub fn race(&self, line: &Line, kind: Kind) -> Race {
        let _ = self
            .savings
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |saved| {
                (saved < SAVINGS).then_some(saved + 1)
            });
        // One thing costs little; a list may be of all that there is.
        if kind == Kind::Thing && self.contest().is_duel(Instant::now()) {
            return Race {
                after: HEAD_START,
                is_duel: true,
            };
        }
        let usual = line.get(0).and_then(|first| first.speed.p95(kind));
        Race {
            after: usual.map_or(UNKNOWN, |usual| usual.max(SOONEST)),
            is_duel: false,
        }
    }

    /// Whether the second one may be asked as well: if the reads before have paid for it, or if the first one is not the
    /// one any longer that would be asked.
    pub fn may_hedge(&self, line: &Line) -> bool {
        if self.line().order.first != line.order.first {
            return true;
        }
        let paid = self
            .savings
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |saved| {
                saved.checked_sub(PRICE)
            });
        paid.is_ok()
    }

    /// The second one was faster, though it was asked later.
    pub fn won(&self, line: &Line) {
        self.hedges.won.bump();
        self.contest().won(line.order, Instant::now());
    }

    /// The first one answered. `asked`: so was the second.
    pub fn held(&self, line: &Line, race: Race, asked: bool) {
        if asked {
            self.hedges.lost.bump();
        }
        if race.is_duel {
            self.contest().held(line.order);
        }
    }

    /// This one answered while those before it failed. Whether that is news.
    pub fn prefer(&self, peer: &Peer) -> bool {
        let mut contest = self.contest();
        let peers = self.peers.load();
        let place = peers.iter().position(|known| known.is_same_place(peer));
        place.is_some_and(|place| contest.prefer(place, Instant::now()))
    }

    fn contest(&self) -> MutexGuard<'_, Contest> {
        self.contest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    pub fn get(&self, number: usize) -> Option<&Arc<Peer>> {
        self.peers.get(self.order.place(number)?)
    }
}
