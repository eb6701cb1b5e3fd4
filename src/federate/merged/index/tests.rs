use proptest::prelude::*;

use super::*;

fn value(text: Option<&str>) -> SortValue {
    let raw = text.map(|text| format!("\"{text}\""));
    SortValue::new(raw.as_deref().map(str::as_bytes))
}

fn read(rows: &[&[(&str, Option<&str>)]]) -> Vec<Vec<Entry>> {
    let entry = |&(id, key): &(&str, Option<&str>)| Entry {
        id: id.into(),
        value: value(key),
    };
    rows.iter()
        .map(|row| row.iter().map(entry).collect())
        .collect()
}

fn ids(index: &Index, from: usize) -> Vec<&str> {
    index
        .spots(from..index.len())
        .iter()
        .map(|spot| &*index.entry(*spot).id)
        .collect()
}

#[test]
fn equal_keys_are_ordered_by_location_and_desc_is_the_reverse() {
    let rows: &[&[_]] = &[
        &[("a1", Some("x")), ("a2", None), ("a3", Some("X"))],
        &[("b1", Some("x")), ("b2", Some("a")), ("b3", None)],
    ];
    let mut asc = ["a2", "b3", "b2", "a3", "a1", "b1"];
    let index = Index::new(read(rows), Direction::Ascending, false);
    assert_eq!(ids(&index, 0), asc);
    asc.reverse();
    let index = Index::new(read(rows), Direction::Descending, false);
    assert_eq!(ids(&index, 0), asc);
}

#[test]
fn one_identifier_at_two_locations() {
    let rows: &[&[_]] = &[&[("a", None), ("d", None)], &[("d", None), ("z", None)]];
    let index = Index::new(read(rows), Direction::Ascending, false);
    assert_eq!(ids(&index, 0), ["a", "d", "d", "z"]);
    assert!(index.is_twice("d") && !index.is_twice("a"));
    assert_eq!(index.twice().collect::<Vec<_>>(), [("d", vec![0, 1])]);
    assert_eq!(index.behind("d", Some(0)), Some(2));
    assert_eq!(index.behind("d", Some(1)), Some(3));
    assert_eq!(index.behind("d", None), Some(3), "no walk goes round");
    assert_eq!(index.behind("x", None), None);
    let once = Index::new(read(rows), Direction::Descending, true);
    assert_eq!(ids(&once, 0), ["z", "d", "a"]);
    assert!(!once.is_twice("d"));
}

#[test]
fn a_marker_that_is_not_listed_has_its_place_all_the_same() {
    let rows: &[&[_]] = &[
        &[("a1", Some("k")), ("a2", Some("k"))],
        &[("b1", Some("k")), ("b2", Some("k")), ("b3", Some("l"))],
    ];
    let follower = |id: &str| vec!["gone".to_owned(), id.to_owned()];
    for (direction, rest) in [
        (Direction::Ascending, &["b2", "b3"][..]),
        (Direction::Descending, &["b1", "a2", "a1"][..]),
    ] {
        let index = Index::new(read(rows), direction, false);
        let behind = index.behind_unlisted(1, &value(Some("k")), &follower("b2"));
        assert_eq!(ids(&index, behind), rest);
    }
    let index = Index::new(read(rows), Direction::Ascending, false);
    let behind = index.behind_unlisted(0, &value(Some("k")), &[]);
    assert_eq!(ids(&index, behind), ["b1", "b2", "b3"]);
    let behind = index.behind_unlisted(0, &value(None), &[]);
    assert_eq!(behind, 0);
}

/// What Ironic lists: by key and creation, with the defect that a marker whose key is NULL loses rows.
fn ironics(entries: &[Entry], collation: Collation, run: &Run) -> Vec<u32> {
    let key = |sequence: u32| &entries[sequence as usize].value;
    let mut rows: Vec<u32> = (0..).take(entries.len()).collect();
    if let Way::Key(_) = run.way {
        rows.sort_by(|&one, &two| collation.compare(key(one), key(two)));
    }
    if run.direction == Direction::Descending {
        rows.reverse();
    }
    let from = match run.behind {
        None => 0,
        Some(behind) => rows.iter().position(|&one| one == behind).unwrap() + 1,
    };
    let is_lost = |&one: &u32| {
        run.way != Way::Own
            && run.behind.is_some_and(|behind| key(behind).is_null())
            && one % 2 == 0
    };
    rows[from..]
        .iter()
        .copied()
        .filter(|one| !is_lost(one))
        .take(run.count)
        .collect()
}

proptest! {
    #[test]
    fn runs_bring_what_is_wanted(
        keys in prop::collection::vec(prop::option::of("[abAB]{0,2}"), 1..60),
        chosen in prop::collection::vec(any::<prop::sample::Index>(), 1..30),
        folded in any::<bool>(),
        own in any::<bool>(),
        descending in any::<bool>(),
    ) {
        let entries: Vec<Entry> = keys
            .iter()
            .enumerate()
            .map(|(number, key)| Entry { id: format!("{number}").into(), value: value(key.as_deref()) })
            .collect();
        let collation = if folded { Collation::Folded } else { Collation::Exact };
        let way = if own { Way::Own } else { Way::Key(collation) };
        let mut wanted: Vec<u32> = chosen.iter().map(|one| u32::try_from(one.index(keys.len())).unwrap()).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let direction = if descending { Direction::Descending } else { Direction::Ascending };
        let index = Index::new(vec![entries.clone()], direction, false);
        let runs = index.runs(0, &wanted, way);
        let mut brought: Vec<u32> = Vec::new();
        for run in &runs {
            let listed = ironics(&entries, collation, run);
            prop_assert!(run.wanted.iter().all(|one| listed.contains(one)), "{run:?}: {listed:?}");
            brought.extend(&run.wanted);
        }
        brought.sort_unstable();
        prop_assert_eq!(brought, wanted);
    }

    #[test]
    fn every_item_has_its_place_behind_the_one_before(
        rows in prop::collection::vec(prop::collection::vec(prop::option::of("[abA]{0,2}"), 0..8), 1..4),
        descending in any::<bool>(),
    ) {
        let direction = if descending { Direction::Descending } else { Direction::Ascending };
        let read = rows
            .iter()
            .enumerate()
            .map(|(place, row)| row.iter().enumerate().map(|(number, key)| Entry {
                id: format!("{place}.{number}").into(),
                value: value(key.as_deref()),
            }).collect())
            .collect::<Vec<Vec<Entry>>>();
        let index = Index::new(read.clone(), direction, false);
        for (position, spot) in index.spots(0..index.len()).iter().enumerate() {
            let entry = index.entry(*spot);
            let place = spot.place as usize;
            prop_assert_eq!(index.behind(&entry.id, None), Some(position + 1));
            // As if it was filtered out: what follows it in its location's own order says where it was.
            let mut without = read.clone();
            let followers: Vec<String> = read[place][spot.sequence as usize + 1..].iter().map(|one| one.id.to_string()).collect();
            without[place].remove(spot.sequence as usize);
            let without = Index::new(without, direction, false);
            let behind = without.behind_unlisted(place, &entry.value, &followers);
            prop_assert_eq!(behind, position);
        }
    }
}
