//! How many locations are asked for a page at once, and for how much each, when they are listed one after the other.

/// What a location is expected to have left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outlook {
    /// About so many items are left there.
    About(usize),
    Unknown,
}

/// A question for some items of a location.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Counted from the one where the page goes on.
    pub ahead: usize,
    pub limit: usize,
}

/// How locations of which nothing is known are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// A few: each may fill the page.
    Sparing,
    /// All: the list is expected to fit in a page, or a filter lets few through anywhere. Together they are asked for
    /// twice the page, so that one round tells where anything is.
    Spreading,
}

/// Which of the locations ahead are asked in the next round, and for how many items each. `wanted`: items that are
/// missing, at least one; `least`: so many locations at least, since fewer were too few before.
pub fn round(ahead: &[Outlook], wanted: usize, least: usize, manner: Manner) -> Vec<Ask> {
    let known: Vec<usize> = ahead
        .iter()
        .filter_map(|outlook| match outlook {
            Outlook::About(left) => Some(*left),
            Outlook::Unknown => None,
        })
        .collect();
    if known.is_empty() && manner == Manner::Spreading {
        return spread(ahead.len(), wanted);
    }
    // An unknown location is taken to have the mean of the known ones, or a full page if none is known.
    let typical = match known.len() {
        0 => wanted,
        count => known.iter().sum::<usize>().div_ceil(count),
    };
    let mut asks = Vec::new();
    let mut covered = 0;
    for (ahead, outlook) in ahead.iter().enumerate() {
        if covered >= wanted && asks.len() >= least {
            break;
        }
        asks.push(Ask {
            ahead,
            // One at the least: whether anything is there has to be found out, too.
            limit: wanted.saturating_sub(covered).max(1),
        });
        covered += match outlook {
            Outlook::About(left) => *left,
            Outlook::Unknown => typical,
        };
    }
    asks
}

fn spread(count: usize, wanted: usize) -> Vec<Ask> {
    // The first location may fill the page alone; the others together are asked for one page more.
    let share = wanted.div_ceil(count.saturating_sub(1).max(1));
    (0..count)
        .map(|ahead| Ask {
            ahead,
            limit: if ahead == 0 { wanted } else { share },
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::federate::merged::plan::Manner::Sparing;
    use crate::federate::merged::plan::Manner::Spreading;
    use crate::federate::merged::plan::Outlook::About;
    use crate::federate::merged::plan::Outlook::Unknown;

    #[test]
    fn as_many_as_fill_the_page() {
        for (ahead, wanted, least, manner, expected) in [
            (vec![About(1000), About(1000)], 501, 1, Sparing, vec![501]),
            // The second one proves that something follows.
            (
                vec![About(10), About(10), About(10)],
                11,
                1,
                Sparing,
                vec![11, 1],
            ),
            (
                vec![About(300), About(300), About(300)],
                501,
                1,
                Sparing,
                vec![501, 201],
            ),
            (
                vec![About(0), About(5), About(9)],
                3,
                1,
                Sparing,
                vec![3, 3],
            ),
            (vec![Unknown, Unknown, Unknown], 11, 1, Sparing, vec![11]),
            (vec![Unknown, Unknown, Unknown], 11, 2, Sparing, vec![11, 1]),
            (
                vec![About(10), Unknown, Unknown, Unknown],
                25,
                1,
                Sparing,
                vec![25, 15, 5],
            ),
            (
                vec![Unknown, Unknown, Unknown],
                1001,
                1,
                Spreading,
                vec![1001, 501, 501],
            ),
            (vec![Unknown, Unknown], 1001, 1, Spreading, vec![1001, 1001]),
            (vec![Unknown], 2, 1, Spreading, vec![2]),
            (
                vec![About(900), Unknown],
                1001,
                1,
                Spreading,
                vec![1001, 101],
            ),
            (vec![], 5, 1, Spreading, vec![]),
        ] {
            let limits: Vec<usize> = round(&ahead, wanted, least, manner)
                .iter()
                .map(|ask| ask.limit)
                .collect();
            assert_eq!(limits, expected, "{ahead:?} {wanted} {least} {manner:?}");
        }
    }

    proptest! {
        /// If the outlook is right one round fills the page, and what is read too much is no more than one each.
        #[test]
        fn a_right_outlook_costs_one_round(counts in prop::collection::vec(0_usize..50, 1..40), wanted in 1_usize..200) {
            let ahead: Vec<Outlook> = counts.iter().map(|&count| About(count)).collect();
            let asks = round(&ahead, wanted, 1, Sparing);
            let read: usize = asks.iter().map(|ask| ask.limit.min(counts[ask.ahead])).sum();
            let there: usize = counts.iter().sum();
            prop_assert_eq!(read, wanted.min(there).max(read.min(wanted)));
            prop_assert!(read <= wanted);
            prop_assert!(read == wanted || asks.len() == counts.len());
        }

        /// Whatever is thought, asking goes on until the page is full or everybody was asked.
        #[test]
        fn rounds_end(counts in prop::collection::vec(0_usize..50, 1..60), thought in prop::collection::vec(prop::option::of(0_usize..50), 60), wanted in 1_usize..200) {
            let mut have = 0;
            let mut from = 0;
            let mut least = 1;
            let mut rounds = 0;
            while from < counts.len() && have < wanted {
                let ahead: Vec<Outlook> = thought[from..counts.len()].iter().map(|left| left.map_or(Unknown, About)).collect();
                let asks = round(&ahead, wanted - have, least, Sparing);
                prop_assert!(asks.len() >= least.min(ahead.len()));
                prop_assert!(asks.iter().all(|ask| ask.limit > 0));
                let mut all = true;
                for ask in &asks {
                    let there = counts[from + ask.ahead];
                    have += there.min(ask.limit);
                    all &= there < ask.limit;
                }
                if !all { break }
                from += asks.len();
                least = asks.len() * 2;
                rounds += 1;
            }
            prop_assert!(rounds <= 7, "{rounds}");
        }
    }
}
