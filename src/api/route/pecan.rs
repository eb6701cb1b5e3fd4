//! How Ironic finds the function that a path calls: pecan's REST dispatch (`pecan/rest.py`, `pecan/routing.py`) over
//! Ironic's controllers.
//!
//! Pecan looks for a controller under *every* segment of a path, identifiers included, so that `/v1/nodes/states/x` is
//! the state of node `x` and not something below a node called `states`. Whoever reads a path differently than Ironic
//! lets a client past a policy; hence the same steps here, in the same order.

use std::collections::BTreeMap;
use std::str::Split;
use std::sync::LazyLock;

use http::StatusCode;

use crate::api::identifier;
use crate::api::route::table::ATTRIBUTES;
use crate::api::route::table::Below;
use crate::api::route::table::REFUSED;
use crate::api::route::table::Row;
use crate::api::route::table::TABLE;

/// One of Ironic's controllers.
#[derive(Clone, Debug, Default)]
struct Controller {
    functions: BTreeMap<&'static str, Function>,
    /// Controllers that are attributes of it.
    children: BTreeMap<&'static str, Controller>,
    /// Those that its `_lookup` finds behind an identifier.
    found: BTreeMap<&'static str, Controller>,
    lookup: Option<Lookup>,
    gate: Option<(i64, Below)>,
}

/// A function and its rows; without any, it only refuses.
#[derive(Clone, Debug)]
struct Function {
    name: &'static str,
    rows: Vec<&'static Row>,
}

/// What a controller's `_lookup` takes from the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lookup {
    /// An identifier, judged by its spelling, then the name of a controller.
    Judged(&'static str),
    /// An identifier, whatever it is, then the name of a controller.
    Unjudged,
    /// The name of a controller.
    Name,
}

impl Function {
    /// As `_custom_actions` has it: what only refuses is there for GET.
    fn answers(&self, method: &str) -> bool {
        match self.rows[..] {
            [] => method == "GET",
            _ => self.rows.iter().any(|row| row.method == method),
        }
    }
}

/// What a path comes to.
#[derive(Debug, PartialEq)]
pub(super) struct Call {
    pub function: &'static str,
    /// Where the function may be served; empty if it refuses whatever it is asked.
    pub rows: &'static [&'static Row],
    /// What `_lookup` took on the way, then the arguments by position.
    pub arguments: Vec<String>,
    /// How many of them are `_lookup`'s.
    pub taken: usize,
}

/// The path calls nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Abort {
    pub status: StatusCode,
    pub text: String,
    pub allow: Option<String>,
    /// No `_lookup` is asked after it.
    is_final: bool,
}

impl Abort {
    fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self {
            status,
            text: text.into(),
            allow: None,
            is_final: false,
        }
    }

    fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "")
    }

    fn not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "")
    }
}

/// Ironic's controllers below `/v1/`, as the rows name them.
static CONTROLLERS: LazyLock<Controller> = LazyLock::new(|| {
    let mut root = Controller::default();
    for row in TABLE {
        root.define(row.function(), Some(row));
    }
    for function in REFUSED {
        root.define(function, None);
    }
    // Below a chassis it is the controller of nodes once more.
    let nodes = root.children.get("nodes").cloned().unwrap_or_default();
    if let Some(below) = root
        .children
        .get_mut("chassis")
        .and_then(|chassis| chassis.children.get_mut("nodes"))
    {
        below.children = nodes.children;
        below.found = nodes.found;
        below.lookup = nodes.lookup;
        if let Some(validate) = nodes.functions.get("validate") {
            below.functions.insert("validate", validate.clone());
        }
    }
    root
});

impl Controller {
    /// Whether it has something under this name, at the end of the path.
    fn knows_below(&self, mut path: Split<'_, char>, name: &str) -> bool {
        match path.next() {
            Some(part) => [self.children.get(part), self.found.get(part)]
                .into_iter()
                .flatten()
                .any(|next| next.knows_below(path.clone(), name)),
            None => {
                self.children.contains_key(name)
                    || self.found.contains_key(name)
                    || action(self, name).is_some()
                    || ATTRIBUTES.contains(&name)
            }
        }
    }

    fn define(&mut self, path: &'static str, row: Option<&'static Row>) {
        let Some((controllers, function)) = path.rsplit_once('.') else {
            return;
        };
        let mut controller = self;
        let mut rest = controllers;
        let mut by_lookup = false;
        loop {
            let end = rest.find(['.', '/']).unwrap_or(rest.len());
            let name = &rest[..end];
            let branch = if by_lookup {
                &mut controller.found
            } else {
                &mut controller.children
            };
            controller = branch.entry(name).or_default();
            controller.lookup = match name {
                "nodes" => Some(Lookup::Judged("node")),
                "portgroups" => Some(Lookup::Judged("portgroup")),
                "runbooks" => Some(Lookup::Unjudged),
                "volume" => Some(Lookup::Name),
                _ => None,
            };
            by_lookup = rest[end..].starts_with('/');
            if end == rest.len() {
                break;
            }
            rest = &rest[end + 1..];
        }
        if let Some(row) = row
            && matches!(row.below, Below::Controller | Below::Unseen)
        {
            controller.gate = Some((row.since, row.below));
        }
        controller
            .functions
            .entry(function)
            .or_insert_with(|| Function {
                name: path,
                rows: Vec::new(),
            })
            .rows
            .extend(row);
    }
}

/// A path on its way through the controllers.
struct Walk<'p> {
    method: &'p str,
    minor: i64,
    /// What `_lookup` took.
    taken: Vec<&'p String>,
    /// What stood before a controller; it stays where a way turns out wrong, as it does in pecan.
    routing: Vec<&'p String>,
}

/// A function, and what is left of the path.
type Found<'c, 'p> = Result<(&'c Function, &'p [String]), Abort>;

impl<'p> Walk<'p> {
    /// `lookup_controller`: where a controller finds nothing, its `_lookup` or `_default` is asked.
    fn enter<'c>(&mut self, controller: &'c Controller, args: &'p [String]) -> Found<'c, 'p> {
        let found = self.route(controller, args);
        let Err(abort) = &found else { return found };
        // `lookup_controller` catches 404 and 405; a 400 of a `_lookup` passes it by.
        if abort.is_final || abort.status == StatusCode::BAD_REQUEST {
            return found;
        }
        if let Some(default) = controller.functions.get("_default") {
            return Ok((default, args));
        }
        match self.lookup(controller, args)? {
            Some((next, rest)) => self.enter(next, rest),
            None => found,
        }
    }

    /// `RestController._route`
    fn route<'c>(&mut self, controller: &'c Controller, args: &'p [String]) -> Found<'c, 'p> {
        if let Some((since, Below::Controller)) = controller.gate
            && self.minor < since
        {
            // Only controllers with a `_route` of their own come here; where a `_lookup` has the gate, it was shut.
            return Err(Abort::new(
                if self.method == "GET" {
                    StatusCode::NOT_FOUND
                } else {
                    StatusCode::METHOD_NOT_ALLOWED
                },
                "The API is not supported for this version",
            ));
        }
        if ["get_one", "get"]
            .iter()
            .any(|name| controller.functions.contains_key(name))
        {
            // Every function takes `*args`, so any segment may be a controller's.
            for (index, segment) in args.iter().enumerate() {
                if let Some(child) = child(controller, segment) {
                    self.routing.extend(&args[..index]);
                    return self.enter(child?, &args[index + 1..]);
                }
            }
        }
        let handled = self.handle(controller, args);
        let next = match &handled {
            Err(abort) if abort.is_final => None,
            Ok(_) if args.is_empty() => None,
            Ok(_) | Err(_) => self.lookup(controller, args)?,
        };
        match (next, handled) {
            (Some((next, rest)), _) => self.enter(next, rest),
            (None, Err(mut abort)) if abort.status == StatusCode::METHOD_NOT_ALLOWED => {
                abort.allow = Some(allowed(controller));
                Err(abort)
            }
            (None, handled) => handled,
        }
    }

    /// `_handle_get`, `_handle_post` and the like.
    fn handle<'c>(&mut self, controller: &'c Controller, args: &'p [String]) -> Found<'c, 'p> {
        let function = |name: &str| controller.functions.get(name);
        let first = args.first().map(String::as_str);
        // `_handle_custom_action` looks for the name of an action first in the path of a PUT or DELETE, last in that
        // of a GET or POST.
        let word = match self.method {
            "GET" | "POST" => args.last().map(String::as_str),
            _ => first,
        };
        let rest = match self.method {
            "GET" | "POST" => &args[..args.len().saturating_sub(1)],
            _ => args.get(1..).unwrap_or_default(),
        };
        if matches!(self.method, "GET" | "POST" | "PUT" | "DELETE") {
            if let Some(action) = word.and_then(|word| action(controller, word))
                && action.answers(self.method)
            {
                return Ok((action, rest));
            }
            if let Some(child) = first.and_then(|first| child(controller, first)) {
                return self.enter(child?, &args[1..]);
            }
        }
        let names: &[&str] = match self.method {
            "GET" if args.is_empty() => &["get_all", "get"],
            "GET" => &["get_one", "get"],
            "POST" => &["post"],
            "PUT" => &["put"],
            "DELETE" => &["delete"],
            "PATCH" => &["patch"],
            _ => &[],
        };
        if let Some(found) = names.iter().find_map(|name| function(name)) {
            return Ok((found, args));
        }
        match first {
            // What is exposed under that name is for GET alone; a controller of that name may still serve the method.
            Some(first) if self.method != "GET" && function(first).is_none() => {
                match child(controller, first) {
                    Some(child) => self.enter(child?, &args[1..]),
                    None => Err(Abort::not_allowed()),
                }
            }
            _ => Err(Abort::not_allowed()),
        }
    }

    /// The controllers' own `_lookup`.
    fn lookup<'c>(
        &mut self,
        controller: &'c Controller,
        args: &'p [String],
    ) -> Result<Option<(&'c Controller, &'p [String])>, Abort> {
        let (Some(lookup), Some(first)) = (controller.lookup, args.first()) else {
            return Ok(None);
        };
        let (name, rest) = match lookup {
            Lookup::Name => (Some(first), &args[1..]),
            Lookup::Judged(_) | Lookup::Unjudged => {
                (args.get(1), args.get(2..).unwrap_or_default())
            }
        };
        if let Lookup::Judged(noun) = lookup {
            // `NodesController._lookup` refuses the names of its own sub-controllers before it judges the rest.
            if noun == "node" && controller.found.contains_key(first.as_str()) {
                return Err(Abort::not_found());
            }
            if !identifier::is_uuid_or_name(first) {
                let text = format!("Expected UUID or name for {noun}: {first}");
                return Err(Abort::new(StatusCode::BAD_REQUEST, text));
            }
        }
        let found = name.and_then(|name| controller.found.get(name.as_str()));
        let gate = match (found, lookup) {
            // `VolumeController._lookup` looks at the version first.
            (_, Lookup::Name) => controller
                .found
                .values()
                .next()
                .and_then(|found| found.gate),
            (Some(found), _) => found.gate,
            (None, _) => None,
        };
        if let Some((since, below)) = gate
            && self.minor < since
        {
            return match below {
                // Below 1.37 `_lookup` returns nothing for `traits`, so that the path is read as before there were
                // any (`node.py`).
                Below::Unseen => Ok(None),
                _ => Err(Abort::not_found()),
            };
        }
        Ok(found.map(|found| {
            if lookup != Lookup::Name {
                self.taken.push(first);
            }
            (found, rest)
        }))
    }
}

/// A controller under this name; an attribute that is none leads nowhere.
fn child<'a>(controller: &'a Controller, name: &str) -> Option<Result<&'a Controller, Abort>> {
    match controller.children.get(name) {
        Some(child) => Some(Ok(child)),
        None => ATTRIBUTES.contains(&name).then(|| {
            Err(Abort {
                // Pecan trips over a list and answers 500.
                is_final: !name.starts_with('_'),
                ..Abort::not_found()
            })
        }),
    }
}

/// A function that has a name of its own.
fn action<'a>(controller: &'a Controller, name: &str) -> Option<&'a Function> {
    let verbs = [
        "get", "get_all", "get_one", "post", "put", "patch", "delete", "_default",
    ];
    controller
        .functions
        .get(name)
        .filter(|_| !verbs.contains(&name))
}

fn allowed(controller: &Controller) -> String {
    let gets = ["get", "get_one", "get_all"]
        .iter()
        .any(|name| controller.functions.contains_key(name));
    let mut methods: Vec<&str> = [
        ("delete", "DELETE"),
        ("patch", "PATCH"),
        ("post", "POST"),
        ("put", "PUT"),
    ]
    .into_iter()
    .filter(|(name, _)| controller.functions.contains_key(name))
    .map(|(_, method)| method)
    .collect();
    if gets {
        methods.push("GET");
    }
    // As pecan sorts its `Allow`.
    methods.sort_unstable();
    methods.join(", ")
}

/// What the segments below `/v1/` call. `None`: no controller of Ironic 39.
pub(super) fn call(method: &str, minor: i64, segments: &[String]) -> Option<Result<Call, Abort>> {
    let (first, rest) = segments.split_first()?;
    let controller = CONTROLLERS.children.get(first.as_str())?;
    let mut walk = Walk {
        method,
        minor,
        taken: Vec::new(),
        routing: Vec::new(),
    };
    let found = walk.enter(controller, rest);
    Some(found.map(|(function, rest)| {
        let taken = walk.taken.len();
        let before = walk.taken.into_iter().chain(walk.routing);
        Call {
            function: function.name,
            rows: &function.rows,
            arguments: before.chain(rest).cloned().collect(),
            taken,
        }
    }))
}

/// Whether Ironic refuses a node this name: it is that of a controller in the class, or of an action
/// (`get_controller_reserved_names` of its `api/controllers/v1/utils.py`). What is found below a node is not.
pub(super) fn is_reserved(name: &str) -> bool {
    let nodes = CONTROLLERS.children.get("nodes");
    nodes.is_some_and(|nodes| nodes.children.contains_key(name) || action(nodes, name).is_some())
}

/// Whether Ironic has something of its own under this name below a member of `collection`.
pub(super) fn is_known_below(collection: &str, name: &str) -> bool {
    CONTROLLERS.knows_below(collection.split('/'), name)
}
