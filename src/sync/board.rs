//! Where operators order a run of the gateway, and see how it goes. There is one at a time.

use std::sync::Mutex;
use std::sync::PoisonError;

use thiserror::Error;
use tokio::sync::mpsc;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::mpsc::UnboundedSender;

use crate::config::Config;
use crate::sync::Mode;
use crate::sync::progress::Progress;

/// A run that is to be made.
#[derive(Debug)]
pub struct Order {
    pub mode: Mode,
    pub progress: Progress,
}

/// Why no run begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    #[error("a run is under way: wait for its end, or stop it")]
    UnderWay,
    #[error("the gateway is stopping")]
    Stopping,
    #[error("the gateway is read-only: its operator allows no writes ([DEFAULT] read_only)")]
    ReadOnly,
}

/// A run writes only where requests may.
pub fn allow(mode: Mode, config: &Config) -> Result<(), Refusal> {
    if mode == Mode::Apply && config.read_only {
        return Err(Refusal::ReadOnly);
    }
    Ok(())
}

/// The order under way, or the last one.
#[derive(Debug)]
pub struct Board {
    orders: UnboundedSender<Order>,
    latest: Mutex<Option<Progress>>,
}

/// The board, and whoever carries out what stands there.
pub fn channel() -> (Board, UnboundedReceiver<Order>) {
    let (orders, receiver) = mpsc::unbounded_channel();
    let latest = Mutex::default();
    (Board { orders, latest }, receiver)
}

impl Board {
    pub fn begin(&self, mode: Mode) -> Result<Progress, Refusal> {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if latest.as_ref().is_some_and(|latest| !latest.is_over()) {
            return Err(Refusal::UnderWay);
        }
        let progress = Progress::default();
        let order = Order {
            mode,
            progress: progress.clone(),
        };
        self.orders.send(order).map_err(|_| Refusal::Stopping)?;
        *latest = Some(progress.clone());
        Ok(progress)
    }

    /// `None`: there was none since the start.
    pub fn latest(&self) -> Option<Progress> {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        latest.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_at_a_time() {
        let (board, mut orders) = channel();
        assert!(board.latest().is_none());
        let first = board.begin(Mode::Show).unwrap();
        assert_eq!(board.begin(Mode::Apply).unwrap_err(), Refusal::UnderWay);
        first.end(false, String::new());
        board.begin(Mode::Apply).unwrap();
        assert_eq!(orders.try_recv().unwrap().mode, Mode::Show);
        assert_eq!(orders.try_recv().unwrap().mode, Mode::Apply);
        drop(orders);
        board.latest().unwrap().end(false, String::new());
        assert_eq!(board.begin(Mode::Show).unwrap_err(), Refusal::Stopping);
    }
}
