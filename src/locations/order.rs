//! What the operator wants of a location, and which questions that lets through.

use http::Method;
use jiff::Timestamp;
use serde::Deserialize;
use serde::Serialize;

use crate::api::collection::Spread;
use crate::config::State;
use crate::locations::question::Expect;
use crate::locations::question::Question;
use crate::locations::question::TOKENS_SINCE;
use crate::locations::silence::Reason;

/// What a question does where it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Read,
    /// Makes a thing that lives at this location alone.
    Create,
    /// Changes what is there, or makes what is the same everywhere.
    Write,
}

impl Act {
    pub fn of(question: &Question) -> Self {
        match &question.expect {
            Expect::Machine if question.version >= TOKENS_SINCE => Self::Write,
            _ if question.method.is_safe() => Self::Read,
            Expect::Member { collection, .. }
                if question.method == Method::POST
                    && collection.facts().spread == Spread::Located =>
            {
                Self::Create
            }
            _ => Self::Write,
        }
    }

    /// Of a request whose answer the gateway does not judge.
    pub fn by(method: &Method) -> Self {
        if method.is_safe() {
            Self::Read
        } else {
            Self::Write
        }
    }
}

/// Why a location in this state is not asked that; `None`: it is.
pub fn forbids(state: State, act: Act) -> Option<Reason> {
    match (state, act) {
        (State::Maintenance, _) => Some(Reason::Maintenance),
        (State::ReadOnly, Act::Create | Act::Write) => Some(Reason::ReadOnly),
        (State::Draining, Act::Create) => Some(Reason::Draining),
        (State::Enabled, _)
        | (State::Draining, Act::Read | Act::Write)
        | (State::ReadOnly, Act::Read) => None,
    }
}

/// The operator's word on a location.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    pub state: State,
    pub reason: Option<String>,
    pub by: Option<String>,
    /// `None`: it is the file's.
    pub since: Option<Timestamp>,
}

impl Order {
    pub fn of_file(state: State) -> Self {
        Self {
            state,
            reason: None,
            by: None,
            since: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::collection::Collection;
    use crate::api::microversion::Microversion;

    #[test]
    fn the_table_of_states() {
        use Act::*;
        #[rustfmt::skip]
        let cases = [
            (State::Enabled, [(Read, None), (Create, None), (Write, None)]),
            (State::Draining, [(Read, None), (Create, Some(Reason::Draining)), (Write, None)]),
            (State::ReadOnly, [(Read, None), (Create, Some(Reason::ReadOnly)), (Write, Some(Reason::ReadOnly))]),
            (State::Maintenance, [
                (Read, Some(Reason::Maintenance)), (Create, Some(Reason::Maintenance)), (Write, Some(Reason::Maintenance)),
            ]),
        ];
        for (state, acts) in cases {
            for (act, expected) in acts {
                assert_eq!(forbids(state, act), expected, "{state:?} {act:?}");
            }
        }
    }

    #[test]
    fn what_a_question_does() {
        let question = |method: Method, expect| Question {
            method,
            ..Question::get("/v1/x".to_owned(), Microversion::new(1, 90)).expecting(expect)
        };
        let member = |collection| Expect::Member {
            collection,
            ident: None,
        };
        for (method, expect, act) in [
            (Method::GET, member(Collection::Nodes), Act::Read),
            (Method::HEAD, Expect::Unknown, Act::Read),
            (Method::GET, Expect::Machine, Act::Write),
            (Method::POST, member(Collection::Nodes), Act::Create),
            (Method::POST, member(Collection::Ports), Act::Create),
            (Method::POST, member(Collection::Allocations), Act::Create),
            (Method::POST, member(Collection::Chassis), Act::Write),
            (Method::PATCH, member(Collection::Nodes), Act::Write),
            (Method::POST, Expect::Effect, Act::Write),
            (Method::PUT, Expect::Effect, Act::Write),
            (Method::DELETE, Expect::Effect, Act::Write),
        ] {
            assert_eq!(Act::of(&question(method.clone(), expect)), act, "{method}");
        }
        let quiet = Question {
            version: Microversion::new(1, 61),
            ..question(Method::GET, Expect::Machine)
        };
        assert_eq!(Act::of(&quiet), Act::Read);
    }
}
