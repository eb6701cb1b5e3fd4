//! Reads oslo.policy's language of checks, once at the start.
//!
//! Where oslo.policy logs a mistake and denies, or raises an error while it serves a request, this parser reports an
//! error: a file with a mistake in it is refused as a whole.

use thiserror::Error;

use crate::policy::caller::Credential;
use crate::policy::caller::NONE;
use crate::policy::language::Check;
use crate::policy::language::Left;
use crate::policy::language::Piece;
use crate::policy::language::Text;
use crate::policy::targets::Fact;

/// Parentheses and `not` within each other.
const DEEPEST: usize = 100;

/// Why a text is no check.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LanguageError {
    #[error("{0:?} asks another server, which is not supported; write the check itself")]
    Remote(String),
    #[error("{0:?} is not a check; KIND:VALUE, @ or ! is expected")]
    NoCheck(String),
    #[error("{0:?}: rule, role, a credential or a 'literal' is expected before the colon")]
    Kind(String),
    #[error("{0:?}: only %(NAME)s and %% are understood after the colon")]
    Format(String),
    #[error(
        "{0:?} asks whether the thing is nobody's, which is not supported; name a role or a project"
    )]
    Nobody(String),
    #[error("something is missing before {0:?}")]
    Unexpected(String),
    #[error("something is missing at the end")]
    Incomplete,
    #[error("`and` or `or` is missing before {0:?}")]
    NoOperator(String),
    #[error("a parenthesis is not closed")]
    Open,
    #[error("it is nested more than {DEEPEST} levels deep")]
    TooDeep,
}

/// Names of rules, as numbers; what the configuration adds to every target.
pub(crate) trait Names {
    fn rule(&mut self, name: &str) -> usize;

    /// `config.service_project_name`
    fn service_project(&self) -> Option<&str>;
}

/// Reads a text of the language.
pub(crate) fn parse(text: &str, names: &mut dyn Names) -> Result<Check, LanguageError> {
    // oslo.policy: a rule that says nothing lets everybody in.
    if text.is_empty() {
        return Ok(Check::Yes);
    }
    let mut parser = Parser {
        tokens: tokens(text)?,
        names,
    };
    // The next token is popped off the end.
    parser.tokens.reverse();
    let check = parser.any(0)?;
    match parser.tokens.pop() {
        None => Ok(check),
        Some(token) => Err(LanguageError::NoOperator(token.text().to_owned())),
    }
}

/// Reads what oslo.policy had before there was a language: one of these lists must say yes, and each says yes if all in
/// it do.
pub(crate) fn parse_lists(
    lists: &[Vec<String>],
    names: &mut dyn Names,
) -> Result<Check, LanguageError> {
    if lists.is_empty() {
        return Ok(Check::Yes);
    }
    lists
        .iter()
        .filter(|list| !list.is_empty())
        .map(|list| {
            let checks = list.iter().map(|text| single(text, names));
            let checks = checks.collect::<Result<_, _>>()?;
            Ok(one_or(checks, Check::All))
        })
        .collect::<Result<_, _>>()
        .map(|checks| one_or(checks, Check::Any))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    Left,
    Right,
    And,
    Or,
    Not,
    Check(&'a str),
}

impl<'a> Token<'a> {
    fn text(self) -> &'a str {
        match self {
            Self::Left => "(",
            Self::Right => ")",
            Self::And => "and",
            Self::Or => "or",
            Self::Not => "not",
            Self::Check(text) => text,
        }
    }
}

/// Words between blanks. Parentheses count at the ends of a word only, since `%(name)s` holds some.
fn tokens(text: &str) -> Result<Vec<Token<'_>>, LanguageError> {
    let mut tokens = Vec::new();
    let is_space = |c: char| c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c);
    for word in text.split(is_space).filter(|word| !word.is_empty()) {
        let opened = word.trim_start_matches('(');
        tokens.extend(std::iter::repeat_n(Token::Left, word.len() - opened.len()));
        let clean = opened.trim_end_matches(')');
        match clean.to_ascii_lowercase().as_str() {
            "" => {}
            "and" => tokens.push(Token::And),
            "or" => tokens.push(Token::Or),
            "not" => tokens.push(Token::Not),
            _ => {
                let quoted = |quote| {
                    opened.len() >= 2 && opened.starts_with(quote) && opened.ends_with(quote)
                };
                if quoted('"') || quoted('\'') {
                    return Err(LanguageError::NoCheck(opened.to_owned()));
                }
                tokens.push(Token::Check(clean));
            }
        }
        tokens.extend(std::iter::repeat_n(
            Token::Right,
            opened.len() - clean.len(),
        ));
    }
    Ok(tokens)
}

struct Parser<'t, 'n> {
    /// The next one is the last.
    tokens: Vec<Token<'t>>,
    names: &'n mut dyn Names,
}

impl Parser<'_, '_> {
    fn takes(&mut self, token: Token<'_>) -> bool {
        let there = self.tokens.last() == Some(&token);
        if there {
            self.tokens.pop();
        }
        there
    }

    fn any(&mut self, depth: usize) -> Result<Check, LanguageError> {
        let mut checks = vec![self.all(depth)?];
        while self.takes(Token::Or) {
            checks.push(self.all(depth)?);
        }
        Ok(one_or(checks, Check::Any))
    }

    fn all(&mut self, depth: usize) -> Result<Check, LanguageError> {
        let mut checks = vec![self.one(depth)?];
        while self.takes(Token::And) {
            checks.push(self.one(depth)?);
        }
        Ok(one_or(checks, Check::All))
    }

    fn one(&mut self, depth: usize) -> Result<Check, LanguageError> {
        if depth > DEEPEST {
            return Err(LanguageError::TooDeep);
        }
        match self.tokens.pop() {
            Some(Token::Not) => Ok(Check::Not(Box::new(self.one(depth + 1)?))),
            Some(Token::Left) => {
                let check = self.any(depth + 1)?;
                match self.tokens.pop() {
                    Some(Token::Right) => Ok(check),
                    Some(token) => Err(LanguageError::NoOperator(token.text().to_owned())),
                    None => Err(LanguageError::Open),
                }
            }
            Some(Token::Check(text)) => single(text, self.names),
            Some(token) => Err(LanguageError::Unexpected(token.text().to_owned())),
            None => Err(LanguageError::Incomplete),
        }
    }
}

fn one_or(mut checks: Vec<Check>, join: fn(Vec<Check>) -> Check) -> Check {
    match checks.pop() {
        Some(only) if checks.is_empty() => only,
        last => {
            checks.extend(last);
            join(checks)
        }
    }
}

/// One check, without operators.
fn single(text: &str, names: &mut dyn Names) -> Result<Check, LanguageError> {
    match text {
        "@" => return Ok(Check::Yes),
        "!" => return Ok(Check::No),
        _ => {}
    }
    let no_check = || LanguageError::NoCheck(text.to_owned());
    let (kind, value) = text.split_once(':').ok_or_else(no_check)?;
    match kind {
        "http" | "https" => return Err(LanguageError::Remote(text.to_owned())),
        "rule" => return Ok(Check::Rule(names.rule(value))),
        _ => {}
    }
    let Some(value) = format(value, names).map_err(|Unreadable| format_error(text))? else {
        // Checked all the same: an operator's slip does not depend on an option.
        left(kind, text)?;
        return Ok(Check::No);
    };
    Ok(match kind {
        "role" => Check::Role(value),
        "roles" => Check::Listed(value),
        _ => match left(kind, text)? {
            // For Ironic what nobody holds is held by `None`, in some rules; here it is held by nobody. So this could never
            // hold, and `not` would let in whom it is to keep out.
            Some(Left::Literal(literal)) if *literal == *NONE && value.names_a_holder() => {
                return Err(LanguageError::Nobody(text.to_owned()));
            }
            Some(left) => Check::Is(left, value),
            // No credential has this name, so it equals nothing.
            None => Check::No,
        },
    })
}

fn format_error(text: &str) -> LanguageError {
    LanguageError::Format(text.to_owned())
}

struct Unreadable;

/// Python's `VALUE % target`. `None`: it names what no target has.
fn format(value: &str, names: &dyn Names) -> Result<Option<Text>, Unreadable> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once('%') {
        literal.push_str(before);
        if let Some(after) = after.strip_prefix('%') {
            literal.push('%');
            rest = after;
            continue;
        }
        let (name, after) = after
            .strip_prefix('(')
            .and_then(|after| after.split_once(")s"))
            .filter(|(name, _)| !name.contains(['(', ')']))
            .ok_or(Unreadable)?;
        rest = after;
        if name == "config.service_project_name" {
            let Some(project) = names.service_project() else {
                return Ok(None);
            };
            literal.push_str(project);
            continue;
        }
        match Fact::named(name) {
            Fact::Absent => return Ok(None),
            fact => {
                if !literal.is_empty() {
                    pieces.push(Piece::Literal(std::mem::take(&mut literal).into()));
                }
                pieces.push(Piece::Fact(fact));
            }
        }
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal.into()));
    }
    Ok(Some(Text(pieces.into())))
}

/// What stands before the colon; Python's `ast.literal_eval` tries it first. `None`: no credential has this name.
fn left(kind: &str, text: &str) -> Result<Option<Left>, LanguageError> {
    if matches!(kind, "role" | "roles") {
        return Ok(None);
    }
    let quoted = |quote| {
        kind.strip_prefix(quote)
            .and_then(|rest| rest.strip_suffix(quote))
            .filter(|inner: &&str| !inner.contains(['\\', quote]))
    };
    if let Some(inner) = quoted('\'').or_else(|| quoted('"')) {
        return Ok(Some(Left::Literal(inner.into())));
    }
    let number = kind
        .strip_prefix('-')
        .unwrap_or(kind)
        .bytes()
        .all(|byte| byte.is_ascii_digit());
    let is_plain = kind == "0" || !kind.trim_start_matches('-').starts_with('0');
    if matches!(kind, "True" | "False" | "None") || (number && is_plain && kind.len() < 10) {
        if kind.is_empty() || kind == "-" {
            return Err(LanguageError::Kind(text.to_owned()));
        }
        return Ok(Some(Left::Literal(kind.into())));
    }
    let is_word = |word: &str| {
        word.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
            && word
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && !KEYWORDS.contains(&word)
    };
    if kind.split('.').all(is_word) {
        Ok(Credential::named(kind).map(Left::Credential))
    } else {
        Err(LanguageError::Kind(text.to_owned()))
    }
}

/// Python's, at which `literal_eval` raises.
const KEYWORDS: &[&str] = &[
    "and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del", "elif",
    "else", "except", "finally", "for", "from", "global", "if", "import", "in", "is", "lambda",
    "nonlocal", "not", "or", "pass", "raise", "return", "try", "while", "with", "yield",
];
