//! What was just made for a project: it gets its owner, or it goes again; and how it is shown.

use bytes::Bytes;
use http::Method;
use http::StatusCode;
use log::error;
use log::warn;
use serde_json::json;

use crate::api::collection::Collection;
use crate::api::fault;
use crate::api::json;
use crate::api::query::Query;
use crate::federate::Error;
use crate::federate::LeftBehind;
use crate::locate::LocateError;
use crate::policy::caller::Project;
use crate::request::Answer;
use crate::tenancy::case::Case;
use crate::tenancy::case::Errand;
use crate::tenancy::case::path;
use crate::tenancy::refusal;

impl Case<'_> {
    /// What was said, also if it is a refusal of what goes to all locations.
    pub(crate) async fn told(&self, errand: Errand) -> Result<Answer, Error> {
        match self.send(errand).await {
            Err(Error::Reply(answer)) => Ok(*answer),
            said => said,
        }
    }

    /// Creates a thing whose owner cannot be sent along, and then sets the owner. If that fails the thing is deleted
    /// again: without an owner nobody but the system could see it.
    pub(crate) async fn make_and_give(
        &self,
        errand: Errand,
        collection: Collection,
        project: Project<'_>,
    ) -> Result<Answer, Error> {
        let made = self.told(errand).await.inspect_err(|error| {
            if let Error::Silent(silent) = error
                && silent.iter().any(|silence| silence.sent)
            {
                warn!(
                    "A create for project {} was not answered: if it was executed, there is a {} without an owner now",
                    project.id,
                    refusal::noun(collection)
                );
            }
        })?;
        if !made.status.is_success() {
            return Ok(made);
        }
        let Ok(Some(uuid)) = json::member(made.body.whole(), "uuid") else {
            let left = LeftBehind {
                what: refusal::noun(collection).to_owned(),
                at: made.location,
                why: "its owner could not be set: the answer to its create does not tell its UUID"
                    .to_owned(),
            };
            return Err(self.leave_behind(left, project));
        };
        let change = |method, body: Bytes| Errand {
            method,
            body,
            ..Errand::get(
                path(&[collection.facts().path, &uuid]),
                Query::default(),
                self.newest_at(made.location),
            )
            .at(made.location)
            .afterwards()
        };
        let patch = json!([{"op": "add", "path": "/owner", "value": project.id}]);
        let patch = Bytes::from(patch.to_string());
        let given = self.told(change(Method::PATCH, patch.clone())).await;
        if is_done(&given) {
            return self.at_the_client_s_version(made, collection, true).await;
        }
        let undone = self.told(change(Method::DELETE, Bytes::new())).await;
        if is_gone(&undone) {
            return given.map_err(nothing_was_done);
        }
        // It could not be deleted, so it had better have its owner: what was in the way, such as a lock, may have gone.
        let again = self.told(change(Method::PATCH, patch)).await;
        let why = if !is_done(&again) {
            if is_gone(&again) {
                // The answer to its DELETE was lost.
                return given.map_err(nothing_was_done);
            }
            format!(
                "its owner could not be set ({}), and it could not be deleted again ({})",
                said(&again),
                said(&undone)
            )
        } else if is_torn(&undone) {
            let undone = said(&undone);
            format!("it may be gone again at some of its locations ({undone})")
        } else {
            return self.at_the_client_s_version(made, collection, true).await;
        };
        let left = LeftBehind {
            what: format!("{} {uuid}", refusal::noun(collection)),
            at: made.location,
            why,
        };
        Err(self.leave_behind(left, project))
    }

    fn leave_behind(&self, left: LeftBehind, project: Project<'_>) -> Error {
        let places = self.federation.locations.names(left.at.as_slice());
        error!(
            "{left} It is at {places}, made for project {} by user {}.",
            project.id, self.caller.user_id
        );
        Error::LeftBehind(left)
    }

    /// What was made at a newer version, shown as the client's version has it.
    pub(crate) async fn at_the_client_s_version(
        &self,
        made: Answer,
        collection: Collection,
        lifted: bool,
    ) -> Result<Answer, Error> {
        if !lifted || !made.status.is_success() {
            return Ok(made);
        }
        let Ok(Some(uuid)) = json::member(made.body.whole(), "uuid") else {
            return Ok(made);
        };
        let shown = self
            .send(
                Errand::get(
                    path(&[collection.facts().path, &uuid]),
                    Query::default(),
                    self.request.version,
                )
                .at(made.location)
                .afterwards(),
            )
            .await;
        Ok(match shown {
            Ok(shown) if shown.status.is_success() => Answer {
                body: shown.body,
                ..made
            },
            // It was created, so this is a success, though the answer shows members of a newer version.
            Ok(_) | Err(_) => made,
        })
    }
}

fn is_done(sent: &Result<Answer, Error>) -> bool {
    sent.as_ref().is_ok_and(|answer| answer.status.is_success())
}

/// Whether a thing is not there any more.
fn is_gone(deleted: &Result<Answer, Error>) -> bool {
    match deleted {
        Ok(answer) => answer.status.is_success() || answer.status == StatusCode::NOT_FOUND,
        Err(error) => matches!(error, Error::Locate(LocateError::Nobody { .. })),
    }
}

/// Whatever was executed of it was undone, so it may be repeated.
fn nothing_was_done(error: Error) -> Error {
    match error {
        Error::Silent(mut silent) => {
            for silence in &mut silent {
                silence.sent = false;
            }
            Error::Silent(silent)
        }
        error => error,
    }
}

/// Whether it may have been deleted at some of its locations only.
fn is_torn(deleted: &Result<Answer, Error>) -> bool {
    matches!(deleted, Err(Error::NotEverywhere { is_torn: true, .. }))
}

/// Why it was not done, in a few words that name no location.
fn said(sent: &Result<Answer, Error>) -> String {
    match sent {
        Ok(answer) => {
            let text = fault::text_of(answer.body.whole()).unwrap_or_default();
            format!("{} {text}", answer.status.as_u16())
                .trim_end()
                .to_owned()
        }
        Err(Error::Silent(silent) | Error::Locate(LocateError::Unasked { silent })) => {
            let reasons: Vec<_> = silent.iter().map(|silence| silence.reason.word()).collect();
            format!("no answer: {}", reasons.join(", "))
        }
        Err(error) => error.to_string(),
    }
}
