use std::collections::HashMap;
use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

const COLLECTIONS: [Collection; 2] = [Collection::Nodes, Collection::Ports];

/// What is done to them: the first number says where, by an identifier.
#[derive(Clone, Debug)]
enum Step {
    Insert(Owned),
    Give(Owned, Owned),
    Take(Owned),
    Remove(Owned),
}

/// A collection and an identifier, of few, so that steps meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Owned {
    collection: Collection,
    kind: Kind,
    which: u8,
}

impl Owned {
    fn with<T>(self, see: impl FnOnce(Id<'_>) -> T) -> T {
        match self.kind {
            Kind::Uuid => see(Id::Uuid(Uuid::from_u128(self.which.into()))),
            Kind::Text => see(Id::Text(&format!("node-{}", self.which))),
        }
    }

    fn find<S: Copy>(self, things: &Things<S>) -> Option<Number> {
        self.with(|id| things.find(self.collection, id))
    }
}

fn owned() -> impl Strategy<Value = Owned> {
    let kinds = prop_oneof![Just(Kind::Uuid), Just(Kind::Text)];
    let collections = proptest::sample::select(COLLECTIONS.as_slice());
    (collections, kinds, 0..6_u8).prop_map(|(collection, kind, which)| Owned {
        collection,
        kind,
        which,
    })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        owned().prop_map(Step::Insert),
        (owned(), owned()).prop_map(|(to, id)| Step::Give(to, id)),
        owned().prop_map(Step::Take),
        owned().prop_map(Step::Remove),
    ];
    proptest::collection::vec(step, 0..80)
}

/// The same without an index: identifiers, the thing that each belongs to, and what is held.
type Model = HashMap<Owned, (usize, usize)>;

proptest! {
    #[test]
    fn they_are_what_a_plain_map_says(steps in steps()) {
        let mut things = Things::new(usize::MAX);
        let mut model = Model::new();
        for (turn, step) in steps.into_iter().enumerate() {
            match step {
                Step::Insert(id) => {
                    id.with(|text| things.insert(id.collection, text, turn));
                    model.insert(id, (turn, turn));
                }
                Step::Give(to, id) => {
                    let id = Owned { collection: to.collection, ..id };
                    let Some(number) = to.find(&things) else { continue };
                    let (thing, _) = model[&to];
                    id.with(|text| things.give(number, text, turn));
                    model.retain(|other, (of, _)| *of != thing || other.kind != id.kind);
                    model.insert(id, (thing, turn));
                }
                Step::Take(id) => {
                    let Some(number) = id.find(&things) else { continue };
                    things.take(number, id.kind);
                    model.remove(&id);
                }
                Step::Remove(id) => {
                    let Some(number) = id.find(&things) else { continue };
                    let (thing, _) = model[&id];
                    things.remove(number);
                    model.retain(|_, (of, _)| *of != thing);
                }
            }
            prop_assert_eq!(things.len(), model.len());
            for (id, (thing, held)) in &model {
                let number = id.find(&things);
                prop_assert!(number.is_some(), "{:?}", id);
                let found = things.get(number.unwrap());
                prop_assert_eq!(found.under(id.kind), Some(*held));
                for (other, (of, _)) in &model {
                    prop_assert_eq!(other.find(&things) == number, of == thing);
                }
            }
        }
        let things_left = model.values().map(|(thing, _)| thing).collect::<HashSet<_>>();
        let listed = (0..).map_while(|piece| things.piece(piece)).flatten();
        prop_assert_eq!(listed.filter(|thing| !thing.is_nothing()).count(), things_left.len());
    }
}

fn fill(things: &mut Things<()>, numbers: std::ops::Range<u128>) {
    for number in numbers {
        things.make_room();
        things.insert(Collection::Nodes, Id::Uuid(Uuid::from_u128(number)), ());
        let thing = things.find(Collection::Nodes, Id::Uuid(Uuid::from_u128(number)));
        let name = format!("node-{number}");
        things.give(thing.unwrap(), Id::Text(&name), ());
    }
}

fn has(things: &Things<()>, number: u128) -> bool {
    let found = things.find(Collection::Nodes, Id::Uuid(Uuid::from_u128(number)));
    found.is_some()
}

#[test]
fn what_is_asked_for_outlives_what_is_merely_seen() {
    let mut things = Things::new(2000);
    let asked_for = 0..100;
    fill(&mut things, 0..900);
    for round in 1..20 {
        for number in asked_for.clone() {
            let number = things.find(Collection::Nodes, Id::Uuid(Uuid::from_u128(number)));
            things.get(number.unwrap()).touch();
        }
        fill(&mut things, round * 500 + 1000..round * 500 + 1500);
        assert!(things.len() <= 2000, "{}", things.len());
    }
    assert_eq!(
        asked_for.filter(|number| has(&things, *number)).count(),
        100
    );
    assert!(things.pieces.len() <= 1000, "places are used again");
}

#[test]
fn room_is_made_where_all_are_asked_for() {
    let mut things = Things::new(4000);
    fill(&mut things, 0..2000);
    things.pieces.0.iter().flatten().for_each(Thing::touch);
    things.make_room();
    assert_eq!(things.len(), 3998);
    assert_eq!(things.hand, SPARED + 1, "no whole round for one place");
}
