//! How many connections clients may have. Addresses without a valid login are limited each and all together, apart
//! from the others: strangers can slow down strangers and nobody else.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use log::warn;

use crate::wire::network::network;

/// How long an address is known after somebody who may come in was there.
const VOUCHED: Duration = Duration::from_hours(1);
/// Addresses that are remembered, open connections or not.
const REMEMBERED: usize = 65_536;
/// Between two lines that say that clients are turned away.
const SAID: Duration = Duration::from_mins(1);

/// The bounds.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub all: usize,
    /// All addresses together that nobody has vouched for.
    pub strangers: usize,
    /// One of them.
    pub address: usize,
}

impl Bounds {
    /// `files`: how many this process may have open. Half of them are for clients, the others for locations.
    pub fn new(files: u64, address: usize) -> Self {
        // A client needs one descriptor here and, for as long as it is served, one towards a location.
        let all = usize::try_from(files / 2).unwrap_or(usize::MAX).max(64);
        let strangers = all / 4 * 3;
        Self {
            all,
            strangers,
            address: address.min(strangers),
        }
    }
}

/// All connections.
#[derive(Debug)]
pub struct Crowd {
    present: Mutex<Present>,
    /// Nobody else is let in.
    closed: AtomicBool,
}

#[derive(Debug)]
struct Present {
    bounds: Bounds,
    all: usize,
    strangers: usize,
    addresses: HashMap<IpAddr, Address>,
    said: Option<Instant>,
}

#[derive(Debug, Default)]
struct Address {
    open: usize,
    vouched: Option<Instant>,
}

impl Address {
    fn is_vouched(&self, now: Instant) -> bool {
        self.vouched
            .is_some_and(|since| now.saturating_duration_since(since) < VOUCHED)
    }
}

/// A connection's place, until it is dropped.
#[derive(Debug)]
pub struct Place {
    crowd: Arc<Crowd>,
    address: Option<IpAddr>,
    stranger: bool,
}

impl Crowd {
    pub fn new(bounds: Bounds) -> Arc<Self> {
        Arc::new(Self {
            present: Mutex::new(Present {
                bounds,
                all: 0,
                strangers: 0,
                addresses: HashMap::new(),
                said: None,
            }),
            closed: AtomicBool::new(false),
        })
    }

    /// Who is there may stay.
    pub fn bound(&self, bounds: Bounds) {
        self.present().bounds = bounds;
    }

    fn present(&self) -> MutexGuard<'_, Present> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connections that are open.
    pub fn open(&self) -> usize {
        self.present().all
    }

    /// From here on nobody else is let in.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Somebody who may come in is at this address.
    pub fn vouch(&self, address: IpAddr, now: Instant) {
        let mut present = self.present();
        if present.addresses.len() >= REMEMBERED {
            present
                .addresses
                .retain(|_, address| address.open > 0 || address.is_vouched(now));
        }
        let address = present.addresses.entry(network(address)).or_default();
        address.vouched = Some(now);
    }

    /// `None`: there is no room.
    pub fn admit(self: &Arc<Self>, address: Option<IpAddr>, now: Instant) -> Option<Place> {
        let address = address.map(network);
        let mut present = self.present();
        let here = address.and_then(|address| present.addresses.get(&address));
        let stranger = !here.is_some_and(|here| here.is_vouched(now));
        let open = here.map_or(0, |here| here.open);
        let full = present.all >= present.bounds.all
            || (stranger
                && (present.strangers >= present.bounds.strangers
                    || open >= present.bounds.address));
        if full {
            present.say(now);
            return None;
        }
        present.all += 1;
        present.strangers += usize::from(stranger);
        if let Some(address) = address {
            present.addresses.entry(address).or_default().open += 1;
        }
        Some(Place {
            crowd: Arc::clone(self),
            address,
            stranger,
        })
    }
}

impl Present {
    fn say(&mut self, now: Instant) {
        if self
            .said
            .is_none_or(|said| now.saturating_duration_since(said) >= SAID)
        {
            self.said = Some(now);
            warn!(
                "Clients are turned away: {} connections are open, {} of them from addresses without a valid login ([api] max_connections_per_address, LimitNOFILE)",
                self.all, self.strangers
            );
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut present = self.crowd.present();
        present.all -= 1;
        present.strangers -= usize::from(self.stranger);
        if let Some(address) = self.address
            && let Some(here) = present.addresses.get_mut(&address)
        {
            here.open -= 1;
            // A scan of a /16 would otherwise be remembered for ever.
            if here.open == 0 && here.vouched.is_none() {
                present.addresses.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crowd() -> Arc<Crowd> {
        Crowd::new(Bounds {
            all: 8,
            strangers: 6,
            address: 3,
        })
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn strangers_fill_their_own_room_only() {
        let (crowd, now) = (crowd(), Instant::now());
        let mut places = Vec::new();
        for (from, admitted) in [
            (1, true),
            (1, true),
            (1, true),
            (1, false),
            (2, true),
            (2, true),
            (2, true),
            (3, false),
        ] {
            let place = crowd.admit(Some(address(from)), now);
            assert_eq!(place.is_some(), admitted, "{from} after {}", places.len());
            places.extend(place);
        }
        crowd.vouch(address(4), now);
        places.extend((0..2).filter_map(|_| crowd.admit(Some(address(4)), now)));
        assert_eq!(places.len(), 8);
        assert!(crowd.admit(Some(address(4)), now).is_none(), "all is all");
        drop(places);
        assert!(crowd.admit(Some(address(1)), now).is_some());
        let present = crowd.present();
        assert_eq!((present.all, present.strangers), (0, 0));
        assert_eq!(present.addresses.len(), 1, "only whom somebody vouched for");
    }

    #[test]
    fn an_address_is_known_for_a_time() {
        let (crowd, now) = (crowd(), Instant::now());
        crowd.vouch(address(1), now);
        let places: Vec<_> = (0..5)
            .filter_map(|_| crowd.admit(Some(address(1)), now))
            .collect();
        assert_eq!(places.len(), 5);
        assert!(crowd.admit(Some(address(1)), now + VOUCHED).is_none());
    }
}
