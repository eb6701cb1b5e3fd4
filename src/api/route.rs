//! What a request names: its path is decoded once, read as Ironic reads it, and sent in one spelling.

pub mod path;
mod pecan;
pub mod table;

use http::Method;
use http::StatusCode;
use thiserror::Error;

use crate::api::accept::Words;
use crate::api::collection::Collection;
use crate::api::collection::Spread;
use crate::api::fault::Fault;
use crate::api::identifier;
use crate::api::identifier::Alias;
use crate::api::microversion::Microversion;
use crate::api::query::Query;
use crate::api::query::encode_segment;
use crate::api::route::path::Path;
use crate::api::route::path::SUFFIX;
use crate::api::route::pecan::Abort;
use crate::api::route::pecan::Call;
use crate::api::route::table::Below;
use crate::api::route::table::Form;
use crate::api::route::table::Payload;
use crate::api::route::table::Row;

pub use crate::api::route::table::Action;
pub use crate::api::route::table::TABLE;

/// From this version on `.json` at the end of a path is part of it.
pub const JSON_IS_A_NAME: Microversion = Microversion::new(1, 91);

/// What a request's method and path name.
#[derive(Debug, PartialEq)]
pub enum Route {
    Root,
    V1,
    Known {
        row: &'static Row,
        /// What stands for each `{}`, decoded.
        parameters: Vec<String>,
    },
    /// Below a member of a collection that we know, but nothing that we know.
    UnknownBelow {
        of: Collection,
        ident: String,
    },
    /// Calls a function of Ironic's that only refuses; what it finds wrong first is for Ironic to say.
    NotPermitted,
    /// A collection that we do not know, a member of it, or something below one.
    UnknownCollection,
}

/// What Ironic refuses by the path alone.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("no such route")]
pub struct Unrouted {
    pub fault: Fault,
    pub allow: Option<String>,
}

impl Unrouted {
    /// No such path.
    pub fn nowhere(words: Words) -> Self {
        Fault::not_found().worded(words).into()
    }

    #[must_use]
    pub fn worded(self, words: Words) -> Self {
        Self {
            fault: self.fault.worded(words),
            ..self
        }
    }
}

impl From<Fault> for Unrouted {
    fn from(fault: Fault) -> Self {
        Self { fault, allow: None }
    }
}

impl From<Abort> for Unrouted {
    fn from(abort: Abort) -> Self {
        Self {
            fault: Fault::routing(abort.status, abort.text),
            allow: abort.allow,
        }
    }
}

/// A route and the path that named it, in its plain spelling.
#[derive(Debug, PartialEq)]
pub struct Target {
    pub route: Route,
    /// Everything below `/v1/`, decoded.
    segments: Vec<String>,
    /// The path ended in `.json`, which Ironic of this version takes for a part of a name only if nothing else fits.
    suffixed: bool,
    /// Ironic of this version takes `.json` off the end of a path.
    strips: bool,
    /// It stands in place of what the client wrote, which Ironic takes for a word of its own.
    alias: Option<Alias>,
}

impl Target {
    /// Reads a path as Ironic of this version does. Arguments that pecan takes from either place are moved to where the
    /// plain spelling has them.
    pub fn read(
        method: &Method,
        path: Path,
        query: Query,
        version: Microversion,
    ) -> Result<(Self, Query), Unrouted> {
        let strips = version < JSON_IS_A_NAME;
        let stripped = strips.then(|| path.clone().without_suffix()).flatten();
        if stripped.as_ref().is_some_and(Path::ends_in_dots) {
            // `...json`: what is left must not reach a web server that takes it for a way up.
            return Err(Fault::not_found().into());
        }
        let suffixed = stripped.is_some();
        let path = stripped.unwrap_or(path);
        let resolved = if path.segments.is_empty() {
            Resolved {
                route: root(method, path.versioned)?,
                segments: Vec::new(),
                query,
                alias: None,
            }
        } else {
            if path.has_slash && *method == Method::GET && path.segments == ["nodes", "detail"] {
                // The only path that Ironic does not take with a slash at its end (`NodesController.detail`).
                let text = "Resource could not be found.";
                return Err(Fault::new(StatusCode::NOT_FOUND, text).into());
            }
            resolve(method, path.segments, query, version)?
        };
        let target = Self {
            route: resolved.route,
            segments: resolved.segments,
            suffixed,
            strips,
            alias: resolved.alias,
        };
        Ok((target, resolved.query))
    }

    /// The path in the one spelling that is sent to locations.
    pub fn path(&self) -> String {
        self.path_with(usize::MAX, "")
    }

    /// The same with another identifier for the member of `of` that it is about.
    pub fn path_for(&self, of: Collection, ident: &str) -> String {
        self.path_with(of.facts().path.split('/').count(), ident)
    }

    fn path_with(&self, position: usize, ident: &str) -> String {
        let length: usize = self.segments.iter().map(|segment| 1 + segment.len()).sum();
        let mut path = String::with_capacity("/v1".len() + length + SUFFIX.len());
        path.push_str("/v1");
        for (index, segment) in self.segments.iter().enumerate() {
            path.push('/');
            path.push_str(&encode_segment(if index == position {
                ident
            } else {
                segment
            }));
        }
        let is_stripped = |last: &String| self.strips && last.ends_with(SUFFIX);
        if position >= self.segments.len()
            && (self.ends_in_suffixed_identifier() || self.segments.last().is_some_and(is_stripped))
        {
            path.push_str(SUFFIX);
        }
        path
    }

    /// The identifier with its `.json`, for Ironic to fall back on; `None`: this path leaves no doubt.
    pub fn fallback(&self, ident: &str) -> Option<String> {
        let last = self.segments.last()?;
        (self.ends_in_suffixed_identifier() && last == ident).then(|| format!("{ident}{SUFFIX}"))
    }

    fn ends_in_suffixed_identifier(&self) -> bool {
        self.suffixed
            && matches!(&self.route, Route::Known { row, .. } if row.template.ends_with("{}"))
    }

    /// What stands in for an identifier by which nothing can be asked for.
    pub fn alias(&self) -> Option<&Alias> {
        self.alias.as_ref()
    }

    /// Everything below `/v1/`, decoded.
    pub fn segments(&self) -> &[String] {
        &self.segments
    }

    pub fn row(&self) -> Option<&'static Row> {
        match self.route {
            Route::Known { row, .. } => Some(row),
            _ => None,
        }
    }

    /// The thing that the path is about.
    pub fn member(&self) -> Option<(Collection, &str)> {
        match &self.route {
            Route::Known { row, parameters } => Some((member_of(row.action)?, parameters.first()?)),
            Route::UnknownBelow { of, ident } => Some((*of, ident)),
            _ => None,
        }
    }

    /// A driver's own method: neither its body nor its answer need be JSON.
    pub fn is_vendors(&self) -> bool {
        self.row().is_some_and(|row| row.payload == Payload::Vendor)
    }
}

fn root(method: &Method, versioned: bool) -> Result<Route, Unrouted> {
    match (versioned, method) {
        (false, _) => Ok(Route::Root),
        (true, &Method::GET | &Method::HEAD) => Ok(Route::V1),
        (true, _) => Err(Fault::new(StatusCode::METHOD_NOT_ALLOWED, MALFORMED).into()),
    }
}

/// What Ironic says to other methods on `/v1`.
const MALFORMED: &str = "The server could not comply with the request since it is either malformed or otherwise incorrect.";

/// What a path comes to.
struct Resolved {
    route: Route,
    /// Its plain spelling.
    segments: Vec<String>,
    query: Query,
    alias: Option<Alias>,
}

fn resolve(
    method: &Method,
    segments: Vec<String>,
    query: Query,
    version: Microversion,
) -> Result<Resolved, Unrouted> {
    let plain = |route, segments, query| Resolved {
        route,
        segments,
        query,
        alias: None,
    };
    let Some(called) = pecan::call(method.as_str(), version.minor, &segments) else {
        if *method == Method::HEAD {
            return Err(Fault::not_found().into());
        }
        return Ok(plain(Route::UnknownCollection, segments, query));
    };
    if let Some((of, ident)) = member(&segments)
        && is_novelty(method, of, &segments, &called)
        && version >= of.since()
    {
        let ident = ident.to_owned();
        return Ok(plain(Route::UnknownBelow { of, ident }, segments, query));
    }
    let call = called?;
    if call.rows.is_empty() {
        return Ok(plain(Route::NotPermitted, segments, query));
    }
    bind(method, call, segments, query, version)
}

/// The collection that a path is in, and the member that it names.
fn member(segments: &[String]) -> Option<(Collection, &str)> {
    Collection::ALL.into_iter().find_map(|collection| {
        let path = collection.facts().path;
        let depth = path.split('/').count();
        let ident = segments.get(depth)?;
        let named = path.split('/').eq(&segments[..depth]);
        named.then_some((collection, ident.as_str()))
    })
}

/// Below a member, and no path of Ironic 39's: a newer one may know it. What Ironic 39 takes for a member's field is new,
/// too.
fn is_novelty(
    method: &Method,
    of: Collection,
    segments: &[String],
    called: &Result<Call, Abort>,
) -> bool {
    let path = of.facts().path;
    let mut behind = segments.iter().skip(path.split('/').count());
    let (Some(ident), Some(below)) = (behind.next(), behind.next()) else {
        return false;
    };
    let is_a_controller = behind.next().is_none() && pecan::is_known_below(path, below);
    let calls_nothing = match called {
        Err(_) => true,
        Ok(call) => call.rows.first().is_some_and(|row| {
            call.arguments.len() > row.parameters().count()
                || matches!(row.action, Action::Member(_)) && call.arguments.len() > 1
        }),
    };
    let is_field_of_driver = called.as_ref().is_ok_and(|call| {
        let driver = |row: &&Row| row.action == Action::Driver;
        call.rows.first().is_some_and(driver) && call.arguments.len() > 1
    });
    let is_asked_of_one = of.facts().spread == Spread::Located && of != Collection::Conductors;
    (calls_nothing || is_field_of_driver)
        && !is_a_controller
        && (is_asked_of_one && *method != Method::HEAD || *method == Method::GET)
        && (is_field_of_driver || !is_taken_otherwise(of, ident))
        && identifier::is_uuid_or_name(ident)
        && !TABLE.iter().any(|row| row.fits(segments))
}

/// Puts a call's arguments where the plain spelling of one of its rows has them.
fn bind(
    method: &Method,
    call: Call,
    asked: Vec<String>,
    mut query: Query,
    version: Microversion,
) -> Result<Resolved, Unrouted> {
    let Some(&any) = call.rows.iter().find(|row| row.serves(method)) else {
        return Err(Fault::routing(StatusCode::METHOD_NOT_ALLOWED, "").into());
    };
    check_age(any, version)?;
    let parameters: Vec<_> = any.parameters().collect();
    // What the path lacks may stand in the query.
    let mut values = call.arguments;
    let given = values.len();
    let rows = call.rows.iter().filter(|row| row.serves(method));
    let least = rows
        .clone()
        .map(|row| row.arity())
        .min()
        .unwrap_or_default();
    while values.len() < least
        && let Some((name, _)) = parameters.get(values.len())
        && let Some(value) = query.value(name)
    {
        values.push(value.to_owned());
        query = query.without(&[name]);
    }
    // `validate` of Ironic's `node.py` looks at `node_uuid` first, whatever the path says.
    let is_overridden = any.action == Action::ValidateNode && query.value("node_uuid").is_some();
    let most = if is_overridden { least } else { values.len() };
    let Some(row) = rows
        .filter(|row| row.arity() <= most)
        .max_by_key(|row| row.arity())
    else {
        let missing = parameters.get(values.len()).map_or("", |(name, _)| name);
        let text = format!("Missing mandatory parameter: {missing}");
        return Err(Fault::bad_request(text).into());
    };
    for (index, (name, form)) in parameters.iter().enumerate() {
        let named = query.value(name);
        match values.get(index) {
            Some(_) if index < given && named.is_some() => {
                let text = format!("Unexpected repeated argument: {name}");
                return Err(Fault::bad_request(text).into());
            }
            Some(value) => check(name, *form, value)?,
            None => named.map_or(Ok(()), |value| check(name, *form, value))?,
        }
    }
    if values.len() > parameters.len() {
        return Err(surplus(method).into());
    }
    if values.len() > row.arity() && row.template.ends_with("/detail") {
        // It looks at the path itself, and is only there right below a collection; its arguments are judged before.
        let misfit = parameters
            .iter()
            .zip(&values)
            .find(|((_, form), value)| *form == Form::Uuid && !identifier::is_uuid_like(value));
        return Err(match misfit {
            Some(((name, _), value)) => {
                Fault::bad_request(format!("Expected UUID for {name}: {value}")).into()
            }
            None => surplus(method).into(),
        });
    }
    let surplus = values.split_off(row.arity());
    for ((name, _), value) in parameters.iter().skip(row.arity()).zip(surplus) {
        query = query.with(name, value);
    }
    let of = member_of(row.action);
    // What the query gave stands in the path from here on. A member called so is nobody's, below.
    let is_nobody_s = |value: &str| value.is_empty() || identifier::is_way_up(value);
    let moved = parameters.iter().zip(&values).enumerate().skip(given);
    let mut twisted = moved.filter(|(index, (_, value))| {
        let is_a_member = *index == 0 && of.is_some();
        !(path::is_segment(value) || is_a_member && is_nobody_s(value))
    });
    if let Some((_, ((name, form), value))) = twisted.next() {
        return Err(unfit(name, form.wanted(), value));
    }
    // By an identifier that Ironic takes for something else, or a web server for a way up, nothing can be asked for.
    let is_nobodys_here = of
        .zip(values.first())
        .is_some_and(|(of, ident)| is_nobody_s(ident) || is_taken_otherwise(of, ident));
    let is_plain = row.spells(&values).eq(asked.iter().map(String::as_str));
    let mut segments = if is_plain { asked } else { row.spell(&values) };
    let reads_the_same = is_plain
        || pecan::call(method.as_str(), version.minor, &segments).is_some_and(|again| {
            again.is_ok_and(|again| again.function == call.function && again.arguments == values)
        });
    let mut alias = None;
    if is_nobodys_here || !reads_the_same {
        let Some(ident) = values.first_mut().filter(|_| of.is_some()) else {
            return Err(Fault::not_found().into());
        };
        let other = Alias::of(ident);
        ident.clone_from(&other.ident);
        alias = Some(other);
        segments = row.spell(&values);
    }
    Ok(Resolved {
        segments,
        route: Route::Known {
            row,
            parameters: values,
        },
        query,
        alias,
    })
}

/// Whether this version has the function.
fn check_age(row: &Row, version: Microversion) -> Result<(), Unrouted> {
    let status = match row.below {
        _ if version.minor >= row.since => return Ok(()),
        Below::NotFound => StatusCode::NOT_FOUND,
        Below::NotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        // Gates of whole controllers were passed on the way here (`pecan.rs`).
        Below::ByLocation | Below::Controller | Below::Unseen => return Ok(()),
    };
    Err(Fault::new(status, "The API is not supported for this version").into())
}

/// Where Ironic's functions do not fail with a 500, which most do.
fn surplus(method: &Method) -> Fault {
    let (status, text) = match *method {
        // It is taken for the body, or for `reset_interfaces`.
        Method::POST | Method::PATCH => {
            (StatusCode::BAD_REQUEST, "Unexpected arguments in the path")
        }
        _ => (StatusCode::NOT_FOUND, "Resource could not be found."),
    };
    Fault::new(status, text)
}

/// Whether Ironic takes this for one of its own words there, or for the number of another member in its database: each
/// location has a member 7, and none of them is called so.
fn is_taken_otherwise(of: Collection, ident: &str) -> bool {
    pecan::is_known_below(of.facts().path, ident)
        || of.is_numbered() && identifier::is_integer(ident)
}

/// Whether a path with this identifier is about a member of the collection, wherever it was written: it may be a name,
/// which `..` is to Ironic, is a segment, which `..` is not, and is taken for nothing else there.
pub fn identifies(of: Collection, ident: &str) -> bool {
    // A conductor's is whatever its operator called its host.
    (of == Collection::Conductors || identifier::is_uuid_or_name(ident))
        && path::is_segment(ident)
        && !is_taken_otherwise(of, ident)
}

/// Whether Ironic gives this name to things that then no path can ask for: a port group may be called 3, and a path with it is
/// about another one. A filter finds it all the same (`get_rpc_portgroup` of `api/controllers/v1/utils.py`). Nodes alone may
/// not have its own words for a name (`_check_names_acceptable` of `api/controllers/v1/node.py`).
pub fn is_name_alone(of: Collection, ident: &str) -> bool {
    let is_refused = of == Collection::Nodes && pecan::is_reserved(ident);
    identifier::is_name(ident) && !identifies(of, ident) && !is_refused
}

/// Whose member the first parameter names.
fn member_of(action: Action) -> Option<Collection> {
    match action {
        Action::Member(of) | Action::Below(of) | Action::ListBelow { of, .. } => Some(of),
        Action::History | Action::Heartbeat => Some(Collection::Nodes),
        Action::ChassisNodes => Some(Collection::Chassis),
        Action::Driver | Action::DriverBelow | Action::DriverPassthru => Some(Collection::Drivers),
        Action::List(_)
        | Action::Create(_)
        | Action::ValidateNode
        | Action::Shards
        | Action::VolumeRoot
        | Action::Events
        | Action::Lookup
        | Action::ContinueInspection => None,
    }
}

/// What no location could have: refused in Ironic's words, whatever the locations are.
fn check(name: &str, form: Form, value: &str) -> Result<(), Unrouted> {
    match form {
        // Where a name is no UUID, Ironic itself says so.
        Form::Name | Form::Uuid if !identifier::is_uuid_or_name(value) => {
            Err(unfit(name, form.wanted(), value))
        }
        Form::Name | Form::Uuid | Form::Text => Ok(()),
    }
}

fn unfit(name: &str, wanted: &str, value: &str) -> Unrouted {
    let name = if name == "{}" { "identifier" } else { name };
    Fault::bad_request(format!("Expected {wanted} for {name}: {value}")).into()
}

#[cfg(test)]
mod tests;
