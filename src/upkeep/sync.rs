//! What operators order: all locations are swept now, and compared with each other.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use tokio::sync::Mutex;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::current::Follow;
use crate::locations::question::Asker;
use crate::sync;
use crate::sync::board::Order;
use crate::sync::sites::Sites;
use crate::sync::sweep::Manner;
use crate::sync::sweep::sweep;
use crate::wire::budget::Budget;
use crate::wire::transport::Transport;

/// What a sweep may take.
const PATIENCE: Duration = Duration::from_mins(10);

/// Carries out one order after the other.
#[derive(Debug)]
pub struct Synchronisation {
    pub follow: Follow,
    pub budget: Budget,
    pub orders: Mutex<UnboundedReceiver<Order>>,
}

#[async_trait]
impl BackgroundService for Synchronisation {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let mut orders = self.orders.lock().await;
        loop {
            let order = tokio::select! {
                _ = shutdown.changed() => break,
                order = orders.recv() => order,
            };
            let Some(order) = order else { break };
            let progress = order.progress.clone();
            let mut run = pin!(self.carry_out(order));
            tokio::select! {
                () = &mut run => {}
                _ = shutdown.changed() => {
                    // What is in hand is finished if the process lives that long; an unfinished copy is marked as such.
                    progress.stop();
                    run.await;
                    break;
                }
            }
        }
        orders.close();
    }
}

impl Synchronisation {
    async fn carry_out(&self, order: Order) {
        let Order { mode, progress } = order;
        let federation = Arc::clone(&self.follow.borrow().federation);
        let all = federation.locations.iter().len();
        let transport = Arc::new(Transport::new(all, self.budget.clone()));
        let asker = Asker::gateway(&transport, PATIENCE);
        progress.doing(format!("sweeping {all} locations"));
        let swept = sweep(&federation, &asker, Manner::Prompt, |done| {
            progress.doing(format!("sweeping: {done} of {all} locations"));
        });
        tokio::select! {
            swept = swept => progress.swept(swept),
            () = progress.stopped() => {}
        }
        let sites = Sites::of(&federation, transport);
        sync::run(sites, mode, progress).await;
    }
}
