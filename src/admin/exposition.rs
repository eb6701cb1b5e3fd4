//! `GET /metrics`: what is counted and what is, as Prometheus reads it. docs/metrics.md describes each name.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::prometheus_text;
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

use crate::admin::controls::Controls;
use crate::admin::page::Page;
use crate::api::accept::Accept;
use crate::api::collection::Collection;
use crate::auth::token::validator::UseOfCache;
use crate::config::State;
use crate::current::Current;
use crate::locate::tally::Counted;
use crate::locate::tally::Tally;
use crate::locations::location::Location;
use crate::locations::record::Observed;
use crate::locations::speed::Kind;
use crate::metrics::process::Usage;
use crate::telemetry::spans::OUTBOX;
use crate::telemetry::spool;
use crate::tls::expiry;

/// With more locations a histogram for each would make the page larger than a scraper wants to read every 15 s.
const HISTOGRAMS: usize = 1000;

/// The two forms that Prometheus reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Text,
    OpenMetrics,
}

impl Form {
    /// Text unless the other one is asked for by name: everything reads it.
    pub fn of(accept: &Accept) -> Self {
        let wanted = accept.text().to_ascii_lowercase();
        if wanted.contains("application/openmetrics-text") {
            Self::OpenMetrics
        } else {
            Self::Text
        }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => prometheus_text::CONTENT_TYPE,
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Makes pages of metrics.
#[derive(Debug)]
pub struct Exposition {
    started: Timestamp,
    /// What the directory held when it was counted last.
    counted: Counted<Tally>,
}

impl Exposition {
    pub fn new(started: Timestamp) -> Self {
        Self {
            started,
            counted: Counted::default(),
        }
    }

    /// The page as it is now; `admin_connections`: those to the door that it is read through.
    pub fn page(
        &self,
        controls: &Arc<dyn Controls>,
        admin_connections: usize,
        form: Form,
    ) -> Result<String, fmt::Error> {
        let current = controls.current();
        let moment = Moment {
            started: self.started,
            tally: self
                .counted
                .get(|| current.federation.locator.directory.tally()),
            controls: Arc::clone(controls),
            admin_connections,
            current,
        };
        let mut registry = Registry::default();
        registry.register_collector(Box::new(moment));
        let mut page = String::new();
        match form {
            Form::Text => prometheus_text::encode(&mut page, &registry)?,
            Form::OpenMetrics => text::encode(&mut page, &registry)?,
        }
        Ok(page)
    }
}

/// What one page tells of.
#[derive(Debug)]
struct Moment {
    started: Timestamp,
    tally: Tally,
    controls: Arc<dyn Controls>,
    admin_connections: usize,
    current: Arc<Current>,
}

impl Collector for Moment {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(encoder);
        self.process(&mut page)?;
        self.requests(&mut page)?;
        self.locations(&mut page)?;
        self.traffic(&mut page)?;
        self.knowledge(&mut page)?;
        self.coordination(&mut page)?;
        self.ends(&mut page)
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "what is counted here stays below 2^53"
)]
fn number(count: usize) -> f64 {
    count as f64
}

fn flag(is: bool) -> f64 {
    if is { 1.0 } else { 0.0 }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "milliseconds since 1970 fit into the 53 bits of a double"
)]
fn seconds(at: Timestamp) -> f64 {
    at.as_millisecond() as f64 / 1e3
}

impl Moment {
    fn each<'a, T>(
        &'a self,
        of: impl Fn(&'a Location) -> T,
    ) -> impl Iterator<Item = ([(&'static str, &'a str); 1], T)> {
        let locations = self.current.federation.locations.iter();
        locations.map(move |location| ([("location", location.name())], of(location)))
    }

    fn process(&self, page: &mut Page<'_>) -> fmt::Result {
        let version = env!("CARGO_PKG_VERSION");
        page.gauges(
            "ironic_proxy_build_info",
            "The version of the running program; the value is 1.",
            [([("version", version)], 1.0)],
        )?;
        page.gauge(
            "ironic_proxy_start_time_seconds",
            "When the gateway began to serve, in seconds since 1970.",
            seconds(self.started),
        )?;
        let reloads = &self.controls.metrics().reloads;
        page.gauge(
            "ironic_proxy_config_last_reload_successful",
            "Whether the last reload was taken: 1, or 0 if the configuration had faults.",
            flag(reloads.was_successful()),
        )?;
        page.gauge(
            "ironic_proxy_config_last_reload_success_timestamp_seconds",
            "When a configuration was last taken, in seconds since 1970.",
            seconds(reloads.last_success()),
        )?;
        page.counter(
            "ironic_proxy_log_lines_lost",
            "Log lines that were dropped because they could not be written in time.",
            spool::lost(),
        )?;
        page.counters(
            "ironic_proxy_spans",
            "Spans that the collector took, and those that were dropped.",
            OUTBOX
                .counts()
                .map(|(result, count)| ([("result", result)], count)),
        )?;
        let usage = Usage::now();
        let whole = |count: Option<u64>| count.and_then(|count| usize::try_from(count).ok());
        page.seconds(
            "process_cpu_seconds",
            "Processor time spent in user and system mode, in seconds.",
            usage.cpu_seconds,
        )?;
        for (name, help, value) in [
            (
                "process_start_time_seconds",
                "When the process began, in seconds since 1970.",
                usage.started,
            ),
            (
                "process_threads",
                "Threads of the process.",
                whole(usage.threads).map(number),
            ),
            (
                "process_virtual_memory_bytes",
                "Size of the process's address space, in bytes.",
                whole(usage.virtual_bytes).map(number),
            ),
            (
                "process_resident_memory_bytes",
                "Memory that the process takes up, in bytes.",
                whole(usage.resident_bytes).map(number),
            ),
            (
                "process_open_fds",
                "File descriptors that the process has open.",
                whole(usage.open_files).map(number),
            ),
            (
                "process_max_fds",
                "File descriptors that the process may have open.",
                whole(usage.max_files).map(number),
            ),
        ] {
            page.gauge(name, help, value)?;
        }
        Ok(())
    }

    fn requests(&self, page: &mut Page<'_>) -> fmt::Result {
        let metrics = self.controls.metrics();
        let counted: Vec<_> = metrics
            .requests
            .counted()
            .map(|line| {
                let code = line.code.map(|code| code.to_string());
                (line, code.unwrap_or_else(|| "none".to_owned()))
            })
            .collect();
        page.counters(
            "ironic_proxy_requests",
            "Requests that have ended, by route, method and status.",
            counted.iter().map(|(line, code)| {
                let labels = [
                    ("route", line.template.text()),
                    ("method", line.method),
                    ("code", code),
                ];
                (labels, line.count)
            }),
        )?;
        page.histograms(
            "ironic_proxy_request_duration_seconds",
            "Time from the head of a request to the end of its answer, in seconds.",
            metrics
                .requests
                .took()
                .map(|(template, took)| ([("route", template.text())], took)),
        )?;
        page.gauge(
            "ironic_proxy_requests_in_flight",
            "Requests that are being served.",
            number(self.controls.in_flight()),
        )?;
        page.gauge(
            "ironic_proxy_requests_in_flight_limit",
            "Requests that may be served at the same time.",
            number(self.current.config.api.max_in_flight),
        )?;
        page.gauges(
            "ironic_proxy_connections",
            "Connections that are open.",
            [
                ([("door", "api")], number(self.controls.connections())),
                ([("door", "admin")], number(self.admin_connections)),
            ],
        )?;
        page.counter(
            "ironic_proxy_unverified_writes",
            "Writes for which some location could not be asked whether a value is unique.",
            metrics.unverified.count(),
        )?;
        let denials = metrics.denials.counts();
        page.counters(
            "ironic_proxy_denied",
            "Requests that were denied, by the rule of policy.",
            denials
                .iter()
                .map(|(rule, count)| ([("rule", *rule)], *count)),
        )?;
        let limited = metrics.limited.counts();
        page.counters(
            "ironic_proxy_limited",
            "Requests that were refused with 429, by what there were too many of.",
            limited.iter().map(|(by, count)| ([("by", *by)], *count)),
        )?;
        let cache = self.current.authenticator.use_of_cache();
        let (hits, misses, shared) = cache.map_or((0, 0, 0), |cache| {
            let UseOfCache {
                hits,
                misses,
                shared,
            } = cache;
            (hits.count(), misses.count(), shared.count())
        });
        page.counters(
            "ironic_proxy_token_cache",
            "Tokens of clients: known ones (hit), others (miss), and those of these that another gateway had asked Keystone about (shared).",
            [
                ([("result", "hit")], hits),
                ([("result", "miss")], misses),
                ([("result", "shared")], shared),
            ],
        )
    }

    /// What is observed of locations, and what their operators want.
    fn locations(&self, page: &mut Page<'_>) -> fmt::Result {
        page.gauges(
            "ironic_proxy_location_up",
            "Whether the location answers, as far as is observed: 1 or 0.",
            self.each(|location| flag(location.observed().0 == Observed::Up)),
        )?;
        let states = [
            State::Enabled,
            State::Draining,
            State::ReadOnly,
            State::Maintenance,
        ];
        let locations = self.current.federation.locations.iter();
        page.gauges(
            "ironic_proxy_location_state",
            "What the operator wants of the location: 1 for one of the states, 0 for the others.",
            locations.flat_map(|location| {
                let wanted = location.order().state;
                states.map(|state| {
                    let labels = [("location", location.name()), ("state", state.word())];
                    (labels, flag(state == wanted))
                })
            }),
        )?;
        page.gauges(
            "ironic_proxy_breaker_open",
            "Whether the location is not asked because it failed: 1 or 0.",
            self.each(|location| flag(!location.is_breaker_closed())),
        )?;
        let versions: Vec<_> = self
            .each(Location::standing)
            .filter_map(|(labels, standing)| {
                let range = standing?.range;
                Some((labels, range.min().to_string(), range.max().to_string()))
            })
            .collect();
        page.gauges(
            "ironic_proxy_location_version_info",
            "The API versions that the location reported last; the value is 1.",
            versions.iter().map(|([name], minimum, maximum)| {
                let labels = [*name, ("minimum", minimum), ("maximum", maximum)];
                (labels, 1.0)
            }),
        )?;
        page.gauges(
            "ironic_proxy_sweep_last_success_timestamp_seconds",
            "When everything at the location was last read, in seconds since 1970.",
            self.each(|location| location.record.last_sweep())
                .filter_map(|(labels, at)| Some((labels, seconds(at?)))),
        )
    }

    /// What was asked of locations.
    fn traffic(&self, page: &mut Page<'_>) -> fmt::Result {
        let locations = self.current.federation.locations.iter();
        let count = locations.len();
        page.counters(
            "ironic_proxy_location_requests",
            "Questions to the location, by what became of them.",
            locations.flat_map(|location| {
                location.traffic.outcomes().map(|(result, count)| {
                    ([("location", location.name()), ("result", result)], count)
                })
            }),
        )?;
        let wanted = self.current.config.admin.location_histograms;
        let histograms = wanted.unwrap_or(count <= HISTOGRAMS);
        page.histograms(
            "ironic_proxy_location_request_duration_seconds",
            "Time from a question to the location to the end of its answer, in seconds.",
            self.each(|location| &location.traffic.took)
                .filter(|_| histograms),
        )?;
        page.gauges(
            "ironic_proxy_location_in_flight",
            "Questions that the location has not answered yet.",
            self.each(|location| number(location.in_flight())),
        )?;
        page.counters(
            "ironic_proxy_partial_answers",
            "Lists that were answered without the location's part.",
            self.each(|location| location.traffic.missing.count()),
        )?;
        self.endpoints(page)
    }

    /// Of locations that have several.
    fn endpoints(&self, page: &mut Page<'_>) -> fmt::Result {
        let several = |location: &&Location| location.endpoints.all().len() > 1;
        let locations = || self.current.federation.locations.iter().filter(several);
        page.counters(
            "ironic_proxy_location_hedges",
            "Reads that a second endpoint was asked as well, by whether it answered first.",
            locations().flat_map(|location| {
                let hedges = &location.endpoints.hedges;
                [("won", &hedges.won), ("lost", &hedges.lost)].map(|(result, counter)| {
                    let labels = [("location", location.name()), ("result", result)];
                    (labels, counter.count())
                })
            }),
        )?;
        let endpoints: Vec<_> = locations()
            .flat_map(|location| {
                let line = location.endpoints.line();
                let peers =
                    (0..).map_while(|place| line.get(place).cloned().map(|peer| (place, peer)));
                peers
                    .map(|(place, peer)| (location.name(), peer.to_string(), place == 0, peer))
                    .collect::<Vec<_>>()
            })
            .collect();
        page.gauges(
            "ironic_proxy_endpoint_preferred",
            "The endpoint that is asked first has 1, the others 0.",
            endpoints.iter().map(|(location, endpoint, preferred, _)| {
                let labels = [("location", *location), ("endpoint", endpoint.as_str())];
                (labels, f64::from(u8::from(*preferred)))
            }),
        )?;
        page.gauges(
            "ironic_proxy_endpoint_first_byte_seconds",
            "What nineteen of twenty reads of one thing waited for its first byte, in seconds.",
            endpoints
                .iter()
                .filter_map(|(location, endpoint, _, peer)| {
                    let labels = [("location", *location), ("endpoint", endpoint.as_str())];
                    Some((labels, peer.speed.p95(Kind::Thing)?.as_secs_f64()))
                }),
        )
    }

    /// What is known of where things are.
    fn knowledge(&self, page: &mut Page<'_>) -> fmt::Result {
        let locator = &self.current.federation.locator;
        page.counters(
            "ironic_proxy_lookups",
            "Look-ups of where a thing is, by how they ended.",
            locator
                .lookups
                .counts()
                .map(|(result, count)| ([("result", result)], count)),
        )?;
        let tally = &self.tally;
        let kinds = Collection::ALL.into_iter().zip(tally.entries);
        page.gauges(
            "ironic_proxy_directory_entries",
            "Identifiers in the node cache, by collection.",
            kinds
                .filter(|(collection, _)| collection.is_cached())
                .map(|(collection, entries)| {
                    ([("kind", collection.facts().path)], number(entries))
                }),
        )?;
        page.gauge(
            "ironic_proxy_directory_bytes",
            "Memory that the node cache takes up, in bytes, estimated.",
            number(tally.bytes),
        )?;
        let twins = self.current.federation.twins.counts();
        let twins = twins.map(|(kind, count)| (kind, usize::try_from(count).unwrap_or(usize::MAX)));
        let known = [
            ("uuid", tally.contested_uuids),
            ("name", tally.contested_names),
        ];
        page.gauges(
            "ironic_proxy_duplicates",
            "Identifiers that more than one location was seen to have.",
            known
                .into_iter()
                .chain(twins)
                .map(|(kind, count)| ([("kind", kind)], number(count))),
        )
    }

    /// What gateways share. Without a backend these families have no samples.
    fn coordination(&self, page: &mut Page<'_>) -> fmt::Result {
        let backend = self.current.federation.backend.as_deref();
        page.gauge(
            "ironic_proxy_coordination_up",
            "Whether the backend of [coordination] can be used: 1 or 0.",
            backend.map(|backend| flag(backend.is_up())),
        )?;
        let counts = backend.map(|backend| &backend.counts);
        page.counters(
            "ironic_proxy_coordination_claims",
            "Writes of values that have to be unique, by whether other gateways were kept from writing the same.",
            counts.into_iter().flat_map(|counts| {
                [
                    ([("result", "held")], counts.held.count()),
                    ([("result", "waited")], counts.waited.count()),
                    ([("result", "unheld")], counts.unheld.count()),
                    ([("result", "lost")], counts.lost.count()),
                ]
            }),
        )
    }

    /// What ends when.
    fn ends(&self, page: &mut Page<'_>) -> fmt::Result {
        let mut certificates: Vec<([(&str, &str); 2], f64)> = Vec::new();
        let mut add = |location, used, end: Option<Timestamp>| {
            if let Some(end) = end {
                certificates.push(([("location", location), ("use", used)], seconds(end)));
            }
        };
        let of = |path: Option<&std::path::Path>| path.and_then(expiry::first_end);
        if let Some(tls) = &self.current.config.api.tls {
            add("", "listener", of(Some(&tls.cert_file)));
            add("", "client_authorities", of(tls.client_ca_file.as_deref()));
        }
        for location in self.current.federation.locations.iter() {
            let session = &location.config.session;
            add(location.name(), "server", location.certificate_end());
            add(location.name(), "client", of(session.certfile.as_deref()));
            add(
                location.name(),
                "authorities",
                of(session.cafile.as_deref()),
            );
        }
        page.gauges(
            "ironic_proxy_certificate_expiry_timestamp_seconds",
            "When the first certificate ends, in seconds since 1970.",
            certificates,
        )?;
        let now = Timestamp::now();
        page.gauges(
            "ironic_proxy_credential_expiry_timestamp_seconds",
            "When the gateway's token for the location ends, in seconds since 1970; it is renewed before.",
            self.each(|location| location.credentials.expires())
                .filter_map(|(labels, left)| Some((labels, seconds(now.checked_add(left?).ok()?)))),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_form() {
        for (accept, form) in [
            ("", Form::Text),
            ("*/*", Form::Text),
            ("text/plain", Form::Text),
            (
                "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                Form::OpenMetrics,
            ),
        ] {
            let mut headers = http::HeaderMap::new();
            if !accept.is_empty() {
                headers.insert(http::header::ACCEPT, accept.parse().unwrap());
            }
            assert_eq!(Form::of(&Accept::of(&headers)), form, "{accept}");
        }
    }
}
