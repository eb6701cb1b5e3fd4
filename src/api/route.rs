//! The one table of routes, to be held beside Ironic's API reference.
//!
//! Routes are matched exactly, segment count included: Ironic takes extra segments as arguments, so a prefix match
//! would let a client say something that the gateway did not read.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::collections::HashMap;

use http::Method;
use percent_encoding::percent_decode_str;
use thiserror::Error;

use crate::api::collection::Collection;
use crate::api::query::encode_segment;
use crate::api::query::is_percent_encoded;

/// What the gateway does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Merge the lists of all locations.
    List(Collection),
    /// Merge the nodes of a chassis, which every location may have some of.
    ChassisNodes,
    /// Make one: where, the collection decides.
    Create(Collection),
    /// Show, change or delete one member; the identifier is the first parameter.
    Member(Collection),
    /// Something below one member: goes to where the member is.
    Below(Collection),
    /// The same, but Ironic wants the member's UUID and answers with a list of another collection.
    ListBelow {
        of: Collection,
        items: Collection,
    },
    /// A node's events: a list by UUID or name.
    History,
    /// The node is named in the query.
    ValidateNode,
    /// One driver, and what is told of it: united.
    Driver,
    DriverBelow,
    /// Goes to the only location that has the driver.
    DriverPassthru,
    Shards,
    VolumeRoot,
    /// Told to every location.
    Events,
    /// What a ramdisk asks, without credentials.
    Lookup,
    Heartbeat,
    ContinueInspection,
}

/// One route.
#[derive(Debug)]
pub struct Row {
    /// Methods, separated by blanks; `*` is any.
    pub methods: &'static str,
    /// Below `/v1/`; `{}` is one segment that the client chooses.
    pub template: &'static str,
    pub action: Action,
}

impl Row {
    fn serves(&self, method: &Method) -> bool {
        self.methods == "*"
            || self
                .methods
                .split(' ')
                .any(|known| known == method.as_str())
    }
}

const fn row(methods: &'static str, template: &'static str, action: Action) -> Row {
    Row {
        methods,
        template,
        action,
    }
}

/// The table. `tests/outside` proves that each row was exercised against real Ironics.
#[rustfmt::skip]
pub static TABLE: &[Row] = {
    use Action::{Below, ChassisNodes, ContinueInspection, Create, Driver, DriverBelow, DriverPassthru, Events, Heartbeat, History, List, ListBelow, Lookup, Member, Shards, ValidateNode, VolumeRoot};
    use Collection::{Allocations, Chassis, Conductors, DeployTemplates, Drivers, InspectionRules, Nodes, Portgroups, Ports, Runbooks, VolumeConnectors, VolumeTargets};
    &[
        row("GET",                    "nodes",                                        List(Nodes)),
        row("GET",                    "nodes/detail",                                 List(Nodes)),
        row("POST",                   "nodes",                                        Create(Nodes)),
        row("GET",                    "nodes/validate",                               ValidateNode),
        row("GET PATCH DELETE",       "nodes/{}",                                     Member(Nodes)),
        row("GET",                    "nodes/{}/validate",                            Below(Nodes)),
        row("GET",                    "nodes/{}/states",                              Below(Nodes)),
        row("PUT",                    "nodes/{}/states/power",                        Below(Nodes)),
        row("PUT",                    "nodes/{}/states/provision",                    Below(Nodes)),
        row("PUT",                    "nodes/{}/states/raid",                         Below(Nodes)),
        row("PUT",                    "nodes/{}/states/boot_mode",                    Below(Nodes)),
        row("PUT",                    "nodes/{}/states/secure_boot",                  Below(Nodes)),
        row("GET PUT",                "nodes/{}/states/console",                      Below(Nodes)),
        row("PUT DELETE",             "nodes/{}/maintenance",                         Below(Nodes)),
        row("GET PUT",                "nodes/{}/management/boot_device",              Below(Nodes)),
        row("GET",                    "nodes/{}/management/boot_device/supported",    Below(Nodes)),
        row("PUT",                    "nodes/{}/management/inject_nmi",               Below(Nodes)),
        row("GET",                    "nodes/{}/management/indicators",               Below(Nodes)),
        row("GET PUT",                "nodes/{}/management/indicators/{}",            Below(Nodes)),
        row("GET",                    "nodes/{}/vendor_passthru/methods",             Below(Nodes)),
        row("*",                      "nodes/{}/vendor_passthru",                     Below(Nodes)),
        row("*",                      "nodes/{}/vendor_passthru/{}",                  Below(Nodes)),
        row("GET PUT DELETE",         "nodes/{}/traits",                              Below(Nodes)),
        row("PUT DELETE",             "nodes/{}/traits/{}",                           Below(Nodes)),
        row("GET POST",               "nodes/{}/vifs",                                Below(Nodes)),
        row("DELETE",                 "nodes/{}/vifs/{}",                             Below(Nodes)),
        row("GET",                    "nodes/{}/ports",                               ListBelow { of: Nodes, items: Ports }),
        row("GET",                    "nodes/{}/ports/detail",                        ListBelow { of: Nodes, items: Ports }),
        row("GET",                    "nodes/{}/portgroups",                          ListBelow { of: Nodes, items: Portgroups }),
        row("GET",                    "nodes/{}/portgroups/detail",                   ListBelow { of: Nodes, items: Portgroups }),
        row("GET",                    "nodes/{}/portgroups/{}/ports",                 ListBelow { of: Nodes, items: Ports }),
        row("GET",                    "nodes/{}/volume",                              Below(Nodes)),
        row("GET",                    "nodes/{}/volume/connectors",                   ListBelow { of: Nodes, items: VolumeConnectors }),
        row("GET",                    "nodes/{}/volume/targets",                      ListBelow { of: Nodes, items: VolumeTargets }),
        row("GET",                    "nodes/{}/bios",                                Below(Nodes)),
        row("GET",                    "nodes/{}/bios/{}",                             Below(Nodes)),
        row("GET",                    "nodes/{}/firmware",                            Below(Nodes)),
        row("GET DELETE",             "nodes/{}/allocation",                          Below(Nodes)),
        row("GET",                    "nodes/{}/history",                             History),
        row("GET",                    "nodes/{}/history/{}",                          Below(Nodes)),
        row("GET",                    "nodes/{}/inventory",                           Below(Nodes)),
        row("GET",                    "nodes/{}/children",                            Below(Nodes)),
        row("GET POST DELETE",        "nodes/{}/vmedia",                              Below(Nodes)),

        row("GET",                    "ports",                                        List(Ports)),
        row("GET",                    "ports/detail",                                 List(Ports)),
        row("POST",                   "ports",                                        Create(Ports)),
        row("GET PATCH DELETE",       "ports/{}",                                     Member(Ports)),

        row("GET",                    "portgroups",                                   List(Portgroups)),
        row("GET",                    "portgroups/detail",                            List(Portgroups)),
        row("POST",                   "portgroups",                                   Create(Portgroups)),
        row("GET PATCH DELETE",       "portgroups/{}",                                Member(Portgroups)),
        row("GET",                    "portgroups/{}/ports",                          ListBelow { of: Portgroups, items: Ports }),
        row("GET",                    "portgroups/{}/ports/detail",                   ListBelow { of: Portgroups, items: Ports }),

        row("GET",                    "volume",                                       VolumeRoot),
        row("GET",                    "volume/connectors",                            List(VolumeConnectors)),
        row("POST",                   "volume/connectors",                            Create(VolumeConnectors)),
        row("GET PATCH DELETE",       "volume/connectors/{}",                         Member(VolumeConnectors)),
        row("GET",                    "volume/targets",                               List(VolumeTargets)),
        row("POST",                   "volume/targets",                               Create(VolumeTargets)),
        row("GET PATCH DELETE",       "volume/targets/{}",                            Member(VolumeTargets)),

        row("GET",                    "allocations",                                  List(Allocations)),
        row("POST",                   "allocations",                                  Create(Allocations)),
        row("GET PATCH DELETE",       "allocations/{}",                               Member(Allocations)),

        row("GET",                    "chassis",                                      List(Chassis)),
        row("GET",                    "chassis/detail",                               List(Chassis)),
        row("POST",                   "chassis",                                      Create(Chassis)),
        row("GET PATCH DELETE",       "chassis/{}",                                   Member(Chassis)),
        row("GET",                    "chassis/{}/nodes",                             ChassisNodes),
        row("GET",                    "chassis/{}/nodes/detail",                      ChassisNodes),

        row("GET",                    "deploy_templates",                             List(DeployTemplates)),
        row("POST",                   "deploy_templates",                             Create(DeployTemplates)),
        row("GET PATCH DELETE",       "deploy_templates/{}",                          Member(DeployTemplates)),

        row("GET",                    "runbooks",                                     List(Runbooks)),
        row("POST",                   "runbooks",                                     Create(Runbooks)),
        row("GET PATCH DELETE",       "runbooks/{}",                                  Member(Runbooks)),
        row("GET PUT DELETE",         "runbooks/{}/traits",                           Below(Runbooks)),
        row("PUT DELETE",             "runbooks/{}/traits/{}",                        Below(Runbooks)),

        row("GET",                    "inspection_rules",                             List(InspectionRules)),
        row("POST",                   "inspection_rules",                             Create(InspectionRules)),
        row("GET PATCH DELETE",       "inspection_rules/{}",                          Member(InspectionRules)),

        row("GET",                    "drivers",                                      List(Drivers)),
        row("GET",                    "drivers/{}",                                   Driver),
        row("GET",                    "drivers/{}/properties",                        DriverBelow),
        row("GET",                    "drivers/{}/raid/logical_disk_properties",      DriverBelow),
        row("GET",                    "drivers/{}/vendor_passthru/methods",           DriverBelow),
        row("*",                      "drivers/{}/vendor_passthru",                   DriverPassthru),
        row("*",                      "drivers/{}/vendor_passthru/{}",                DriverPassthru),

        row("GET",                    "conductors",                                   List(Conductors)),
        row("GET",                    "conductors/{}",                                Member(Conductors)),

        row("GET",                    "shards",                                       Shards),
        row("POST",                   "events",                                       Events),

        row("GET",                    "lookup",                                       Lookup),
        row("POST",                   "heartbeat/{}",                                 Heartbeat),
        row("POST",                   "continue_inspection",                          ContinueInspection),
    ]
};

/// Rows by their first segment.
static INDEX: std::sync::LazyLock<HashMap<&'static str, Vec<&'static Row>>> =
    std::sync::LazyLock::new(|| {
        let mut index: HashMap<_, Vec<_>> = HashMap::new();
        for row in TABLE {
            index
                .entry(row.template.split('/').next().unwrap_or_default())
                .or_default()
                .push(row);
        }
        index
    });

/// What a request's method and path name.
#[derive(Debug, PartialEq, Eq)]
pub enum Route {
    Root,
    V1,
    Known {
        action: Action,
        template: &'static str,
        /// What stands for each `{}`, decoded.
        parameters: Vec<String>,
    },
    /// Below a member of a collection that we know, but nothing that we know.
    UnknownBelow {
        of: Collection,
        ident: String,
    },
    /// A collection that we do not know, a member of it, or something below one.
    UnknownCollection,
    /// The path is known, with these other methods.
    WrongMethod {
        allowed: String,
    },
}

/// A route and the path that named it.
#[derive(Debug, PartialEq, Eq)]
pub struct Target {
    pub route: Route,
    /// Everything below `/v1/`, decoded.
    segments: Vec<String>,
}

impl Target {
    /// The path in the one spelling that is sent to locations.
    pub fn path(&self) -> String {
        self.path_with(usize::MAX, "")
    }

    /// The same with another identifier for the member of `of` that it is about.
    pub fn path_for(&self, of: Collection, ident: &str) -> String {
        self.path_with(of.facts().path.split('/').count(), ident)
    }

    fn path_with(&self, position: usize, ident: &str) -> String {
        let mut path = "/v1".to_owned();
        for (index, segment) in self.segments.iter().enumerate() {
            path.push('/');
            path.push_str(&encode_segment(if index == position {
                ident
            } else {
                segment
            }));
        }
        path
    }
}

/// A path that is refused before it is matched.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum PathError {
    /// Empty or dot segments, or `;`: two parsers could read them differently.
    #[error("no such path")]
    NotFound,
    /// `/v1/nodes/detail/`, the only path that Ironic does not take with a trailing slash.
    #[error("Resource could not be found.")]
    NoSuchResource,
    /// Below `/v1/shards`, of which Ironic has a word of its own.
    #[error("The resource could not be found.")]
    NoSuchShard,
    /// A segment that holds `/`, control characters, or no UTF-8 once decoded.
    #[error("Expected UUID or name for node: {0}")]
    Unreadable(String),
}

/// Decodes a path once; one trailing slash does not matter, nor does the missing `/v1` of bookmark links.
fn segments(path: &str) -> Result<Vec<Cow<'_, str>>, PathError> {
    let path = path.strip_prefix('/').ok_or(PathError::NotFound)?;
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() {
        return Ok(Vec::new());
    }
    path.split('/')
        .map(|raw| {
            let unreadable = || PathError::Unreadable(raw.to_owned());
            if !is_percent_encoded(raw) {
                return Err(unreadable());
            }
            let segment = percent_decode_str(raw)
                .decode_utf8()
                .map_err(|_| unreadable())?;
            if segment.contains('/') || segment.chars().any(char::is_control) {
                return Err(unreadable());
            }
            if matches!(&*segment, "" | "." | "..") || segment.contains(';') {
                return Err(PathError::NotFound);
            }
            Ok(segment)
        })
        .collect()
}

impl Target {
    pub fn parse(method: &Method, path: &str) -> Result<Self, PathError> {
        let mut segments = segments(path)?;
        let versioned = segments.first().is_some_and(|segment| segment == "v1");
        if versioned {
            segments.remove(0);
        }
        if path.ends_with("/nodes/detail/") {
            return Err(PathError::NoSuchResource);
        }
        let route = if !segments.is_empty() && method == Method::HEAD {
            Route::WrongMethod {
                allowed: allowed(&segments),
            }
        } else if !segments.is_empty() {
            Route::of(method, &segments)?
        } else if !versioned {
            Route::Root
        } else if method == Method::GET || method == Method::HEAD {
            Route::V1
        } else {
            Route::WrongMethod {
                allowed: allowed(&segments),
            }
        };
        Ok(Self {
            route,
            segments: segments.into_iter().map(Cow::into_owned).collect(),
        })
    }

    /// Everything below `/v1/`, decoded.
    pub fn segments(&self) -> &[String] {
        &self.segments
    }
}

impl Route {
    fn of(method: &Method, segments: &[Cow<'_, str>]) -> Result<Self, PathError> {
        let Some(rows) = INDEX.get(&*segments[0]) else {
            return Ok(Self::UnknownCollection);
        };
        let mut other_methods: Option<&str> = None;
        for row in rows {
            // `nodes/detail` is also `nodes/{}`: what is written literally goes first, with any method.
            if other_methods
                .is_some_and(|literal| literal != row.template && !literal.ends_with("{}"))
            {
                continue;
            }
            let Some(parameters) = capture(row.template, segments) else {
                continue;
            };
            if let Some(ident) = parameters.first().filter(|ident| ident.contains(' ')) {
                // No name of Ironic's holds a blank, and in a request line it could be read as the end of the target.
                return Err(PathError::Unreadable(ident.clone()));
            }
            if row.serves(method) {
                return Ok(Self::Known {
                    action: row.action,
                    template: row.template,
                    parameters,
                });
            }
            other_methods = Some(row.template);
        }
        let member = Collection::ALL.into_iter().find_map(|collection| {
            let depth = collection.facts().path.split('/').count();
            let named = capture(collection.facts().path, segments.get(..depth)?).is_some();
            named.then_some((collection, depth))
        });
        match member {
            Some((of, depth)) if segments.len() > depth + 1 => Ok(Self::UnknownBelow {
                of,
                ident: segments[depth].clone().into_owned(),
            }),
            _ if other_methods.is_some() => Ok(Self::WrongMethod {
                allowed: allowed(segments),
            }),
            _ if segments[0] == "shards" => Err(PathError::NoSuchShard),
            _ => Err(PathError::NotFound),
        }
    }
}

/// Ironic's `Allow`: what the table has below the member, and always these for collections and members.
fn allowed(segments: &[Cow<'_, str>]) -> String {
    let rows = segments
        .first()
        .and_then(|first| INDEX.get(&**first))
        .map(Vec::as_slice)
        .unwrap_or_default();
    let below = |row: &&&Row| {
        row.template.contains("{}/")
            && row.methods != "*"
            && capture(row.template, segments).is_some()
    };
    let methods: BTreeSet<&str> = rows
        .iter()
        .filter(below)
        .flat_map(|row| row.methods.split(' '))
        .collect();
    if methods.is_empty() {
        "DELETE, GET, PATCH, POST".to_owned()
    } else {
        Vec::from_iter(methods).join(", ")
    }
}

/// The parameters, if the template fits.
fn capture(template: &str, segments: &[Cow<'_, str>]) -> Option<Vec<String>> {
    let mut wanted = template.split('/');
    let mut parameters = Vec::new();
    for segment in segments {
        match wanted.next()? {
            "{}" => parameters.push(segment.clone().into_owned()),
            literal if literal == segment => {}
            _ => return None,
        }
    }
    wanted.next().is_none().then_some(parameters)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(method: &Method, path: &str) -> Result<Route, PathError> {
        Target::parse(method, path).map(|target| target.route)
    }

    fn known(method: &Method, path: &str) -> Option<(Action, Vec<String>)> {
        match parse(method, path) {
            Ok(Route::Known {
                action, parameters, ..
            }) => Some((action, parameters)),
            _ => None,
        }
    }

    #[test]
    fn every_row_is_reached() {
        for row in TABLE {
            let path = format!("/v1/{}", row.template.replace("{}", "x"));
            for method in row
                .methods
                .split(' ')
                .map(|method| if method == "*" { "PUT" } else { method })
            {
                let method = method.parse().unwrap();
                match parse(&method, &path) {
                    Ok(Route::Known { template, .. }) => assert_eq!(template, row.template),
                    other => panic!("{method} {path}: {other:?}"),
                }
            }
        }
    }

    #[test]
    fn paths_as_ironic_reads_them() {
        let node = |ident: &str| Some((Action::Member(Collection::Nodes), vec![ident.to_owned()]));
        let nodes = Some((Action::List(Collection::Nodes), vec![]));
        for (path, expected) in [
            ("/v1/nodes", nodes.clone()),
            ("/v1/nodes/", nodes.clone()),
            ("/nodes", nodes.clone()),
            ("/%76%31/%6eodes", nodes.clone()),
            ("/v1/nodes/detail", nodes),
            ("/v1/nodes/s1%2Dbeta", node("s1-beta")),
            ("/nodes/x", node("x")),
            ("/v1/nodes/v1", node("v1")),
            ("/V1/nodes", None),
            ("/v1/v1/nodes", None),
        ] {
            assert_eq!(known(&Method::GET, path), expected, "{path}");
        }
    }

    #[test]
    fn what_two_parsers_could_read_differently_is_refused() {
        for path in [
            "/v1//nodes",
            "//v1/nodes",
            "/v1/nodes/../x",
            "/v1/./nodes",
            "/v1/nodes/%2e%2e",
            "/v1/nodes;x=1",
            "/v1/nodes/a%3Bb",
            "/v1/nodes/x//",
            "nodes",
        ] {
            assert_eq!(
                parse(&Method::GET, path),
                Err(PathError::NotFound),
                "{path}"
            );
        }
        for path in [
            "/v1/nodes/a%2Fb",
            "/v1/nodes/a%0a",
            "/v1/nodes/%00",
            "/v1/nodes/%ff",
            "/v1/nodes/%4",
            "/v1/nodes/%zz",
        ] {
            assert!(
                matches!(parse(&Method::GET, path), Err(PathError::Unreadable(_))),
                "{path}"
            );
        }
    }

    #[test]
    fn detail_takes_no_trailing_slash() {
        assert_eq!(
            parse(&Method::GET, "/v1/nodes/detail/"),
            Err(PathError::NoSuchResource)
        );
    }

    #[test]
    fn what_is_not_in_the_table() {
        let wrong = |allowed: &str| {
            Ok(Route::WrongMethod {
                allowed: allowed.to_owned(),
            })
        };
        let below = |ident: &str| {
            Ok(Route::UnknownBelow {
                of: Collection::Nodes,
                ident: ident.to_owned(),
            })
        };
        for (method, path, expected) in [
            (
                Method::PUT,
                "/v1/nodes/x/states/power/power%20off",
                below("x"),
            ),
            (Method::POST, "/v1/nodes/x/states/power", below("x")),
            (Method::GET, "/v1/nodes/x/novelty/y", below("x")),
            (Method::GET, "/v1/novelties", Ok(Route::UnknownCollection)),
            (Method::GET, "/v1/Nodes/x", Ok(Route::UnknownCollection)),
            (
                Method::PUT,
                "/v1/nodes/x",
                wrong("DELETE, GET, PATCH, POST"),
            ),
            (Method::HEAD, "/v1/nodes", wrong("DELETE, GET, PATCH, POST")),
            (Method::HEAD, "/v1/nodes/x/states", wrong("GET")),
            (
                Method::HEAD,
                "/v1/nodes/x/vmedia",
                wrong("DELETE, GET, POST"),
            ),
            (Method::POST, "/v1", wrong("DELETE, GET, PATCH, POST")),
            (Method::POST, "/", Ok(Route::Root)),
            (Method::GET, "/v1/shards/x", Err(PathError::NoSuchShard)),
        ] {
            assert_eq!(parse(&method, path), expected, "{method} {path}");
        }
    }

    #[test]
    fn one_spelling_is_sent() {
        let target = Target::parse(&Method::GET, "/volume/connectors/a%23b/").unwrap();
        assert_eq!(target.path(), "/v1/volume/connectors/a%23b");
        assert_eq!(
            target.path_for(Collection::VolumeConnectors, "x/y"),
            "/v1/volume/connectors/x%2Fy"
        );
        let target = Target::parse(&Method::GET, "/v1/nodes/name/ports").unwrap();
        assert_eq!(
            target.path_for(Collection::Nodes, "uuid"),
            "/v1/nodes/uuid/ports"
        );
    }

    proptest! {
        #[test]
        fn no_path_panics(path in "(/[ -~]{0,8}){0,6}") {
            let _: Result<Route, PathError> = parse(&Method::GET, &path);
        }
    }
}
