//! Validated tokens that gateways share by memcached, sealed as keystonemiddleware's `memcache_security_strategy = ENCRYPT`
//! does: name and key of an entry are derived from the shared secret and the token together, so who has neither token nor
//! secret can read none, make none, and put none in the place of another. What an entry is worth ends with
//! `token_cache_time` after Keystone vouched, whenever it is read: an old one that is put back is worth nothing.

use std::time::Duration;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;
use ring::aead;
use ring::hmac;
use ring::rand::SecureRandom as _;
use ring::rand::SystemRandom;
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use serde::Serialize;

use crate::auth::memcached::Memcached;
use crate::config::MemcacheConfig;
use crate::keystone::message::Validated;

/// Of another format the key is another one.
const CONTEXT: &[u8] = b" ironic-proxy ENCRYPT 1";
/// So far clocks of gateways may differ.
const SKEW: Duration = Duration::from_mins(1);

#[derive(Debug)]
pub(super) struct SharedTokens {
    secret: hmac::Key,
    servers: Memcached,
    cache_time: Duration,
}

/// What is sealed.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    vouched: SystemTime,
    token: Validated,
}

impl SharedTokens {
    pub(super) fn new(config: &MemcacheConfig, cache_time: Duration) -> Self {
        Self {
            secret: hmac::Key::new(hmac::HMAC_SHA384, config.secret.expose_secret().as_bytes()),
            servers: Memcached::new(config),
            cache_time,
        }
    }

    /// What Keystone said of it, and how long ago.
    pub(super) async fn get(&self, token: &HeaderValue) -> Option<(Validated, Duration)> {
        let seal = self.seal(token)?;
        let sealed = self.servers.get(&seal.name).await?;
        let entry: Entry = serde_json::from_slice(&seal.open(sealed)?).ok()?;
        let now = SystemTime::now();
        let age = worth(entry.vouched, self.cache_time, now)?;
        (entry.token.expires_at > now).then_some((entry.token, age))
    }

    /// Keystone vouched for it just now.
    pub(super) async fn put(&self, token: &HeaderValue, validated: Validated) {
        let now = SystemTime::now();
        let Ok(left) = validated.expires_at.duration_since(now) else {
            return;
        };
        let entry = Entry {
            vouched: now,
            token: validated,
        };
        let sealed = async {
            let seal = self.seal(token)?;
            let sealed = seal.close(serde_json::to_vec(&entry).ok()?)?;
            self.servers
                .set(&seal.name, &sealed, self.cache_time.min(left))
                .await;
            Some(())
        };
        sealed.await;
    }

    fn seal(&self, token: &HeaderValue) -> Option<Seal> {
        let mut context = hmac::Context::with_key(&self.secret);
        context.update(token.as_bytes());
        context.update(CONTEXT);
        let derived = context.sign();
        // 384 bits: a name, and a key that tells nothing of it.
        let (name, key) = derived.as_ref().split_at_checked(16)?;
        let key = aead::UnboundKey::new(&aead::AES_256_GCM, key).ok()?;
        Some(Seal {
            name: format!("tokens/{}", URL_SAFE_NO_PAD.encode(name)),
            key: aead::LessSafeKey::new(key),
        })
    }
}

/// How old an entry is; `None`: it is worth nothing.
fn worth(vouched: SystemTime, cache_time: Duration, now: SystemTime) -> Option<Duration> {
    match now.duration_since(vouched) {
        Ok(age) => (age < cache_time).then_some(age),
        Err(ahead) => (ahead.duration() < SKEW).then_some(Duration::ZERO),
    }
}

/// Of one token.
struct Seal {
    name: String,
    key: aead::LessSafeKey,
}

impl Seal {
    /// A nonce, then what is sealed with it. Few values are sealed with one key, so a drawn nonce is never drawn twice.
    fn close(&self, mut plain: Vec<u8>) -> Option<Vec<u8>> {
        let mut sealed = vec![0; aead::NONCE_LEN];
        SystemRandom::new().fill(&mut sealed).ok()?;
        let nonce = aead::Nonce::try_assume_unique_for_key(&sealed).ok()?;
        let name = aead::Aad::from(self.name.as_bytes());
        self.key
            .seal_in_place_append_tag(nonce, name, &mut plain)
            .ok()?;
        sealed.append(&mut plain);
        Some(sealed)
    }

    fn open(&self, mut sealed: Vec<u8>) -> Option<Vec<u8>> {
        let (nonce, rest) = sealed.split_at_mut_checked(aead::NONCE_LEN)?;
        let nonce = aead::Nonce::try_assume_unique_for_key(nonce).ok()?;
        let name = aead::Aad::from(self.name.as_bytes());
        let plain = self.key.open_in_place(nonce, name, rest).ok()?;
        Some(plain.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared(secret: &str) -> SharedTokens {
        let config = MemcacheConfig {
            servers: Vec::new(),
            secret: secret.into(),
            timeout: Duration::from_secs(1),
            dead_retry: Duration::from_secs(1),
            connections: 1,
        };
        SharedTokens::new(&config, Duration::from_mins(5))
    }

    #[test]
    fn only_token_and_secret_together_open_it() {
        let (one, other) = (
            HeaderValue::from_static("one"),
            HeaderValue::from_static("other"),
        );
        let ours = shared("secret");
        let seal = ours.seal(&one).unwrap();
        let sealed = seal.close(b"who it is".to_vec()).unwrap();
        assert_eq!(seal.open(sealed.clone()).unwrap(), b"who it is");
        assert_ne!(sealed, seal.close(b"who it is".to_vec()).unwrap());
        for wrong in [ours.seal(&other), shared("Secret").seal(&one)] {
            let wrong = wrong.unwrap();
            assert_ne!(wrong.name, seal.name);
            assert_eq!(wrong.open(sealed.clone()), None);
        }
        for place in 0..sealed.len() {
            let mut garbled = sealed.clone();
            garbled[place] ^= 1;
            assert_eq!(seal.open(garbled), None, "{place}");
            assert_eq!(seal.open(sealed[..place].to_vec()), None, "{place}");
        }
        assert!(!seal.name.contains("one") && seal.name.len() < 64);
    }

    #[test]
    fn what_is_old_is_worth_nothing() {
        let second = Duration::from_secs(1);
        let now = SystemTime::UNIX_EPOCH + second * 1_000_000;
        let cache_time = second * 300;
        for (vouched, age) in [
            (now, Some(Duration::ZERO)),
            (now - second * 299, Some(second * 299)),
            (now - second * 300, None),
            (now + second * 59, Some(Duration::ZERO)),
            (now + second * 60, None),
        ] {
            assert_eq!(worth(vouched, cache_time, now), age);
        }
    }
}
