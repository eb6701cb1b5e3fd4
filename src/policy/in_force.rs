//! The rules in force: Ironic's own, with an operator's in their place.

use std::collections::HashMap;
use std::fmt;
use std::fs::Metadata;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use log::error;
use log::info;
use log::warn;
use thiserror::Error;

use crate::api::rules::DEFAULTS;
use crate::api::rules::FORMER;
use crate::api::rules::Former;
use crate::api::rules::Rule;
use crate::api::rules::Scopes;
use crate::config::PolicyConfig;
use crate::config::PolicyFiles;
use crate::policy::caller::Caller;
use crate::policy::files;
use crate::policy::files::CheckText;
use crate::policy::files::FileError;
use crate::policy::files::List;
use crate::policy::files::Written;
use crate::policy::grammar;
use crate::policy::grammar::LanguageError;
use crate::policy::grammar::Names;
use crate::policy::language::Check;
use crate::policy::language::Verdict;
use crate::policy::targets::Target;

/// Why there are no rules to go by.
#[derive(Debug, Error)]
pub enum PolicyError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{}: {rule}: {source}", file.display())]
    Check {
        file: Arc<Path>,
        rule: String,
        source: LanguageError,
    },
    #[error("the rule {0} leads back to itself")]
    Circle(String),
    #[error("the rule {0} leads through more than {LONGEST} others")]
    TooLong(String),
}

/// Rules that one leads through to what it says.
const LONGEST: usize = 32;

/// All rules by number; Ironic's come first, in the order of [`Rule::ALL`].
#[derive(Debug)]
pub struct Rules {
    rules: Vec<Ruled>,
    numbers: HashMap<Arc<str>, usize>,
}

/// One rule in force.
#[derive(Clone, Debug)]
struct Ruled {
    name: Arc<str>,
    scopes: Scopes,
    check: Check,
    text: String,
    origin: Origin,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Origin {
    Ironic,
    File(Arc<Path>),
    /// Only named by others.
    Nowhere,
}

/// What `baremetal:step:execute:INTERFACE.STEP` begins with.
const STEP: &str = "baremetal:step:execute:";

impl Rules {
    /// Ironic's own.
    #[cfg(test)]
    pub(crate) fn of_ironic() -> Self {
        Self::new(Vec::new(), None).unwrap_or_else(|error| panic!("{error}"))
    }

    pub(crate) fn new(
        written: Vec<Written>,
        service_project: Option<&str>,
    ) -> Result<Self, PolicyError> {
        let mut making = Making {
            rules: Self {
                rules: Vec::with_capacity(DEFAULTS.len() + written.len()),
                numbers: HashMap::new(),
            },
            service_project,
        };
        for default in DEFAULTS {
            let number = making.rule(default.name);
            let ruled = &mut making.rules.rules[number];
            ruled.scopes = default.scopes;
            default.check.clone_into(&mut ruled.text);
            ruled.origin = Origin::Ironic;
        }
        for rule in written {
            let number = making.rule(&rule.name);
            let check = making.parse(&rule)?;
            let ruled = &mut making.rules.rules[number];
            ruled.check = check;
            ruled.text = rule.check.to_string();
            ruled.origin = Origin::File(rule.file);
        }
        for former in FORMER {
            making.bequeath(former);
        }
        for (number, default) in DEFAULTS.iter().enumerate() {
            if making.rules.rules[number].origin == Origin::Ironic {
                // A test parses them all.
                let check = grammar::parse(default.check, &mut making).unwrap_or(Check::No);
                making.rules.rules[number].check = check;
            }
        }
        let rules = making.finish();
        rules.check_circles()?;
        Ok(rules)
    }

    /// Whether this caller may do this to this.
    pub fn judge(&self, rule: Rule, caller: &Caller<'_>, target: &Target<'_>) -> Verdict {
        self.judge_number(rule as usize, caller, target)
    }

    /// The same for a rule of any name. `None`: there is no such rule.
    pub fn judge_named(
        &self,
        name: &str,
        caller: &Caller<'_>,
        target: &Target<'_>,
    ) -> Option<Verdict> {
        let number = *self.numbers.get(name)?;
        (self.rules[number].origin != Origin::Nowhere)
            .then(|| self.judge_number(number, caller, target))
    }

    /// Of all that are defined.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.rules
            .iter()
            .filter(|ruled| ruled.origin != Origin::Nowhere)
            .map(|ruled| &*ruled.name)
    }

    /// Whether any step is under a rule of its own.
    pub fn are_about_steps(&self) -> bool {
        let written = self.rules.iter().skip(DEFAULTS.len());
        written
            .into_iter()
            .any(|ruled| ruled.name.starts_with(STEP))
    }

    /// Whether a step is under a rule of its own, and what that says.
    pub fn judge_step(
        &self,
        interface: &str,
        step: &str,
        caller: &Caller<'_>,
        target: &Target<'_>,
    ) -> Verdict {
        if self.rules.len() == DEFAULTS.len() {
            return Verdict::Yes;
        }
        self.judge_named(&format!("{STEP}{interface}.{step}"), caller, target)
            .unwrap_or(Verdict::Yes)
    }

    fn judge_number(&self, number: usize, caller: &Caller<'_>, target: &Target<'_>) -> Verdict {
        let ruled = &self.rules[number];
        if !caller.scope.is_of(ruled.scopes) {
            return Verdict::No;
        }
        ruled
            .check
            .judge(&|number| &self.rules[number].check, caller, target)
    }

    /// Names of files that are no rules of Ironic and named by none.
    fn unused(&self) -> impl Iterator<Item = &str> {
        let mut named = vec![false; self.rules.len()];
        for ruled in &self.rules {
            ruled.check.rules(&mut |number| named[number] = true);
        }
        self.rules
            .iter()
            .enumerate()
            .skip(DEFAULTS.len())
            .filter(move |(number, ruled)| {
                !named[*number] && *ruled.name != *"default" && !ruled.name.starts_with(STEP)
            })
            .map(|(_, ruled)| &*ruled.name)
    }

    fn undefined(&self) -> impl Iterator<Item = &str> {
        self.rules
            .iter()
            .filter(|ruled| ruled.origin == Origin::Nowhere)
            .map(|ruled| &*ruled.name)
    }

    /// A recursion at a request would end the program.
    fn check_circles(&self) -> Result<(), PolicyError> {
        // A rule is done when all that it leads to is.
        let mut done = vec![false; self.rules.len()];
        for start in 0..self.rules.len() {
            let mut path = vec![(start, self.leads_to(start))];
            while let Some((number, ahead)) = path.last_mut() {
                let number = *number;
                match ahead.pop() {
                    None => {
                        done[number] = true;
                        path.pop();
                    }
                    Some(next) if done[next] => {}
                    Some(next) if path.iter().any(|(on_path, _)| *on_path == next) => {
                        return Err(PolicyError::Circle(self.rules[next].name.to_string()));
                    }
                    Some(_) if path.len() > LONGEST => {
                        return Err(PolicyError::TooLong(self.rules[start].name.to_string()));
                    }
                    Some(next) => path.push((next, self.leads_to(next))),
                }
            }
        }
        Ok(())
    }

    fn leads_to(&self, number: usize) -> Vec<usize> {
        let mut numbers = Vec::new();
        self.rules[number].check.rules(&mut |to| numbers.push(to));
        numbers
    }
}

/// Each rule with where it is from, its scopes and its check.
impl fmt::Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ruled in &self.rules {
            let check = if ruled.text.is_empty() {
                "@"
            } else {
                &ruled.text
            };
            let (name, scopes) = (&ruled.name, ruled.scopes.names());
            match &ruled.origin {
                Origin::Ironic => writeln!(f, "{name}\t{scopes}\tIronic\t{check}")?,
                Origin::File(file) => writeln!(f, "{name}\t{scopes}\t{}\t{check}", file.display())?,
                Origin::Nowhere => {}
            }
        }
        Ok(())
    }
}

impl fmt::Display for CheckText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Lists(lists) => {
                let lists = lists.iter().map(|list| match list {
                    List::One(text) => text.clone(),
                    List::All(texts) => format!("({})", texts.join(" and ")),
                });
                f.write_str(&lists.collect::<Vec<_>>().join(" or "))
            }
        }
    }
}

/// Rules on their way into force.
struct Making<'a> {
    rules: Rules,
    service_project: Option<&'a str>,
}

impl Names for Making<'_> {
    fn rule(&mut self, name: &str) -> usize {
        if let Some(number) = self.rules.numbers.get(name) {
            return *number;
        }
        let number = self.rules.rules.len();
        let name: Arc<str> = name.into();
        self.rules.numbers.insert(Arc::clone(&name), number);
        self.rules.rules.push(Ruled {
            name,
            scopes: Scopes::UNREGISTERED,
            check: Check::No,
            text: String::new(),
            origin: Origin::Nowhere,
        });
        number
    }

    fn service_project(&self) -> Option<&str> {
        self.service_project
    }
}

impl Making<'_> {
    fn parse(&mut self, rule: &Written) -> Result<Check, PolicyError> {
        let parsed = match &rule.check {
            CheckText::Text(text) => grammar::parse(text, self),
            CheckText::Lists(lists) => {
                let lists: Vec<Vec<String>> = lists
                    .iter()
                    .map(|list| match list {
                        List::One(text) if text.is_empty() => Vec::new(),
                        List::One(text) => vec![text.clone()],
                        List::All(texts) => texts.clone(),
                    })
                    .collect();
                grammar::parse_lists(&lists, self)
            }
        };
        parsed.map_err(|source| PolicyError::Check {
            file: Arc::clone(&rule.file),
            rule: rule.name.clone(),
            source,
        })
    }

    /// A file's rule is that of what came of it too, unless a file says more of that (`_handle_deprecated_rule` of
    /// `oslo_policy/policy.py`): who narrowed the old one opens nothing by an upgrade.
    fn bequeath(&mut self, former: &Former) {
        let was = grammar::parse(former.check, self);
        let Ruled {
            check,
            text,
            origin,
            ..
        } = self.rules.rules[former.rule as usize].clone();
        let is_written = |origin: &Origin| matches!(origin, Origin::File(_));
        // A file that repeats what Ironic said then decides nothing: the new ones are narrower on purpose.
        if !is_written(&origin) || was.as_ref() == Ok(&check) {
            return;
        }
        for number in former.heirs.iter().map(|heir| *heir as usize) {
            // Samples that oslo.policy writes call the new one by the old name.
            let is_alias = check == Check::Rule(number);
            let heir = &mut self.rules.rules[number];
            if !is_alias && !is_written(&heir.origin) {
                heir.check.clone_from(&check);
                heir.text.clone_from(&text);
                heir.origin.clone_from(&origin);
            }
        }
    }

    /// What is only named is what the rule `default` says, if there is one (oslo.policy's `Rules.__missing__`).
    fn finish(mut self) -> Rules {
        let default = self.rules.numbers.get("default").copied();
        if let Some(default) = default
            && self.rules.rules[default].origin != Origin::Nowhere
        {
            for ruled in &mut self.rules.rules {
                if ruled.origin == Origin::Nowhere {
                    ruled.check = Check::Rule(default);
                }
            }
        }
        self.rules
    }
}

/// The rules in force, read again when their files change.
#[derive(Debug)]
pub struct Policy {
    rules: ArcSwap<Rules>,
    files: PolicyFiles,
    service_project: Option<String>,
    looked: Mutex<Looked>,
}

/// Each file with its length and time; what changes a file in place or puts another in its place changes one of them.
type State = Vec<(PathBuf, u64, Option<SystemTime>)>;

#[derive(Debug)]
struct Looked {
    /// As they were when they were read last, well or not.
    read: State,
    /// As they were at the last look.
    seen: State,
}

impl Policy {
    pub fn load(config: &PolicyConfig) -> Result<Self, PolicyError> {
        let read = state(&config.files);
        let policy = Self {
            rules: ArcSwap::from_pointee(Rules::new(Vec::new(), None)?),
            files: config.files.clone(),
            service_project: config.elevated_project.clone(),
            looked: Mutex::new(Looked {
                seen: read.clone(),
                read,
            }),
        };
        policy.reload()?;
        Ok(policy)
    }

    /// To be asked for a whole request, so that it is judged by one set of rules.
    pub fn in_force(&self) -> Arc<Rules> {
        self.rules.load_full()
    }

    fn reload(&self) -> Result<(), PolicyError> {
        let written = files::read(&self.files)?;
        let rules = Rules::new(written, self.service_project.as_deref())?;
        for name in rules.undefined() {
            warn!("Rule {name} is used by other rules and defined nowhere: it denies");
        }
        for name in rules.unused() {
            warn!(
                "Rule {name} is not one of Ironic's, and no other rule uses it: it has no effect"
            );
        }
        self.rules.store(Arc::new(rules));
        Ok(())
    }

    /// Reads the files again once they have changed and come to rest: half a file may be a looser one. Of files that
    /// cannot be used the log tells, and what is in force stays.
    pub fn look(&self) {
        let Ok(mut looked) = self.looked.lock() else {
            return;
        };
        let now = state(&self.files);
        let at_rest = now == looked.seen;
        looked.seen.clone_from(&now);
        if !at_rest || now == looked.read {
            return;
        }
        looked.read = now;
        match self.reload() {
            Ok(()) => info!("The policy files were read again"),
            Err(error) => {
                error!("The new policy files are not used, the old rules stay in force: {error}");
            }
        }
    }
}

fn state(files: &PolicyFiles) -> State {
    let paths = files::paths(files).unwrap_or_default();
    let states = paths.into_iter().map(|path| {
        let data = path.metadata().ok();
        let length = data.as_ref().map_or(0, Metadata::len);
        let changed = data.and_then(|data| data.modified().ok());
        (path, length, changed)
    });
    states.collect()
}

#[cfg(test)]
mod tests;
