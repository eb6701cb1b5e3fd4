//! `[audit]`: CADF events of requests, as keystonemiddleware's `audit` filter makes them within Ironic: one before a request
//! is served, the same one with its outcome afterwards. What nobody was let in for is none.

use std::sync::Arc;

use http::HeaderMap;
use http::Method;
use http::header;
use jiff::Timestamp;
use log::info;
use pingora::protocols::http::ServerSession;
use serde_json::Value;
use serde_json::json;
use uuid::Uuid;

use crate::auth::identity::Identity;
use crate::config::AuditConfig;
use crate::config::AuditMap;
use crate::gateway::access_log;
use crate::gateway::context::Context;
use crate::telemetry;

/// The target of records in the log, to be told apart.
const TARGET: &str = "ironic_proxy.audit";
/// CADF's word.
const UNKNOWN: &str = "unknown";
/// Tokens are secrets: pycadf shows an eighth of one at each end, we nothing.
const MASKED: &str = " xxxxxxxx ";

/// Makes records.
#[derive(Debug)]
pub struct Audit {
    pub config: AuditConfig,
}

/// The event of a request that is served.
#[derive(Debug)]
pub struct Audited {
    audit: Arc<Audit>,
    event: Value,
}

impl Audit {
    /// A request is about to be served. `base`: the gateway as the client sees it.
    pub fn begin(
        self: &Arc<Self>,
        session: &ServerSession,
        context: &Context,
        base: Option<&str>,
    ) -> Option<Box<Audited>> {
        let head = session.req_header();
        let ignored = &self.config.ignored;
        if ignored.iter().any(|method| method == head.method.as_str()) {
            return None;
        }
        let path = head.uri.path();
        let address = context.client.or_else(|| access_log::client(session));
        let map = &self.config.map;
        let mut event = json!({
            "typeURI": "http://schemas.dmtf.org/cloud/audit/1.0/event",
            "eventType": "activity",
            "id": Uuid::new_v4().to_string(),
            "eventTime": now(),
            "action": action(map, &head.method, path),
            "outcome": "pending",
            "observer": {"id": "target"},
            "initiator": initiator(context, &head.headers),
            "target": target(map, path, base),
            "requestPath": head.uri.path_and_query().map_or(path, |target| target.as_str()),
            "tags": [format!("correlation_id?value={}", Uuid::new_v4())],
        });
        if let Some(address) = address {
            event["initiator"]["host"]["address"] = address.to_string().into();
        }
        self.write("audit.http.request", &event);
        let audit = Arc::clone(self);
        Some(Box::new(Audited { audit, event }))
    }

    /// As oslo.messaging's driver `log` writes a notification.
    fn write(&self, kind: &str, event: &Value) {
        let record = json!({
            "message_id": Uuid::new_v4().to_string(),
            "publisher_id": "ironic-proxy",
            "event_type": kind,
            "priority": "INFO",
            "payload": event,
            "timestamp": Timestamp::now().strftime("%Y-%m-%d %H:%M:%S%.6f").to_string(),
        });
        if self.config.file.is_some() {
            telemetry::audit(&record);
        } else {
            info!(target: TARGET, "{record}");
        }
    }
}

impl Audited {
    /// `status` 0: the client left.
    pub fn end(mut self, status: u16) {
        let outcome = match status {
            0 => UNKNOWN,
            200..400 => "success",
            _ => "failure",
        };
        self.event["outcome"] = outcome.into();
        if status > 0 {
            let code = status.to_string();
            self.event["reason"] = json!({"reasonType": "HTTP", "reasonCode": code});
        }
        self.event["reporterchain"] =
            json!([{"role": "modifier", "reporterTime": now(), "reporter": {"id": "target"}}]);
        self.audit.write("audit.http.response", &self.event);
    }
}

fn now() -> String {
    let now = Timestamp::now();
    now.strftime("%Y-%m-%dT%H:%M:%S%.6f+0000").to_string()
}

fn initiator(context: &Context, headers: &HeaderMap) -> Value {
    let nobody = &Identity::Anonymous;
    let identity = context.identity.as_ref().unwrap_or(nobody);
    let (id, name, status) = match identity {
        Identity::Anonymous => (UNKNOWN, UNKNOWN, UNKNOWN),
        // Ironic's own basic authentication tells the middleware a name and no id.
        Identity::Basic(user) => (UNKNOWN, &**user, UNKNOWN),
        Identity::Keystone(token) => (&*token.user_id, &*token.user_name, "Confirmed"),
    };
    let project = match identity {
        Identity::Keystone(_) => identity.ids().1,
        Identity::Anonymous | Identity::Basic(_) => None,
    };
    let mut initiator = json!({
        "id": id,
        "typeURI": "service/security/account/user",
        "name": name,
        "credential": {"token": MASKED, "identity_status": status},
        "host": {},
        "project_id": project.unwrap_or(UNKNOWN),
        "request_id": context.request_id.ours(),
    });
    if let Some(global) = context.request_id.global() {
        initiator["global_request_id"] = global.into();
    }
    let agent = headers.get(header::USER_AGENT);
    if let Some(agent) = agent.and_then(|agent| agent.to_str().ok()) {
        initiator["host"]["agent"] = agent.into();
    }
    initiator
}

/// What the middleware finds in the user's catalog: here it is always this gateway.
fn target(map: &AuditMap, path: &str, base: Option<&str>) -> Value {
    let Some(service) = &map.service else {
        return json!({"id": "ironic", "typeURI": UNKNOWN, "name": "ironic"});
    };
    let mut target =
        json!({"id": "ironic", "typeURI": type_uri(map, service, path), "name": "ironic"});
    if let Some(base) = base {
        let addresses =
            ["admin", "private", "public"].map(|name| json!({"url": base, "name": name}));
        target["addresses"] = addresses.as_slice().into();
    }
    target
}

fn without_json(segment: &str) -> &str {
    segment.strip_suffix(".json").unwrap_or(segment)
}

fn type_uri(map: &AuditMap, service: &str, path: &str) -> String {
    let mut uri = service.to_owned();
    let mut before = "";
    for segment in path.split('/').map(without_json) {
        let told = match map.keywords.get_key_value(segment) {
            Some((keyword, _)) => Some(keyword),
            None => map.keywords.get(before),
        };
        if let Some(told) = told {
            uri.push('/');
            uri.push_str(told);
        }
        before = segment;
    }
    uri
}

fn action<'a>(map: &'a AuditMap, method: &Method, path: &str) -> &'a str {
    let path = path.strip_suffix('/').unwrap_or(path);
    let end = without_json(path.rsplit('/').next().unwrap_or_default());
    let by_method = format!("{end}/{}", method.as_str().to_lowercase());
    let custom = map.actions.get(&by_method).or_else(|| map.actions.get(end));
    if let Some(action) = custom {
        return action;
    }
    let is_known = map.keywords.contains_key(end);
    match *method {
        Method::POST if is_known => "create",
        Method::GET if is_known => "read/list",
        Method::GET | Method::HEAD => "read",
        Method::POST | Method::PUT | Method::PATCH => "update",
        Method::DELETE => "delete",
        _ => UNKNOWN,
    }
}
