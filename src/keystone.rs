//! The Identity API v3 of `OpenStack`, as much of it as a gateway needs.
//!
//! The room's door is the [`TokenKeeper`]: it keeps one credential's token at hand, renewed ahead of its end by one
//! flight at a time. The [`client::Keystone`] behind it also validates tokens of others.

pub mod catalog;
pub mod client;
#[cfg(test)]
pub(crate) mod fake;
pub mod message;
pub mod renewal;

use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use arc_swap::ArcSwapOption;
use log::error;
use log::info;
use log::warn;

use crate::keystone::client::Keystone;
use crate::keystone::client::KeystoneError;
use crate::keystone::message::Token;
use crate::keystone::message::Unusable;
use crate::keystone::renewal::Age;
use crate::keystone::renewal::Backoff;
use crate::keystone::renewal::Schedule;

/// Longest time between two looks at a token, so that one refused meanwhile is replaced before somebody needs it.
const LOOK: Duration = Duration::from_mins(1);

/// A token and its place in the series of tokens.
#[derive(Debug)]
pub struct Kept {
    /// 1 for the first token. A refusal speaks of one generation, however late it comes.
    pub generation: u64,
    pub token: Token,
    schedule: Schedule,
}

impl Kept {
    /// How long it can be used for.
    pub fn left(&self, now: Instant) -> Duration {
        self.schedule.left(now)
    }
}

/// The token of one credential.
#[derive(Debug)]
pub struct TokenKeeper {
    inner: Arc<Inner>,
}

impl TokenKeeper {
    /// `owner` says in the log whose token it is: `location loc1`.
    pub fn new(keystone: Keystone, owner: String) -> Self {
        Self {
            inner: Arc::new(Inner {
                keystone,
                owner,
                kept: ArcSwapOption::empty(),
                backoff: Mutex::default(),
                flight: tokio::sync::Mutex::new(0),
            }),
        }
    }

    pub fn keystone(&self) -> &Keystone {
        &self.inner.keystone
    }

    /// The token, if a good one is at hand.
    pub fn ready(&self, now: Instant) -> Option<Arc<Kept>> {
        self.inner.ready(now)
    }

    /// The token at hand, else a new one. Waits for Keystone only if there is none, with everybody else who waits.
    pub async fn token(&self) -> Result<Arc<Kept>, KeystoneError> {
        let now = Instant::now();
        if let Some(kept) = self.ready(now) {
            return Ok(kept);
        }
        let inner = Arc::clone(&self.inner);
        // A task of its own: who gives up waiting must not cut off the flight for the others.
        tokio::spawn(async move { inner.replace(Age::Spent, now).await })
            .await
            .unwrap_or(Err(Unusable("was not waited for").into()))
    }

    /// Somebody refused the token of this generation: drops it, and no later one, unless new tokens are of no help.
    pub fn refused(&self, generation: u64, now: Instant) {
        self.inner.refused(generation, now);
    }

    /// One step of the loop that keeps the token fresh: renews it if it is due and says when to come again.
    pub async fn keep_fresh(&self) -> Instant {
        let turn = self.inner.keystone.turn_ahead().await;
        // The error is in the log and in the back-off already.
        let renewed = self.inner.replace(Age::Ageing, Instant::now()).await.ok();
        drop(turn);
        let now = Instant::now();
        let due = match renewed {
            Some(kept) if kept.schedule.age(now) == Age::Fresh => kept.schedule.renew(),
            _ => self
                .inner
                .backoff()
                .closed(now)
                .map_or(now + Duration::from_secs(1), |(until, _)| until),
        };
        due.min(now + LOOK)
    }
}

struct Inner {
    keystone: Keystone,
    owner: String,
    kept: ArcSwapOption<Kept>,
    backoff: Mutex<Backoff>,
    /// Held by who asks Keystone; the last generation.
    flight: tokio::sync::Mutex<u64>,
}

impl Inner {
    fn ready(&self, now: Instant) -> Option<Arc<Kept>> {
        let kept = self.kept.load();
        let kept = kept.as_ref()?;
        (kept.schedule.age(now) != Age::Spent).then(|| Arc::clone(kept))
    }

    /// A new token if the one at hand is at least as old as `age`. `now` is when the question came up: who had to wait
    /// for a flight that failed shares its failure.
    async fn replace(&self, age: Age, now: Instant) -> Result<Arc<Kept>, KeystoneError> {
        let mut generation = self.flight.lock().await;
        if let Some(kept) = self.ready(now)
            && (age == Age::Spent || kept.schedule.age(now) == Age::Fresh)
        {
            return Ok(kept);
        }
        if let Some((_, error)) = self.backoff().closed(now) {
            return Err(error.clone());
        }
        match self.keystone.issue().await {
            Ok(token) => {
                *generation += 1;
                let schedule = Schedule::new(token.asked, token.lifetime);
                let kept = Arc::new(Kept {
                    generation: *generation,
                    token,
                    schedule,
                });
                self.kept.store(Some(Arc::clone(&kept)));
                self.backoff().succeeded();
                info!(
                    "Keystone issued a token to {} for {} s",
                    self.owner,
                    kept.token.lifetime.as_secs()
                );
                Ok(kept)
            }
            Err(error) => {
                self.backoff().failed(error.clone(), Instant::now());
                match error {
                    KeystoneError::Refused(_) => {
                        error!("No token for {}: {}", self.owner, error.chain());
                    }
                    KeystoneError::Status(_)
                    | KeystoneError::Unreachable(_)
                    | KeystoneError::Answer(_) => {
                        warn!("No token for {}: {}", self.owner, error.chain());
                    }
                }
                Err(error)
            }
        }
    }

    fn refused(&self, generation: u64, now: Instant) {
        let current = self.kept.load();
        let Some(kept) = current
            .as_ref()
            .filter(|kept| kept.generation == generation)
        else {
            return;
        };
        // The lock keeps two late words about one token from counting twice.
        let mut backoff = self.backoff();
        let known = self
            .kept
            .load()
            .as_ref()
            .is_some_and(|known| Arc::ptr_eq(known, kept));
        if known && backoff.replaces(&kept.schedule, now) {
            self.kept.compare_and_swap(&*current, None);
            warn!("The token of {} was refused and is replaced", self.owner);
        }
    }

    fn backoff(&self) -> std::sync::MutexGuard<'_, Backoff> {
        self.backoff.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenKeeper")
            .field("owner", &self.owner)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering;

    use futures_util::future::join_all;

    use super::*;
    use crate::config::Session;
    use crate::keystone::client::Timeouts;
    use crate::keystone::client::install_crypto_provider;
    use crate::keystone::fake::FakeKeystone;
    use crate::keystone::fake::Reply;

    fn keeper(fake: &FakeKeystone) -> TokenKeeper {
        install_crypto_provider();
        let timeouts = Timeouts {
            connect: Duration::from_secs(5),
            total: Duration::from_secs(5),
        };
        let keystone = Keystone::new(&fake.auth(), &Session::default(), timeouts).unwrap();
        TokenKeeper::new(keystone, "a test".into())
    }

    /// Tokens `t1`, `t2`, … of so many minutes.
    fn numbered(minutes: u32) -> FakeKeystone {
        let count = AtomicUsize::new(0);
        FakeKeystone::new(move |_| {
            Reply::issued(
                &format!("t{}", count.fetch_add(1, Ordering::SeqCst) + 1),
                minutes,
            )
        })
    }

    async fn header(keeper: &TokenKeeper) -> String {
        keeper
            .token()
            .await
            .unwrap()
            .token
            .header
            .to_str()
            .unwrap()
            .to_owned()
    }

    #[tokio::test]
    async fn everybody_waits_for_one_flight() {
        let fake = numbered(60);
        let keeper = keeper(&fake);
        let tokens = join_all((0..50).map(|_| header(&keeper))).await;
        assert_eq!(tokens, vec!["t1"; 50]);
        assert_eq!(fake.issued(), 1);
    }

    #[tokio::test]
    async fn who_gives_up_does_not_cut_off_the_flight() {
        let fake = numbered(60);
        let keeper = keeper(&fake);
        let mut impatient = Box::pin(keeper.token());
        assert!(futures_util::poll!(&mut impatient).is_pending());
        drop(impatient);
        assert_eq!(header(&keeper).await, "t1");
        assert_eq!(fake.issued(), 1);
    }

    #[tokio::test]
    async fn a_refusal_concerns_one_generation() {
        let fake = numbered(60);
        let keeper = keeper(&fake);
        let first = keeper.token().await.unwrap().generation;
        keeper.refused(first, Instant::now());
        assert_eq!(header(&keeper).await, "t2");
        keeper.refused(first, Instant::now() + LOOK * 5);
        assert_eq!(
            header(&keeper).await,
            "t2",
            "a late word about the first one does not drop the second"
        );
        let second = keeper.token().await.unwrap().generation;
        keeper.refused(second, Instant::now());
        assert_eq!(
            header(&keeper).await,
            "t2",
            "new tokens do not help, so Keystone is left alone"
        );
        assert_eq!(fake.issued(), 2);
    }

    #[tokio::test]
    async fn a_refused_password_is_not_tried_with_every_request() {
        let fake = FakeKeystone::new(|_| Reply::status(401));
        let keeper = keeper(&fake);
        for outcome in join_all((0..20).map(|_| keeper.token())).await {
            assert!(matches!(outcome, Err(KeystoneError::Refused(_))));
        }
        assert!(keeper.keep_fresh().await > Instant::now());
        assert_eq!(fake.issued(), 1);
    }

    #[tokio::test]
    async fn an_ageing_token_is_kept_until_there_is_a_new_one() {
        let count = AtomicUsize::new(0);
        let fake = FakeKeystone::new(move |_| match count.fetch_add(1, Ordering::SeqCst) {
            0 => Reply::issued("old", 60),
            1 => Reply::status(503),
            _ => Reply::issued("new", 60),
        });
        let keeper = keeper(&fake);
        let old = keeper.token().await.unwrap();
        let ageing = old.token.asked + Duration::from_secs(3500);
        assert!(keeper.inner.replace(Age::Ageing, ageing).await.is_err());
        assert_eq!(keeper.ready(ageing).unwrap().token.header, "old");
        assert!(keeper.inner.replace(Age::Spent, ageing).await.is_ok());
        assert_eq!(fake.issued(), 2, "it is good enough for a request");
        assert!(keeper.inner.replace(Age::Ageing, ageing).await.is_ok());
        assert_eq!(keeper.ready(Instant::now()).unwrap().token.header, "new");
        assert!(keeper.ready(ageing + Duration::from_secs(99)).is_none());
    }

    /// A storm: whatever comes back at once, one Keystone is asked for so many tokens at a time.
    #[tokio::test]
    async fn one_keystone_is_asked_for_some_tokens_at_a_time() {
        for (ahead, most) in [(true, 8), (false, 32)] {
            let fake = FakeKeystone::new(|_| Reply::Silence);
            let keepers: Vec<_> = (0..100).map(|_| keeper(&fake)).collect();
            let asked = join_all(keepers.iter().map(|keeper| async move {
                if ahead {
                    keeper.keep_fresh().await;
                } else {
                    let _ = keeper.token().await;
                }
            }));
            let counted = async {
                // Those who were asked wait for five seconds, and so do all others.
                while fake.issued() < most {
                    tokio::task::yield_now().await;
                }
                for _ in 0..1000 {
                    tokio::task::yield_now().await;
                }
                fake.issued()
            };
            tokio::select! {
                _ = asked => panic!("silence was an answer"),
                count = counted => assert_eq!(count, most),
            }
        }
    }

    #[tokio::test]
    async fn the_loop_renews_what_is_due_and_nothing_else() {
        let fake = numbered(60);
        let keeper = keeper(&fake);
        let next = keeper.keep_fresh().await;
        assert!(next > Instant::now() && next <= Instant::now() + LOOK);
        keeper.keep_fresh().await;
        assert_eq!(fake.issued(), 1);
        let spent = numbered(0);
        let keeper = self::keeper(&spent);
        for _ in 0..3 {
            keeper.keep_fresh().await;
        }
        assert_eq!(spent.issued(), 3);
    }
}
