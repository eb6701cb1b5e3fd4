//! What would be done with a request: judged by the same code as one that came in, and sent nowhere. Only a token is
//! shown to Keystone, as always.

use std::net::SocketAddr;
use std::sync::Arc;

use http::Method;
use pingora::http::RequestHeader;
use serde::Serialize;

use crate::api::body::BodyError;
use crate::api::body::Object;
use crate::api::collection::Collection;
use crate::api::collection::Spread;
use crate::api::fault;
use crate::api::route::Action;
use crate::api::route::Route;
use crate::auth::access::Passage;
use crate::auth::identity::Identity;
use crate::federate::Error;
use crate::federate::Federation;
use crate::federate::located::home::home_of;
use crate::gateway::arrival::Arrival;
use crate::gateway::context::Context;
use crate::gateway::door::Door;
use crate::gateway::door::Entry;
use crate::gateway::door::Refusal;
use crate::gateway::rescue;
use crate::gateway::rescue::Names;
use crate::gateway::rescue::Trouble;
use crate::locate::directory::Key;
use crate::locations::location::Location;
use crate::locations::order::Act;
use crate::locations::question::Body;
use crate::locations::silence::Silence;
use crate::policy::caller::Scope;
use crate::request::Answer;
use crate::request::Request;

/// What would be done, member by member; what does not apply is null.
#[derive(Debug, Default, Serialize)]
pub struct Explanation {
    route: Option<String>,
    action: Option<String>,
    version: Option<String>,
    who: Option<Who>,
    rule: Option<&'static str>,
    verdict: Option<&'static str>,
    /// What the client would be told instead.
    refused: Option<ShownAnswer>,
    /// What the gateway itself would answer.
    answered: Option<ShownAnswer>,
    /// How it is decided who is asked.
    how: Option<String>,
    /// The conductor group with which a new node would be sent, in the location's own words.
    sent_with_group: Option<String>,
    asked: Vec<ToAsk>,
}

#[derive(Debug, Serialize)]
struct Who {
    user: String,
    scope: String,
    roles: Vec<String>,
}

#[derive(Debug, Serialize)]
struct ShownAnswer {
    status: u16,
    text: Option<String>,
}

#[derive(Debug, Serialize)]
struct ToAsk {
    location: String,
    question: String,
    version: String,
    /// Why it is not asked: the operator's state, or its condition.
    not_asked: Option<&'static str>,
}

/// A request that nobody sends.
#[derive(Debug)]
pub struct Imagined<'a> {
    pub head: &'a RequestHeader,
    pub body: Body,
}

/// Explains one request.
pub async fn explain(door: &Door, federation: &Federation, imagined: Imagined<'_>) -> Explanation {
    let Imagined { head, body } = imagined;
    let mut context = Context::new(&Arc::default());
    let arrival = Arrival {
        head,
        from: None,
        // Who asks what would be is no client, and uses up nobody's limit.
        counts: false,
        // For links, where no Host is given.
        at: Some(SocketAddr::from(([127, 0, 0, 1], 80))),
    };
    let entered = door.admit(&arrival, &mut context).await;
    let mut explanation = Explanation {
        version: context
            .versions
            .and_then(|(_, version)| version)
            .map(|version| version.to_string()),
        who: context.identity.as_ref().map(who),
        ..Explanation::default()
    };
    // Told to an operator.
    let names = Names {
        locations: &federation.locations,
        are_hidden: false,
    };
    match entered {
        Ok(Entry::Answered(answer)) => explanation.answered = Some(told(&answer)),
        Ok(Entry::Admitted(admitted)) => {
            let request = Request {
                body,
                ..admitted.request
            };
            let identity = context.identity.as_ref();
            match verdict(door, &request, identity, admitted.passage) {
                Ok(verdict) => {
                    explanation.verdict = Some(verdict);
                    if let Err(error) = explanation.describe(federation, &request) {
                        let trouble = Trouble::Federation(error);
                        explanation.refused = Some(told(&rescue::rescue(names, trouble)));
                    }
                }
                Err(refusal) => explanation.refuse(names, refusal),
            }
        }
        Err(refusal) => explanation.refuse(names, refusal),
    }
    explanation
}

/// What the rules say of a request whose body is there: some are about what it changes.
fn verdict(
    door: &Door,
    request: &Request,
    identity: Option<&Identity>,
    passage: Passage,
) -> Result<&'static str, Refusal> {
    door.check_media(request)?;
    let passage = match passage {
        Passage::Whole if request.method == Method::PATCH && request.body.held().is_empty() => {
            return Ok("depends on what is changed");
        }
        Passage::Whole => door.check_patch(request, identity)?,
        by_thing @ Passage::ByThing(_) => by_thing,
    };
    Ok(match passage {
        Passage::Whole => "allowed",
        Passage::ByThing(_) => "depends on whose the thing is",
    })
}

fn who(identity: &Identity) -> Who {
    let Some(caller) = identity.caller() else {
        let user = match identity {
            Identity::Basic(user) => user.to_string(),
            Identity::Anonymous | Identity::Keystone(_) => "anybody".to_owned(),
        };
        return Who {
            user,
            scope: "everything".to_owned(),
            roles: Vec::new(),
        };
    };
    Who {
        user: caller.user_id.to_owned(),
        scope: match caller.scope {
            Scope::System => "system".to_owned(),
            Scope::Project(project) => format!("project {}", project.id),
            Scope::Domain(id) => format!("domain {id}"),
            Scope::Nothing => "nothing".to_owned(),
        },
        roles: caller.roles.to_vec(),
    }
}

fn told(answer: &Answer) -> ShownAnswer {
    ShownAnswer {
        status: answer.status.as_u16(),
        text: fault::text_of(answer.body.whole()),
    }
}

/// Whom a request goes to.
enum Way {
    /// The one that suits this new node.
    NewNode(Object),
    /// The one that the client names.
    Pinned,
    /// The one that has this.
    Owner(Collection, String),
    /// The one that the body's conductor group, or node, leads to.
    Body(Collection),
    /// All of them.
    Everybody(&'static str),
}

impl Explanation {
    fn refuse(&mut self, names: Names<'_>, refusal: Refusal) {
        if let Refusal::Denied(denied) = &refusal {
            self.rule = Some(denied.policy);
            self.verdict = Some("denied");
        }
        let answer = rescue::rescue(names, Trouble::Refused(refusal));
        self.refused = Some(told(&answer));
    }

    fn describe(&mut self, federation: &Federation, request: &Request) -> Result<(), Error> {
        (self.route, self.action) = named(&request.target.route);
        self.rule = request.target.row().map(|row| row.rule.name());
        let locations = &federation.locations;
        let mut home_of_new = None;
        let (how, scope): (String, Vec<&Location>) = match way(request)? {
            Way::NewNode(mut node) => {
                let home = home_of(federation, request, &mut node)?;
                let there = locations.location(home.location);
                let group = node.text("conductor_group");
                self.sent_with_group = group.map(|ours| match &there.groups {
                    Some(names) => names.theirs(&ours).into_owned(),
                    None => ours,
                });
                home_of_new = Some(there);
                (home.why.to_string(), vec![there])
            }
            Way::Pinned => {
                let one = request.pinned.map(|id| locations.location(id));
                (
                    "X-Ironic-Proxy-Location names it".to_owned(),
                    one.into_iter().collect(),
                )
            }
            Way::Owner(collection, ident) => {
                match federation.locator.remembered(&Key::new(collection, &ident)) {
                    Some(owner) => (
                        format!("the directory knows where {ident} is"),
                        vec![locations.location(owner.location)],
                    ),
                    None => (
                        format!("all are asked who has {ident}, then whoever has it"),
                        locations.iter().collect(),
                    ),
                }
            }
            Way::Body(Collection::Nodes) => (
                "the location that the conductor group in the body belongs to".to_owned(),
                locations.iter().collect(),
            ),
            Way::Body(_) => (
                "the location of the node, or of a fitting one, that the body names".to_owned(),
                locations.iter().collect(),
            ),
            Way::Everybody(how) => (how.to_owned(), locations.iter().collect()),
        };
        self.how = Some(how);
        let question = request.question();
        let act = Act::of(&question);
        self.asked = scope
            .into_iter()
            .map(|location| ToAsk {
                location: location.name().to_owned(),
                question: format!("{} {}", question.method, question.path),
                version: question.version.to_string(),
                not_asked: match location.forbids(act) {
                    Some(reason) => Some(reason.word()),
                    None if location.is_usable() => None,
                    None => Some(location.last_failure().word()),
                },
            })
            .collect();
        let forbidden = home_of_new.and_then(|there| Some((there, there.forbids(act)?)));
        match forbidden {
            Some((there, reason)) => Err(Silence {
                location: there.id,
                reason,
                sent: false,
                reply: None,
            }
            .into()),
            None => Ok(()),
        }
    }
}

fn named(route: &Route) -> (Option<String>, Option<String>) {
    match route {
        Route::Root => (Some("/".to_owned()), None),
        Route::V1 => (Some("/v1".to_owned()), None),
        Route::Known { row, .. } => (
            Some(format!("/v1/{}", row.template)),
            Some(format!("{:?}", row.action)),
        ),
        Route::UnknownBelow { of, .. } => (
            Some(format!("/v1/{}/{{}}/...", of.facts().path)),
            Some("what a newer Ironic may have there".to_owned()),
        ),
        Route::UnknownCollection => (
            None,
            Some("a collection that a newer Ironic may have".to_owned()),
        ),
        Route::NotPermitted => (None, Some("one location words the refusal".to_owned())),
    }
}

fn way(request: &Request) -> Result<Way, BodyError> {
    let created = match &request.target.route {
        Route::Known { row, .. } => match row.action {
            Action::Create(collection) if !request.body.held().is_empty() => Some(collection),
            _ => None,
        },
        _ => None,
    };
    if created == Some(Collection::Nodes) {
        return Object::parse("node", request.body.held()).map(Way::NewNode);
    }
    if request.pinned.is_some() {
        return Ok(Way::Pinned);
    }
    if let Some(collection) = created
        && collection.facts().spread == Spread::Located
    {
        let thing = Object::parse("thing", request.body.held())?;
        let mut members = ["node_uuid", "node_ident", "node"].into_iter();
        if let Some(node) = members.find_map(|member| thing.text(member)) {
            return Ok(Way::Owner(Collection::Nodes, node));
        }
    }
    Ok(way_of_route(request))
}

fn way_of_route(request: &Request) -> Way {
    let of_member = |collection: Collection, ident: &str| match collection.facts().spread {
        Spread::Located => Way::Owner(collection, ident.to_owned()),
        Spread::Replicated if request.method == Method::GET => Way::Everybody("any copy will do"),
        Spread::Replicated => Way::Everybody("everywhere or nowhere"),
        Spread::United => Way::Everybody("the answers of all are put together"),
    };
    match &request.target.route {
        Route::Known { row, parameters } => {
            let ident = parameters.first().map(String::as_str).unwrap_or_default();
            match row.action {
                Action::Member(collection)
                | Action::Below(collection)
                | Action::ListBelow { of: collection, .. } => of_member(collection, ident),
                Action::History => of_member(Collection::Nodes, ident),
                Action::ValidateNode => {
                    let node = request
                        .query
                        .value("node_uuid")
                        .or_else(|| request.query.value("node"));
                    of_member(Collection::Nodes, node.unwrap_or_default())
                }
                Action::Create(collection) if collection.facts().spread == Spread::Located => {
                    Way::Body(collection)
                }
                Action::Create(_) => Way::Everybody("everywhere or nowhere"),
                Action::List(_) | Action::ChassisNodes => {
                    Way::Everybody("the lists of all are one list")
                }
                _ => Way::Everybody("the answers of all are put together"),
            }
        }
        Route::UnknownBelow { of, ident } => of_member(*of, ident),
        Route::NotPermitted => Way::Everybody("one of them"),
        Route::Root | Route::V1 | Route::UnknownCollection => {
            Way::Everybody("the answers of all are put together")
        }
    }
}
