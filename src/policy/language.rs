//! Checks of oslo.policy's language, evaluated without allocation; `policy/grammar.rs` reads them.

use crate::policy::caller::Caller;
use crate::policy::caller::Credential;
use crate::policy::caller::NONE;
use crate::policy::caller::same_role;
use crate::policy::targets::Fact;
use crate::policy::targets::Known;
use crate::policy::targets::Target;

/// What a check says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Yes,
    No,
    /// It depends on what nobody was asked yet.
    Open,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    Yes,
    No,
    Not(Box<Self>),
    All(Vec<Self>),
    Any(Vec<Self>),
    Rule(usize),
    Role(Text),
    /// `roles:…`, case and all.
    Listed(Text),
    Is(Left, Text),
}

/// What stands before the colon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    Literal(Box<str>),
    Credential(Credential),
}

/// What stands behind it: pieces that follow each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text(pub(super) Box<[Piece]>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    Literal(Box<str>),
    Fact(Fact),
}

impl Check {
    /// Tells each rule that this one names.
    pub(crate) fn rules(&self, tell: &mut dyn FnMut(usize)) {
        match self {
            Self::Rule(number) => tell(*number),
            Self::Not(check) => check.rules(tell),
            Self::All(checks) | Self::Any(checks) => {
                for check in checks {
                    check.rules(tell);
                }
            }
            Self::Yes | Self::No | Self::Role(_) | Self::Listed(_) | Self::Is(..) => {}
        }
    }

    /// `rules` are those that the parser's `Names` numbered; they must not lead back to each other.
    pub(crate) fn judge<'a>(
        &self,
        rules: &dyn Fn(usize) -> &'a Self,
        caller: &Caller<'_>,
        target: &Target<'_>,
    ) -> Verdict {
        match self {
            Self::Yes => Verdict::Yes,
            Self::No => Verdict::No,
            Self::Not(check) => check.judge(rules, caller, target).not(),
            Self::All(checks) => decide(checks, Verdict::No, Verdict::Yes, |check| {
                check.judge(rules, caller, target)
            }),
            Self::Any(checks) => decide(checks, Verdict::Yes, Verdict::No, |check| {
                check.judge(rules, caller, target)
            }),
            Self::Rule(number) => rules(*number).judge(rules, caller, target),
            Self::Role(text) => match text.single(caller, target) {
                Some(Known::Is(role)) => caller.has_role(role).into(),
                Some(Known::Absent) => Verdict::No,
                Some(Known::NotYet) if caller.roles.is_empty() => Verdict::No,
                Some(Known::NotYet) => Verdict::Open,
                // Nobody composes names of roles; it may cost an allocation.
                None => text.composed(caller, target, |role| {
                    caller.roles.iter().any(|held| same_role(held, role))
                }),
            },
            Self::Listed(text) => caller
                .roles
                .iter()
                .map(|role| text.equals(role, caller, target))
                .find(|verdict| *verdict != Verdict::No)
                .unwrap_or(Verdict::No),
            Self::Is(Left::Literal(literal), text) => text.equals(literal, caller, target),
            Self::Is(Left::Credential(credential), text) => match caller.value(*credential) {
                // Nobody's name is that of what is not there, so there is nothing to ask.
                Some(NONE) if text.names_a_holder() => Verdict::No,
                Some(value) => text.equals(value, caller, target),
                None => Verdict::No,
            },
        }
    }
}

/// The first `early` decides; else what is open leaves it open.
fn decide(
    checks: &[Check],
    early: Verdict,
    late: Verdict,
    judge: impl Fn(&Check) -> Verdict,
) -> Verdict {
    let mut verdict = late;
    for check in checks {
        match judge(check) {
            decided if decided == early => return early,
            Verdict::Open => verdict = Verdict::Open,
            Verdict::Yes | Verdict::No => {}
        }
    }
    verdict
}

impl Verdict {
    fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            Self::Open => Self::Open,
        }
    }
}

impl From<bool> for Verdict {
    fn from(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }
}

impl Text {
    /// Whether it says whose a thing is.
    pub(crate) fn names_a_holder(&self) -> bool {
        self.0.iter().any(|piece| match piece {
            Piece::Literal(_) => false,
            Piece::Fact(fact) => !matches!(fact, Fact::Of(_) | Fact::Absent),
        })
    }

    /// The whole of it, if it is one piece.
    fn single<'a>(&'a self, caller: &Caller<'a>, target: &Target<'a>) -> Option<Known<'a>> {
        match &*self.0 {
            [] => Some(Known::Is("")),
            [Piece::Literal(literal)] => Some(Known::Is(literal)),
            [Piece::Fact(fact)] => Some(target.fact(*fact, caller)),
            _ => None,
        }
    }

    /// Each piece in its order, as long as `take` likes them.
    fn walk(
        &self,
        caller: &Caller<'_>,
        target: &Target<'_>,
        mut take: impl FnMut(&str) -> bool,
    ) -> Verdict {
        let mut verdict = Verdict::Yes;
        for piece in &self.0 {
            let known = match piece {
                Piece::Literal(literal) => Known::Is(literal),
                Piece::Fact(fact) => target.fact(*fact, caller),
            };
            match known {
                Known::Absent => return Verdict::No,
                Known::NotYet => verdict = Verdict::Open,
                Known::Is(piece) if verdict == Verdict::Yes && !take(piece) => {
                    verdict = Verdict::No;
                }
                Known::Is(_) => {}
            }
        }
        verdict
    }

    fn equals(&self, value: &str, caller: &Caller<'_>, target: &Target<'_>) -> Verdict {
        let mut rest = Some(value);
        let verdict = self.walk(caller, target, |piece| {
            rest = rest.and_then(|rest| rest.strip_prefix(piece));
            rest.is_some()
        });
        match verdict {
            Verdict::Yes => (rest == Some("")).into(),
            other => other,
        }
    }

    fn composed(
        &self,
        caller: &Caller<'_>,
        target: &Target<'_>,
        holds: impl Fn(&str) -> bool,
    ) -> Verdict {
        let mut whole = String::new();
        match self.walk(caller, target, |piece| {
            whole.push_str(piece);
            true
        }) {
            Verdict::Yes => holds(&whole).into(),
            other => other,
        }
    }
}
