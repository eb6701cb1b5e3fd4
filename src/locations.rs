//! The locations: each an Ironic of its own, and the versions that they have in common.

pub mod breaker;
pub mod contest;
pub mod credentials;
pub mod endpoints;
pub mod location;
pub mod order;
pub mod orders;
pub mod outage;
pub mod peer;
pub mod question;
pub mod record;
pub mod silence;
pub mod speech;
pub mod speed;
pub mod traffic;
pub mod trail;
pub mod translation;
pub mod walk;
pub mod window;

use std::fmt::Display;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Instant;

use arc_swap::ArcSwap;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use jiff::SignedDuration;
use jiff::Timestamp;
use log::error;
use log::info;
use log::warn;

use crate::api::microversion::Microversion;
use crate::api::microversion::VersionRange;
use crate::config::Config;
use crate::config::LocationId;
use crate::locations::location::Location;
use crate::locations::location::LocationError;
use crate::locations::order::Order;
use crate::locations::orders::Orders;
use crate::locations::orders::Place;
use crate::locations::orders::SharedOrder;
use crate::locations::speech::Standing;

/// All locations, in the order of the configuration.
#[derive(Debug)]
pub struct Locations {
    all: Vec<Location>,
    floor: Option<Microversion>,
    told: Arc<AtomicU64>,
    orders: Arc<Orders>,
    /// When the file was read that these come from.
    read_at: Timestamp,
    agreed: ArcSwap<Agreement>,
    /// Other ones are in force.
    retired: AtomicBool,
}

/// What all have in common, after so many told of themselves.
#[derive(Debug, Default)]
struct Agreement {
    told: u64,
    common: Option<VersionRange>,
}

impl Locations {
    /// Whatever the configuration says the same of as `before` goes on as it is.
    pub fn new(config: &Config, before: Option<&Self>) -> Result<Self, LocationError> {
        let told = before.map_or_else(Arc::default, |before| Arc::clone(&before.told));
        let orders = before.map_or_else(
            || Arc::new(Orders::load(&config.state_path)),
            |before| Arc::clone(&before.orders),
        );
        let mut all = Vec::new();
        for (id, config) in (0..).map(LocationId).zip(&config.locations) {
            let known = before.and_then(|before| before.by_name(&config.name));
            let location = match known {
                Some(known) if known.config.is_same_place(config) => known.under(id, config),
                _ => {
                    let location = Location::new(id, config, &told, known)?;
                    if known.is_none() {
                        location.ordered(orders.of(location.name(), config.state));
                    }
                    location
                }
            };
            all.push(location);
        }
        // Who has something in common with whom is found out anew.
        told.fetch_add(1, Ordering::AcqRel);
        Ok(Self {
            all,
            orders,
            read_at: Timestamp::now(),
            floor: config.api.min_max_version,
            told,
            agreed: ArcSwap::default(),
            retired: AtomicBool::new(false),
        })
    }

    /// These are in force from now on, and say who is in quarantine and in which state.
    pub fn succeed(&self, before: &Self) {
        before.retired.store(true, Ordering::Release);
        // An order that comes meanwhile is judged by the one file or by the other.
        let changing = self.orders.changing();
        self.begin();
        for location in &self.all {
            let known = before.by_name(location.name());
            // Not before: a reload that fails must not have changed what goes on being used.
            if known.is_some_and(|known| !known.is(location) || known.state != location.state) {
                location.ordered(self.orders.of(location.name(), location.state));
            }
        }
        drop(changing);
        self.common();
    }

    /// What the file says of these counts from now on.
    pub fn begin(&self) {
        let configured = self.all.iter();
        let configured = configured.map(|location| (location.name(), location.state));
        if let Err(error) = self.orders.supersede(configured) {
            warn!(
                "That the file has a newer word on the state of a location than `ironic-proxy location` cannot be kept: {error}"
            );
        }
    }

    /// Whether each of `others` is one of these.
    pub fn include(&self, others: &Self) -> bool {
        others
            .iter()
            .all(|other| self.all.iter().any(|location| location.is(other)))
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Location> + Clone {
        self.all.iter()
    }

    /// An id comes from this very configuration, so it always names a location.
    pub fn location(&self, id: LocationId) -> &Location {
        &self.all[usize::from(id.0)]
    }

    pub fn by_name(&self, name: &str) -> Option<&Location> {
        self.all
            .iter()
            // Names are section names, and oslo.config folds those (`_normalize_group_name`).
            .find(|location| location.name().eq_ignore_ascii_case(name))
    }

    /// The operator's new word on one. It is in force from now on.
    ///
    /// # Errors
    /// It will not be in force after a restart.
    pub fn order(&self, id: LocationId, mut order: Order) -> io::Result<()> {
        let location = self.location(id);
        // Nothing may be heard between the look at the newest time and the write.
        let _changing = self.orders.changing();
        // What was heard from another gateway, whose clock may be ahead, came before this.
        let before = self.orders.last(location.name());
        let after = before.and_then(|before| {
            // Two, since the board may be told once more of the last one.
            let instant = SignedDuration::from_micros(2);
            before.checked_add(instant).ok()
        });
        order.since = order.since.max(after);
        log_order(location, &order, "");
        location.ordered(order.clone());
        self.orders.keep(location.name(), location.state, order)
    }

    /// Every order so far, for gateways that share them.
    pub fn told(&self) -> Vec<SharedOrder> {
        self.orders.told()
    }

    /// Another gateway was given one.
    pub fn hear(&self, name: &str, text: &str) {
        // Reasons are short; this is somebody else's.
        let Some(location) = self.by_name(name).filter(|_| text.len() <= MOST_HEARD) else {
            return;
        };
        let place = Place {
            name: location.name(),
            configured: location.state,
            read_at: self.read_at,
        };
        let _changing = self.orders.changing();
        let Some((order, kept)) = self.orders.hear(place, text) else {
            return;
        };
        if let Err(error) = kept {
            warn!(
                "Location `{name}`: the state that another gateway was told will be lost at a restart: {error}"
            );
        }
        if *location.order() != order {
            log_order(location, &order, ", as another gateway was told");
            location.ordered(order);
        }
    }

    /// The names of some, for a text that clients read.
    pub fn names(&self, ids: &[LocationId]) -> String {
        let names = ids.iter().map(|id| self.location(*id).name());
        first_of(names, and_more).join(", ")
    }

    /// What all locations that are known and not in quarantine have in common. `None`: none is known.
    pub fn common(&self) -> Option<VersionRange> {
        let told = self.told.load(Ordering::Acquire);
        let agreed = self.agreed.load();
        if agreed.told == told {
            agreed.common
        } else {
            self.agree(told)
        }
    }

    /// What is spoken: of a location that is asked alone its own versions, as soon as they are known.
    pub fn range(&self, only: Option<LocationId>) -> Option<VersionRange> {
        let own = only.and_then(|id| self.location(id).standing());
        own.map(|standing| standing.range).or_else(|| self.common())
    }

    /// The same, waited for.
    pub async fn range_by(&self, only: Option<LocationId>, deadline: Instant) {
        match only {
            Some(id) => {
                let probed = self.location(id).probed();
                let _ = tokio::time::timeout_at(deadline.into(), probed).await;
            }
            None => {
                self.common_by(deadline).await;
            }
        }
    }

    /// What all have in common, waited for: a gateway that has just started knows none until a first location has told, and a request is
    /// not refused for that. `None`: every location was probed, and none told.
    pub async fn common_by(&self, deadline: Instant) -> Option<VersionRange> {
        if let Some(common) = self.common() {
            return Some(common);
        }
        let mut probes: FuturesUnordered<_> = self.all.iter().map(Location::probed).collect();
        let told = async {
            while probes.next().await.is_some() {
                if let Some(common) = self.common() {
                    return Some(common);
                }
            }
            None
        };
        tokio::time::timeout_at(deadline.into(), told)
            .await
            .unwrap_or(None)
    }

    /// A location told what it is (or a file told what it last was): who has to stay out is decided anew.
    pub fn learn(&self, id: LocationId, standing: Standing) {
        self.location(id).learn(standing);
        self.common();
    }

    fn agree(&self, told: u64) -> Option<VersionRange> {
        // `told` was read before: whoever tells meanwhile makes this result stale, and it is made again.
        let ranges: Vec<_> = self
            .all
            .iter()
            .map(|location| location.last_standing().map(|known| known.range))
            .collect();
        let (common, fits) = agree(&ranges, self.floor);
        self.agreed.store(Arc::new(Agreement { told, common }));
        if self.retired.load(Ordering::Acquire) {
            return common;
        }
        for (location, fits) in self.all.iter().zip(fits) {
            let was = location.set_quarantine(!fits);
            let range = location.last_standing().map(|known| known.range);
            match (was, fits, range) {
                (false, false, Some(range)) => error!(
                    "Location `{}` is in quarantine: its API versions {} to {} would leave too little in common",
                    location.name(),
                    range.min(),
                    range.max()
                ),
                (true, true, _) => info!("Location `{}` is out of quarantine", location.name()),
                _ => {}
            }
        }
        common
    }
}

/// Of thousands that are away so many are named: nginx takes heads of 4 KiB, `HAProxy` of 16, Python a line of 64.
const NAMED: usize = 32;

/// The first of them, and how many `more` there are.
pub fn first_of(
    each: impl ExactSizeIterator<Item = impl Display>,
    more: impl Fn(usize) -> String,
) -> Vec<String> {
    let beyond = each.len().saturating_sub(NAMED);
    let named = each.take(NAMED).map(|one| one.to_string());
    let rest = (beyond > 0).then(|| more(beyond));
    named.chain(rest).collect()
}

/// How texts say it.
pub fn and_more(more: usize) -> String {
    format!("and {more} more")
}

/// Longer than any that an operator gives.
const MOST_HEARD: usize = 16 << 10;

fn log_order(location: &Location, order: &Order, how: &str) {
    let part = |before: &str, text: Option<&str>| {
        text.map_or_else(String::new, |text| format!("{before}{text}"))
    };
    info!(
        "Location `{}` is set to {}{}{}{how}",
        location.name(),
        order.state.word(),
        part(" by ", order.by.as_deref()),
        part(": ", order.reason.as_deref()),
    );
}

/// What is common to all, and who fits in: a location whose range would empty the intersection, or push its maximum
/// below the floor, does not. Earlier locations go before later ones.
fn agree(
    ranges: &[Option<VersionRange>],
    floor: Option<Microversion>,
) -> (Option<VersionRange>, Vec<bool>) {
    let mut common: Option<VersionRange> = None;
    let fits = ranges
        .iter()
        .map(|range| {
            let Some(range) = *range else { return true };
            let narrowed = common.map_or(Some(range), |common| common.intersect(range));
            let kept =
                narrowed.filter(|narrowed| floor.is_none_or(|floor| narrowed.max() >= floor));
            if kept.is_some() {
                common = kept;
            }
            kept.is_some()
        })
        .collect();
    (common, fits)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::api::microversion::Microversion;
    use crate::config::Source;
    use crate::config::Sources;
    use crate::config::State;

    fn range(min: i64, max: i64) -> Option<VersionRange> {
        VersionRange::new(Microversion::new(1, min), Microversion::new(1, max))
    }

    /// What a file with this section of its one location says.
    fn configured(directory: &Path, section: &str) -> Config {
        let file = directory.join("ironic-proxy.conf");
        let text = format!(
            "[DEFAULT]\nstate_path = {}\ngroups = _:loc1\n[api]\nauth_strategy = noauth\nhost_ip = 127.0.0.1\n\
             [group:loc1]\nauth_type = none\n{section}\n",
            directory.display()
        );
        fs::write(&file, text).unwrap();
        Config::load(&Sources::new(vec![Source::File(file)]), [("", ""); 0]).unwrap()
    }

    #[test]
    fn so_many_are_named() {
        let named = |number| first_of(0..number, and_more).join(", ");
        assert_eq!(named(0), "");
        assert_eq!(named(2), "0, 1");
        assert!(named(NAMED).ends_with(", 30, 31"));
        assert!(named(NAMED + 1).ends_with(", 30, 31, and 1 more"));
    }

    #[test]
    fn an_order_that_comes_while_a_reload_is_under_way_is_in_force() {
        let directory = tempfile::tempdir().unwrap();
        let section = |rest| configured(directory.path(), &format!("endpoint_override = {rest}"));
        let order = |state| Order {
            since: Some(Timestamp::now()),
            ..Order::of_file(state)
        };
        let first = section("http://192.0.2.1:6385");
        for (then, after_order, after_reload) in [
            // The same section, another one, and one with a newer word on its state.
            ("http://192.0.2.1:6385", State::Maintenance, State::ReadOnly),
            ("http://192.0.2.2:6385", State::Maintenance, State::ReadOnly),
            (
                "http://192.0.2.2:6385\nstate = draining",
                State::Draining,
                State::ReadOnly,
            ),
        ] {
            let before = Locations::new(&first, None).unwrap();
            let after = Locations::new(&section(then), Some(&before)).unwrap();
            let id = LocationId(0);
            before.order(id, order(State::Maintenance)).unwrap();
            after.succeed(&before);
            assert_eq!(after.location(id).order().state, after_order, "{then}");
            // A request that began before knows only those.
            before.order(id, order(State::ReadOnly)).unwrap();
            assert_eq!(after.location(id).order().state, after_reload, "{then}");
            after.order(id, order(State::Enabled)).unwrap();
            assert_eq!(before.location(id).order().state, State::Enabled, "{then}");
            fs::remove_file(directory.path().join("states.json")).unwrap();
        }
    }

    #[test]
    fn who_fits_in() {
        let floor = Some(Microversion::new(1, 89));
        for (ranges, floor, common, fits) in [
            (vec![], None, None, vec![]),
            (vec![None, None], None, None, vec![true, true]),
            (
                vec![range(1, 115), None],
                None,
                range(1, 115),
                vec![true, true],
            ),
            (
                vec![range(1, 115), range(1, 82)],
                None,
                range(1, 82),
                vec![true, true],
            ),
            (
                vec![range(1, 115), range(1, 82)],
                floor,
                range(1, 115),
                vec![true, false],
            ),
            (
                vec![range(1, 82), range(1, 115)],
                floor,
                range(1, 115),
                vec![false, true],
            ),
            (
                vec![range(46, 115), range(1, 38), range(1, 90)],
                None,
                range(46, 90),
                vec![true, false, true],
            ),
        ] {
            assert_eq!(
                agree(&ranges, floor),
                (common, fits),
                "{ranges:?} {floor:?}"
            );
        }
    }
}
