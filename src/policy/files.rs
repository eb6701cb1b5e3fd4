//! Policy files of an operator: YAML or JSON, a mapping of rule names to checks.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;
use thiserror::Error;

use crate::config::PolicyFiles;
use crate::config::Unfound;

/// Why files cannot be used.
#[derive(Debug, Error)]
pub enum FileError {
    #[error("[oslo_policy] {option}: {0}", option = .0.option)]
    Unfound(#[from] Unfound),
    #[error("{}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{}: is not a mapping of rules to checks: {text}", path.display())]
    NoRules { path: PathBuf, text: String },
    #[error("{}: a ! without quotes is an empty text in YAML, which lets everybody in; write '!'", .0.display())]
    Bang(PathBuf),
}

/// One rule of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) name: String,
    pub(crate) check: CheckText,
    pub(crate) file: Arc<Path>,
}

/// A check as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(crate) enum CheckText {
    Text(String),
    /// The syntax before there was a language.
    Lists(Vec<List>),
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(crate) enum List {
    One(String),
    All(Vec<String>),
}

/// All of them, first to last: a later rule wins.
pub(crate) fn read(files: &PolicyFiles) -> Result<Vec<Written>, FileError> {
    let mut rules = Vec::new();
    for path in paths(files)? {
        let unreadable = |source| FileError::Unreadable {
            path: path.clone(),
            source,
        };
        let text = fs::read_to_string(&path).map_err(unreadable)?;
        rules.extend(parse(&path, &text)?);
    }
    Ok(rules)
}

/// The files that are there. Of a directory all that are not hidden, as oslo.policy has it.
pub(crate) fn paths(files: &PolicyFiles) -> Result<Vec<PathBuf>, FileError> {
    let (file, directories) = files.found()?;
    let mut paths: Vec<PathBuf> = file.into_iter().collect();
    for directory in directories {
        let unreadable = |source| FileError::Unreadable {
            path: directory.clone(),
            source,
        };
        let mut inside = Vec::new();
        for entry in fs::read_dir(&directory).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
            if !hidden && !entry.path().is_dir() {
                inside.push(entry.path());
            }
        }
        inside.sort();
        paths.append(&mut inside);
    }
    Ok(paths)
}

fn parse(path: &Path, text: &str) -> Result<Vec<Written>, FileError> {
    let rules: Option<BTreeMap<String, CheckText>> =
        serde_saphyr::from_str(text).map_err(|error| FileError::NoRules {
            path: path.to_path_buf(),
            text: error.to_string(),
        })?;
    let rules = rules.unwrap_or_default();
    let is_empty = |check: &CheckText| matches!(check, CheckText::Text(text) if text.is_empty());
    if rules.values().any(is_empty) && has_bare_bang(text) {
        return Err(FileError::Bang(path.to_path_buf()));
    }
    let file: Arc<Path> = path.into();
    Ok(rules
        .into_iter()
        .map(|(name, check)| Written {
            name,
            check,
            file: Arc::clone(&file),
        })
        .collect())
}

/// `rule: !` is meant as "nobody". For YAML it is a tag on an empty text, and that lets everybody in.
fn has_bare_bang(text: &str) -> bool {
    text.match_indices('!').any(|(index, _)| {
        let before = text[..index].chars().next_back();
        let after = text[index + 1..].chars().next();
        before.is_some_and(|before| before.is_whitespace() || "[,".contains(before))
            && after.is_none_or(|after| after.is_whitespace() || ",]}".contains(after))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Result<Vec<(String, CheckText)>, String> {
        parse(Path::new("policy.yaml"), text)
            .map(|rules| {
                rules
                    .into_iter()
                    .map(|rule| (rule.name, rule.check))
                    .collect()
            })
            .map_err(|error| error.to_string())
    }

    #[test]
    fn yaml_and_json_are_read() {
        let text = |text: &str| CheckText::Text(text.into());
        for (yaml, expected) in [
            ("", vec![]),
            ("# nothing yet\n", vec![]),
            ("{}", vec![]),
            (
                "\"baremetal:node:get\": \"role:reader\"\nb: '@'\nc: \"\"\n",
                vec![
                    ("b".into(), text("@")),
                    ("baremetal:node:get".into(), text("role:reader")),
                    ("c".into(), text("")),
                ],
            ),
            (
                "{\"a\": \"role:x or (role:y)\", \"d\": \"!\"}",
                vec![
                    ("a".into(), text("role:x or (role:y)")),
                    ("d".into(), text("!")),
                ],
            ),
            (
                "a: 'role:x or ! or role:y'\nb: '!'",
                vec![
                    ("a".into(), text("role:x or ! or role:y")),
                    ("b".into(), text("!")),
                ],
            ),
            (
                "a: >-\n  role:x\n  or role:y\n",
                vec![("a".into(), text("role:x or role:y"))],
            ),
            (
                "a: [[\"role:x\", \"role:y\"], \"role:z\"]\nb: []\n",
                vec![
                    (
                        "a".into(),
                        CheckText::Lists(vec![
                            List::All(vec!["role:x".into(), "role:y".into()]),
                            List::One("role:z".into()),
                        ]),
                    ),
                    ("b".into(), CheckText::Lists(vec![])),
                ],
            ),
        ] {
            assert_eq!(names(yaml), Ok(expected), "{yaml}");
        }
    }

    #[test]
    fn what_could_be_meant_otherwise_is_refused() {
        for yaml in [
            "a: 1",
            "a: true",
            // For oslo.policy: everybody may.
            "a:",
            "a: ~",
            "a: {b: c}",
            "- a",
            "role:x",
            // Python takes the last.
            "a: '!'\na: '@'\n",
            "a: [1]",
            "a: 'x",
            "a: !",
            "a: ! # nobody",
            "{a: !, b: role:x}",
            "a: '@'\nb: !\nc: '!'\n",
        ] {
            assert!(names(yaml).is_err(), "{yaml}: {:?}", names(yaml));
        }
    }
}
