//! What a look-up teaches the directory.

use crate::config::LocationId;
use crate::locate::directory::Asked;
use crate::locate::verdict::LocateError;
use crate::locate::verdict::Owner;
use crate::wire::transport::Reply;

/// What was known when everybody was asked.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// Who had it. Nobody else is believed while that location is silent.
    pub at: Option<LocationId>,
    /// Another location claims it.
    pub is_contested: bool,
    /// It was asked for whatever is known, since a location has said otherwise: only what is confirmed stays.
    pub is_doubted: bool,
}

/// What becomes of the directory's entry.
#[derive(Debug)]
pub enum Lesson<'f> {
    Keep,
    Forget,
    /// One location has it.
    Learn {
        found: &'f (Owner, Reply),
        /// What else was known of it goes first.
        afresh: bool,
        /// Nobody else has it, whatever was known.
        alone: bool,
    },
    /// More than one has it: every later request asks all of them.
    Contest(&'f [LocationId]),
}

impl<'f> Lesson<'f> {
    /// `asked`: who has answered.
    pub fn of(
        found: &'f Result<(Owner, Reply), LocateError>,
        known: Known,
        is_uuid: bool,
        asked: Asked,
    ) -> Self {
        match found {
            Ok(found) => {
                // Nobody else is found while who had it is silent, so that one has said no.
                let has_moved = known.at.is_some_and(|at| at != found.0.location);
                Self::Learn {
                    found,
                    // A contest ends with everybody's answer, not with one.
                    afresh: known.is_doubted && !known.is_contested,
                    alone: asked == Asked::All || (is_uuid && has_moved),
                }
            }
            Err(LocateError::Contested { owners }) => Self::Contest(owners),
            // A location must not draw to itself what another one has that is only silent.
            Err(LocateError::Unasked { silent })
                if silent
                    .iter()
                    .any(|silence| Some(silence.location) == known.at) =>
            {
                Self::Keep
            }
            Err(_) if known.is_doubted => Self::Forget,
            Err(_) => Self::Keep,
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use http::StatusCode;

    use super::*;
    use crate::locations::silence::Reason;
    use crate::locations::silence::Silence;

    const HERE: LocationId = LocationId(0);
    const THERE: LocationId = LocationId(1);
    const NEW: Known = Known {
        at: None,
        is_contested: false,
        is_doubted: false,
    };
    const DOUBTED: Known = Known {
        at: Some(HERE),
        is_doubted: true,
        ..NEW
    };
    const CONTESTED: Known = Known {
        at: Some(HERE),
        is_contested: true,
        ..NEW
    };
    const BOTH: Known = Known {
        is_doubted: true,
        ..CONTESTED
    };

    fn reply() -> Reply {
        Reply {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body: "{}".into(),
        }
    }

    fn unasked(location: LocationId) -> LocateError {
        let silence = Silence {
            location,
            reason: Reason::Timeout,
            sent: false,
            reply: None,
        };
        LocateError::Unasked {
            silent: vec![silence],
        }
    }

    #[test]
    fn who_has_it_is_learnt() {
        // Of a UUID, then of a name: whether it is somebody's alone though not everybody has answered.
        for (known, at, is_afresh, alone) in [
            (NEW, HERE, false, [false, false]),
            (DOUBTED, HERE, true, [false, false]),
            (DOUBTED, THERE, true, [true, false]),
            (CONTESTED, HERE, false, [false, false]),
            (CONTESTED, THERE, false, [true, false]),
            (BOTH, HERE, false, [false, false]),
            (BOTH, THERE, false, [true, false]),
        ] {
            let found = Ok((Owner::asked(at), reply()));
            for (is_uuid, by_some) in [true, false].into_iter().zip(alone) {
                for (asked, is_alone) in [(Asked::Some, by_some), (Asked::All, true)] {
                    match Lesson::of(&found, known, is_uuid, asked) {
                        Lesson::Learn { afresh, alone, .. } => assert_eq!(
                            (afresh, alone),
                            (is_afresh, is_alone),
                            "{known:?} {at:?} {is_uuid} {asked:?}"
                        ),
                        other => panic!("{other:?}"),
                    }
                }
            }
        }
    }

    #[test]
    fn what_nobody_is_known_to_have_is_forgotten_if_it_was_doubted() {
        let nobody = LocateError::Nobody {
            first: HERE,
            reply: Box::new(reply()),
        };
        let ambiguous = LocateError::Ambiguous {
            owners: vec![HERE, THERE],
        };
        for (error, is_kept_anyway) in [
            (nobody, false),
            (ambiguous, false),
            (unasked(THERE), false),
            (unasked(HERE), true),
        ] {
            let found = Err(error);
            for known in [NEW, CONTESTED, DOUBTED, BOTH] {
                let lesson = Lesson::of(&found, known, true, Asked::Some);
                let is_kept = is_kept_anyway || !known.is_doubted;
                match lesson {
                    Lesson::Keep => assert!(is_kept, "{found:?} {known:?}"),
                    Lesson::Forget => assert!(!is_kept, "{found:?} {known:?}"),
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    #[test]
    fn what_two_have_is_contested_whatever_was_known() {
        let owners = vec![HERE, THERE];
        let found = Err(LocateError::Contested { owners });
        for known in [NEW, CONTESTED, DOUBTED, BOTH] {
            let lesson = Lesson::of(&found, known, true, Asked::All);
            assert!(matches!(lesson, Lesson::Contest([HERE, THERE])));
        }
    }
}
