//! The right to write values that have to be unique, among all requests of this gateway and, where they share a backend,
//! of the others in front of the same locations.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use tokio::time::timeout_at;

use crate::coordination::Backend;
use crate::coordination::claims::Held;
use crate::coordination::claims::Unheld;
use crate::federate::Error;
use crate::federate::claim::Stake;
use crate::federate::turns::Turn;
use crate::federate::turns::Turns;
use crate::request::Answer;

/// Held until it is released, or dropped by a request that is given up.
#[derive(Debug)]
pub struct Hold<'a> {
    among_gateways: AmongGateways,
    _here: Turn<'a, String>,
}

#[derive(Debug)]
enum AmongGateways {
    /// Nothing is wanted that others could want, or there are no others.
    Alone,
    Held(Held),
    /// The backend could not be asked.
    Unheld,
}

impl<'a> Hold<'a> {
    /// Waits until nobody else holds any of it.
    pub async fn take(
        turns: &'a Turns<String>,
        backend: Option<&Arc<Backend>>,
        stakes: HashSet<Stake>,
        deadline: Instant,
    ) -> Result<Self, Error> {
        let values: HashSet<String> = stakes.iter().map(Stake::text).collect();
        // Here first: of this gateway's requests one at most contends with other gateways.
        let here = timeout_at(deadline.into(), turns.take(values.clone())).await;
        let here = here.map_err(|_| Error::Contended)?;
        let among_gateways = match backend.filter(|_| !values.is_empty()) {
            None => AmongGateways::Alone,
            Some(backend) => match backend.hold(values, deadline).await {
                Ok(held) => AmongGateways::Held(held),
                Err(Unheld::Away) => AmongGateways::Unheld,
                Err(Unheld::Taken) => return Err(Error::Contended),
            },
        };
        Ok(Self {
            among_gateways,
            _here: here,
        })
    }

    /// Makes sure of it once more, after the write.
    pub async fn confirm(&self) {
        if let AmongGateways::Held(held) = &self.among_gateways {
            held.confirm().await;
        }
    }

    /// Whether no other gateway can have written the same until now.
    pub fn is_sure(&self) -> bool {
        match &self.among_gateways {
            AmongGateways::Alone => true,
            AmongGateways::Held(held) => held.is_sure(),
            AmongGateways::Unheld => false,
        }
    }

    /// Refuses what has to be sure: before anything is asked, and again right before the write, since the questions may
    /// have outlasted a claim that could not be renewed.
    pub fn suffices(&self, required: bool) -> Result<(), Error> {
        if required && !self.is_sure() {
            return Err(Error::Uncoordinated);
        }
        Ok(())
    }

    /// Before anybody here has a turn: the next one would meet our own claim at the backend.
    pub async fn release(self) {
        let Self {
            among_gateways,
            _here,
        } = self;
        if let AmongGateways::Held(held) = among_gateways {
            held.release().await;
        }
    }

    /// Announces that other gateways could not be kept from writing the same.
    pub fn flag(&self, mut answer: Answer) -> Answer {
        if !self.is_sure() {
            answer.reservations().is_uncoordinated = true;
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::collection::Collection;

    #[tokio::test]
    async fn nobody_waits_longer_than_its_request_may_take() {
        let turns = Turns::default();
        let stakes = HashSet::from([Stake::all_of(Collection::Chassis)]);
        let first = Hold::take(&turns, None, stakes.clone(), Instant::now()).await;
        let second = Hold::take(&turns, None, stakes.clone(), Instant::now());
        let second = tokio::time::timeout(std::time::Duration::from_secs(5), second).await;
        assert!(matches!(second, Ok(Err(Error::Contended))), "{second:?}");
        drop(first);
        let third = Hold::take(&turns, None, stakes, Instant::now()).await;
        assert!(third.is_ok());
    }
}
