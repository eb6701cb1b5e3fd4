//! Reads the bodies of items whose place is known, in as few questions as bring them.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::future::join_all;

use crate::api::merged_page::Taken;
use crate::api::page::Keep;
use crate::api::page::Page;
use crate::federate::Error;
use crate::federate::merged::index::Index;
use crate::federate::merged::index::Run;
use crate::federate::merged::index::Spot;
use crate::federate::merged::index::Way;
use crate::federate::merged::merge::Merge;
use crate::federate::merged::order::Direction;
use crate::locations::silence::Silence;
use crate::locations::walk::Halt;
use crate::locations::walk::Walk;
use crate::locations::window::Window;

/// What came of asking for bodies.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) bodies: HashMap<Spot, Taken>,
    /// Whether the items that served as markers are still there.
    pub(super) proven: HashMap<Spot, bool>,
    /// By place. Locations of which nothing was needed were not asked.
    pub(super) silent: HashMap<u32, Silence>,
}

/// What one location gave.
#[derive(Default)]
struct Given {
    bodies: HashMap<u32, Taken>,
    proven: HashMap<u32, bool>,
}

/// What one question brought.
struct Brought {
    bodies: Vec<(u32, Taken)>,
    is_there: bool,
}

enum Trouble {
    Silent(Silence),
    Error(Error),
}

impl From<Silence> for Trouble {
    fn from(silence: Silence) -> Self {
        Self::Silent(silence)
    }
}

/// Reading bodies of what an index holds.
pub(super) struct Gathering<'a> {
    pub(super) merge: &'a Merge<'a>,
    pub(super) index: &'a Index,
}

impl Gathering<'_> {
    pub(super) async fn gather(&self, spots: &[Spot]) -> Result<Gathered, Error> {
        let mut wanted: HashMap<u32, Vec<u32>> = HashMap::new();
        for spot in spots {
            wanted.entry(spot.place).or_default().push(spot.sequence);
        }
        // One for all locations: each run of items is a question of its own.
        let window = &Window::default();
        let asked = wanted.into_iter().map(|(place, wanted)| async move {
            (place, self.gather_at(place, wanted, window).await)
        });
        let mut gathered = Gathered::default();
        for (place, given) in join_all(asked).await {
            let at = |sequence| Spot { place, sequence };
            match given {
                Ok(given) => {
                    let bodies = given.bodies.into_iter();
                    gathered
                        .bodies
                        .extend(bodies.map(|(one, body)| (at(one), body)));
                    let proven = given.proven.into_iter();
                    gathered
                        .proven
                        .extend(proven.map(|(one, there)| (at(one), there)));
                }
                Err(Trouble::Silent(silence)) => {
                    gathered.silent.insert(place, silence);
                }
                Err(Trouble::Error(error)) => return Err(error),
            }
        }
        Ok(gathered)
    }

    /// Asks in the order of the key first, guessing the location's collation; what that does not bring is asked in the
    /// order of creation, which is certain.
    async fn gather_at(
        &self,
        place: u32,
        wanted: Vec<u32>,
        window: &Window,
    ) -> Result<Given, Trouble> {
        let way = if self.merge.wish.sort_key.is_some() {
            self.index.way(place as usize)
        } else {
            Way::Own
        };
        let mut given = Given::default();
        self.ask_runs(
            place,
            self.index.runs(place as usize, &wanted, way),
            &mut given,
            window,
        )
        .await?;
        let missed = |given: &Given| -> Vec<u32> {
            let missed = wanted.iter().filter(|one| !given.bodies.contains_key(one));
            missed.copied().collect()
        };
        let missing = missed(&given);
        if way == Way::Own || missing.is_empty() {
            return Ok(given);
        }
        // A few missing items were deleted meanwhile; most of them missing means that the collation was guessed wrong.
        if missing.len() * 2 > wanted.len() {
            self.index.is_wrong(place as usize, way);
        }
        self.ask_runs(
            place,
            self.index.runs(place as usize, &missing, Way::Own),
            &mut given,
            window,
        )
        .await?;
        Ok(given)
    }

    async fn ask_runs(
        &self,
        place: u32,
        runs: Vec<Run>,
        given: &mut Given,
        window: &Window,
    ) -> Result<(), Trouble> {
        let asked = runs.iter().map(|run| window.turn(self.ask_run(place, run)));
        for (run, brought) in runs.iter().zip(join_all(asked).await) {
            let brought = brought?;
            given.bodies.extend(brought.bodies);
            if let Some(behind) = run.behind {
                given.proven.insert(behind, brought.is_there);
            }
        }
        Ok(())
    }

    async fn ask_run(&self, place: u32, run: &Run) -> Result<Brought, Trouble> {
        let shown = self.merge.wish.bodies.shown();
        let keep = shown.as_deref().map_or(Keep::All, Keep::Only);
        let mut list = self.merge.list(&self.merge.wish.bodies, keep);
        if let (Way::Key(_), Some(key)) = (run.way, &self.merge.wish.sort_key) {
            list.query = list.query.with("sort_key", key);
        }
        if run.direction == Direction::Descending {
            list.query = list.query.with("sort_dir", run.direction.as_str());
        }
        let location = self.merge.scope()[place as usize];
        let id = |sequence: u32| &*self.index.entry(Spot { place, sequence }).id;
        let mut behind = run.behind;
        let mut back = 0;
        loop {
            let start = behind.map(|one| id(one).to_owned());
            let mut walk = Walk::behind(&list, &self.merge.request.asker, location, start);
            let mut left = run.count + back as usize;
            let mut bodies = Vec::new();
            loop {
                match walk.next(Some(left)).await {
                    Ok(Some(page)) => {
                        left = left.saturating_sub(page.len());
                        bodies.extend(pick(&Arc::new(page), run, id).map(|(one, taken)| {
                            // A page that we sift ourselves is held for few of its items.
                            let few = list.only.is_some();
                            let taken = if few {
                                Taken::alone(&taken.item())
                            } else {
                                taken
                            };
                            (one, taken)
                        }));
                    }
                    Ok(None) => left = 0,
                    Err(Halt::Silent(silence)) => return Err(silence.into()),
                    Err(Halt::Refusal(reply)) => {
                        return Err(Trouble::Error(self.merge.refuse(reply, location.id)));
                    }
                    Err(Halt::Unknown(_)) => break,
                }
                if left == 0 || walk.has_ended() {
                    return Ok(Brought {
                        bodies,
                        is_there: back == 0,
                    });
                }
            }
            // In the order of creation an earlier item can stand in for a deleted marker; by key its neighbours are a
            // guess.
            if run.way != Way::Own || behind.is_none() {
                return Ok(Brought {
                    bodies,
                    is_there: false,
                });
            }
            // Doubled, so that a run of deleted items costs a logarithm of questions.
            back = (back * 2).max(1);
            behind = run.behind.and_then(|one| one.checked_sub(back));
        }
    }
}

fn pick<'i>(
    page: &Arc<Page>,
    run: &Run,
    id: impl Fn(u32) -> &'i str,
) -> impl Iterator<Item = (u32, Taken)> {
    let wanted: HashMap<&str, u32> = run.wanted.iter().map(|&one| (id(one), one)).collect();
    Taken::all(page).filter_map(move |taken| {
        let sequence = *wanted.get(&*taken.item().id()?)?;
        Some((sequence, taken))
    })
}
