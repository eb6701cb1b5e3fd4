//! The sources as the tests of the house read them.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::sync::OnceLock;

use proc_macro2::LineColumn;
use syn::spanned::Spanned;
use syn::visit::Visit;

/// One source file.
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    /// Its module path below the crate's root, such as `gateway::door`.
    pub(crate) module: String,
    /// All of it, without lines that are comments.
    pub(crate) text: String,
    /// The lines that run, comments included: no tests.
    pub(crate) production: String,
    /// All of it is compiled for tests alone.
    pub(crate) is_of_tests: bool,
}

impl Source {
    /// The top-level room.
    pub(crate) fn room(&self) -> &str {
        self.module.split("::").next().unwrap()
    }
}

/// Every file of `src/`, by module.
pub(crate) fn sources() -> &'static [Source] {
    static SOURCES: OnceLock<Vec<Source>> = OnceLock::new();
    SOURCES.get_or_init(read)
}

fn read() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut tests = Vec::new();
    let mut directories = vec![root.clone()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let below = path.strip_prefix(&root).unwrap().with_extension("");
                let parts: Vec<_> = below.iter().map(|part| part.to_str().unwrap()).collect();
                let whole = fs::read_to_string(&path).unwrap();
                let module = parts.join("::");
                tests.extend(modules_of_tests(&module, &whole));
                found.push(Source {
                    module,
                    is_of_tests: false,
                    text: without_comments(&whole),
                    production: without_tests(&whole),
                    path,
                });
            }
        }
    }
    for source in &mut found {
        let below = |test: &String| {
            let rest = source.module.strip_prefix(test.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        };
        source.is_of_tests = tests.iter().any(below);
    }
    found.sort_by(|left, right| left.module.cmp(&right.module));
    found
}

/// The files that a `#[cfg(test)] mod …;` brings in.
fn modules_of_tests(module: &str, text: &str) -> Vec<String> {
    let items = syn::parse_file(text).unwrap().items.into_iter();
    let declared = items.filter_map(|item| match item {
        syn::Item::Mod(item) if item.content.is_none() => Some(item),
        _ => None,
    });
    declared
        .filter(|item| item.attrs.iter().any(is_for_tests))
        .map(|item| match module {
            "lib" | "main" => item.ident.to_string(),
            _ => format!("{module}::{}", item.ident),
        })
        .collect()
}

pub(crate) fn without_comments(text: &str) -> String {
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    text.lines().filter(is_code).collect::<Vec<_>>().join("\n")
}

/// Blanks every item that is compiled for tests alone; line numbers stay.
fn without_tests(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    for item in syn::parse_file(text).unwrap().items {
        if attributes(&item).iter().any(is_for_tests) {
            let (start, end) = (item.span().start().line, item.span().end().line);
            lines[start - 1..end].fill("");
        }
    }
    lines.join("\n")
}

fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Const(item) => &item.attrs,
        _ => &[],
    }
}

fn is_for_tests(attribute: &syn::Attribute) -> bool {
    let syn::Meta::List(list) = &attribute.meta else {
        return attribute.path().is_ident("test");
    };
    list.path.is_ident("cfg") && list.tokens.to_string() == "test"
}

/// Every path that begins at the crate's root.
pub(crate) fn imports(text: &str) -> Vec<&str> {
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

/// For each file the files of the same room that it imports from.
pub(crate) fn arrows(sources: &[Source]) -> BTreeMap<&str, BTreeSet<&str>> {
    let production = || sources.iter().filter(|source| !source.is_of_tests);
    let target = |path: &str| {
        production()
            .map(|source| source.module.as_str())
            .filter(|module| {
                path.strip_prefix(module)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
            })
            .max_by_key(|module| module.len())
    };
    production()
        .map(|source| {
            let code = without_comments(&source.production);
            let own = source.module.as_str();
            let to = imports(&code)
                .into_iter()
                .filter_map(target)
                .filter(|module| {
                    *module != own && module.split("::").next() == own.split("::").next()
                })
                .collect();
            (own, to)
        })
        .collect()
}

/// The files that lead back to themselves, in groups that are one circle; the biggest first.
pub(crate) fn circles<'a>(arrows: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> Vec<BTreeSet<&'a str>> {
    let reach = |start: &'a str| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![start]);
        while let Some(file) = next.pop() {
            for to in arrows.get(file).into_iter().flatten() {
                if seen.insert(*to) {
                    next.push(to);
                }
            }
        }
        seen
    };
    let reached: BTreeMap<&str, BTreeSet<&str>> =
        arrows.keys().map(|file| (*file, reach(file))).collect();
    let mut found: Vec<BTreeSet<&str>> = Vec::new();
    for (file, to) in &reached {
        if !to.contains(file) || found.iter().any(|circle| circle.contains(file)) {
            continue;
        }
        let circle = to.iter().filter(|other| reached[*other].contains(file));
        found.push(circle.copied().collect());
    }
    found.sort_by_key(|circle| std::cmp::Reverse(circle.len()));
    found
}

/// A function as it is declared.
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) module: String,
    /// The receiver counts: what it brings has to be known too.
    pub(crate) parameters: usize,
    pub(crate) lines: usize,
    /// The signature is ours, not that of a trait.
    pub(crate) is_ours: bool,
}

/// Every function outside of tests.
pub(crate) fn functions(sources: &[Source]) -> Vec<Function> {
    let mut found = Vec::new();
    for source in sources.iter().filter(|source| !source.is_of_tests) {
        let mut walk = Walk {
            module: &source.module,
            owner: None,
            is_ours: true,
            found: &mut found,
        };
        walk.visit_file(&syn::parse_file(&source.production).unwrap());
    }
    found
}

struct Walk<'a> {
    module: &'a str,
    owner: Option<String>,
    is_ours: bool,
    found: &'a mut Vec<Function>,
}

impl Walk<'_> {
    fn add(&mut self, signature: &syn::Signature, start: LineColumn, end: LineColumn) {
        let owner = self.owner.iter().map(|owner| format!("{owner}::"));
        self.found.push(Function {
            name: format!("{}{}", owner.collect::<String>(), signature.ident),
            module: self.module.to_owned(),
            parameters: signature.inputs.len(),
            lines: end.line - start.line + 1,
            is_ours: self.is_ours,
        });
    }
}

impl<'ast> Visit<'ast> for Walk<'_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.add(&item.sig, item.sig.span().start(), item.span().end());
        syn::visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.add(&item.sig, item.sig.span().start(), item.span().end());
        syn::visit::visit_impl_item_fn(self, item);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        self.owner = type_name(&item.self_ty);
        self.is_ours = item.trait_.is_none();
        syn::visit::visit_item_impl(self, item);
        (self.owner, self.is_ours) = (None, true);
    }
}

fn type_name(of: &syn::Type) -> Option<String> {
    match of {
        syn::Type::Path(path) => path.path.segments.last().map(|last| last.ident.to_string()),
        _ => None,
    }
}

/// The files in which each type has methods of its own; a type is a name in a room.
pub(crate) fn homes(sources: &[Source]) -> BTreeMap<(String, String), BTreeSet<String>> {
    let mut homes: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
    for source in sources.iter().filter(|source| !source.is_of_tests) {
        for item in syn::parse_file(&source.production).unwrap().items {
            let syn::Item::Impl(item) = item else {
                continue;
            };
            let name = type_name(&item.self_ty);
            if let (None, Some(name)) = (&item.trait_, name) {
                let key = (source.room().to_owned(), name);
                homes.entry(key).or_default().insert(source.module.clone());
            }
        }
    }
    homes
}
