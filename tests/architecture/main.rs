//! The floors of the house: a room imports only from floors below its own, so the crate has no cycle between rooms, and
//! neither have the files of a room. Cargo holds crates to that; within one crate a test has to.

#![expect(clippy::unwrap_used, reason = "what fails here is a failed run")]

mod figures;
mod house;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::house::imports;
use crate::house::sources;

/// Rooms from the ground up. A room is a module with everything below it, unless a longer path stands on a floor of its
/// own. Rooms of one floor do not know each other.
const FLOORS: &[&[&str]] = &[
    // Ironic's words; oslo.config's rules; the service manager; listening sockets; the stages of a process, and what it can
    // be told.
    &[
        "api",
        "control",
        "lifecycle",
        "listening",
        "oslo",
        "systemd",
    ],
    // What the operator wrote.
    &["config"],
    // Instruments; the rules of who may do what.
    &["metrics", "policy", "telemetry", "tls"],
    // One bounded exchange with somebody.
    &["wire"],
    // What gateways share; tokens.
    &["coordination", "keystone"],
    // The two doors: who may come in, and how we get in elsewhere.
    &["auth", "locations"],
    // A request understood; where things are.
    &["locate", "request"],
    // Many locations, one API.
    &["federate"],
    // A tenant's requests, judged; what a reload replaces; what operators order to be brought into step.
    &["current", "sync", "tenancy"],
    // What runs: the front, the admin door, what keeps the rest true in the background, what is typed.
    &["admin", "command", "gateway", "upkeep"],
    // Builds and runs all of it.
    &["app"],
    // What was typed; the crate's front page.
    &["lib", "main"],
];

/// Rooms that would be named after nothing.
const NAMELESS: &[&str] = &["common", "helper", "helpers", "misc", "util", "utils"];

/// The floor of a path and the room it lies in: the longest one that leads there.
fn room(path: &str) -> Option<(usize, &'static str)> {
    let leads_there = |room: &str| {
        path.strip_prefix(room)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    FLOORS
        .iter()
        .enumerate()
        .flat_map(|(floor, rooms)| rooms.iter().map(move |room| (floor, *room)))
        .filter(|(_, room)| leads_there(room))
        .max_by_key(|(_, room)| room.len())
}

/// What a file imports that it may not: from a higher floor, or from another room on its own.
fn trespasses(module: &str, text: &str) -> Vec<String> {
    let Some((floor, own)) = room(module) else {
        return vec![format!("{module} is on no floor")];
    };
    imports(text)
        .into_iter()
        .filter_map(|path| match room(path) {
            None => Some(format!(
                "{module} imports crate::{path}, which is on no floor"
            )),
            Some((_, other)) if other == own => None,
            Some((other_floor, _)) if other_floor < floor => None,
            Some(_) => Some(format!("{module} must not import crate::{path}")),
        })
        .collect()
}

#[test]
fn rooms_import_only_from_lower_floors() {
    let found: Vec<String> = sources()
        .iter()
        .flat_map(|file| trespasses(&file.module, &file.text))
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_plan_has_no_room_that_is_not_there() {
    let modules: BTreeSet<String> = sources().iter().map(|file| file.module.clone()).collect();
    let is_there = |room: &str| {
        let item_of = room.rsplit_once("::").is_some_and(|(module, item)| {
            item.starts_with(|first: char| first.is_ascii_uppercase()) && modules.contains(module)
        });
        item_of
            || modules
                .iter()
                .any(|module| module == room || module.starts_with(&format!("{room}::")))
    };
    for room in FLOORS.iter().copied().flatten() {
        assert!(is_there(room), "{room} is on a floor and nowhere else");
    }
}

#[test]
fn imports_are_written_so_that_this_test_sees_them() {
    // A room's own tests may see all of it.
    for file in sources()
        .iter()
        .filter(|file| !file.module.split("::").any(|part| part == "tests"))
    {
        for line in file.text.lines() {
            let hidden = ["use crate::{", "use super::", "use self::"]
                .iter()
                .any(|start| line.starts_with(start));
            assert!(!hidden, "{}: {line}", file.path.display());
            assert!(
                !line.contains("super::super::"),
                "{}: {line}",
                file.path.display()
            );
        }
    }
}

/// Circles of files that are still to be opened: their room and how many files lead back to themselves.
const CIRCLES: &[(&str, usize)] = &[];

/// Types with methods in more files than [`HOMES`], still to be taken apart.
const SCATTERED: &[(&str, usize)] = &[];

/// In so many files a type may have methods.
const HOMES: usize = 3;

/// So many parameters a function may have, its receiver included.
const PARAMETERS: usize = 5;

#[test]
fn files_of_a_room_import_in_one_direction() {
    let arrows = house::arrows(sources());
    let circles = house::circles(&arrows);
    let mut there: BTreeMap<&str, usize> = BTreeMap::new();
    let mut told = Vec::new();
    for circle in &circles {
        let room = circle.first().unwrap().split("::").next().unwrap();
        *there.entry(room).or_default() += circle.len();
        for file in circle {
            let back = arrows[file].iter().filter(|to| circle.contains(*to));
            told.extend(back.map(|to| format!("{file} -> {to}")));
        }
    }
    let known: BTreeMap<&str, usize> = CIRCLES.iter().copied().collect();
    let grown = there
        .iter()
        .any(|(room, files)| known.get(room).is_none_or(|most| files > most));
    assert!(
        !grown,
        "{there:?} instead of {known:?}:\n{}",
        told.join("\n")
    );
}

#[test]
fn a_type_has_its_methods_in_few_files() {
    let known: BTreeMap<&str, usize> = SCATTERED.iter().copied().collect();
    for ((room, name), files) in house::homes(sources()) {
        let most = known.get(name.as_str()).copied().unwrap_or(HOMES);
        assert!(files.len() <= most, "{name} of {room}: {files:?}");
    }
}

#[test]
fn what_travels_together_is_one_parameter() {
    let found = house::functions(sources());
    let new: Vec<String> = found
        .iter()
        .filter(|function| function.is_ours && function.parameters > PARAMETERS)
        .map(|function| format!("{}: {}", function.module, function.name))
        .collect();
    assert!(new.is_empty(), "{new:#?}");
}

#[test]
fn a_circle_is_seen() {
    let arrows = BTreeMap::from([
        ("a", BTreeSet::from(["a::b"])),
        ("a::b", BTreeSet::from(["a::c"])),
        ("a::c", BTreeSet::from(["a::b"])),
    ]);
    assert_eq!(house::circles(&arrows), [BTreeSet::from(["a::b", "a::c"])]);
}

#[test]
fn every_file_is_named_after_something() {
    for file in sources() {
        let name = file.path.file_stem().unwrap().to_str().unwrap();
        assert!(!NAMELESS.contains(&name), "{}", file.path.display());
    }
}

/// What a page of the repository quotes in backticks, outside of fences.
fn quoted(page: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    let text = fs::read_to_string(path).unwrap();
    let prose: String = text.split("```").step_by(2).collect();
    let every_second = prose.split('`').skip(1).step_by(2);
    every_second.map(str::to_owned).collect()
}

fn is_rust(path: &str) -> bool {
    let extension = Path::new(path).extension();
    extension.is_some_and(|extension| extension == "rs")
}

#[test]
fn architecture_names_what_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let declared: BTreeSet<String> = house::functions(sources())
        .into_iter()
        .map(|function| function.name)
        .collect();
    let mut functions = 0;
    for quoted in quoted("ARCHITECTURE.md") {
        if let Some((_, function)) = quoted.split_once("::") {
            let variant = function.starts_with(|first: char| first.is_ascii_uppercase());
            functions += usize::from(!variant);
            assert!(variant || declared.contains(&quoted), "{quoted}");
        } else if is_rust(&quoted) || quoted.starts_with("src/") {
            assert!(
                root.join(&quoted).exists() || root.join("src").join(&quoted).exists(),
                "{quoted}"
            );
        }
    }
    assert!(functions > 15, "{functions}");
}

/// What the page says to be in a file, as in "`judge` (`src/locations/speech.rs`)".
#[test]
fn architecture_says_in_which_file_a_thing_is() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut things = 0;
    for (thing, file) in text.split("` (`").zip(text.split("` (`").skip(1)) {
        let thing = thing.rsplit('`').next().unwrap();
        let file = file.split('`').next().unwrap();
        let Some(name) = thing.rsplit("::").next().filter(|_| is_rust(file)) else {
            continue;
        };
        things += 1;
        let text = fs::read_to_string(root.join(file)).unwrap();
        let is_there = ["fn ", "struct ", "enum "]
            .iter()
            .any(|kind| text.contains(&format!("{kind}{name}")));
        assert!(is_there, "{thing} is not in {file}");
    }
    assert!(things > 12, "{things}");
}

#[test]
fn the_plan_in_architecture_has_every_room() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    let plan = text.split("```").nth(1).unwrap();
    let words: Vec<&str> = plan
        .split(|letter: char| !(letter.is_alphanumeric() || "_./".contains(letter)))
        .collect();
    for source in sources() {
        let room = source.room();
        let is_named = words
            .iter()
            .any(|word| word.trim_end_matches('/').trim_end_matches(".rs") == room);
        assert!(is_named || room == "lib", "{room}");
    }
    let names: BTreeSet<_> = sources()
        .iter()
        .map(|source| source.path.file_name().unwrap().to_str().unwrap())
        .collect();
    for word in words.iter().filter(|word| is_rust(word)) {
        let name = word.rsplit('/').next().unwrap();
        assert!(names.contains(name), "{word}");
    }
}

#[test]
fn security_names_tests_that_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut text, mut tests) = (String::new(), 0);
    for quoted in quoted("docs/security.md") {
        // `test_tls.py::test_a` names the file for every `::test_b` after it.
        let Some((file, test)) = quoted.split_once("::test_") else {
            continue;
        };
        if !file.is_empty() {
            text = fs::read_to_string(root.join("tests/outside").join(file)).unwrap();
        }
        tests += 1;
        assert!(text.contains(&format!("def test_{test}(")), "{quoted}");
    }
    assert!(tests > 40, "{tests}");
}

/// Ironic asks these nowhere, or not with the rules that it has now.
const UNASKED_RULES: &[&str] = &["AllocationCreatePreRbac", "InspectionRuleListAll"];

#[test]
fn every_rule_of_ironic_is_asked_somewhere() {
    let (tables, others): (Vec<_>, Vec<_>) = sources()
        .iter()
        .partition(|source| source.module == "api::rules");
    let mut rules = 0;
    for line in tables[0].text.lines() {
        let mut words = line.split_whitespace();
        let (Some(rule), Some(name)) = (words.next(), words.next()) else {
            continue;
        };
        if !name.starts_with("\"baremetal:") || UNASKED_RULES.contains(&rule) {
            continue;
        }
        rules += 1;
        let asked = format!("Rule::{rule}");
        let is_asked = others.iter().any(|source| {
            let mut found = source.production.match_indices(&asked);
            found.any(|(at, _)| {
                let after = source.production[at + asked.len()..].chars().next();
                !after.is_some_and(|next| next.is_ascii_alphanumeric())
            })
        });
        assert!(is_asked, "nobody asks {asked}");
    }
    assert!(rules > 100, "{rules}");
}

/// Lines that a file of tests or benches may have before it is taken apart by meaning.
const LENGTH: usize = 500;

#[test]
fn files_of_tests_are_short_and_run_in_any_order() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut directories = vec![root.join("tests"), root.join("benches")];
    let mut files = 0;
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            if !path
                .extension()
                .is_some_and(|kind| kind == "py" || kind == "rs")
            {
                continue;
            }
            files += 1;
            let lines = fs::read_to_string(&path).unwrap().lines().count();
            assert!(lines <= LENGTH, "{}: {lines} lines", path.display());
            // A name that puts itself last hopes that the others have run.
            let name = path.file_name().unwrap().to_str().unwrap();
            assert!(!name.starts_with("test_z"), "{}", path.display());
        }
    }
    assert!(files > 100, "{files}");
}

#[test]
fn the_readme_is_read_in_five_minutes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let lines = fs::read_to_string(path).unwrap().lines().count();
    assert!(lines <= 200, "{lines} lines");
}

#[test]
fn a_trespass_is_seen() {
    for (module, line, seen) in [
        ("locate", "use crate::gateway::Gateway;", true),
        ("auth", "use crate::locations::location::Location;", true),
        ("auth::token", "    let door = crate::app::run;", true),
        ("locations", "use crate::upkeep::sweep::Sweep;", true),
        ("locations", "use crate::tls::Certified;", false),
        ("upkeep::sweep", "use crate::locate::state;", false),
        ("gateway::door", "use crate::gateway::Gateway;", false),
        ("gateway", "use crate::api::fault::Fault;", false),
        ("gateway", "use crate::nowhere::Thing;", true),
        ("nowhere", "", true),
        ("api", "$crate::gateway::x, other_crate::gateway::x", false),
    ] {
        assert_eq!(
            !trespasses(module, line).is_empty(),
            seen,
            "{module}: {line}"
        );
    }
}

#[test]
fn only_what_is_compiled_for_tests_is_taken_for_tests() {
    for (module, is_of_tests) in [
        ("api::page", false),
        ("admin::page", false),
        ("config::options::page", true),
        ("config::tests::faults", true),
        ("api::json::random", true),
    ] {
        let source = sources().iter().find(|source| source.module == module);
        assert_eq!(source.unwrap().is_of_tests, is_of_tests, "{module}");
    }
}
