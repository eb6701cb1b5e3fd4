//! `[limits]`: how many requests one user and one address may make.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::oslo::record::Faulted;
use crate::oslo::section::Section;

/// `None`: as many as there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LimitsConfig {
    pub user: Option<RateConfig>,
    pub address: Option<RateConfig>,
}

/// A rate, and how far it may be exceeded for a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateConfig {
    /// Between two requests of somebody who uses up the rate.
    pub every: Duration,
    /// Requests that may come at once after a pause.
    pub burst: NonZeroU32,
}

/// Reads the section. `None`: nobody is limited.
pub(crate) fn limits(section: &mut Section<'_>) -> Result<Option<LimitsConfig>, Faulted> {
    let user = rate(section, "user_rate", "user_burst");
    let address = rate(section, "address_rate", "address_burst");
    let config = LimitsConfig {
        user: user?,
        address: address?,
    };
    Ok(Some(config).filter(|config| *config != LimitsConfig::default()))
}

fn rate(section: &mut Section<'_>, rate: &str, burst: &str) -> Result<Option<RateConfig>, Faulted> {
    const WHAT: &str = "a number of requests a second, from 0.001 to 1000000";
    let burst = section.number(burst, NonZeroU32::MIN..=NonZeroU32::MAX);
    let Some(a_second) = section.parsed::<f64>(rate, WHAT)? else {
        return Ok(None);
    };
    if !(0.001..=1e6).contains(&a_second) {
        return Err(section.fault(rate, format!("is not {WHAT}")));
    }
    Ok(Some(RateConfig {
        every: Duration::from_secs_f64(1.0 / a_second),
        burst: burst?,
    }))
}
