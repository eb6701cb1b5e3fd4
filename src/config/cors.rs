//! `[cors]`, as oslo.middleware has it with Ironic's defaults (`ironic/api/app.py`).

use http::HeaderValue;

use crate::oslo::record::Faulted;
use crate::oslo::section::Section;

/// Which pages of other origins browsers let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorsConfig {
    /// As browsers send them, `https://horizon.example.com`; `*` is every one.
    pub origins: Vec<HeaderValue>,
    pub credentials: bool,
    /// What a page may read of an answer; `None`: no more than without us.
    pub exposed: Option<HeaderValue>,
    /// Seconds that a preflight holds; `None`: it is not said.
    pub max_age: Option<u32>,
    /// As they are spelled; methods are told apart by case (RFC 9110 9.1).
    pub methods: Vec<String>,
    /// Beyond what is always let in.
    pub headers: Vec<String>,
}

/// Reads the section. `None`: no page of another origin is let in.
pub(crate) fn cors(section: &mut Section<'_>) -> Result<Option<CorsConfig>, Faulted> {
    let origins = origins(section);
    let credentials = section.flag("allow_credentials");
    let exposed = exposed(section);
    let max_age = section.number("max_age", 0..=i32::MAX.unsigned_abs());
    let methods = section.list_or_default("allow_methods");
    let headers = section.list("allow_headers");
    let config = CorsConfig {
        origins: origins?,
        credentials: credentials?,
        exposed: exposed?,
        max_age: Some(max_age?).filter(|seconds| *seconds > 0),
        methods: methods?,
        headers: headers?,
    };
    Ok(Some(config).filter(|config| !config.origins.is_empty()))
}

fn origins(section: &mut Section<'_>) -> Result<Vec<HeaderValue>, Faulted> {
    const OPTION: &str = "allowed_origin";
    let mut origins = Vec::new();
    for origin in section.list(OPTION)? {
        // A slash at the end, or a path, would never match what a browser sends.
        let is_one = origin == "*"
            || origin.split_once("://").is_some_and(|(scheme, rest)| {
                !scheme.is_empty() && !rest.is_empty() && !rest.contains(['/', '?', '#', '@', ' '])
            });
        match HeaderValue::try_from(&origin) {
            Ok(value) if is_one => origins.push(value),
            _ => {
                let text =
                    format!("`{origin}` is not an origin, such as https://horizon.example.com");
                return Err(section.fault(OPTION, text));
            }
        }
    }
    Ok(origins)
}

fn exposed(section: &mut Section<'_>) -> Result<Option<HeaderValue>, Faulted> {
    const OPTION: &str = "expose_headers";
    let names = section.list_or_default(OPTION)?;
    if names.is_empty() {
        return Ok(None);
    }
    HeaderValue::try_from(names.join(","))
        .map(Some)
        .map_err(|_| section.fault(OPTION, "holds what no header can hold"))
}
