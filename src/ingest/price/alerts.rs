//! Price alerts: which of them a price fires, in the transaction that stores the price.
//!
//! Promises: an alert fires at the first announced price at which it is armed and its condition holds, once for one
//! crossing, whatever crashes meanwhile: that it fired, its delivery and its update are committed together with the
//! price. Where a price fires very many, the rest follows in transactions of its own before any other price is stored,
//! and a writer that begins first makes up for what the last one left of that. A new alert whose condition holds already fires at once. Stale prices mean nothing here;
//! degraded ones mean something to alerts that ask for it, and the delivery says so. What the API changes is seen at the writer's next look, within a second; a deletion counts
//! at once, because the row is asked when an alert is to fire. Assumes that only the one price writer arms and disarms.

mod index;

use std::{collections::BTreeSet, mem::take};

use sqlx::PgConnection;

use self::index::AlertIndex;
use super::telemetry;
use crate::{
    model::{Price, PriceStatus, Token},
    store::{
        StoreError,
        alert_firing::{Due, Firing},
        alerts,
    },
};

/// Rows read in one step.
const PAGE: u32 = 10_000;

/// The alerts of all users, for as long as the writer's session.
#[derive(Debug, Default)]
pub(super) struct Alerts {
    index: AlertIndex,
    /// The API's last change that is in the index.
    revision: i64,
    /// Tokens with alerts that no price was put to yet.
    unmet: BTreeSet<Token>,
}

impl Alerts {
    /// Reads what is active.
    pub(super) async fn load(connection: &mut PgConnection) -> Result<Self, StoreError> {
        // Before the alerts: what is changed in between is read again by the next look.
        let revision = alerts::revision(connection).await?;
        let mut index = AlertIndex::default();
        let mut after = 0;
        loop {
            let page = alerts::active(connection, after, PAGE).await?;
            let Some(last) = page.last() else {
                break;
            };
            after = last.id;
            page.into_iter().for_each(|alert| index.insert(alert));
        }
        telemetry::alerts(index.len());
        Ok(Self {
            unmet: index.tokens().cloned().collect(),
            index,
            revision,
        })
    }

    /// Takes in what the API changed since the last time.
    pub(super) async fn refresh(
        &mut self,
        connection: &mut PgConnection,
    ) -> Result<(), StoreError> {
        loop {
            let page = alerts::changed(connection, self.revision, PAGE).await?;
            let Some(last) = page.last() else {
                break;
            };
            self.revision = last.revision;
            for change in page {
                if change.active {
                    self.unmet.insert(change.alert.token.clone());
                    self.index.insert(change.alert);
                } else {
                    self.index.remove(change.alert.id);
                }
            }
            telemetry::alerts(self.index.len());
        }
        Ok(())
    }

    /// What the prices that were announced last do to alerts that no price was put to yet. Not those that are stale by
    /// now, which `announced` says.
    pub(super) fn owed<'a>(
        &mut self,
        announced: &[Price],
        said: impl Fn(&Token) -> Option<&'a Price>,
    ) -> Due {
        let stale = |token: &Token| {
            let mut stale = announced.iter().filter(|p| p.status == PriceStatus::Stale);
            stale.any(|price| price.token == *token)
        };
        let unmet = take(&mut self.unmet);
        let fresh = unmet.iter().filter(|token| !stale(token));
        self.met(fresh.filter_map(said))
    }

    /// What the prices that are about to be announced do, and, to alerts that are new, the price of their token that
    /// was announced last.
    pub(super) fn due<'a>(
        &mut self,
        announced: &'a [Price],
        said: impl Fn(&Token) -> Option<&'a Price>,
    ) -> Due {
        let unmet = take(&mut self.unmet);
        let known = unmet
            .iter()
            .filter(|token| announced.iter().all(|price| price.token != **token))
            .filter_map(said);
        self.met(announced.iter().chain(known))
    }

    fn met<'a>(&self, prices: impl Iterator<Item = &'a Price>) -> Due {
        let mut due = Due::default();
        for price in prices {
            if price.status == PriceStatus::Stale {
                continue;
            }
            let degraded = price.status == PriceStatus::Degraded;
            let met = self.index.met(&price.token, &price.price, degraded);
            due.arm.extend(met.arm);
            due.fire.extend(met.fire.into_iter().map(|alert| Firing {
                alert,
                price: price.price.clone(),
                status: price.status,
            }));
        }
        due
    }

    /// Notes what was committed. An alert that did not fire although it was due is not active any more.
    pub(super) fn settle(&mut self, due: &Due) {
        if due.is_empty() {
            return;
        }
        for firing in &due.fire {
            self.index.fired(firing.alert);
        }
        for id in &due.arm {
            self.index.armed(*id);
        }
        telemetry::alerts(self.index.len());
    }
}
