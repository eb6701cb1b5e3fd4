//! Ironic's error bodies: a JSON string inside JSON.
//!
//! `ironic/api/middleware/parsable_error.py` and `ironic/api/method.py` make them; the flat form comes from the
//! body limits in `ironic/api/middleware/json_ext.py`.

use bytes::Bytes;
use http::StatusCode;
use serde_json::Value;

use crate::api::accept::Accept;
use crate::api::accept::Words;

/// Which part of Ironic speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A controller's: `faultcode`, `faultstring`, `debuginfo`.
    Controller,
    /// The routing layer's: `code`, `title`, `description`.
    Routing,
    /// A body limit's: the controller's members, not wrapped.
    Flat,
    /// The routing layer's for a client that does not want JSON most: a page, in JSON all the same.
    Page(Words),
}

/// An error answer of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub status: StatusCode,
    form: Form,
    text: String,
}

impl Fault {
    /// As a controller of Ironic words it.
    pub fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self {
            status,
            form: Form::Controller,
            text: text.into(),
        }
    }

    /// As Ironic's routing layer words it: `text` is the description, often empty.
    pub fn routing(status: StatusCode, text: impl Into<String>) -> Self {
        Self {
            form: Form::Routing,
            ..Self::new(status, text)
        }
    }

    /// As Ironic's body limits word it.
    pub fn flat(status: StatusCode, text: impl Into<String>) -> Self {
        Self {
            form: Form::Flat,
            ..Self::new(status, text)
        }
    }

    /// What pecan says to a client that takes no JSON, and webob words for it.
    pub fn not_acceptable(accept: &Accept) -> Self {
        let text = format!(
            "The resource could not be generated that was acceptable to your browser\n(content of type {}. ",
            accept.text()
        );
        Self {
            form: Form::Page(accept.words()),
            ..Self::new(StatusCode::NOT_ACCEPTABLE, text)
        }
    }

    /// Told in these words if it is the routing layer's.
    #[must_use]
    pub fn worded(mut self, words: Words) -> Self {
        if self.form == Form::Routing && words != Words::Json {
            self.form = Form::Page(words);
        }
        self
    }

    pub fn bad_request(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }

    pub fn not_found() -> Self {
        Self::routing(StatusCode::NOT_FOUND, "")
    }

    /// It comes from before the controllers, which are what sends version headers; a 406 has them all the same.
    pub fn is_unversioned(&self) -> bool {
        match self.form {
            Form::Controller => false,
            Form::Routing | Form::Flat => self.status != StatusCode::NOT_ACCEPTABLE,
            Form::Page(_) => true,
        }
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// As webob writes it.
    fn page(&self, words: Words) -> String {
        let (status, text) = (self.status, &self.text);
        if words == Words::Html {
            let text = text.replace('&', "&amp;").replace('<', "&lt;");
            format!(
                "<html>\n <head>\n  <title>{status}</title>\n </head>\n <body>\n  <h1>{status}</h1>\n  {text}<br /><br />\n\n\n \
                 </body>\n</html>"
            )
        } else {
            format!("{status}\n\n{}\n\n ", text.replace('\n', " "))
        }
    }

    /// The JSON body.
    pub fn body(&self) -> Bytes {
        let quoted = |text: &str| Value::from(text).to_string();
        let code = if self.status.is_server_error() {
            "Server"
        } else {
            "Client"
        };
        let fault = |debuginfo| {
            format!(
                "{{\"faultcode\": \"{code}\", \"faultstring\": {}{debuginfo}}}",
                quoted(&self.text)
            )
        };
        match self.form {
            Form::Controller => format!(
                "{{\"error_message\": {}}}",
                // A traceback, where Ironic's `debug_tracebacks_in_api` asks for it (`format_exception` in
                // `method.py`).
                quoted(&fault(", \"debuginfo\": null"))
            ),
            Form::Routing => {
                let inner = format!(
                    "{{\"code\": {}, \"title\": \"{}\", \"description\": {}}}",
                    self.status.as_u16(),
                    self.status.canonical_reason().unwrap_or_default(),
                    quoted(&self.text),
                );
                format!("{{\"error_message\": {}}}", quoted(&inner))
            }
            // `JsonDepthMiddleware` stands outside of what wraps errors (`ironic/api/app.py`), so this one is not
            // wrapped.
            Form::Flat => fault(""),
            // `ParsableErrorMiddleware` wraps whatever pecan wrote, pages too.
            Form::Page(words) => {
                format!("{{\"error_message\": {}}}", quoted(&self.page(words)))
            }
        }
        .into()
    }
}

/// A location's fault, whichever form it has: which part of Ironic speaks, and its text. `None` if the body is none of
/// Ironic's.
pub fn read(body: &[u8]) -> Option<(Form, String)> {
    let outer: Value = serde_json::from_slice(body).ok()?;
    let message = outer.get("error_message");
    let parsed;
    let inner = match message.unwrap_or(&outer) {
        Value::String(text) => {
            parsed = serde_json::from_str::<Value>(text).ok()?;
            &parsed
        }
        other => other,
    };
    let (form, text) = match (inner.get("faultstring"), inner.get("description")) {
        // Controllers and limits alike have a `faultstring`; what tells them apart is the wrapping.
        (Some(text), _) if message.is_some() => (Form::Controller, text),
        (Some(text), _) => (Form::Flat, text),
        (None, Some(text)) => (Form::Routing, text),
        (None, None) => return None,
    };
    Some((form, text.as_str()?.to_owned()))
}

/// The text alone.
pub fn text_of(body: &[u8]) -> Option<String> {
    read(body).map(|(_, text)| text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_ironics() {
        let cases = [
            (
                Fault::new(StatusCode::NOT_FOUND, "Node foo could not be found."),
                r#"{"error_message": "{\"faultcode\": \"Client\", \"faultstring\": \"Node foo could not be found.\", \"debuginfo\": null}"}"#,
            ),
            (
                Fault::not_found(),
                r#"{"error_message": "{\"code\": 404, \"title\": \"Not Found\", \"description\": \"\"}"}"#,
            ),
            (
                Fault::flat(StatusCode::PAYLOAD_TOO_LARGE, "Request body is too large."),
                r#"{"faultcode": "Client", "faultstring": "Request body is too large."}"#,
            ),
            (
                Fault::new(StatusCode::SERVICE_UNAVAILABLE, "a \"b\""),
                r#"{"error_message": "{\"faultcode\": \"Server\", \"faultstring\": \"a \\\"b\\\"\", \"debuginfo\": null}"}"#,
            ),
        ];
        for (fault, body) in cases {
            assert_eq!(fault.body(), body);
            assert_eq!(
                text_of(&fault.body()).as_deref(),
                Some(fault.text()),
                "{body}"
            );
        }
        assert_eq!(text_of(b"<html>502 Bad Gateway</html>"), None);
        assert_eq!(text_of(b"[]"), None);
    }
}
