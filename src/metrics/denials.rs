//! Refusals by the rule that was not met, or by the limit that is used up.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::PoisonError;

/// How often each denied something. There are as many rules as Ironic has, and who is denied is not in a hurry.
#[derive(Debug, Default)]
pub struct Denials(Mutex<BTreeMap<&'static str, u64>>);

impl Denials {
    pub fn bump(&self, rule: &'static str) {
        let mut denials = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *denials.entry(rule).or_default() += 1;
    }

    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        let denials = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        denials.clone()
    }
}
