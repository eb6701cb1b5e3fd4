use std::fs;
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::json;

use super::*;
use crate::api::route::TABLE;
use crate::config::PolicyFiles;
use crate::keystone::message::ProjectScope;
use crate::keystone::message::Validated;

fn gate(projects: ProjectScoped, elevated_project: Option<&str>) -> Gate {
    gate_with(projects, elevated_project, PolicyFiles::default())
}

fn gate_with(projects: ProjectScoped, elevated_project: Option<&str>, files: PolicyFiles) -> Gate {
    let config = PolicyConfig {
        files,
        project_scoped_access: projects,
        elevated_project: elevated_project.map(str::to_owned),
        own_nodes: true,
        tell_location: true,
    };
    let policy = Policy::load(&config).unwrap();
    Gate::new(&config, Arc::new(policy))
}

fn native() -> Gate {
    gate(ProjectScoped::Deny, None)
}

fn token(roles: &[&str], system: bool, project: Option<&str>) -> Identity {
    Identity::Keystone(Arc::new(Validated {
        user_id: "u".into(),
        user_name: "n".into(),
        user_domain_id: None,
        project: project.map(|name| ProjectScope {
            id: "p".into(),
            name: name.into(),
            domain_id: None,
        }),
        domain_id: None,
        system,
        is_admin_project: true,
        roles: roles.iter().map(|&role| role.to_owned()).collect(),
        expires_at: SystemTime::UNIX_EPOCH,
    }))
}

fn system(roles: &[&str]) -> Identity {
    token(roles, true, None)
}

fn project(roles: &[&str], name: &str) -> Identity {
    token(roles, false, Some(name))
}

fn allowed(gate: &Gate, identity: &Identity, method: &str, template: &str) -> bool {
    gate.check(identity, row(method, template)).is_ok()
}

fn row(method: &str, template: &str) -> Option<&'static Row> {
    TABLE
        .iter()
        .find(|row| row.template == template && ["*", method].contains(&row.method))
}

/// The personas of Ironic's own tests of its policies, row by row.
#[test]
fn system_roles_may_what_ironic_lets_them() {
    let admin = system(&["admin", "manager", "member", "reader"]);
    // Where Keystone does not write the lower roles beside the higher ones, Ironic does not think of them either.
    let bare_admin = system(&["Admin"]);
    let member = system(&["member", "reader"]);
    let service = system(&["service"]);
    let reader = system(&["reader"]);
    let nobody = system(&["observer"]);
    let personas = [&admin, &bare_admin, &member, &service, &reader, &nobody];
    #[rustfmt::skip]
    let rows = [
        ("GET",    "nodes",                              [true, false, true,  true,  true,  false]),
        ("GET",    "nodes/{}",                           [true, false, true,  true,  true,  false]),
        ("GET",    "conductors",                         [true, false, true,  true,  true,  false]),
        ("GET",    "drivers/{}/properties",              [true, false, true,  true,  true,  false]),
        ("GET",    "nodes/{}/inventory",                 [true, false, true,  true,  true,  false]),
        ("GET",    "nodes/{}/states/console",            [true, false, true,  true,  false, false]),
        ("GET",    "nodes/{}/validate",                  [true, false, true,  true,  false, false]),
        ("GET",    "nodes/{}/management/boot_device",    [true, false, true,  true,  false, false]),
        ("GET",    "nodes/{}/vendor_passthru/{}",        [true, true, false, false, false, false]),
        ("GET",    "nodes/{}/vendor_passthru/methods",   [true, true, false, false, false, false]),
        ("POST",   "drivers/{}/vendor_passthru",         [true, true, false, false, false, false]),
        ("POST",   "nodes",                              [true, true, false, true,  false, false]),
        ("DELETE", "nodes/{}",                           [true, true, false, false, false, false]),
        ("PUT",    "nodes/{}/states/power",              [true, false, true,  true,  false, false]),
        ("PUT",    "nodes/{}/states/provision",          [true, false, true,  true,  false, false]),
        ("DELETE", "nodes/{}/allocation",                [true, false, true,  false, false, false]),
        ("POST",   "ports",                              [true, true, false, true,  false, false]),
        ("PATCH",  "ports/{}",                           [true, false, true,  true,  false, false]),
        ("DELETE", "portgroups/{}",                      [true, true, false, true,  false, false]),
        ("POST",   "volume/targets",                     [true, false, true,  true,  false, false]),
        ("POST",   "allocations",                        [true, false, true,  false, false, false]),
        ("POST",   "chassis",                            [true, true, false, false, false, false]),
        ("PATCH",  "chassis/{}",                         [true, false, true,  false, false, false]),
        ("POST",   "deploy_templates",                   [true, true, false, false, false, false]),
        ("POST",   "runbooks",                           [true, false, true,  true,  false, false]),
        ("DELETE", "inspection_rules/{}",                [true, true, false, false, false, false]),
        ("POST",   "events",                             [true, true, false, false, false, false]),
        ("POST",   "heartbeat/{}",                       [true, true, true,  true,  true,  true]),
        ("PUT",    "nodes/{}/novelty",                   [true, true, false, false, false, false]),
        ("TRACE",  "nodes",                              [true, true, false, false, false, false]),
    ];
    let gate = native();
    for (method, template, expected) in rows {
        let found = personas.map(|persona| allowed(&gate, persona, method, template));
        assert_eq!(found, expected, "{method} {template}");
    }
    let unknown = personas.map(|persona| gate.check(persona, None).is_ok());
    assert_eq!(unknown, [true, true, false, false, false, false]);
}

#[test]
fn a_project_opens_nothing_unless_the_configuration_says_so() {
    let native = native();
    let legacy = gate(ProjectScoped::LegacyAdmin, None);
    let elevated = gate(ProjectScoped::Deny, Some("service"));
    let all = ["admin", "manager", "member", "reader", "service"];
    for (gate, identity, may) in [
        // list, power, create, delete
        (
            &native,
            project(&all, "service"),
            [false, false, false, false],
        ),
        (
            &native,
            token(&all, false, None),
            [false, false, false, false],
        ),
        (
            &legacy,
            project(&["admin"], "any"),
            [true, true, true, true],
        ),
        (
            &legacy,
            project(&["member", "reader", "service"], "service"),
            [false, false, false, false],
        ),
        (
            &legacy,
            token(&["admin"], false, None),
            [false, false, false, false],
        ),
        (
            &elevated,
            project(&["service"], "service"),
            [true, true, false, false],
        ),
        (
            &elevated,
            project(&["admin", "member"], "service"),
            [false, false, false, false],
        ),
        (
            &elevated,
            project(&["service"], "other"),
            [false, false, false, false],
        ),
        (&native, Identity::Anonymous, [true, true, true, true]),
        (
            &native,
            Identity::Basic("ann".into()),
            [true, true, true, true],
        ),
    ] {
        let found = [
            ("GET", "nodes"),
            ("PUT", "nodes/{}/states/power"),
            ("POST", "nodes"),
            ("DELETE", "nodes/{}"),
        ]
        .map(|(method, template)| allowed(gate, &identity, method, template));
        assert_eq!(found, may, "{gate:?} {identity:?}");
    }
}

#[test]
fn some_attributes_are_not_for_everybody_who_may_patch() {
    let gate = native();
    let admin = system(&["admin", "member"]);
    let member = system(&["member"]);
    let service = system(&["service"]);
    let node = "nodes/{}";
    let runbook = "runbooks/{}";
    for (template, path, value, expected) in [
        (node, "/extra/a", json!(1), [true, true, true]),
        (node, "/description", json!("x"), [true, true, true]),
        (node, "/driver", json!("x"), [true, true, true]),
        (node, "/bios_interface", json!("x"), [true, true, true]),
        (node, "/owner", json!("x"), [true, true, false]),
        (node, "/conductor_group", json!("x"), [true, true, false]),
        (node, "/parent_node", json!("x"), [true, true, false]),
        (node, "/chassis_uuid", json!("x"), [true, false, false]),
        (node, "/shard", json!("x"), [true, false, false]),
        (
            node,
            "/disable_power_off",
            json!(true),
            [true, false, false],
        ),
        (node, "/automated_clean", json!(true), [true, true, true]),
        (node, "/automated_clean", json!(null), [true, true, true]),
        (node, "/automated_clean", json!(false), [true, false, false]),
        (
            node,
            "/automated_clean",
            json!(" Off "),
            [true, false, false],
        ),
        (node, "/automated_clean", json!(0), [true, false, false]),
        (runbook, "/public", json!(true), [true, true, false]),
        (runbook, "/owner", json!("x"), [true, true, false]),
        (runbook, "/name", json!("x"), [true, true, true]),
        ("ports/{}", "/shard", json!("x"), [true, true, true]),
    ] {
        let first = Change {
            path: "/extra/first",
            value: None,
        };
        let found = [&admin, &member, &service].map(|persona| {
            gate.check_patch(
                persona,
                row("PATCH", template).unwrap(),
                [
                    first,
                    Change {
                        path,
                        value: Some(&value),
                    },
                ],
            )
            .is_ok()
        });
        assert_eq!(found, expected, "{template} {path} {value}");
    }
}

#[test]
fn the_answer_names_the_policy_as_ironic_does() {
    let denied = native()
        .check(&system(&["reader"]), row("PUT", "nodes/{}/states/power"))
        .unwrap_err();
    assert_eq!(
        denied.to_string(),
        "Access was denied to the following resource: baremetal:node:set_power_state"
    );
}

#[test]
fn a_patch_is_under_the_rules_of_what_it_changes_and_no_others() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("policy.yaml");
    fs::write(&file, "'baremetal:node:update_extra': 'role:tagger'\n").unwrap();
    let files = PolicyFiles {
        file,
        places: vec![directory.path().to_path_buf()],
        ..PolicyFiles::default()
    };
    let gate = gate_with(ProjectScoped::Deny, None, files);
    let tagger = system(&["tagger"]);
    let member = system(&["member"]);
    let check = |identity: &Identity, paths: &[&str]| {
        let changes = paths.iter().map(|path| Change { path, value: None });
        let checked = gate.check_patch(identity, row("PATCH", "nodes/{}").unwrap(), changes);
        checked.map(|_| ()).map_err(|denied| denied.policy)
    };
    let (extra, update) = ("baremetal:node:update_extra", "baremetal:node:update");
    assert!(allowed(&gate, &tagger, "PATCH", "nodes/{}"));
    assert_eq!(check(&tagger, &["/extra/a"]), Ok(()));
    assert_eq!(check(&tagger, &["/extra/a", "/description"]), Err(update));
    assert_eq!(check(&tagger, &[]), Err(update));
    assert_eq!(check(&member, &["/description"]), Ok(()));
    assert_eq!(check(&member, &["/description", "/extra/a"]), Err(extra));
}

/// What is hidden, seen or brought along is looked at with the thing, as soon as one rule beside the route's says less.
#[test]
fn the_rules_beside_a_route_s_bind_the_system_too() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("policy.yaml");
    let member = system(&["member", "reader"]);
    for (rule, rows) in [
        (
            "baremetal:node:get",
            &[
                ("PUT", "nodes/{}/states/power"),
                ("GET", "nodes/validate"),
                ("PATCH", "ports/{}"),
                ("GET", "portgroups/{}/ports"),
                ("GET", "nodes/{}/ports"),
                ("POST", "volume/targets"),
                ("DELETE", "nodes/{}/allocation"),
                ("POST", "allocations"),
            ][..],
        ),
        ("baremetal:allocation:get", &[("PATCH", "allocations/{}")]),
        ("baremetal:node:list_all", &[("GET", "nodes/{}/children")]),
        (
            "baremetal:volume:view_target_properties",
            &[
                ("GET", "volume/targets"),
                ("PATCH", "volume/targets/{}"),
                ("GET", "nodes/{}/volume/targets"),
            ],
        ),
        (
            "baremetal:node:set_provision_state:service_steps",
            &[("PUT", "nodes/{}/states/provision")],
        ),
        (
            "baremetal:step:execute:bios.apply",
            &[("PUT", "nodes/{}/states/provision"), ("POST", "runbooks")],
        ),
    ] {
        fs::write(&file, format!("'{rule}': 'role:admin'\n")).unwrap();
        let files = PolicyFiles {
            file: file.clone(),
            places: vec![directory.path().to_path_buf()],
            ..PolicyFiles::default()
        };
        let narrow = gate_with(ProjectScoped::Policy, None, files);
        for (method, template) in rows {
            let passes = |gate: &Gate| gate.check(&member, row(method, template)).unwrap();
            assert!(matches!(passes(&native()), Passage::Whole), "{template}");
            let narrowed = passes(&narrow);
            assert!(matches!(narrowed, Passage::ByThing(_)), "{rule} {template}");
        }
    }
}

#[test]
fn lists_are_denied_by_the_name_that_ironic_gives() {
    let gate = native();
    for (template, own, all) in [
        ("nodes", "baremetal:node:list", "baremetal:node:list_all"),
        (
            "nodes/{}/volume/targets",
            "baremetal:volume:list",
            "baremetal:volume:list_all",
        ),
        (
            "portgroups/{}/ports",
            "baremetal:port:list",
            "baremetal:port:list_all",
        ),
        (
            "conductors",
            "baremetal:conductor:get",
            "baremetal:conductor:get",
        ),
    ] {
        let row = row("GET", template);
        let denied = |identity: &Identity| gate.check(identity, row).unwrap_err().policy;
        assert_eq!(denied(&project(&["reader"], "p")), own, "{template}");
        assert_eq!(denied(&system(&["observer"])), all, "{template}");
    }
}
