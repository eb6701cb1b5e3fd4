//! Questions about the Ironic itself: which versions it speaks, and whether it answers again.

use std::sync::atomic::Ordering;

use http::StatusCode;
use log::error;

use crate::api::collection::Collection;
use crate::api::microversion::Microversion;
use crate::api::microversion::VersionRange;
use crate::locations::location::Location;
use crate::locations::location::attempt::Shown;
use crate::locations::question::Asker;
use crate::locations::question::Expect;
use crate::locations::question::Question;
use crate::locations::silence::Reason;
use crate::locations::speech::Heard;
use crate::locations::speech::Said;
use crate::locations::speech::Standing;
use crate::locations::speech::Words;
use crate::locations::speech::range_of;
use crate::locations::speech::standing;

impl Location {
    /// Asks which versions it has. `None`: it did not tell. That the root document is served says nothing of the rest,
    /// so it does not close what other questions opened.
    pub async fn probe(&self, asker: &Asker) -> Option<Standing> {
        let told = match self.root(asker, Microversion::new(1, 1)).await {
            // It has given up the oldest versions, and says which ones it has.
            Err(Some(range)) => self.root(asker, range.max()).await,
            told => told,
        };
        let told = told.ok();
        if let Some(standing) = &told {
            self.learn(standing.clone());
        }
        self.probe_ended.send_replace(true);
        told
    }

    /// The root document. `Err`: it is none, or there is none in this version, but in that range.
    async fn root(
        &self,
        asker: &Asker,
        version: Microversion,
    ) -> Result<Standing, Option<VersionRange>> {
        let question = Question::get("/".to_owned(), version).expecting(Expect::Versions);
        // Public at every Ironic: no credential is shown before the location is known to be one.
        let heard = match self.send(asker, &question, Shown::default()).await {
            Ok(heard) => heard,
            Err(failure) => {
                self.no_answer(&question, failure, false);
                return Err(None);
            }
        };
        let mut is_another = false;
        let reason = match heard {
            Heard::Said(Said::Has(Words { reply, .. })) => {
                self.is_foreign.store(false, Ordering::Relaxed);
                return standing(&reply).ok_or(None);
            }
            Heard::Said(Said::Refuses(reply)) if reply.status == StatusCode::NOT_ACCEPTABLE => {
                // The same version again would be refused again.
                let range = range_of(&reply.headers).filter(|range| range.max() != version);
                if range.is_some() {
                    return Err(range);
                }
                Reason::Body
            }
            Heard::Unusable(reason, reply) => {
                is_another = reply.status == StatusCode::OK;
                reason
            }
            Heard::Said(_) | Heard::RefusesUs(_) => Reason::Body,
        };
        // Once, not with every probe.
        if is_another && !self.is_foreign.swap(true, Ordering::Relaxed) {
            error!(
                "What answers at the endpoint of location `{}` is not the root of an Ironic: endpoint_override must name the \
                 address below which `/v1` is",
                self.name()
            );
        }
        self.failed(reason);
        Err(None)
    }

    /// Tries a location whose breaker is open, with the cheapest question that Ironic's database has to answer. Where
    /// only users have rights we have none, and the root document has to do.
    pub async fn try_again(&self, asker: &Asker) {
        let Some(standing) = self.standing() else {
            return;
        };
        if self.config.forward_user_token {
            if self.probe(asker).await.is_some() {
                self.understood();
            }
            return;
        }
        let question = Question::get("/v1/nodes?limit=1".to_owned(), standing.range.max())
            .for_list(Collection::Nodes);
        match self.ask_anyway(asker, &question, true).await {
            Ok(Said::Refuses(_)) => self.understood(),
            Ok(_) if self.breaker().is_closed() => {}
            Ok(_) => self.count_failure(Reason::Body, true),
            // It can answer; that it does not let us in is another matter, told of elsewhere.
            Err(silence) if silence.reason == Reason::Refused && self.credentials.is_in_hand() => {
                self.understood();
            }
            Err(_) => self.breaker_stays_open(),
        }
    }
}
