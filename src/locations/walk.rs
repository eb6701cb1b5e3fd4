//! The one walk over pages: all items of a list that one location has. It ends whatever the location says, and a
//! marker of ours that vanishes while we read costs a question, not the list.

use indexmap::IndexSet;
use log::warn;

use crate::api::collection::Collection;
use crate::api::json;
use crate::api::link::Kind;
use crate::api::microversion::Microversion;
use crate::api::page::Item;
use crate::api::page::Keep;
use crate::api::page::MOST_ITEMS;
use crate::api::page::Need;
use crate::api::page::Page;
use crate::api::query::Query;
use crate::locations::location::Location;
use crate::locations::question::Asker;
use crate::locations::question::Expect;
use crate::locations::question::Purpose;
use crate::locations::question::Question;
use crate::locations::silence::Silence;
use crate::locations::speech::Said;
use crate::wire::transport::Reply;

/// A list that locations are asked for, and how its pages are read.
#[derive(Clone, Debug)]
pub struct List<'a> {
    /// Below the endpoint, encoded.
    pub path: String,
    /// Everything but `limit` and `marker`.
    pub query: Query,
    pub version: Microversion,
    pub purpose: Purpose,
    pub expect: Expect,
    /// The member of the answer that holds the items.
    pub key: &'a str,
    pub kind: Kind,
    /// The member that identifies an item.
    pub id: &'a str,
    pub sort_key: Option<&'a str>,
    pub keep: Keep<'a>,
    /// Members that are read, for who judges the items.
    pub note: &'a [&'a str],
    /// Which items are given; `None`: all.
    pub only: Option<Only<'a>>,
}

/// The text that a member has of what is given. Ironic filters by some members only after it has cut the page, so its pages
/// are short, and do not tell whether something follows: it is asked for everything instead.
#[derive(Clone, Copy, Debug)]
pub struct Only<'a> {
    /// In [`List::note`].
    pub place: usize,
    pub text: &'a str,
}

impl Only<'_> {
    fn gives(&self, item: &Item<'_>) -> bool {
        let shown = item.noted(self.place);
        shown
            .and_then(|shown| json::decode(shown.raw))
            .is_some_and(|shown| shown == self.text)
    }
}

pub const CHILDREN_SINCE: Microversion = Microversion::new(1, 83);

/// A question for nodes that children answer too: from 1.83 Ironic leaves them out of a list unless they, or those of one
/// node, are asked for.
pub fn with_children(query: Query, version: Microversion) -> Query {
    if version >= CHILDREN_SINCE && query.value("parent_node").is_none() {
        query.with("include_children", "True")
    } else {
        query
    }
}

impl List<'_> {
    /// A whole collection, asked for on the gateway's own behalf.
    pub fn own(collection: Collection, version: Microversion, query: Query) -> Self {
        let facts = collection.facts();
        let query = if collection == Collection::Nodes {
            with_children(query, version)
        } else {
            query
        };
        Self {
            path: format!("/v1/{}", facts.path),
            query,
            version,
            purpose: Purpose::Own,
            expect: Expect::list(collection),
            key: facts.key,
            kind: facts.kind,
            id: facts.id,
            sort_key: None,
            keep: Keep::All,
            note: &[],
            only: None,
        }
    }
}

/// What a location says to a question for a page.
#[derive(Debug)]
pub enum PageReply {
    Page(Page),
    /// A 404: it does not know the marker, or what is filtered by.
    Unknown(Reply),
    /// Another error of Ironic's, which is the answer.
    Refusal(Reply),
}

/// Why a walk gives no page.
#[derive(Debug)]
pub enum Halt {
    /// The location does not know where the walk begins, or what is filtered by.
    Unknown(Reply),
    Refusal(Reply),
    Silent(Silence),
}

impl From<Silence> for Halt {
    fn from(silence: Silence) -> Self {
        Self::Silent(silence)
    }
}

impl Halt {
    /// For questions of ours, to which there is no answer but a list.
    pub fn silence(self, location: &Location) -> Silence {
        match self {
            Self::Silent(silence) => silence,
            Self::Unknown(_) | Self::Refusal(_) => location.misspoke(),
        }
    }
}

impl List<'_> {
    fn question(&self, limit: Option<usize>, marker: Option<&str>) -> Question {
        let mut query = self.query.clone();
        if let Some(limit) = limit {
            query = query.with("limit", limit.to_string());
        }
        if let Some(marker) = marker {
            query = query.with("marker", marker);
        }
        let mut path = self.path.clone();
        query.append_to(&mut path);
        Question::get(path, self.version)
            .with_purpose(self.purpose)
            .expecting(self.expect.clone())
    }

    /// One page: of so many items (as many as the location likes), behind an item (from the start).
    pub async fn page(
        &self,
        asker: &Asker,
        location: &Location,
        limit: Option<usize>,
        marker: Option<&str>,
    ) -> Result<PageReply, Silence> {
        let reply = match location.ask(asker, &self.question(limit, marker)).await? {
            Said::Has(words) => words.reply,
            Said::No(reply) => return Ok(PageReply::Unknown(reply)),
            Said::Refuses(reply) | Said::Fails(reply) => return Ok(PageReply::Refusal(reply)),
        };
        let standing = location.standing();
        let need = Need {
            kind: self.kind,
            from: location.dialect(standing.as_deref()),
            id: self.id,
            sort_key: self.sort_key,
            keep: self.keep,
            note: self.note,
        };
        match Page::decode(reply.body, self.key, &need) {
            Ok(page) => {
                // A long list counts as an answer only now that it was read (`judge` does not read it).
                location.understood();
                location.tell_strangers(page.strangers());
                Ok(PageReply::Page(page))
            }
            Err(error) => {
                warn!(
                    "A list of location `{}` cannot be read: {error}",
                    location.name()
                );
                Err(location.unreadable(&self.expect))
            }
        }
    }
}

/// A walk under way.
#[derive(Debug)]
pub struct Walk<'a> {
    list: &'a List<'a>,
    asker: &'a Asker,
    location: &'a Location,
    /// What it begins behind.
    start: Option<String>,
    trail: Trail,
    ended: bool,
}

impl<'a> Walk<'a> {
    pub fn new(list: &'a List<'a>, asker: &'a Asker, location: &'a Location) -> Self {
        Self::behind(list, asker, location, None)
    }

    /// A walk that begins behind an item; it need not match the list's filters.
    pub fn behind(
        list: &'a List<'a>,
        asker: &'a Asker,
        location: &'a Location,
        start: Option<String>,
    ) -> Self {
        Self {
            list,
            asker,
            location,
            start,
            trail: Trail::default(),
            ended: false,
        }
    }

    pub fn location(&self) -> &'a Location {
        self.location
    }

    /// Nothing follows, as the location said.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Takes a page that was asked for apart from the walk as its first one.
    pub fn begin_with(&mut self, page: Page) -> Result<Page, Silence> {
        self.accept(page)
    }

    /// The next page, of about so many items that were not given before; `None`: that was all.
    pub async fn next(&mut self, limit: Option<usize>) -> Result<Option<Page>, Halt> {
        if self.ended {
            return Ok(None);
        }
        loop {
            // Behind an earlier marker come first the items that were given: the page is to hold as many new ones as
            // are wanted.
            let limit = limit
                // Few of them may be given.
                .filter(|_| self.list.only.is_none())
                .map(|limit| limit.saturating_add(self.trail.given_again()));
            let marker = self.trail.marker().or(self.start.as_deref());
            match self
                .list
                .page(self.asker, self.location, limit, marker)
                .await?
            {
                PageReply::Page(page) => return Ok(Some(self.accept(page)?)),
                PageReply::Refusal(reply) => return Err(Halt::Refusal(reply)),
                PageReply::Unknown(reply) => {
                    // The list is there, since pages of it were: what vanished is the marker.
                    if !self.trail.step_back() {
                        return Err(Halt::Unknown(reply));
                    }
                }
            }
        }
    }

    fn accept(&mut self, mut page: Page) -> Result<Page, Silence> {
        let taken = self.trail.take(&mut page);
        if let Some(only) = &self.list.only {
            page.retain(|item| only.gives(item));
        }
        match taken {
            Ok(End::More) if self.trail.seen.len() <= MOST_ITEMS => Ok(page),
            Ok(End::Here) => {
                self.ended = true;
                Ok(page)
            }
            Ok(End::More) | Err(RoundAndRound) => Err(self.location.unreadable(&self.list.expect)),
        }
    }
}

/// Whether the location has more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    More,
    Here,
}

/// The location's pages lead nowhere.
#[derive(Debug, PartialEq, Eq)]
struct RoundAndRound;

/// Identifiers in the order in which they were given, and behind which of them the next page is.
#[derive(Debug, Default)]
struct Trail {
    seen: IndexSet<Box<str>>,
    /// How many of `seen` are before the next page.
    at: usize,
    /// By how much it was gone back last, looking for a marker that is still there.
    stride: usize,
}

impl Trail {
    fn marker(&self) -> Option<&str> {
        let last = self.at.checked_sub(1)?;
        self.seen.get_index(last).map(|id| &**id)
    }

    /// How many items the next page will hold that were given before.
    fn given_again(&self) -> usize {
        self.seen.len() - self.at
    }

    /// The marker is gone: behind which item before it may be gone on? In ever longer strides, since who deletes many
    /// nodes deletes them in order. `false`: there is none before it.
    fn step_back(&mut self) -> bool {
        if self.at == 0 {
            return false;
        }
        self.stride = (self.stride * 2).max(1);
        self.at = self.at.saturating_sub(self.stride);
        true
    }

    /// Removes from a page what was given before, and moves behind its last item.
    fn take(&mut self, page: &mut Page) -> Result<End, RoundAndRound> {
        self.stride = 0;
        let last = page
            .items()
            .next_back()
            .and_then(|item| item.id().map(|id| Box::<str>::from(&*id)));
        let more = page.has_next();
        // On a first page there is nothing to compare with.
        if !self.seen.is_empty() {
            page.retain(|item| item.id().is_none_or(|id| !self.seen.contains(&*id)));
        }
        if !more {
            return Ok(End::Here);
        }
        // `next` on a page without items, or after one without an identifier, leads nowhere.
        let Some(last) = last else {
            return Err(RoundAndRound);
        };
        let ids = page.items().filter_map(|item| item.id());
        self.seen.extend(ids.map(|id| Box::<str>::from(&*id)));
        let behind = self.seen.get_index_of(&last).map_or(0, |index| index + 1);
        // All of it was given before: the location goes round.
        if behind <= self.at {
            return Err(RoundAndRound);
        }
        self.at = behind;
        Ok(End::More)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::locations::speech::base_of;

    fn page(ids: &[String], more: bool) -> Page {
        let items: Vec<String> = ids
            .iter()
            .map(|id| format!("{{\"uuid\": \"{id}\"}}"))
            .collect();
        let next = if more { ", \"next\": \"http://x\"" } else { "" };
        let body = format!("{{\"nodes\": [{}]{next}}}", items.join(","));
        let need = Need {
            kind: Kind::Plain,
            from: base_of(None).into(),
            id: "uuid",
            sort_key: None,
            keep: Keep::All,
            note: &[],
        };
        Page::decode(Bytes::from(body), "nodes", &need).unwrap()
    }

    fn ids(page: &Page) -> Vec<String> {
        page.items()
            .filter_map(|item| item.id().map(std::borrow::Cow::into_owned))
            .collect()
    }

    fn some(ids: &[&str]) -> Vec<String> {
        ids.iter().map(|&id| id.to_owned()).collect()
    }

    #[test]
    fn pages_that_lead_round_and_round() {
        let rounds: [&[&[&str]]; 5] = [
            &[&["a", "b"], &["c", "d"], &["a", "b"]],
            &[&["a"], &["a"]],
            &[&["a", "b"], &["b", "a"]],
            &[&[]],
            &[&["a", "b"], &["c", "a"]],
        ];
        for pages in rounds {
            let mut trail = Trail::default();
            let (last, before) = pages.split_last().unwrap();
            for ids in before {
                assert_eq!(trail.take(&mut page(&some(ids), true)), Ok(End::More));
            }
            let mut last = page(&some(last), true);
            assert_eq!(trail.take(&mut last), Err(RoundAndRound), "{pages:?}");
        }
    }

    #[test]
    fn an_item_without_an_identifier_is_no_marker() {
        let need = Need {
            kind: Kind::Plain,
            from: base_of(None).into(),
            id: "uuid",
            sort_key: None,
            keep: Keep::All,
            note: &[],
        };
        let body = Bytes::from_static(b"{\"nodes\": [{\"name\": \"a\"}], \"next\": \"http://x\"}");
        let mut page = Page::decode(body, "nodes", &need).unwrap();
        assert_eq!(Trail::default().take(&mut page), Err(RoundAndRound));
    }

    proptest! {
        /// A location of items that vanish one by one while it is read: what stays is given exactly once, in order.
        #[test]
        fn what_stays_is_given_once(
            count in 0_usize..40,
            size in 1_usize..6,
            vanishing in prop::collection::vec(0_usize..40, 0..25),
            begin in prop::option::of(0_usize..40),
        ) {
            let everything: Vec<String> = (0..count).map(|n| format!("id{n:02}")).collect();
            let mut there = everything.clone();
            let mut vanishing = vanishing.into_iter();
            let start = begin.filter(|begin| *begin < count).map(|begin| everything[begin].clone());
            let mut trail = Trail::default();
            let mut given: Vec<String> = Vec::new();
            let mut questions = 0;
            loop {
                questions += 1;
                prop_assert!(questions < 400, "it does not end");
                let marker = trail.marker().map(str::to_owned).or_else(|| start.clone());
                let from = match &marker {
                    None => Some(0),
                    Some(marker) => there.iter().position(|id| id == marker).map(|index| index + 1),
                };
                let Some(from) = from else {
                    if trail.step_back() {
                        continue;
                    }
                    // Where it began is gone too: who asked is told.
                    prop_assert!(start.is_some());
                    return Ok(());
                };
                let ids_there: Vec<String> = there[from..].iter().take(size + trail.given_again()).cloned().collect();
                let more = ids_there.len() == size + trail.given_again();
                let mut page = page(&ids_there, more);
                let end = trail.take(&mut page);
                given.extend(ids(&page));
                if let Some(gone) = vanishing.next() {
                    there.retain(|id| *id != format!("id{gone:02}"));
                }
                match end {
                    Ok(End::More) => {}
                    Ok(End::Here) => break,
                    // Only an empty page that says there is more.
                    Err(RoundAndRound) => prop_assert!(ids_there.is_empty()),
                }
            }
            let first = start.as_ref().and_then(|start| everything.iter().position(|id| id == start)).map_or(0, |index| index + 1);
            let stayed = everything[first..].iter().filter(|id| there.contains(id));
            for id in stayed {
                prop_assert_eq!(given.iter().filter(|one| *one == id).count(), 1, "{}", id);
            }
            prop_assert!(given.is_sorted());
        }
    }
}
