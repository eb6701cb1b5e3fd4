use proptest::prelude::*;

use super::*;

const UUID: &str = "00000001-0000-4000-8000-000000000001";

fn directory(max_entries: usize) -> Directory {
    let name_lifetime = Duration::from_mins(1);
    Directory::new(&DirectoryConfig {
        max_entries,
        name_lifetime,
        sweep_interval: None,
    })
}

fn key(ident: &str) -> Key {
    Key::new(Collection::Nodes, ident)
}

fn seen<'a>(uuid: &'a str, name: &'a str, location: u16, asked: Asked) -> Sighting<'a> {
    Sighting {
        uuid: (!uuid.is_empty()).then_some(uuid),
        name: (!name.is_empty()).then_some(name),
        location: Place(location),
        asked,
    }
}

const fn at(location: u16) -> Hint {
    Hint::At(Place(location))
}

const fn contested(known: u16) -> Hint {
    Hint::Contested {
        known: Place(known),
    }
}

#[test]
fn both_identifiers_lead_there() {
    let directory = directory(100);
    let now = Instant::now();
    directory.learn(Collection::Nodes, seen(UUID, "a", 1, Asked::All), now);
    assert_eq!(directory.hint(&key(UUID), now), Some(at(1)));
    assert_eq!(directory.hint(&key("a"), now), Some(at(1)));
    assert_eq!(
        directory.hint(&Key::new(Collection::Ports, "a"), now),
        None,
        "of another collection"
    );
    let shouted = key(&UUID.to_uppercase().replace('0', "A"));
    assert_eq!(directory.hint(&shouted, now), None);
}

#[test]
fn a_name_leads_there_only_if_everybody_was_asked() {
    let directory = directory(100);
    let now = Instant::now();
    directory.learn(Collection::Nodes, seen(UUID, "a", 1, Asked::Some), now);
    assert_eq!(directory.hint(&key("a"), now), None);
    assert_eq!(directory.hint(&key(UUID), now), Some(at(1)));
    directory.settle(&key("a"), Place(1), now);
    assert_eq!(directory.hint(&key("a"), now), Some(at(1)));
    directory.learn(Collection::Nodes, seen(UUID, "a", 1, Asked::Some), now);
    assert_eq!(
        directory.hint(&key("a"), now),
        Some(at(1)),
        "that was not unsaid"
    );
}

#[test]
fn to_settle_a_name_is_not_to_settle_its_uuid() {
    let directory = directory(100);
    let now = Instant::now();
    for location in [1, 2] {
        let sighting = seen(UUID, "a", location, Asked::All);
        directory.learn(Collection::Nodes, sighting, now);
    }
    directory.settle(&key("a"), Place(1), now);
    assert_eq!(directory.hint(&key("a"), now), Some(at(1)));
    assert!(matches!(
        directory.hint(&key(UUID), now),
        Some(Hint::Contested { .. })
    ));
}

#[test]
fn names_expire_sooner() {
    let directory = directory(100);
    let now = Instant::now();
    let later = |seconds| now + Duration::from_secs(seconds);
    directory.learn(Collection::Nodes, seen(UUID, "a", 1, Asked::All), now);
    for seconds in [30, 59] {
        let sighting = seen(UUID, "a", 1, Asked::Some);
        directory.learn(Collection::Nodes, sighting, later(seconds));
        assert_eq!(directory.hint(&key("a"), later(seconds)), Some(at(1)));
    }
    let hint = directory.hint(&key("a"), later(62));
    assert_eq!(hint, None, "to be seen does not prolong it");
    assert_eq!(directory.hint(&key(UUID), later(62)), Some(at(1)));
}

#[test]
fn a_rename_forgets_the_old_name() {
    let directory = directory(100);
    let now = Instant::now();
    directory.learn(Collection::Nodes, seen(UUID, "a", 1, Asked::All), now);
    directory.learn(Collection::Nodes, seen(UUID, "b", 1, Asked::All), now);
    assert_eq!(directory.hint(&key("a"), now), None);
    assert_eq!(directory.hint(&key("b"), now), Some(at(1)));
}

#[test]
fn a_name_of_two_things_leads_nowhere() {
    let directory = directory(100);
    let now = Instant::now();
    let other = UUID.replace('1', "2");
    directory.learn(Collection::Nodes, seen(UUID, "a", 1, Asked::All), now);
    directory.learn(Collection::Nodes, seen(&other, "a", 2, Asked::All), now);
    assert_eq!(directory.hint(&key("a"), now), None);
    assert_eq!(directory.hint(&key(UUID), now), Some(at(1)));
    assert_eq!(directory.hint(&key(&other), now), Some(at(2)));
    let later = now + Duration::from_mins(1);
    directory.learn(Collection::Nodes, seen(&other, "a", 2, Asked::All), later);
    let hint = directory.hint(&key("a"), later);
    assert_eq!(hint, Some(at(2)), "the other one may be gone by then");
}

#[test]
fn who_merely_shows_a_thing_does_not_draw_it_to_itself() {
    let directory = directory(100);
    let now = Instant::now();
    let learn = |location, asked| {
        let sighting = seen(UUID, "a", location, asked);
        directory.learn(Collection::Nodes, sighting, now)
    };
    assert_eq!(learn(1, Asked::All), Learnt::Agreed);
    let known = Place(1);
    assert_eq!(learn(2, Asked::All), Learnt::Contested { known });
    assert_eq!(learn(2, Asked::All), Learnt::Agreed, "told once");
    assert_eq!(learn(1, Asked::Some), Learnt::Agreed);
    assert_eq!(directory.hint(&key(UUID), now), Some(contested(1)));
    assert_eq!(directory.hint(&key("a"), now), None);
    for location in [1, 2] {
        directory.settle(&key(UUID), Place(location), now);
        assert_eq!(directory.hint(&key(UUID), now), Some(at(location)));
    }
}

#[test]
fn forgetting_one_identifier_forgets_both() {
    for forgotten in ["a", UUID] {
        let directory = directory(100);
        let now = Instant::now();
        directory.learn(Collection::Nodes, seen(UUID, "a", 1, Asked::All), now);
        directory.forget(&key(forgotten));
        assert!(directory.is_empty(), "{forgotten}");
    }
}

#[test]
fn spellings_are_different_things() {
    let upper = UUID.replace('1', "A");
    assert!(matches!(key(UUID).ident, Ident::Uuid(_)));
    assert!(matches!(key(&upper).ident, Ident::Text(_)));
    for like in [
        UUID,
        &upper,
        &UUID.replace('-', ""),
        &format!("{{{UUID}}}"),
        &format!("urn:uuid:{UUID}"),
    ] {
        assert!(key(like).ident.is_uuid_like(), "{like}");
    }
    assert!(!key("node-1").ident.is_uuid_like());
}

#[test]
fn it_is_bounded() {
    let directory = directory(500);
    let now = Instant::now();
    for n in 0..5000_u128 {
        let uuid = Uuid::from_u128(n).to_string();
        directory.learn(Collection::Nodes, seen(&uuid, "", 0, Asked::Some), now);
    }
    assert!(
        (400..=500).contains(&directory.len()),
        "{}",
        directory.len()
    );
}

#[test]
fn a_name_is_not_believed_where_a_location_is_new() {
    let directory = directory(100);
    let now = Instant::now();
    let believed = |now| directory.hint(&key("a"), now).is_some();
    let learn = |now| {
        directory.learn(Collection::Nodes, seen(UUID, "a", 1, Asked::All), now);
    };
    learn(now);
    assert!(believed(now));
    directory.begin_generation(now);
    assert!(!believed(now), "the new location may have it too");
    assert_eq!(directory.hint(&key(UUID), now), Some(at(1)));
    let later = now + Duration::from_secs(1);
    learn(later);
    assert!(believed(later), "now everybody was asked");
}

/// What may be seen: things by few identifiers, so that sightings meet.
fn sightings() -> impl Strategy<Value = Vec<(Option<u8>, Option<u8>, u16, bool)>> {
    let id = || proptest::option::of(0..4_u8);
    proptest::collection::vec((id(), id(), 0..3_u16, any::<bool>()), 0..40)
}

proptest! {
    /// Whatever was seen in which order: it leads where the identifier was seen, by a name only if everybody was asked
    /// for it, and never where a second location has it too.
    #[test]
    fn no_hint_comes_from_nowhere(seen_before in sightings(), max_entries in 2..20_usize) {
        let directory = directory(max_entries);
        let now = Instant::now();
        let uuid = |number: u8| Uuid::from_u128(number.into()).to_string();
        let name = |number: u8| format!("node-{number}");
        for (by_uuid, by_name, location, everybody) in &seen_before {
            let asked = if *everybody { Asked::All } else { Asked::Some };
            let texts = (by_uuid.map(uuid), by_name.map(name));
            let (uuid, name) = (texts.0.as_deref(), texts.1.as_deref());
            let sighting = seen(uuid.unwrap_or(""), name.unwrap_or(""), *location, asked);
            directory.learn(Collection::Nodes, sighting, now);
            prop_assert!(directory.len() <= max_entries);
        }
        for number in 0..4 {
            let by_uuid: Vec<_> = seen_before.iter().filter(|seen| seen.0 == Some(number)).collect();
            match directory.hint(&key(&uuid(number)), now) {
                Some(Hint::At(at) | Hint::Contested { known: at }) => {
                    prop_assert!(by_uuid.iter().any(|seen| seen.2 == at.0));
                }
                None => prop_assert!(by_uuid.is_empty() || max_entries < 16),
            }
            let by_name = seen_before.iter().filter(|seen| seen.1 == Some(number));
            if let Some(Hint::At(at)) = directory.hint(&key(&name(number)), now) {
                prop_assert!(by_name.clone().any(|seen| seen.2 == at.0 && seen.3));
                let last = by_name.clone().next_back();
                prop_assert_eq!(last.map(|seen| seen.2), Some(at.0), "contested by the last one");
            }
        }
    }
}

#[test]
fn a_place_has_one_name() {
    let directory = directory(100);
    let places = ["a", "b", "a"].map(|name| directory.place(name));
    assert_eq!(places, [Some(Place(0)), Some(Place(1)), Some(Place(0))]);
}
