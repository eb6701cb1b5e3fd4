//! A trouble that goes on: the log has it once, however many questions meet it.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

/// Whoever fails in ever new words does not fill the log.
const MOST_TOLD: usize = 16;

/// From the first question that meets it to the first that does not.
#[derive(Debug, Default)]
pub struct Outage {
    goes_on: AtomicBool,
    told: Mutex<BTreeSet<String>>,
}

impl Outage {
    /// Whether the log does not have that yet.
    pub fn is_news(&self, text: &str) -> bool {
        self.goes_on.store(true, Ordering::Relaxed);
        let mut told = self.told();
        !told.contains(text) && told.len() < MOST_TOLD && told.insert(text.to_owned())
    }

    /// It is over, if there was one. Whether there was.
    pub fn is_over(&self) -> bool {
        // Each question comes by, and nearly none of them meets one.
        if !self.goes_on.load(Ordering::Relaxed) {
            return false;
        }
        self.told().clear();
        self.goes_on.swap(false, Ordering::Relaxed)
    }

    fn told(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_of_its_words_is_news_once() {
        let outage = Outage::default();
        assert!(!outage.is_over());
        for _ in 0..2 {
            assert!(outage.is_news("no route"));
            assert!(outage.is_news("no name"));
            assert!(!outage.is_news("no route"));
            assert!(outage.is_over());
            assert!(!outage.is_over());
        }
        let told = (0..1000).filter(|number| outage.is_news(&number.to_string()));
        assert_eq!(told.count(), MOST_TOLD);
    }
}
