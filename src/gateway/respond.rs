//! Writes an answer, with the headers that every answer of the gateway has.

use std::sync::Arc;

use http::Method;
use http::StatusCode;
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora_proxy::Session;

use crate::api::header;
use crate::gateway::body;
use crate::gateway::context::Context;
use crate::locations::Locations;
use crate::request::Answer;
use crate::request::Versions;

/// Bytes of an answer that are written at a time.
const PART: usize = 64 << 10;

/// What answers are signed with.
#[derive(Debug)]
pub struct Respond {
    pub locations: Arc<Locations>,
    /// `[api] retry_after`
    pub retry_after: bool,
}

impl Respond {
    /// Adds what every answer of the gateway carries.
    pub fn sign(
        &self,
        head: &mut ResponseHeader,
        context: &Context,
        versions: Versions,
    ) -> Result<()> {
        if let Some((range, spoken)) = context.versions.filter(|_| versions == Versions::Shown) {
            head.insert_header(header::API_MIN_VERSION, range.min().to_string())?;
            head.insert_header(header::API_MAX_VERSION, range.max().to_string())?;
            if let Some(spoken) = spoken {
                head.insert_header(header::API_VERSION, spoken.to_string())?;
            }
        }
        for name in [header::REQUEST_ID, header::LEGACY_REQUEST_ID] {
            // A location's own id goes on: it is what its operators look for.
            if !head.headers.contains_key(&name) {
                head.insert_header(name, context.request_id.for_client())?;
            }
        }
        if let Some(location) = context.location.filter(|_| !context.hides_location) {
            head.insert_header(header::LOCATION, self.locations.location(location).name())?;
        }
        Ok(())
    }

    pub async fn write(
        &self,
        session: &mut Session,
        context: &Context,
        answer: Answer,
    ) -> Result<()> {
        body::drain(session).await;
        let mut head =
            ResponseHeader::build_no_case(answer.status, Some(answer.headers.len() + 8))?;
        for (name, value) in &answer.headers {
            let framing = matches!(
                name.as_str(),
                "content-length" | "transfer-encoding" | "date"
            );
            if !framing {
                head.append_header(name.clone(), value.clone())?;
            }
        }
        if let Some(seconds) = answer.retry_after.filter(|_| self.retry_after) {
            head.insert_header(http::header::RETRY_AFTER, seconds)?;
        }
        self.sign(&mut head, context, answer.versions)?;
        let bodiless = matches!(
            answer.status,
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
        );
        if !bodiless {
            head.set_content_length(answer.body.len())?;
        }
        let silent =
            bodiless || answer.body.is_empty() || session.req_header().method == Method::HEAD;
        session
            .write_response_header(Box::new(head), silent)
            .await?;
        if !silent {
            // The write clock runs for one part: it measures silence, not the size of the answer.
            let mut body = answer.body;
            while body.len() > PART {
                let part = body.split_to(PART);
                session.write_response_body(Some(part), false).await?;
            }
            session.write_response_body(Some(body), true).await?;
        }
        Ok(())
    }
}
