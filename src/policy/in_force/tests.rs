use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::config::ProjectScoped;
use crate::policy::caller::Project;
use crate::policy::caller::Scope;

fn written(rules: &[(&str, &str)]) -> Vec<Written> {
    rules
        .iter()
        .map(|(name, check)| Written {
            name: (*name).to_owned(),
            check: CheckText::Text((*check).to_owned()),
            file: Path::new("policy.yaml").into(),
        })
        .collect()
}

fn rules(own: &[(&str, &str)]) -> Result<Rules, String> {
    Rules::new(written(own), Some("service")).map_err(|error| error.to_string())
}

fn caller<'a>(roles: &'a [String], scope: Scope<'a>) -> Caller<'a> {
    Caller {
        roles,
        user_id: "u",
        user_domain_id: Some("d"),
        scope,
        is_admin_project: true,
        is_public_api: false,
    }
}

const fn project(id: &str) -> Scope<'_> {
    Scope::Project(Project {
        id,
        name: "prod",
        domain_id: None,
    })
}

const fn node<'a>(owner: &'a str, lessee: &'a str) -> Target<'a> {
    Target::Node {
        owner: Some(owner),
        lessee: Some(lessee),
    }
}

#[test]
fn every_rule_of_ironic_is_a_check() {
    for default in DEFAULTS {
        let mut making = Making {
            rules: Rules {
                rules: Vec::new(),
                numbers: HashMap::new(),
            },
            service_project: None,
        };
        grammar::parse(default.check, &mut making).unwrap_or_else(|error| {
            panic!("{}: {error}", default.name);
        });
    }
    let rules = Rules::of_ironic();
    assert_eq!(rules.undefined().count() + rules.unused().count(), 0);
}

#[test]
fn who_has_no_scope_opens_nothing() {
    let all = ["admin", "manager", "member", "reader", "service"].map(str::to_owned);
    let rules = rules(&[]).unwrap();
    let nobodys = Target::Node {
        owner: None,
        lessee: None,
    };
    for scope in [Scope::Nothing, Scope::Domain("d")] {
        for rule in Rule::ALL {
            let is_open = rules.judge(*rule, &caller(&all, scope), &nobodys) == Verdict::Yes;
            let asks_nobody = rule.name().contains(":ipa_") || rule.name().starts_with("is_");
            assert!(
                !is_open || asks_nobody || rule.name() == "admin_api",
                "{}",
                rule.name()
            );
        }
    }
    // Nor does a project find itself in what belongs to nobody.
    for rule in Rule::ALL
        .iter()
        .filter(|rule| rule.name().starts_with("is_node"))
    {
        assert_eq!(
            rules.judge(*rule, &caller(&all, project("p")), &nobodys),
            Verdict::No
        );
        assert_eq!(
            rules.judge(*rule, &caller(&all, Scope::System), &nobodys),
            Verdict::No
        );
    }
}

#[test]
fn an_owner_a_lessee_and_a_stranger() {
    let member = ["member".to_owned(), "reader".to_owned()];
    let rules = rules(&[]).unwrap();
    let node = node("own", "les");
    for (rule, expected) in [
        (Rule::NodeGet, [Verdict::Yes, Verdict::Yes, Verdict::No]),
        (
            Rule::NodeSetPowerState,
            [Verdict::Yes, Verdict::Yes, Verdict::No],
        ),
        (
            Rule::NodeSetProvisionState,
            [Verdict::Yes, Verdict::No, Verdict::No],
        ),
        (
            Rule::NodeGetDriverInfo,
            [Verdict::Yes, Verdict::No, Verdict::No],
        ),
        (Rule::NodeDelete, [Verdict::No; 3]),
    ] {
        let found = ["own", "les", "third"]
            .map(|id| rules.judge(rule, &caller(&member, project(id)), &node));
        assert_eq!(found, expected, "{}", rule.name());
    }
    let open = rules.judge(
        Rule::NodeSetPowerState,
        &caller(&member, project("own")),
        &Target::Unasked,
    );
    assert_eq!(open, Verdict::Open);
}

#[test]
fn a_file_takes_the_place_of_single_rules() {
    let observer = ["observer".to_owned()];
    let observer = caller(&observer, Scope::System);
    let own = rules(&[
        ("baremetal:node:get", "role:observer"),
        ("baremetal:chassis:get", "role:observer"),
        ("baremetal:step:execute:deploy.erase_devices", "role:eraser"),
        ("baremetal:node:delete", "rule:never_heard_of"),
        ("mine", "@"),
    ])
    .unwrap();
    let judge = |rule| own.judge(rule, &observer, &Target::Nothing);
    assert_eq!(judge(Rule::NodeGet), Verdict::Yes);
    assert_eq!(judge(Rule::NodeGetStates), Verdict::No);
    assert_eq!(judge(Rule::NodeDelete), Verdict::No);
    // The scopes stay those of Ironic.
    let tenant = ["observer".to_owned()];
    let tenant = caller(&tenant, project("p"));
    assert_eq!(
        own.judge(Rule::ChassisGet, &tenant, &Target::Nothing),
        Verdict::No
    );
    let step = |interface, step| own.judge_step(interface, step, &observer, &Target::Nothing);
    assert_eq!(step("deploy", "erase_devices"), Verdict::No);
    assert_eq!(step("deploy", "deploy"), Verdict::Yes);
    assert_eq!(
        own.judge_named("mine", &observer, &Target::Nothing),
        Some(Verdict::Yes)
    );
    assert_eq!(
        own.judge_named("never_heard_of", &observer, &Target::Nothing),
        None
    );
    assert_eq!(own.undefined().collect::<Vec<_>>(), ["never_heard_of"]);
    assert_eq!(own.unused().collect::<Vec<_>>(), ["mine"]);
    let shown = own.to_string();
    assert!(shown.contains("baremetal:node:get\tsystem,project\tpolicy.yaml\trole:observer\n"));
    assert!(shown.contains("baremetal:shards:get\tsystem,project\tIronic\t"));
    // What is defined nowhere is what the rule `default` says.
    let own = rules(&[("baremetal:node:delete", "rule:lost"), ("default", "@")]).unwrap();
    assert_eq!(
        own.judge(Rule::NodeDelete, &observer, &Target::Nothing),
        Verdict::Yes
    );
}

#[test]
fn what_cannot_be_meant_is_refused() {
    for (check, text) in [
        (
            "http://policy/x",
            "policy.yaml: a: \"http://policy/x\" asks another server, which is not supported; write the check itself",
        ),
        (
            "role:x or https://policy/%(node.owner)s",
            "policy.yaml: a: \"https://policy/%(node.owner)s\" asks another server, which is not supported; write the check itself",
        ),
        (
            "admin",
            "policy.yaml: a: \"admin\" is not a check; KIND:VALUE, @ or ! is expected",
        ),
        (
            "\"role:x\"",
            "policy.yaml: a: \"\\\"role:x\\\"\" is not a check; KIND:VALUE, @ or ! is expected",
        ),
        (
            "role:x role:y",
            "policy.yaml: a: `and` or `or` is missing before \"role:y\"",
        ),
        (
            "role:x and",
            "policy.yaml: a: something is missing at the end",
        ),
        (
            "or role:x",
            "policy.yaml: a: something is missing before \"or\"",
        ),
        ("(role:x", "policy.yaml: a: a parenthesis is not closed"),
        (
            "role:x)",
            "policy.yaml: a: `and` or `or` is missing before \")\"",
        ),
        ("()", "policy.yaml: a: something is missing before \")\""),
        ("  ", "policy.yaml: a: something is missing at the end"),
        (
            "project_id:%(node.owner)d",
            "policy.yaml: a: \"project_id:%(node.owner)d\": only %(NAME)s and %% are understood after the colon",
        ),
        (
            "project_id:%s",
            "policy.yaml: a: \"project_id:%s\": only %(NAME)s and %% are understood after the colon",
        ),
        (
            ":x",
            "policy.yaml: a: \":x\": rule, role, a credential or a 'literal' is expected before the colon",
        ),
        (
            "class:x",
            "policy.yaml: a: \"class:x\": rule, role, a credential or a 'literal' is expected before the colon",
        ),
        ("rule:a", "the rule a leads back to itself"),
        ("rule:b and rule:c", "the rule a leads back to itself"),
    ] {
        let own = [("a", check), ("b", "@"), ("c", "not rule:a")];
        let error = rules(&own).unwrap_err();
        assert_eq!(error, text, "{check}");
    }
    let deep = format!("{}role:x{}", "(".repeat(5000), ")".repeat(5000));
    assert!(rules(&[("a", &deep)]).unwrap_err().contains("levels deep"));
    let long = vec!["not"; 5000].join(" ") + " role:x";
    assert!(rules(&[("a", &long)]).unwrap_err().contains("levels deep"));
    let chain: Vec<(String, String)> = (0..5000)
        .map(|number| (format!("r{number}"), format!("rule:r{}", number + 1)))
        .collect();
    let chain: Vec<(&str, &str)> = chain.iter().map(|(a, b)| (&**a, &**b)).collect();
    assert!(
        rules(&chain)
            .unwrap_err()
            .contains("leads through more than")
    );
}

#[test]
fn a_bad_file_changes_nothing_and_a_good_one_everything() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("policy.yaml");
    let config = config(PolicyFiles {
        places: vec![directory.path().to_path_buf()],
        ..PolicyFiles::default()
    });
    let policy = Policy::load(&config).unwrap();
    let roles = ["observer".to_owned()];
    let may = || {
        let caller = caller(&roles, Scope::System);
        let rules = policy.in_force();
        rules.judge(Rule::NodeGet, &caller, &Target::Nothing) == Verdict::Yes
    };
    assert!(!may());
    fs::write(&file, "'baremetal:node:get': 'role:observer'\n").unwrap();
    policy.look();
    assert!(!may(), "half a file may be a looser one");
    policy.look();
    assert!(may());
    fs::write(&file, "'baremetal:node:get': 'role:observer or'\n").unwrap();
    policy.look();
    policy.look();
    assert!(may());
    fs::create_dir(directory.path().join("policy.d")).unwrap();
    fs::write(directory.path().join("policy.d/.hidden"), "x: [").unwrap();
    fs::write(&file, "'baremetal:node:get': 'role:observer'\n").unwrap();
    fs::write(
        directory.path().join("policy.d/b.yaml"),
        "'baremetal:node:get': '!'\n",
    )
    .unwrap();
    policy.look();
    policy.look();
    assert!(!may(), "the later one wins");
    fs::remove_dir_all(directory.path().join("policy.d")).unwrap();
    policy.look();
    policy.look();
    assert!(may());
    fs::write(&file, "x: [").unwrap();
    assert!(Policy::load(&config).is_err());
}

/// Of the default names a file that is taken away is one that says nothing any longer; of others it is a fault, as it is
/// for a reload.
#[test]
fn what_is_named_and_not_there_stays_in_force() {
    let directory = tempfile::tempdir().unwrap();
    let (strict, rules) = (
        directory.path().join("strict"),
        directory.path().join("rules"),
    );
    let files = |file: &Path, directories: &[&Path]| PolicyFiles {
        file: file.into(),
        directories: directories.iter().map(PathBuf::from).collect(),
        places: vec![directory.path().to_path_buf()],
    };
    let default = Path::new("policy.yaml");
    let deny = "'baremetal:node:get': '!'\n";
    // What is written, what goes away, and whether the rule stays.
    for (files, written, gone, stays) in [
        (files(&strict, &[]), strict.clone(), &strict, true),
        (
            files(Path::new("strict"), &[]),
            strict.clone(),
            &strict,
            true,
        ),
        (
            files(default, &[&rules]),
            rules.join("a.yaml"),
            &rules,
            true,
        ),
        (
            files(default, &[&rules]),
            rules.join("a.yaml"),
            &rules.join("a.yaml"),
            false,
        ),
        (
            files(default, &[]),
            directory.path().join(default),
            &directory.path().join(default),
            false,
        ),
        // Whether there is one cannot be seen.
        (
            files(default, &[]),
            directory.path().join(default),
            &directory.path().join(default),
            true,
        ),
    ] {
        let unseen = stays && files.file == default && files.directories.is_empty();
        fs::create_dir_all(written.parent().unwrap()).unwrap();
        fs::write(&written, deny).unwrap();
        let policy = Policy::load(&config(files)).unwrap();
        let roles = ["reader".to_owned()];
        let may = || {
            let caller = caller(&roles, Scope::System);
            let rules = policy.in_force();
            rules.judge(Rule::NodeGet, &caller, &Target::Nothing) == Verdict::Yes
        };
        assert!(!may());
        let away = directory.path().join("away");
        fs::rename(gone, &away).unwrap();
        if unseen {
            // A link to itself: ELOOP, to root as well.
            std::os::unix::fs::symlink(gone, gone).unwrap();
        }
        policy.look();
        policy.look();
        assert_eq!(may(), !stays, "{gone:?}");
        if unseen {
            fs::remove_file(gone).unwrap();
        }
        fs::rename(&away, gone).unwrap();
        fs::write(&written, "'baremetal:node:get': '@'\n").unwrap();
        policy.look();
        policy.look();
        assert!(may(), "{gone:?} is there again");
        if gone.is_dir() {
            fs::remove_dir_all(gone).unwrap();
        } else {
            fs::remove_file(gone).unwrap();
        }
    }
}

fn config(files: PolicyFiles) -> PolicyConfig {
    PolicyConfig {
        files,
        project_scoped_access: ProjectScoped::Deny,
        elevated_project: None,
        own_nodes: true,
        tell_location: true,
    }
}

fn expression() -> impl Strategy<Value = String> {
    let check = prop::sample::select(vec![
        "role:reader",
        "role:%(node.lessee)s",
        "project_id:%(node.owner)s",
        "project_id:%(node.lessee)s",
        "'a%':%(node.owner)s%%",
        "system_scope:all",
        "roles:%(node.owner)s",
        "user_id:%(user_id)s",
        "project_name:%(allocation.owner)s",
        "@",
        "!",
    ]);
    check
        .prop_map(str::to_owned)
        .prop_recursive(4, 24, 2, |inner| {
            prop_oneof![
                (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} and {b})")),
                (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} or {b})")),
                inner.prop_map(|a| format!("not ({a})")),
            ]
        })
}

proptest! {
    /// What is decided before a thing was asked about is decided for every thing.
    #[test]
    fn what_is_not_open_does_not_depend_on_the_thing(
        text in expression(),
        roles in prop::collection::vec(prop::sample::select(vec!["reader", "a", "b"]), 0..3),
        id in prop::option::of("[ab]"),
        owner in prop::option::of("[ab]"),
        lessee in prop::option::of("[ab]"),
    ) {
        let rules = rules(&[("baremetal:node:get", &text)]).unwrap();
        let roles: Vec<String> = roles.into_iter().map(str::to_owned).collect();
        let scope = id.as_deref().map_or(Scope::System, project);
        let caller = caller(&roles, scope);
        let before = rules.judge(Rule::NodeGet, &caller, &Target::Unasked);
        let known = Target::Node { owner: owner.as_deref(), lessee: lessee.as_deref() };
        let after = rules.judge(Rule::NodeGet, &caller, &known);
        prop_assert_ne!(after, Verdict::Open);
        if before != Verdict::Open {
            prop_assert_eq!(before, after);
        }
    }

    #[test]
    fn no_text_panics(text in "[ ()!@%:'a-z.]{0,30}") {
        let _: Result<Rules, String> = rules(&[("a", &text)]);
    }
}
