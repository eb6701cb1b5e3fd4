//! The health check of `oslo.middleware`: 200 as long as at least one location can be asked.

use http::HeaderValue;
use http::Method;
use http::StatusCode;

use crate::lifecycle::Stage;
use crate::locations::Locations;
use crate::request::Answer;

pub fn answer(locations: &Locations, stage: Stage, method: &Method) -> Answer {
    let leaving = stage >= Stage::Leaving;
    let well = !leaving
        && locations
            .iter()
            .any(|location| location.standing().is_some() && location.is_reachable());
    let (status, text) = match (well, method == Method::HEAD) {
        (true, true) => (StatusCode::NO_CONTENT, ""),
        (true, false) => (StatusCode::OK, "OK"),
        (false, _) if leaving => (StatusCode::SERVICE_UNAVAILABLE, "DRAINING"),
        (false, _) => (StatusCode::SERVICE_UNAVAILABLE, "no location can be asked"),
    };
    let mut answer = Answer {
        status,
        body: text.into(),
        retry_after: (!well).then_some(5),
        ..Answer::default()
    };
    answer.headers.insert(
        http::header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=UTF-8"),
    );
    answer
}
