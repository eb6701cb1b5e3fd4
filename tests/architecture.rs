//! The floors of the house: a room imports only from floors below its own, so the crate has no cycle between rooms.
//! Cargo holds crates to that; within one crate a test has to.

#![expect(clippy::unwrap_used, reason = "what fails here is a failed run")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

/// Rooms from the ground up. A room is a module with everything below it, unless a longer path stands on a floor of its
/// own. Rooms of one floor do not know each other.
const FLOORS: &[&[&str]] = &[
    // Ironic's words; oslo.config's rules; the service manager.
    &["api", "oslo", "systemd"],
    // What the operator wrote.
    &["config"],
    // Instruments; the rules of who may do what.
    &["keystone", "policy", "telemetry", "tls", "wire"],
    // The two doors: who may come in, and how we get in elsewhere.
    &["auth", "locations"],
    // A request understood; where things are.
    &["locate", "request"],
    // Many locations, one API.
    &["federate"],
    // What runs: the front, what keeps the rest true in the background, what is typed.
    &["command", "gateway", "upkeep"],
    // Builds and runs all of it.
    &["app"],
    // What was typed; the crate's front page.
    &["lib", "main"],
];

/// Rooms that would be named after nothing.
const NAMELESS: &[&str] = &["common", "helper", "helpers", "misc", "util", "utils"];

/// One source file: its module path and its text without comments.
struct File {
    path: PathBuf,
    module: String,
    text: String,
}

fn files() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut directories = vec![root.clone()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let below = path.strip_prefix(&root).unwrap().with_extension("");
                let module = below
                    .iter()
                    .map(|part| part.to_str().unwrap())
                    .collect::<Vec<_>>()
                    .join("::");
                let text = fs::read_to_string(&path).unwrap();
                let code = text
                    .lines()
                    .filter(|line| !line.trim_start().starts_with("//"));
                found.push(File {
                    module,
                    text: code.collect::<Vec<_>>().join("\n"),
                    path,
                });
            }
        }
    }
    found
}

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

/// Every path that begins at the crate's root.
fn imports(text: &str) -> Vec<&str> {
    let is_word = |byte: char| byte.is_ascii_alphanumeric() || byte == '_';
    text.match_indices("crate::")
        .filter(|(index, _)| !text[..*index].ends_with(|before| is_word(before) || before == '$'))
        .map(|(index, start)| {
            let path = &text[index + start.len()..];
            let end = path
                .find(|byte: char| !is_word(byte) && byte != ':')
                .unwrap_or(path.len());
            &path[..end]
        })
        .collect()
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
    let found: Vec<String> = files()
        .iter()
        .flat_map(|file| trespasses(&file.module, &file.text))
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_plan_has_no_room_that_is_not_there() {
    let modules: BTreeSet<String> = files().into_iter().map(|file| file.module).collect();
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
    for file in files()
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

#[test]
fn every_file_is_named_after_something() {
    for file in files() {
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

#[test]
fn architecture_names_what_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let texts: Vec<String> = files().into_iter().map(|file| file.text).collect();
    let mut functions = 0;
    for quoted in quoted("ARCHITECTURE.md") {
        if let Some((_, function)) = quoted.split_once("::") {
            let declared = format!("fn {function}");
            let variant = function.starts_with(|first: char| first.is_ascii_uppercase());
            functions += usize::from(!variant);
            assert!(
                variant || texts.iter().any(|text| text.contains(&declared)),
                "{quoted}"
            );
        } else if Path::new(&quoted)
            .extension()
            .is_some_and(|extension| extension == "rs")
        {
            assert!(
                root.join(&quoted).exists() || root.join("src").join(&quoted).exists(),
                "{quoted}"
            );
        }
    }
    assert!(functions > 20, "{functions}");
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
