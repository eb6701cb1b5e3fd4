//! `[trace]`: spans of requests, for a collector of OpenTelemetry.

use std::path::PathBuf;

use crate::config::endpoint::Endpoint;
use crate::oslo::record::Faulted;
use crate::oslo::section::Section;

/// Where spans go, and which.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceConfig {
    /// `/v1/traces` is below it.
    pub endpoint: Endpoint,
    /// Authorities that its certificate must come from; `None`: the system's.
    pub cafile: Option<PathBuf>,
    /// Of the traces that begin here, from 0 to 1.
    pub ratio: f64,
    /// What the gateway calls itself.
    pub service: String,
}

/// Reads the section. `None`: there are no spans.
pub(crate) fn trace(section: &mut Section<'_>) -> Result<Option<TraceConfig>, Faulted> {
    let endpoint = endpoint(section);
    let cafile = section.file("cafile");
    let ratio = ratio(section);
    let service = section.always::<String>("service_name", "a name");
    let (cafile, ratio, service) = (cafile?, ratio?, service?);
    Ok(endpoint?.map(|endpoint| TraceConfig {
        endpoint,
        cafile,
        ratio,
        service,
    }))
}

fn endpoint(section: &mut Section<'_>) -> Result<Option<Endpoint>, Faulted> {
    const OPTION: &str = "otlp_endpoint";
    match section.text(OPTION)? {
        None => Ok(None),
        Some(text) => match Endpoint::whole(&text) {
            Ok(endpoint) => Ok(Some(endpoint)),
            Err(error) => Err(section.fault(OPTION, error)),
        },
    }
}

fn ratio(section: &mut Section<'_>) -> Result<f64, Faulted> {
    const OPTION: &str = "sample_ratio";
    const WHAT: &str = "a number from 0 to 1";
    let ratio = section.always::<f64>(OPTION, WHAT)?;
    if (0.0..=1.0).contains(&ratio) {
        Ok(ratio)
    } else {
        Err(section.fault(OPTION, format!("is not {WHAT}")))
    }
}
