use proptest::prelude::*;

use super::*;
use crate::api::route::path::PathError;
use crate::api::route::table::REFUSED;

const LATEST: i64 = 115;

fn read(method: &Method, path: &str, minor: i64) -> Result<(Target, Query), Unrouted> {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let path = Path::read(path).map_err(|_| Fault::not_found())?;
    let query = Query::parse(Some(query)).unwrap();
    Target::read(method, path, query, Microversion::new(1, minor))
}

/// Template, path and query as they are sent.
fn sent(method: &Method, path: &str, minor: i64) -> Option<(&'static str, String)> {
    let (target, query) = read(method, path, minor).ok()?;
    let mut path = target.path();
    query.append_to(&mut path);
    Some((target.row()?.template, path))
}

/// The status of a refusal and its `Allow`.
fn refused(method: &Method, path: &str, minor: i64) -> Option<(u16, Option<String>)> {
    let unrouted = read(method, path, minor).err()?;
    Some((unrouted.fault.status.as_u16(), unrouted.allow))
}

#[test]
fn every_row_is_reached_and_says_all() {
    for row in TABLE {
        let uuid = "1be26c0b-03f2-4d2e-ae87-c02d7f33c123";
        let path = format!("/v1/{}", row.template.replace("{}", uuid));
        let method = if row.method == "*" { "PUT" } else { row.method };
        let method = method.parse().unwrap();
        let (target, _) = read(&method, &path, LATEST)
            .unwrap_or_else(|error| panic!("{method} {path}: {error:?}"));
        assert_eq!(target.row(), Some(row), "{method} {path}");
        assert_eq!(target.path(), path);
        assert!(!row.answers.is_empty(), "{path}");
        assert!(
            row.arity() <= row.parameters().count() || row.arity() == 0,
            "{path}"
        );
    }
}

#[test]
fn what_only_refuses_is_known() {
    for function in REFUSED {
        assert!(
            !TABLE.iter().any(|row| row.function() == *function),
            "{function}"
        );
    }
    let route = |method: &Method, path: &str| read(method, path, LATEST).unwrap().0.route;
    for (method, path) in [
        (Method::POST, "/v1/nodes/x/ports"),
        (Method::GET, "/v1/nodes/x/ports/y"),
        (Method::DELETE, "/v1/nodes/x/volume/targets/y"),
        (Method::GET, "/v1/shards/x"),
        (Method::PATCH, "/v1/chassis/x/nodes/y"),
    ] {
        assert_eq!(route(&method, path), Route::NotPermitted, "{method} {path}");
    }
}

#[test]
fn one_spelling_is_sent() {
    for (path, template, plain) in [
        ("/v1/nodes/", "nodes", "/v1/nodes"),
        ("/nodes", "nodes", "/v1/nodes"),
        ("/%76%31/%6eodes", "nodes", "/v1/nodes"),
        ("/v1/nodes/s1%2Dbeta", "nodes/{}", "/v1/nodes/s1-beta"),
        ("/v1/nodes/v1", "nodes/{}", "/v1/nodes/v1"),
        (
            "/nodes/None/allocation",
            "nodes/{}/allocation",
            "/v1/nodes/None/allocation",
        ),
        (
            "/v1/nodes/states/x",
            "nodes/{}/states",
            "/v1/nodes/x/states",
        ),
        (
            "/v1/nodes/states/console/x",
            "nodes/{}/states/console",
            "/v1/nodes/x/states/console",
        ),
        (
            "/v1/nodes/management/boot_device/x",
            "nodes/{}/management/boot_device",
            "/v1/nodes/x/management/boot_device",
        ),
        (
            "/v1/nodes/vendor_passthru?node_ident=x&method=m",
            "nodes/{}/vendor_passthru",
            "/v1/nodes/x/vendor_passthru?method=m",
        ),
        (
            "/v1/nodes/vendor_passthru/methods?node_ident=x",
            "nodes/{}/vendor_passthru/methods",
            "/v1/nodes/x/vendor_passthru/methods",
        ),
        (
            "/v1/drivers/vendor_passthru?driver_name=x&method=m",
            "drivers/{}/vendor_passthru",
            "/v1/drivers/x/vendor_passthru?method=m",
        ),
        (
            "/v1/drivers/properties?driver_name=x",
            "drivers/{}/properties",
            "/v1/drivers/x/properties",
        ),
        (
            "/v1/nodes/validate?node=x",
            "nodes/validate",
            "/v1/nodes/validate?node=x",
        ),
        (
            "/v1/nodes/vendor_passthru-x",
            "nodes/{}",
            "/v1/nodes/vendor_passthru-x",
        ),
        (
            "/v1/chassis/nodes/validate?node=x",
            "nodes/validate",
            "/v1/nodes/validate?node=x",
        ),
    ] {
        assert_eq!(
            sent(&Method::GET, path, LATEST),
            Some((template, plain.to_owned())),
            "{path}"
        );
    }
    assert_eq!(
        sent(&Method::PUT, "/v1/nodes/x/states/power/power%20off", LATEST),
        Some((
            "nodes/{}/states/power",
            "/v1/nodes/x/states/power?target=power%20off".to_owned()
        ))
    );
    let (target, _) = read(&Method::GET, "/v1/nodes/name/ports", LATEST).unwrap();
    assert_eq!(
        target.path_for(Collection::Nodes, "uuid"),
        "/v1/nodes/uuid/ports"
    );
}

#[test]
fn json_at_the_end_is_taken_off_below_1_91() {
    let (target, _) = read(&Method::GET, "/v1/nodes/x.json", 90).unwrap();
    assert!(matches!(&target.route, Route::Known { parameters, .. } if parameters[..] == ["x"]));
    // Ironic falls back to the whole name, so it gets to see it.
    assert_eq!(target.path(), "/v1/nodes/x.json");
    assert_eq!(target.fallback("x").as_deref(), Some("x.json"));
    for (path, minor, template, plain) in [
        ("/v1/nodes.json", 90, "nodes", "/v1/nodes"),
        (
            "/v1/nodes/detail.json",
            90,
            "nodes/detail",
            "/v1/nodes/detail",
        ),
        (
            "/v1/nodes/x/states.json",
            90,
            "nodes/{}/states",
            "/v1/nodes/x/states",
        ),
        (
            "/v1/nodes/x.json/states",
            90,
            "nodes/{}/states",
            "/v1/nodes/x.json/states",
        ),
        ("/v1/nodes/x.json", 91, "nodes/{}", "/v1/nodes/x.json"),
        (
            "/v1/nodes/vendor_passthru.json?node_ident=x",
            90,
            "nodes/{}/vendor_passthru",
            "/v1/nodes/x/vendor_passthru",
        ),
    ] {
        assert_eq!(
            sent(&Method::GET, path, minor),
            Some((template, plain.to_owned())),
            "{path}"
        );
    }
    assert!(read(&Method::GET, "/v1.json", 90).is_ok_and(|(target, _)| target.route == Route::V1));
}

#[test]
fn ironics_own_words_are_no_identifiers() {
    for (method, path) in [
        (Method::GET, "/v1/nodes/states/states"),
        (Method::PATCH, "/v1/nodes/detail"),
        (Method::DELETE, "/v1/nodes/traits"),
        (Method::GET, "/v1/nodes/vifs/ports"),
        (Method::POST, "/v1/nodes/vendor_passthru/vifs"),
        (Method::GET, "/v1/nodes/invalid_sort_key_list"),
        (Method::DELETE, "/v1/ports/detail"),
        (Method::PUT, "/v1/nodes/maintenance/maintenance"),
        (
            Method::DELETE,
            "/v1/nodes/invalid_sort_key_list/ports/detail",
        ),
        (
            Method::PATCH,
            "/v1/nodes/invalid_sort_key_list/portgroups/x/ports",
        ),
    ] {
        // Refused, or asked for by a name that nobody has.
        let is_nobodys = match read(&method, path, LATEST) {
            Ok((target, _)) => target.alias().is_some_and(|alias| {
                target.segments().contains(&alias.ident) && !identifier::is_uuid_like(&alias.ident)
            }),
            Err(refusal) => (400..=405).contains(&refusal.fault.status.as_u16()),
        };
        assert!(is_nobodys, "{method} {path}");
    }
}

#[test]
fn identifiers_are_judged_before_they_are_looked_for() {
    for (method, path, status) in [
        (Method::GET, "/v1/nodes/a%20b", 400),
        (Method::GET, "/v1/nodes/a!b/states", 400),
        (Method::GET, "/v1/ports/a!b", 400),
        (Method::GET, "/v1/chassis/a%20b", 400),
        (Method::GET, "/v1/ports?node=", 400),
        (Method::GET, "/v1/ports?node_uuid=", 400),
        (Method::GET, "/v1/ports/detail?portgroup=", 400),
        (Method::GET, "/v1/allocations?node=", 400),
        (Method::GET, "/v1/nodes/validate?node=", 400),
        (Method::DELETE, "/v1/nodes", 400),
    ] {
        assert_eq!(
            refused(&method, path, LATEST).map(|refusal| refusal.0),
            Some(status),
            "{method} {path}"
        );
    }
    let long = format!("/v1/nodes/{}", "x".repeat(256));
    assert_eq!(
        refused(&Method::GET, &long, LATEST).map(|refusal| refusal.0),
        Some(400)
    );
}

#[test]
fn methods_and_versions_as_ironic_has_them() {
    let four = Some("DELETE, GET, PATCH, POST".to_owned());
    for (method, path, minor, expected) in [
        (Method::PUT, "/v1/nodes/x", LATEST, (405, four.clone())),
        (Method::HEAD, "/v1/nodes", LATEST, (405, four.clone())),
        (
            Method::HEAD,
            "/v1/nodes/x/states",
            LATEST,
            (405, Some("GET".to_owned())),
        ),
        (
            Method::HEAD,
            "/v1/nodes/x/vmedia",
            LATEST,
            (405, Some("DELETE, GET, POST".to_owned())),
        ),
        (
            Method::POST,
            "/v1/nodes/x/states/power",
            LATEST,
            (405, Some("GET".to_owned())),
        ),
        (Method::POST, "/v1", LATEST, (405, None)),
        (Method::GET, "/v1/nodes/x/vifs", 27, (404, None)),
        (Method::GET, "/v1/volume/targets/x", 31, (404, None)),
        (Method::POST, "/v1/allocations", 51, (405, None)),
        (Method::GET, "/v1/allocations", 51, (404, None)),
        (Method::PATCH, "/v1/allocations/x", 56, (405, None)),
        (Method::DELETE, "/v1/runbooks/x", 91, (405, None)),
        (Method::GET, "/v1/runbooks/x", 91, (404, None)),
        (Method::GET, "/v1/nodes/x/children", 82, (404, None)),
        (Method::GET, "/v1/nodes/detail/", LATEST, (404, None)),
    ] {
        assert_eq!(
            refused(&method, path, minor),
            Some(expected),
            "{method} {path} at {minor}"
        );
    }
}

#[test]
fn what_is_new_is_not_refused() {
    let below = |of, ident: &str| {
        let ident = ident.to_owned();
        Some(Route::UnknownBelow { of, ident })
    };
    let route = |method: &Method, path: &str| {
        read(method, path, LATEST)
            .ok()
            .map(|(target, _)| target.route)
    };
    for (method, path, expected) in [
        (
            Method::GET,
            "/v1/nodes/x/novelty/y",
            below(Collection::Nodes, "x"),
        ),
        (
            Method::PUT,
            "/v1/nodes/x/states/novelty",
            below(Collection::Nodes, "x"),
        ),
        (
            Method::PUT,
            "/v1/nodes/x/novelty",
            below(Collection::Nodes, "x"),
        ),
        (
            Method::GET,
            "/v1/chassis/x/novelty",
            below(Collection::Chassis, "x"),
        ),
        (Method::GET, "/v1/novelties", Some(Route::UnknownCollection)),
        (Method::GET, "/V1/nodes", Some(Route::UnknownCollection)),
        (Method::GET, "/v1/v1/nodes", Some(Route::UnknownCollection)),
        (Method::POST, "/", Some(Route::Root)),
    ] {
        assert_eq!(route(&method, path), expected, "{method} {path}");
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
        assert_eq!(Path::read(path), Err(PathError::NotFound), "{path}");
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
            matches!(Path::read(path), Err(PathError::Unreadable(_))),
            "{path}"
        );
    }
}

/// What a query gives in place of a path's end stands in the path that is sent: there it is one segment, or refused.
#[test]
fn what_the_query_gives_is_no_way_to_another_path() {
    const ODD: &[&str] = &[
        ".", "..", "a/b", "../x", "%2e%2e", "..%2Fx", "a;b", "a\u{1}", "a\u{7f}", "",
    ];
    let uuid = "1be26c0b-03f2-4d2e-ae87-c02d7f33c123";
    let mut moved = 0;
    for row in TABLE {
        let method = if row.method == "*" { "PUT" } else { row.method };
        let method: Method = method.parse().unwrap();
        for given in 0..row.arity() {
            for odd in ODD {
                let written = row.template.split('/').collect::<Vec<_>>();
                let mut placed = 0;
                let mut path = String::from("/v1");
                for segment in written {
                    placed += usize::from(segment == "{}");
                    match segment {
                        "{}" if placed > given => {}
                        "{}" => path.extend(["/", uuid]),
                        word => path.extend(["/", word]),
                    }
                }
                let path = Path::read(&path).unwrap();
                let query = row
                    .parameters()
                    .skip(given)
                    .fold(Query::default(), |query, (name, _)| query.with(name, *odd));
                let read = Target::read(&method, path, query, Microversion::new(1, LATEST));
                let Ok((target, query)) = read else {
                    moved += 1;
                    continue;
                };
                let sent = target.path();
                assert!(
                    path::is_straight(&sent),
                    "{method} {} {odd:?}: {sent}",
                    row.template
                );
                let asked = target.segments().iter().any(|segment| segment == odd);
                assert!(!asked, "{method} {}: {query:?}", row.template);
            }
        }
    }
    assert!(moved > 500, "{moved}");
}

/// Pecan takes an argument from the query where the path has none. Whatever a query gives so is judged as it is in a path,
/// and sent as it was judged.
#[test]
fn what_the_query_gives_is_read_as_in_the_path() {
    let uuid = "1be26c0b-03f2-4d2e-ae87-c02d7f33c123";
    let (mut moved, mut doubled) = (0, 0);
    // `whoever_is_validated_is_judged` is about the one whose rule looks at the query itself.
    let rows = TABLE
        .iter()
        .filter(|row| row.function() != "nodes.validate");
    for row in rows {
        let method = if row.method == "*" { "PUT" } else { row.method };
        let method: Method = method.parse().unwrap();
        let names: Vec<_> = row.parameters().map(|(name, _)| name).collect();
        let asked = |given: usize, query: &[&str]| {
            let mut left = 0..given;
            let words = row.template.split('/');
            let words = words.filter_map(|word| match word {
                "{}" => left.next().map(|_| uuid),
                word => Some(word),
            });
            let path = ["/v1"].into_iter().chain(words).collect::<Vec<_>>();
            let query = query.iter().map(|name| format!("{name}={uuid}"));
            let query = query.collect::<Vec<_>>().join("&");
            read(&method, &format!("{}?{query}", path.join("/")), LATEST)
        };
        let (plain, _) = asked(row.arity(), &[]).unwrap();
        for given in 0..row.arity() {
            let Ok((target, query)) = asked(given, &names[given..row.arity()]) else {
                continue;
            };
            let Some(found) = target.row() else { continue };
            // Without its end the path may call another function, which has no such arguments.
            if found.function() != row.function() {
                continue;
            }
            assert_eq!(
                (found.rule, found.about),
                (row.rule, row.about),
                "{}",
                row.template
            );
            let left: Vec<_> = names[found.arity()..row.arity()].to_vec();
            let segments = plain.segments();
            let (sent, rest) = segments.split_at(segments.len() - left.len());
            assert_eq!(target.segments(), sent, "{method} {}", row.template);
            assert_eq!(rest, vec![uuid; left.len()], "{}", row.template);
            for name in &names[..row.arity()] {
                assert_eq!(
                    query.value(name).is_some(),
                    left.contains(name),
                    "{method} {} {name}",
                    row.template
                );
            }
            moved += 1;
        }
        // Of two values Ironic refuses the second, so nobody has to say which is judged.
        for name in names.iter().take(row.arity()).filter(|name| **name != "{}") {
            let refused = asked(row.arity(), &[name]).unwrap_err();
            assert_eq!(
                refused.fault.text(),
                format!("Unexpected repeated argument: {name}")
            );
            doubled += 1;
        }
    }
    assert!(moved > 40 && doubled > 60, "{moved} {doubled}");
}

#[test]
fn dots_of_a_member_are_nobody_s_name() {
    for path in [
        "/v1/nodes/states?node_ident=..",
        "/v1/drivers/properties?driver_name=.",
    ] {
        let (target, _) = read(&Method::GET, path, LATEST).unwrap();
        assert!(target.alias().is_some(), "{path}");
    }
    let of_a_vif = "/v1/nodes/n/vifs?vif_id=..";
    let refused = read(&Method::DELETE, of_a_vif, LATEST).unwrap_err();
    assert_eq!(refused.fault.text(), "Expected UUID or name for vif_id: ..");
}

#[test]
fn whoever_is_validated_is_judged() {
    let uuid = "1be26c0b-03f2-4d2e-ae87-c02d7f33c123";
    for (path, template, plain) in [
        (
            "/v1/nodes/own/validate",
            "nodes/{}/validate",
            "/v1/nodes/own/validate".to_owned(),
        ),
        (
            "/v1/nodes/validate?node=own",
            "nodes/validate",
            "/v1/nodes/validate?node=own".to_owned(),
        ),
        (
            &format!("/v1/nodes/own/validate?node_uuid={uuid}"),
            "nodes/validate",
            format!("/v1/nodes/validate?node_uuid={uuid}&node=own"),
        ),
    ] {
        assert_eq!(
            sent(&Method::GET, path, LATEST),
            Some((template, plain)),
            "{path}"
        );
    }
}

#[test]
fn what_is_sent_goes_straight() {
    for path in [
        "/",
        "/v1",
        "/v1/",
        "/v1/nodes/a%20b",
        "/v1/nodes/a.b",
        "/v1/nodes/..a",
        "/a/%C3%9C",
    ] {
        assert!(path::is_straight(path), "{path}");
    }
    for path in [
        "/v1/..",
        "/v1/../x",
        "/v1/.",
        "/v1/%2e%2E/x",
        "/v1//x",
        "/v1/a%2Fb",
        "/v1/a%2fb",
        "/v1/a%3Bb",
        "/v1/a;b",
        "/v1/%252e%252e",
        "/v1/a%0Ab",
        "/v1/a%7F",
        "/v1/%ff",
        "/v1/%",
    ] {
        assert!(!path::is_straight(path), "{path}");
    }
}

const WORDS: &[&str] = &[
    "nodes",
    "states",
    "power",
    "vendor_passthru",
    "methods",
    "management",
    "boot_device",
    "maintenance",
    "traits",
    "vifs",
    "ports",
    "detail",
    "validate",
    "volume",
    "connectors",
    "targets",
    "chassis",
    "drivers",
    "raid",
    "runbooks",
    "portgroups",
    "allocation",
    "x",
    "y",
    "_custom_actions",
    "invalid_sort_key_list",
];

proptest! {
    #[test]
    fn no_path_panics(path in "(/[ -~]{0,8}){0,6}") {
        let _: Result<_, Unrouted> = read(&Method::GET, &path.replace('?', ""), LATEST);
    }

    /// Whatever is sent to a location comes to the very row that decided who may.
    #[test]
    fn what_is_sent_is_read_as_it_was_here(
        words in prop::collection::vec(prop::sample::select(WORDS), 1..6),
        method in prop::sample::select(&["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"][..]),
        minor in 1..=LATEST,
    ) {
        let method: Method = method.parse().unwrap();
        let path = format!("/v1/{}?node_ident=x&driver_name=d&method=m", words.join("/"));
        if let Ok((target, query)) = read(&method, &path, minor)
            && let Some(row) = target.row()
        {
            let mut plain = target.path();
            query.append_to(&mut plain);
            let again = read(&method, &plain, minor).map(|(target, _)| (target.row(), target.path()));
            prop_assert_eq!(again, Ok((Some(row), target.path())));
        }
    }
}
