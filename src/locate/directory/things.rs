//! Things under their one or two identifiers, at most so many, in little memory: a record for a thing, the text of its
//! name, and in the index four bytes and a tag for each identifier.

use std::hash::BuildHasher;
use std::hash::RandomState;
use std::mem;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use hashbrown::HashTable;
use uuid::Uuid;

use crate::api::collection::Collection;

/// One of the two identifiers that a thing can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Id<'a> {
    Uuid(Uuid),
    Text(&'a str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Uuid,
    Text,
}

/// What is held of one thing, with an `S` for each identifier that it has.
#[derive(Debug)]
pub(super) struct Thing<S> {
    pub(super) collection: Collection,
    uuid: Option<(Uuid, S)>,
    text: Option<(Box<str>, S)>,
    /// Asked for since the hand went by.
    used: AtomicBool,
}

/// Which of the things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Number(u32);

#[derive(Debug)]
pub(super) struct Things<S> {
    pieces: Pieces<S>,
    /// Of things that were forgotten.
    free: Vec<Number>,
    /// In parts: a table looks at all that is in it when it grows, which takes a millisecond for a part of a million.
    index: Vec<HashTable<Entry>>,
    /// In the index.
    count: usize,
    /// Keyed, so that who names nodes cannot choose names of one hash.
    hasher: RandomState,
    /// The thing that is looked at next when room is needed.
    hand: usize,
    max: usize,
}

/// In pieces: one vector would be copied when it grows, and could be twice as large as what is in it.
#[derive(Debug)]
struct Pieces<S>(Vec<Vec<Thing<S>>>);

/// An identifier in the index: the number of its thing, doubled, and one more for its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry(u32);

const PIECE: usize = 4096;
const PARTS: usize = 64;

/// How many used things the hand passes before it takes one: ten microseconds, where a whole round of a million would be ten
/// milliseconds.
const SPARED: usize = 1000;

impl Id<'_> {
    pub(super) const fn kind(&self) -> Kind {
        match self {
            Self::Uuid(_) => Kind::Uuid,
            Self::Text(_) => Kind::Text,
        }
    }
}

impl<S: Copy> Thing<S> {
    pub(super) fn uuid(&self) -> Option<(Uuid, S)> {
        self.uuid
    }

    pub(super) fn text(&self) -> Option<(&str, S)> {
        self.text.as_ref().map(|(text, held)| (&**text, *held))
    }

    /// What is held under its identifier of that kind.
    pub(super) fn under(&self, kind: Kind) -> Option<S> {
        match kind {
            Kind::Uuid => self.uuid().map(|(_, held)| held),
            Kind::Text => self.text().map(|(_, held)| held),
        }
    }

    /// It was asked for, and outlives what nobody asks for.
    pub(super) fn touch(&self) {
        // Written once only: those who read it share its cache line.
        if !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Relaxed);
        }
    }

    fn id(&self, kind: Kind) -> Option<Id<'_>> {
        match kind {
            Kind::Uuid => self.uuid().map(|(uuid, _)| Id::Uuid(uuid)),
            Kind::Text => self.text().map(|(text, _)| Id::Text(text)),
        }
    }

    fn is_nothing(&self) -> bool {
        self.uuid.is_none() && self.text.is_none()
    }
}

impl<S> Pieces<S> {
    fn len(&self) -> usize {
        let full = self.0.len().saturating_sub(1) * PIECE;
        full + self.0.last().map_or(0, Vec::len)
    }

    fn get(&self, Number(number): Number) -> &Thing<S> {
        let number = number as usize;
        &self.0[number / PIECE][number % PIECE]
    }

    fn get_mut(&mut self, Number(number): Number) -> &mut Thing<S> {
        let number = number as usize;
        &mut self.0[number / PIECE][number % PIECE]
    }

    fn push(&mut self, thing: Thing<S>) {
        match self.0.last_mut() {
            Some(last) if last.len() < PIECE => last.push(thing),
            _ => {
                let mut piece = Vec::with_capacity(PIECE);
                piece.push(thing);
                self.0.push(piece);
            }
        }
    }
}

impl Entry {
    const fn new(number: Number, kind: Kind) -> Self {
        Self(number.0 * 2 + kind as u32)
    }

    const fn number(self) -> Number {
        Number(self.0 / 2)
    }

    const fn kind(self) -> Kind {
        if self.0.is_multiple_of(2) {
            Kind::Uuid
        } else {
            Kind::Text
        }
    }
}

impl<S: Copy> Things<S> {
    pub(super) fn new(max: usize) -> Self {
        Self {
            pieces: Pieces(Vec::new()),
            free: Vec::new(),
            index: (0..PARTS).map(|_| HashTable::new()).collect(),
            count: 0,
            hasher: RandomState::new(),
            hand: 0,
            max,
        }
    }

    /// Identifiers.
    pub(super) const fn len(&self) -> usize {
        self.count
    }

    /// Of memory, without the texts.
    pub(super) fn bytes(&self) -> usize {
        let index: usize = self.index.iter().map(HashTable::allocation_size).sum();
        self.pieces.0.len() * PIECE * size_of::<Thing<S>>() + index
    }

    /// Some of them at a time: who looks at all of them keeps nobody waiting.
    pub(super) fn piece(&self, piece: usize) -> Option<&[Thing<S>]> {
        self.pieces.0.get(piece).map(Vec::as_slice)
    }

    pub(super) fn get(&self, number: Number) -> &Thing<S> {
        self.pieces.get(number)
    }

    pub(super) fn under_mut(&mut self, number: Number, kind: Kind) -> Option<&mut S> {
        let thing = self.pieces.get_mut(number);
        match kind {
            Kind::Uuid => thing.uuid.as_mut().map(|(_, held)| held),
            Kind::Text => thing.text.as_mut().map(|(_, held)| held),
        }
    }

    pub(super) fn find(&self, collection: Collection, id: Id<'_>) -> Option<Number> {
        let hash = hash(&self.hasher, collection, id);
        let is_it = |entry: &Entry| {
            let thing = self.pieces.get(entry.number());
            thing.collection == collection && thing.id(entry.kind()) == Some(id)
        };
        let entry = self.index[part(hash)].find(hash, is_it)?;
        Some(entry.number())
    }

    /// A new thing. Room has been made for it.
    pub(super) fn insert(&mut self, collection: Collection, id: Id<'_>, held: S) {
        let thing = Thing {
            collection,
            uuid: None,
            text: None,
            used: AtomicBool::new(false),
        };
        let number = if let Some(number) = self.free.pop() {
            *self.pieces.get_mut(number) = thing;
            number
        } else {
            self.pieces.push(thing);
            Number(u32::try_from(self.pieces.len() - 1).unwrap_or(u32::MAX))
        };
        self.give(number, id, held);
    }

    /// From now on that identifier is this thing's, and its only one of that kind.
    pub(super) fn give(&mut self, number: Number, id: Id<'_>, held: S) {
        let collection = self.get(number).collection;
        match self.find(collection, id) {
            Some(same) if same == number => {}
            had => {
                if let Some(had) = had {
                    self.take(had, id.kind());
                }
                self.unlist(number, id.kind());
                self.list(number, id);
            }
        }
        let thing = self.pieces.get_mut(number);
        match id {
            Id::Uuid(uuid) => thing.uuid = Some((uuid, held)),
            Id::Text(text) => thing.text = Some((text.into(), held)),
        }
    }

    /// It has no identifier of that kind any longer. Without any it is forgotten.
    pub(super) fn take(&mut self, number: Number, kind: Kind) {
        self.unlist(number, kind);
        let thing = self.pieces.get_mut(number);
        match kind {
            Kind::Uuid => thing.uuid = None,
            Kind::Text => thing.text = None,
        }
        if thing.is_nothing() {
            self.free.push(number);
        }
    }

    pub(super) fn remove(&mut self, number: Number) {
        for kind in [Kind::Uuid, Kind::Text] {
            if self.get(number).under(kind).is_some() {
                self.take(number, kind);
            }
        }
    }

    fn list(&mut self, number: Number, id: Id<'_>) {
        let Self {
            pieces,
            index,
            count,
            hasher,
            ..
        } = self;
        *count += 1;
        let hash_of = |entry: &Entry| {
            let thing = pieces.get(entry.number());
            let id = thing.id(entry.kind());
            id.map_or(0, |id| hash(hasher, thing.collection, id))
        };
        let hash = hash(hasher, pieces.get(number).collection, id);
        index[part(hash)].insert_unique(hash, Entry::new(number, id.kind()), hash_of);
    }

    fn unlist(&mut self, number: Number, kind: Kind) {
        let thing = self.pieces.get(number);
        let Some(id) = thing.id(kind) else { return };
        let hash = hash(&self.hasher, thing.collection, id);
        let entry = Entry::new(number, kind);
        if let Ok(listed) = self.index[part(hash)].find_entry(hash, |other| *other == entry) {
            listed.remove();
            self.count -= 1;
        }
    }

    /// For one more thing with both identifiers. Nothing else makes room, so numbers hold until this is called.
    pub(super) fn make_room(&mut self) {
        while self.len() + 2 > self.max && self.len() > 0 {
            let unused = self.unused();
            self.remove(unused);
        }
    }

    /// The next one that nobody asked for since the hand went by.
    fn unused(&mut self) -> Number {
        let mut spared = 0;
        loop {
            let number = Number(u32::try_from(self.hand).unwrap_or(0));
            self.hand = (self.hand + 1) % self.pieces.len();
            let thing = self.pieces.get_mut(number);
            if thing.is_nothing() {
                continue;
            }
            if !mem::take(thing.used.get_mut()) || spared == SPARED {
                return number;
            }
            spared += 1;
        }
    }
}

fn hash(hasher: &RandomState, collection: Collection, id: Id<'_>) -> u64 {
    hasher.hash_one((collection, id))
}

/// By other bits than those that a table goes by.
const fn part(hash: u64) -> usize {
    (hash >> 32) as usize % PARTS
}

#[cfg(test)]
mod tests;
