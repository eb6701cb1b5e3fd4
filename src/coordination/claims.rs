//! Values that one gateway writes and no other may write at the same time. Each is a key that expires, with a token that
//! only its holder knows; who was killed holds it no longer than `lock_timeout`.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use log::warn;
use redis::Cmd;
use ring::digest;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use uuid::Uuid;

use crate::coordination::Away;
use crate::coordination::Backend;

/// All keys or none, so nobody waits in a circle. Asked again by who has them already it says yes.
const TAKE: &str = "
for _, key in ipairs(KEYS) do
  local holder = redis.call('GET', key)
  if holder and holder ~= ARGV[1] then return 0 end
end
for _, key in ipairs(KEYS) do redis.call('SET', key, ARGV[1], 'PX', ARGV[2]) end
return 1";

/// One that is gone was anybody's meanwhile. Written anew: `PEXPIRE` would be one more command that the user must be allowed.
const KEEP: &str = "
for _, key in ipairs(KEYS) do
  if redis.call('GET', key) ~= ARGV[1] then return 0 end
end
for _, key in ipairs(KEYS) do redis.call('SET', key, ARGV[1], 'PX', ARGV[2]) end
return 1";

/// Only what is still ours.
const RELEASE: &str = "
for _, key in ipairs(KEYS) do
  if redis.call('GET', key) == ARGV[1] then redis.call('DEL', key) end
end
return 1";

/// Pauses between two attempts at what somebody else has.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// Why nothing is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unheld {
    /// The backend cannot be used.
    Away,
    /// Somebody else has held it until now.
    Taken,
}

/// Held until it is released or dropped.
#[derive(Debug)]
pub struct Held {
    keys: Arc<Keys>,
    is_released: bool,
    renewal: Option<AbortHandle>,
}

#[derive(Debug)]
struct Keys {
    backend: Arc<Backend>,
    names: Vec<String>,
    token: String,
    /// Until when they are ours for certain. `None`: another gateway has had one of them meanwhile.
    until: Mutex<Option<Instant>>,
}

impl Backend {
    /// Waits, no longer than until `deadline`, for values that nobody else holds then.
    ///
    /// # Errors
    /// Nothing is held.
    pub async fn hold(
        self: &Arc<Self>,
        values: impl IntoIterator<Item = String>,
        deadline: Instant,
    ) -> Result<Held, Unheld> {
        let keys = Arc::new(Keys {
            backend: Arc::clone(self),
            names: values
                .into_iter()
                .map(|value| self.key(&format!("claim:{}", fingerprint(&value))))
                .collect(),
            token: Uuid::new_v4().simple().to_string(),
            until: Mutex::new(None),
        });
        // From here on: what was taken is released, whoever stops waiting.
        let mut held = Held {
            renewal: None,
            is_released: false,
            keys,
        };
        let mut pause = FIRST_PAUSE;
        loop {
            match held.keys.take().await {
                Ok(true) => break,
                Ok(false) => {}
                Err(_) => {
                    self.counts.unheld.bump();
                    return Err(Unheld::Away);
                }
            }
            if pause == FIRST_PAUSE {
                self.counts.waited.bump();
            }
            let jittered = pause.mul_f64(0.5 + fastrand::f64());
            if Instant::now() + jittered >= deadline {
                return Err(Unheld::Taken);
            }
            tokio::time::sleep(jittered).await;
            pause = LONGEST_PAUSE.min(pause * 2);
        }
        self.counts.held.bump();
        let renewal = tokio::spawn(Arc::clone(&held.keys).renew());
        held.renewal = Some(renewal.abort_handle());
        Ok(held)
    }
}

impl Held {
    /// Makes sure of it now.
    pub async fn confirm(&self) {
        // Who gives no answer is believed for as long as it promised.
        let _ = self.keys.keep().await;
    }

    /// So that it is over when this returns, and the next of our own requests finds nothing of it.
    pub async fn release(mut self) {
        if let Some(renewal) = &self.renewal {
            renewal.abort();
        }
        self.keys.release().await;
        self.is_released = true;
    }

    /// Whether nobody else can have had any of it, as far as is known.
    pub fn is_sure(&self) -> bool {
        let until = *self
            .keys
            .until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(renewal) = &self.renewal {
            renewal.abort();
        }
        if self.is_released {
            return;
        }
        let keys = Arc::clone(&self.keys);
        // Without a runtime the process ends, and the keys expire.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move { keys.release().await });
        }
    }
}

impl Keys {
    async fn take(&self) -> Result<bool, Away> {
        self.ask_for(TAKE).await
    }

    /// For longer. Once lost they stay so.
    async fn keep(&self) -> Result<bool, Away> {
        if self.until().is_none() {
            return Ok(false);
        }
        let kept = self.ask_for(KEEP).await;
        if matches!(kept, Ok(false)) {
            self.backend.counts.lost.bump();
            warn!(
                "The coordination backend forgot that this gateway was writing a value, so that another one may have been given \
                 the same"
            );
        }
        kept
    }

    async fn ask_for(&self, script: &str) -> Result<bool, Away> {
        let lifetime = self.backend.config.lock_timeout;
        // Counted from before the question: the backend's clock cannot have begun earlier.
        let until = Instant::now() + lifetime;
        let command = self.script(script, &[&lifetime.as_millis().to_string()]);
        let ours: bool = self.backend.told(&command).await?;
        *self.locked() = ours.then_some(until);
        Ok(ours)
    }

    /// Ends when they are lost, or by being aborted.
    async fn renew(self: Arc<Self>) {
        let pause = self.backend.config.lock_timeout / 4;
        loop {
            tokio::time::sleep(pause).await;
            if matches!(self.keep().await, Ok(false)) {
                return;
            }
        }
    }

    async fn release(&self) {
        // If it cannot be told, they expire.
        let _: Result<bool, _> = self.backend.ask(&self.script(RELEASE, &[])).await;
    }

    fn until(&self) -> Option<Instant> {
        *self.locked()
    }

    fn locked(&self) -> MutexGuard<'_, Option<Instant>> {
        self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn script(&self, script: &str, more: &[&str]) -> Cmd {
        let mut command = redis::cmd("EVAL");
        command
            .arg(script)
            .arg(self.names.len())
            .arg(&self.names)
            .arg(&self.token)
            .arg(more);
        command
    }
}

/// Values come from clients: as long as they like, and nobody's business who may read the backend.
fn fingerprint(value: &str) -> String {
    let digest = digest::digest(&digest::SHA256, value.as_bytes());
    URL_SAFE_NO_PAD.encode(digest)
}
