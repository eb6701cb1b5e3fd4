//! The result of looking for a thing.

use http::StatusCode;
use thiserror::Error;
use uuid::Uuid;

use crate::config::LocationId;
use crate::locations::silence::Reason;
use crate::locations::silence::Silence;
use crate::wire::transport::Reply;

/// Who has a thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    pub location: LocationId,
    /// What the location calls it, if it was asked just now.
    pub uuid: Option<Uuid>,
    pub source: Source,
}

impl Owner {
    /// Found there within this request.
    pub fn asked(location: LocationId) -> Self {
        Self {
            location,
            uuid: None,
            source: Source::Asked,
        }
    }
}

/// How we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// From the directory: it may be gone.
    Remembered,
    /// The location has just said so.
    Asked,
    /// The client says so.
    Pinned,
}

/// Why no single location is known to have it.
#[derive(Clone, Debug, Error)]
pub enum LocateError {
    /// Every location was asked, now, and said no: the words of the first one.
    #[error("no location has it")]
    Nobody {
        first: LocationId,
        reply: Box<Reply>,
    },
    /// All others said no, and this location did not say: with 401 or 403, to the user's own token.
    #[error("a location does not say whether it has it")]
    Refused { by: LocationId, reply: Box<Reply> },
    /// Two things have the name.
    #[error("more than one location has it")]
    Ambiguous { owners: Vec<LocationId> },
    /// More than one location says that it has the thing with this UUID.
    #[error("more than one location claims it")]
    Contested { owners: Vec<LocationId> },
    /// Some said no, these could not be asked.
    #[error("not every location could be asked")]
    Unasked { silent: Vec<Silence> },
    /// No location ever told its versions.
    #[error("no location is known")]
    Unready,
}

pub type Verdict = Result<Owner, LocateError>;

/// What locations said, one by one.
#[derive(Debug, Default)]
pub struct Tally {
    pub owners: Vec<(Owner, Reply)>,
    refusals: Vec<(LocationId, Reply)>,
    pub silent: Vec<Silence>,
}

impl Tally {
    pub fn says_no(&mut self, location: LocationId, reply: Reply) {
        self.refusals.push((location, reply));
    }

    /// A location does not answer the question.
    pub fn refuses(&mut self, location: LocationId, reply: Reply) {
        // A 400 is Ironic's answer to what cannot be an identifier. With the user's own token, Ironic may refuse the
        // user.
        if is_final(reply.status) {
            self.refusals.push((location, reply));
        } else {
            // It did not say whether it has it.
            self.silent.push(Silence {
                location,
                reason: Reason::Status,
                sent: false,
                reply: None,
            });
        }
    }

    /// Why what none of the owners has may be there all the same; `None`: all others said no.
    pub fn doubt(&self) -> Option<LocateError> {
        if !self.silent.is_empty() {
            let silent = self.in_order();
            return Some(LocateError::Unasked { silent });
        }
        // These did not say no.
        let refused = self.refusals.iter();
        let refused = refused.filter(|(_, reply)| !says_no(reply.status));
        let (by, reply) = refused.min_by_key(|(location, _)| *location)?;
        Some(LocateError::Refused {
            by: *by,
            reply: Box::new(reply.clone()),
        })
    }

    /// All of them said no.
    fn absence(self) -> LocateError {
        let first = self
            .refusals
            .into_iter()
            .min_by_key(|(location, _)| *location);
        match first {
            Some((first, reply)) => LocateError::Nobody {
                first,
                reply: Box::new(reply),
            },
            // There is none.
            None => LocateError::Unasked { silent: Vec::new() },
        }
    }

    /// Answers arrive in any order; error texts name locations in the order of the configuration.
    fn in_order(&self) -> Vec<Silence> {
        let mut silent = self.silent.clone();
        silent.sort_by_key(|silence| silence.location);
        silent
    }

    /// `is_name`: two things may have it. `known`: who had it before another location claimed it.
    pub fn verdict(
        mut self,
        is_name: bool,
        known: Option<LocationId>,
    ) -> Result<(Owner, Reply), LocateError> {
        let is_silent = |id| self.silent.iter().any(|silence| silence.location == id);
        match self.owners.len() {
            // A second location must not take a thing over, with the BMC passwords in its patches, while the first is
            // silent.
            1 if known.is_some_and(is_silent) => Err(LocateError::Unasked {
                silent: self.in_order(),
            }),
            1 => Ok(self.owners.remove(0)),
            0 => Err(self.doubt().unwrap_or_else(|| self.absence())),
            _ => {
                let mut owners: Vec<_> = self
                    .owners
                    .iter()
                    .map(|(owner, _)| owner.location)
                    .collect();
                owners.sort_unstable();
                if is_name {
                    Err(LocateError::Ambiguous { owners })
                } else {
                    Err(LocateError::Contested { owners })
                }
            }
        }
    }
}

/// Whether a location has said that it has no such thing.
pub fn says_no(status: StatusCode) -> bool {
    matches!(status, StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST)
}

fn is_final(status: StatusCode) -> bool {
    says_no(status) || matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(location: u16) -> Owner {
        Owner {
            location: LocationId(location),
            uuid: None,
            source: Source::Asked,
        }
    }

    fn reply(status: u16) -> Reply {
        Reply {
            status: StatusCode::from_u16(status).unwrap(),
            headers: http::HeaderMap::new(),
            body: "no".into(),
        }
    }

    fn tally(owners: &[u16], refusals: &[(u16, u16)], silent: &[u16]) -> Tally {
        let silence = |location: &u16| Silence {
            location: LocationId(*location),
            reason: Reason::Timeout,
            sent: false,
            reply: None,
        };
        let mut tally = Tally {
            owners: owners.iter().map(|id| (owner(*id), reply(200))).collect(),
            refusals: Vec::new(),
            silent: silent.iter().map(silence).collect(),
        };
        for (location, status) in refusals {
            tally.refuses(LocationId(*location), reply(*status));
        }
        tally
    }

    fn silent(error: &LocateError) -> Vec<u16> {
        match error {
            LocateError::Unasked { silent } => silent.iter().map(|one| one.location.0).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn verdicts() {
        let verdict = |owners, refusals, silent| {
            let found = tally(owners, refusals, silent).verdict(true, None);
            found.map(|(owner, _)| owner)
        };
        let no: &[_] = &[(3, 404), (2, 404)];
        assert!(matches!(
            verdict(&[], no, &[]),
            Err(LocateError::Nobody {
                first: LocationId(2),
                ..
            })
        ));
        assert_eq!(silent(&verdict(&[], no, &[1, 0]).unwrap_err()), [0, 1]);
        assert_eq!(verdict(&[1], no, &[]).unwrap(), owner(1));
        assert_eq!(
            verdict(&[1], &[], &[0, 2]).unwrap(),
            owner(1),
            "one owner is served, whoever is silent"
        );
        assert!(
            matches!(verdict(&[2, 1], &[], &[]), Err(LocateError::Ambiguous { owners }) if owners == [LocationId(1), LocationId(2)])
        );
    }

    #[test]
    fn what_no_owner_has_is_in_doubt_unless_all_others_say_no() {
        let doubt = |refusals, silent| tally(&[1], refusals, silent).doubt();
        assert!(doubt(&[], &[]).is_none());
        assert!(doubt(&[(2, 404), (0, 400)], &[]).is_none());
        assert_eq!(silent(&doubt(&[(0, 403)], &[3, 2]).unwrap()), [2, 3]);
        assert_eq!(silent(&doubt(&[(0, 406)], &[]).unwrap()), [0]);
        assert!(matches!(
            doubt(&[(3, 404), (2, 403)], &[]),
            Some(LocateError::Refused {
                by: LocationId(2),
                ..
            })
        ));
    }

    #[test]
    fn only_no_is_no() {
        for (status, says_no) in [(404, true), (400, true), (406, false), (409, false)] {
            let found = tally(&[], &[(0, 404), (1, status)], &[]).verdict(true, None);
            let is_absent = matches!(found, Err(LocateError::Nobody { .. }));
            assert_eq!(is_absent, says_no, "{status}");
        }
        for status in [401, 403] {
            let found = tally(&[], &[(0, 404), (1, status)], &[]).verdict(true, None);
            assert!(
                matches!(
                    found,
                    Err(LocateError::Refused {
                        by: LocationId(1),
                        ..
                    })
                ),
                "{status}"
            );
        }
    }

    #[test]
    fn a_claim_counts_only_if_who_had_it_can_be_asked() {
        let known = Some(LocationId(0));
        let verdict = |owners, refusals, silent| {
            let found = tally(owners, refusals, silent).verdict(false, known);
            found.map(|(owner, _)| owner)
        };
        assert_eq!(silent(&verdict(&[1], &[], &[0]).unwrap_err()), [0]);
        assert_eq!(verdict(&[1], &[(0, 404)], &[]).unwrap(), owner(1));
        assert_eq!(verdict(&[0], &[], &[1]).unwrap(), owner(0));
        assert!(matches!(
            verdict(&[0, 1], &[], &[]),
            Err(LocateError::Contested { .. })
        ));
    }
}
