//! The health check of `oslo.middleware`, for balancers and watchdogs: 200 as long as at least one location can be asked.
//! (`oslo_middleware/healthcheck/__init__.py`)

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use http::HeaderValue;
use http::Method;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use jiff::Timestamp;
use serde_json::json;

use crate::api::accept::Accept;
use crate::config::HealthcheckConfig;
use crate::gateway::arrival::Arrival;
use crate::lifecycle::Lifecycle;
use crate::lifecycle::Stage;
use crate::locations::Locations;
use crate::locations::location::Location;
use crate::locations::record::Observed;
use crate::request::Answer;

/// Headers by which oslo.middleware knows a proxy.
const PROXIED: &[&str] = &[
    "x-forwarded",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-for",
    "x-forwarded-prefix",
];

#[derive(Debug)]
pub struct Health {
    pub config: HealthcheckConfig,
    pub locations: Arc<Locations>,
    pub lifecycle: Arc<Lifecycle>,
}

/// One line of the answer.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    class: &'static str,
    reason: String,
    details: String,
}

/// Whether neighbours are to send requests, and what else is to be told.
#[derive(Debug)]
struct Report {
    well: bool,
    rows: Vec<Row>,
    detailed: bool,
}

impl Health {
    /// `None`: this is no such path, or it is none for who asks.
    pub fn answer(&self, arrival: &Arrival<'_>) -> Option<Answer> {
        let head = arrival.head;
        let is_asked = self.config.enabled
            && head.uri.path().trim_end_matches('/') == "/healthcheck"
            && self.is_for(arrival);
        if !is_asked {
            return None;
        }
        let port = arrival.at.map(|address| address.port());
        let report = self.report(port);
        Some(report.answer(&head.method, &Accept::of(&head.headers)))
    }

    fn is_for(&self, arrival: &Arrival<'_>) -> bool {
        let ranges = &self.config.ranges;
        let may = ranges.is_empty()
            || arrival
                .from
                .is_some_and(|from| ranges.iter().any(|range| range.contains(from)));
        let headers = &arrival.head.headers;
        let is_proxied = || PROXIED.iter().any(|name| headers.contains_key(*name));
        may && !(self.config.ignore_proxied && is_proxied())
    }

    fn report(&self, port: Option<u16>) -> Report {
        let reason = self.trouble(port);
        let well = reason.is_none();
        let mut rows = vec![Row {
            class: "HealthcheckResult",
            reason: reason.unwrap_or("OK").to_owned(),
            details: String::new(),
        }];
        if self.config.detailed {
            rows.extend(self.locations.iter().map(row));
        }
        Report {
            well,
            rows,
            detailed: self.config.detailed,
        }
    }

    /// Why no request is to be sent here.
    fn trouble(&self, port: Option<u16>) -> Option<&'static str> {
        // `Replaced`: whoever asks at the same address anew is answered by the next process.
        if matches!(self.lifecycle.stage(), Stage::Leaving | Stage::Draining) {
            return Some("DRAINING");
        }
        let of_port = self
            .config
            .disabled_by_port
            .iter()
            .filter(|(of, _)| Some(*of) == port)
            .map(|(_, path)| path);
        let mut disabled_by = self.config.disabled_by.iter().chain(of_port);
        if disabled_by.any(|path| Path::exists(path)) {
            return Some("DISABLED BY FILE");
        }
        if !self.config.enabled_by.iter().all(|path| Path::exists(path)) {
            return Some("FILE PATH MISSING");
        }
        // One is enough: a balancer that took out every gateway for one site would take out all sites.
        let usable = self.locations.iter().any(Location::is_usable);
        (!usable).then_some("no location can be asked")
    }
}

/// Names and states, never addresses.
fn row(location: &Location) -> Row {
    let observed = match location.observed().0 {
        Observed::Unknown => "unknown".to_owned(),
        Observed::Up => "up".to_owned(),
        Observed::Down(reason) => format!("down ({reason})"),
    };
    Row {
        class: "Location",
        reason: format!(
            "{}: {}, {observed}",
            location.name(),
            location.order().state.word()
        ),
        details: String::new(),
    }
}

/// In the order in which oslo.middleware offers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Text,
    Html,
    Json,
}

impl Form {
    /// What is wanted most; text for who wants nothing of it.
    fn of(accept: &Accept) -> Self {
        let offers = [
            (Self::Text, "text", "plain"),
            (Self::Html, "text", "html"),
            (Self::Json, "application", "json"),
        ];
        let mut best = (Self::Text, 0.0);
        for (form, kind, subkind) in offers {
            let quality = accept.quality(kind, subkind);
            if quality > best.1 {
                best = (form, quality);
            }
        }
        best.0
    }
}

impl Report {
    fn answer(&self, method: &Method, accept: &Accept) -> Answer {
        let status = match (self.well, method == Method::HEAD) {
            (true, true) => StatusCode::NO_CONTENT,
            (true, false) => StatusCode::OK,
            (false, _) => StatusCode::SERVICE_UNAVAILABLE,
        };
        let (kind, body) = match Form::of(accept) {
            _ if method == Method::HEAD => ("text/plain; charset=UTF-8", String::new()),
            Form::Text => ("text/plain; charset=UTF-8", self.text()),
            Form::Html => ("text/html; charset=UTF-8", self.html()),
            Form::Json => ("application/json; charset=UTF-8", self.json()),
        };
        let mut answer = Answer {
            status,
            body: body.into(),
            retry_after: (!self.well).then_some(5),
            ..Answer::default()
        };
        answer
            .headers
            .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        answer
    }

    fn text(&self) -> String {
        let reasons: Vec<&str> = self.rows.iter().map(|row| row.reason.as_str()).collect();
        reasons.join("\n")
    }

    /// What oslo.middleware tells of a Python process is not there.
    fn json(&self) -> String {
        let body = if self.detailed {
            let row = |row: &Row| json!({"class": row.class, "details": row.details, "reason": row.reason});
            json!({
                "detailed": true,
                "now": Timestamp::now().to_string(),
                "reasons": self.rows.iter().map(row).collect::<Vec<_>>(),
            })
        } else {
            json!({
                "detailed": false,
                "reasons": self.rows.iter().map(|row| &row.reason).collect::<Vec<_>>(),
            })
        };
        serde_json::to_string(&body).unwrap_or_default()
    }

    fn html(&self) -> String {
        let mut rows = String::new();
        for row in &self.rows {
            // Writing to a String cannot fail.
            let _ = if self.detailed {
                writeln!(
                    rows,
                    "<TR>\n    <TD>{}</TD>\n    <TD>{}</TD>\n    <TD>{}</TD>\n</TR>",
                    row.class, row.reason, row.details
                )
            } else {
                writeln!(rows, "<TR>\n    <TD>{}</TD>\n</TR>", row.reason)
            };
        }
        let columns = if self.detailed {
            "<TH>\nKind\n</TH>\n<TH>\nReason\n</TH>\n<TH>\nDetails\n</TH>"
        } else {
            "<TH>\nReason\n</TH>"
        };
        format!(
            "<HTML>\n<HEAD><TITLE>Healthcheck Status</TITLE></HEAD>\n<BODY>\n\
             <H2>Result of {} checks:</H2>\n<TABLE bgcolor=\"#ffffff\" border=\"1\">\n<TBODY>\n<TR>\n{columns}\n</TR>\n\
             {rows}</TBODY>\n</TABLE>\n<HR></HR>\n</BODY>\n</HTML>",
            self.rows.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use http::header::ACCEPT;

    use super::*;

    #[test]
    fn as_oslo_middleware_negotiates() {
        for (accept, form) in [
            (None, Form::Text),
            (Some("*/*"), Form::Text),
            (Some("application/json"), Form::Json),
            (Some("text/html"), Form::Html),
            (Some("text/*"), Form::Text),
            (Some("image/png"), Form::Text),
            (Some("text/html;q=0.5, application/json"), Form::Json),
            (
                Some("text/html,application/xhtml+xml,*/*;q=0.8"),
                Form::Html,
            ),
            (Some("nonsense"), Form::Text),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(ACCEPT, HeaderValue::from_static(accept));
            }
            assert_eq!(Form::of(&Accept::of(&headers)), form, "{accept:?}");
        }
    }
}
