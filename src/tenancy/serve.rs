//! Chooses how a request is judged, by what its rule is about.

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::TryFutureExt;
use futures_util::future::BoxFuture;
use http::Method;

use crate::api::body::BodyError;
use crate::api::collection::Collection;
use crate::api::identifier::Alias;
use crate::api::identifier::is_uuid_like;
use crate::api::json;
use crate::api::route::table::About;
use crate::api::route::table::Form;
use crate::api::route::table::Payload;
use crate::api::route::table::Row;
use crate::api::rules::Rule;
use crate::auth::access::Denied;
use crate::auth::access::Judged;
use crate::auth::access::UNKNOWN;
use crate::auth::identity::Identity;
use crate::federate::Error;
use crate::federate::Federation;
use crate::federate::objection::Objection;
use crate::federate::plan::Plan;
use crate::policy::targets::Target;
use crate::request::Answer;
use crate::request::Request;
use crate::tenancy::allocations::Allocations;
use crate::tenancy::case::Case;
use crate::tenancy::lists::Lists;
use crate::tenancy::nodes::Nodes;
use crate::tenancy::parts::Parts;
use crate::tenancy::refusal;
use crate::tenancy::runbooks::Runbooks;

/// Judges a request by the rules and sends what they allow.
pub async fn serve(
    federation: &Federation,
    request: &Request,
    identity: &Identity,
    judged: &Judged,
) -> Result<Plan, Error> {
    // Callers of `noauth` and `http_basic` have every right and are not judged; one that comes here anyway has none.
    let Some(caller) = identity.caller() else {
        return Err(Objection::from(Denied { policy: UNKNOWN }).into());
    };
    let case = Case::new(federation, request, judged, caller);
    let body = request.body.held().clone();
    // Before the rules, as with every body that is none: what a rule cannot read it cannot judge.
    if let Some(at) = json::unheld(&body) {
        return Err(BodyError::Unheld(at).into());
    }
    // Without a row no rule of Ironic's speaks of this route: it is denied, not guessed.
    let Some(row) = judged.row else {
        case.tell(UNKNOWN, None);
        return Err(Objection::from(Denied { policy: UNKNOWN }).into());
    };
    // Without their types, which nest deeper than the compiler follows.
    let planned: BoxFuture<'_, Result<Plan, Error>> = if row.payload == Payload::Vendor {
        vendors(&case, row).boxed()
    } else {
        act(&case, row, body).map_ok(Plan::Answer).boxed()
    };
    let planned = planned.await;
    match request.target.alias() {
        None => planned,
        Some(alias) => reworded(alias, planned),
    }
}

/// The same of what was planned.
fn reworded(alias: &Alias, planned: Result<Plan, Error>) -> Result<Plan, Error> {
    match planned {
        Ok(Plan::Answer(answer)) if !answer.status.is_success() => {
            Ok(Plan::Answer(answer.reworded(alias)))
        }
        Err(Error::Reply(answer)) => Err(Error::Reply(Box::new(answer.reworded(alias)))),
        Err(Error::Objection(Objection::Absent(text))) => {
            Err(Objection::Absent(alias.reword_text(&text)).into())
        }
        planned => planned,
    }
}

/// A vendor's method: the rules are about the node alone, and the body is streamed to it unseen.
async fn vendors(case: &Case<'_>, row: &Row) -> Result<Plan, Error> {
    if row.about == About::Node {
        let segments = case.request.target.segments();
        let ident = segments.get(1).map(String::as_str).unwrap_or_default();
        return Nodes(case).vendors(ident, row.rule).await;
    }
    case.permit_unless_pinned(row.rule, &Target::Nothing)?;
    case.plan(case.errand(Bytes::new())).await
}

async fn act(case: &Case<'_>, row: &Row, body: Bytes) -> Result<Answer, Error> {
    let segments = case.request.target.segments();
    let second = segments.get(1).map(String::as_str).unwrap_or_default();
    match row.about {
        About::Nothing => {
            case.permit_unless_pinned(row.rule, &Target::Nothing)?;
            case.send(case.errand(body)).await
        }
        About::All(own) => match row.rule {
            Rule::NodeListAll => Lists(case).list_nodes(row.rule, own).await,
            Rule::AllocationListAll => Lists(case).list_allocations(row.rule, own).await,
            Rule::RunbookListAll => Runbooks(case).list_runbooks(row.rule, own).await,
            _ => {
                let collection = part_of(segments);
                Lists(case).list_parts(collection, row.rule, own).await
            }
        },
        About::AllOfNode(own) => Nodes(case).list_at_node(second, row.rule, own).await,
        About::AllOf(collection, own) => {
            let rule = if case.allows(row.rule, &Target::Nothing) {
                row.rule
            } else {
                own
            };
            Parts(case).part(collection, second, rule, body).await
        }
        About::Node if segments.len() == 2 => Nodes(case).one_node(second, row.rule, body).await,
        About::Node => Nodes(case).at_node(second, row.rule, body).await,
        About::NodeOfQuery => Nodes(case).validate(row.rule).await,
        About::NodeOfBody => {
            Parts(case)
                .new_part(part_of(segments), row.rule, &body)
                .await
        }
        About::NodeOf(collection) => {
            let ident = segments.last().map(String::as_str).unwrap_or_default();
            // Ironic judges the form of an identifier before it looks for one: a port is deleted by its UUID alone.
            if let Some((name, Form::Uuid)) = row.parameters().next()
                && !is_uuid_like(ident)
            {
                return Err(refusal::invalid(format!(
                    "Expected UUID for {name}: {ident}"
                )));
            }
            let body = if case.request.method == Method::PATCH {
                crate::api::body::Patch::parse(&body)?.to_bytes()
            } else {
                body
            };
            Parts(case).part(collection, ident, row.rule, body).await
        }
        About::NewNode => Nodes(case).new_node(&body).await,
        About::Allocation => {
            Allocations(case)
                .one_allocation(second, row.rule, body)
                .await
        }
        About::AllocationOfNode => Allocations(case).allocation_of(second, row.rule).await,
        About::NewAllocation => Allocations(case).new_allocation(&body).await,
        About::Runbook => Runbooks(case).one_runbook(second, row.rule, body).await,
        About::NewRunbook => Runbooks(case).new_runbook(row.rule, &body).await,
    }
}

fn part_of(segments: &[String]) -> Collection {
    let words: Vec<&str> = segments.iter().map(String::as_str).collect();
    match words[..] {
        ["portgroups", ..] => Collection::Portgroups,
        ["volume", "connectors", ..] => Collection::VolumeConnectors,
        ["volume", "targets", ..] => Collection::VolumeTargets,
        _ => Collection::Ports,
    }
}
