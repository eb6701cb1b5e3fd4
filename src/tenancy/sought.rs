//! Which of the things that are called alike a caller means: the one that it may see.

use std::iter;

use crate::api::collection::Collection;
use crate::api::identifier::is_uuid_like;
use crate::config::LocationId;
use crate::federate::Error;
use crate::locate::LocateError;
use crate::locate::directory::Key;
use crate::locate::verdict::Tally;
use crate::locations::silence::Reason;
use crate::locations::silence::Silence;
use crate::locations::window::ask_all;
use crate::tenancy::case::Case;
use crate::tenancy::case::Found;
use crate::tenancy::case::LookUp;

/// A thing that is looked up to be judged.
pub(crate) trait Sighted: Sized {
    /// Members to judge it by.
    const FIELDS: &str;

    /// `None`: what was found is none.
    async fn read(case: &Case<'_>, found: Found) -> Result<Option<Self>, Error>;

    fn at(&self) -> Option<LocationId>;
}

/// What came of looking for a thing of the caller's.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Sought<T> {
    One(T),
    /// There is one that the caller may not see: absent to the client, not to the audit.
    Hidden(T),
    Absent,
}

impl<T: Sighted> Sought<T> {
    /// Two that may be meant are an error that says where they are.
    fn among(things: Vec<T>, is_meant: impl Fn(&T) -> bool) -> Result<Self, Error> {
        let (mut meant, hidden): (Vec<_>, Vec<_>) = things.into_iter().partition(is_meant);
        if meant.len() > 1 {
            let owners = meant.iter().filter_map(T::at).collect();
            return Err(LocateError::Ambiguous { owners }.into());
        }
        let hidden = hidden.into_iter().next().map_or(Self::Absent, Self::Hidden);
        Ok(meant.pop().map_or(hidden, Self::One))
    }

    /// Where nothing was meant, what came of looking further.
    pub(crate) fn or(self, further: Self) -> Self {
        match (self, further) {
            (Self::One(one), _) | (_, Self::One(one)) => Self::One(one),
            (Self::Hidden(hidden), _) | (_, Self::Hidden(hidden)) => Self::Hidden(hidden),
            (Self::Absent, Self::Absent) => Self::Absent,
        }
    }

    pub(crate) fn one(self) -> Option<T> {
        match self {
            Self::One(one) => Some(one),
            Self::Hidden(_) | Self::Absent => None,
        }
    }
}

/// Looks for what a caller calls so.
#[derive(Clone, Copy)]
pub(crate) struct Search<'s, 'c> {
    pub(crate) case: &'s Case<'c>,
    pub(crate) thing: (Collection, &'s str),
}

impl Search<'_, '_> {
    /// The one that is meant, at one location if one is named.
    pub(crate) async fn seek<T: Sighted>(
        self,
        at: Option<LocationId>,
        is_meant: impl Fn(&T) -> bool,
    ) -> Result<Sought<T>, Error> {
        let look_up = self.case.look_up_at(self.thing, T::FIELDS, at).await?;
        let LookUp { found, owners } = look_up;
        let mut things = Vec::new();
        for found in found {
            things.extend(T::read(self.case, found).await?);
        }
        let here = Sought::among(things, &is_meant)?;
        if matches!(here, Sought::One(_)) || at.is_some() {
            return Ok(here);
        }
        let there = self.seek_beside(&owners, is_meant).await?;
        Ok(here.or(there))
    }

    /// The same where nothing that these locations call so is meant: to the caller that is a *no*, so it is absent only if
    /// all others say no, now, as they are asked for a name that nobody has. While one was silent, the name was found at
    /// those that answered.
    pub(crate) async fn seek_beside<T: Sighted>(
        self,
        owners: &[LocationId],
        is_meant: impl Fn(&T) -> bool,
    ) -> Result<Sought<T>, Error> {
        let mut sought = Sought::Absent;
        let ((collection, ident), request) = (self.thing, self.case.request);
        if owners.is_empty() || request.pinned.is_some() || is_uuid_like(ident) {
            return Ok(sought);
        }
        // The end of a path that was taken off may be the end of a name.
        let whole = request.target.fallback(ident);
        for ident in iter::once(ident).chain(whole.as_deref()) {
            let called = Search {
                case: self.case,
                thing: (collection, ident),
            };
            let told = called.beside(owners).await?;
            let (things, doubt) = called.judged(told).await;
            sought = match (Sought::among(things, &is_meant)?, doubt) {
                (Sought::One(one), _) => return Ok(Sought::One(one)),
                (_, Some(doubt)) => return Err(doubt),
                (further, None) => sought.or(further),
            };
        }
        Ok(sought)
    }

    /// What all others than these owners say of a name.
    async fn beside(self, owners: &[LocationId]) -> Result<Tally, Error> {
        let (case, (collection, ident)) = (self.case, self.thing);
        let others = case
            .locations()
            .filter(|at| case.may_have_at(*at) && !owners.contains(at));
        let key = Key::new(collection, ident);
        let locator = &case.federation.locator;
        match locator.ask_these(&case.request.asker, &key, others).await {
            // No location is asked for what cannot be a name.
            Err(LocateError::Nobody { .. }) => Ok(Tally::default()),
            told => Ok(told?),
        }
    }

    /// What they have, and why there may be more.
    async fn judged<T: Sighted>(self, told: Tally) -> (Vec<T>, Option<Error>) {
        let case = self.case;
        let mut doubt = told.doubt().map(Error::from);
        let asked = told.owners.iter().map(|(owner, _)| async {
            let at = owner.location;
            match case
                .find(case.looking(self.thing, T::FIELDS, Some(at)))
                .await
            {
                Ok(Some(found)) => T::read(case, found).await,
                Ok(None) => Ok(None),
                // An error about a question that the client has not asked: it did not say.
                Err(Error::Reply(_)) => Err(Silence {
                    location: at,
                    reason: Reason::Status,
                    sent: false,
                    reply: None,
                }
                .into()),
                Err(error) => Err(error),
            }
        });
        let mut things = Vec::new();
        for read in ask_all(asked).await {
            match read {
                Ok(thing) => things.extend(thing),
                Err(error) => doubt = doubt.or(Some(error)),
            }
        }
        (things, doubt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Eq)]
    struct Thing(u16, bool);

    impl Sighted for Thing {
        const FIELDS: &str = "";

        async fn read(_: &Case<'_>, _: Found) -> Result<Option<Self>, Error> {
            Ok(None)
        }

        fn at(&self) -> Option<LocationId> {
            Some(LocationId(self.0))
        }
    }

    #[test]
    fn the_one_that_may_be_seen_is_meant() {
        let among = |things: &[(u16, bool)]| {
            let things = things.iter().map(|(at, is_own)| Thing(*at, *is_own));
            Sought::among(things.collect(), |thing| thing.1)
        };
        assert_eq!(among(&[]).unwrap(), Sought::Absent);
        assert_eq!(
            among(&[(0, false), (1, false)]).unwrap(),
            Sought::Hidden(Thing(0, false))
        );
        assert_eq!(
            among(&[(0, false), (1, true)]).unwrap(),
            Sought::One(Thing(1, true))
        );
        let two = among(&[(1, true), (0, false), (2, true)]);
        assert!(
            matches!(two, Err(Error::Locate(LocateError::Ambiguous { owners })) if owners == [LocationId(1), LocationId(2)])
        );
    }
}
