//! Price alerts: which of them a price fires, in the transaction that stores the price.
//!
//! Promises that an alert fires at the first announced price at which it is armed and its condition holds, exactly once
//! per crossing even across crashes: its state, its delivery and its update are committed together with the price. If a
//! price fires more alerts than one transaction allows, the rest follows in further transactions before another price is
//! stored, and a new writer first completes what the last one left. A new alert whose condition already holds fires
//! immediately. Stale prices are ignored; degraded ones count only for alerts that request it, and the delivery states it.
//! Changes through the API take effect at the writer's next check, within a second; a deletion takes effect immediately,
//! because firing reads the row. Assumes that only the single price writer arms and disarms alerts.

mod index;

use std::{collections::BTreeSet, mem::take};

use sqlx::PgConnection;

use self::index::AlertIndex;
use super::telemetry;
use chaincast_model::Price;
use chaincast_protocol::{PriceStatus, Token};
use chaincast_store::{
    StoreError,
    alert_firing::{DueAlerts, Firing},
    alerts,
};

/// Rows read in one step.
const PAGE: u32 = 10_000;

/// The alerts of all users, for the lifetime of the writer.
#[derive(Debug, Default)]
pub(super) struct Alerts {
    index: AlertIndex,
    /// The last revision of the alerts that is in the index.
    revision: i64,
    /// Tokens with alerts that were not checked against a price yet.
    unchecked: BTreeSet<Token>,
}

impl Alerts {
    /// Reads the active alerts.
    pub(super) async fn load(connection: &mut PgConnection) -> Result<Self, StoreError> {
        // Before the alerts: changes in between are read again by the next refresh.
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
            unchecked: index.tokens().cloned().collect(),
            index,
            revision,
        })
    }

    /// Reads the changes through the API since the last time.
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
                    self.unchecked.insert(change.alert.token.clone());
                    self.index.insert(change.alert);
                } else {
                    self.index.remove(change.alert.id);
                }
            }
            telemetry::alerts(self.index.len());
        }
        Ok(())
    }

    /// The effect of the last announced prices on unchecked alerts, except prices that became stale according to
    /// `announced`.
    pub(super) fn due_for_last_prices<'a>(
        &mut self,
        announced: &[Price],
        last_price: impl Fn(&Token) -> Option<&'a Price>,
    ) -> DueAlerts {
        let stale = |token: &Token| {
            let mut stale = announced.iter().filter(|p| p.status == PriceStatus::Stale);
            stale.any(|price| price.token == *token)
        };
        let unchecked = take(&mut self.unchecked);
        let fresh = unchecked.iter().filter(|token| !stale(token));
        self.matches(fresh.filter_map(last_price))
    }

    /// The effect of the prices that are about to be announced, and, for unchecked alerts, of their token's last price.
    pub(super) fn due<'a>(
        &mut self,
        announced: &'a [Price],
        last_price: impl Fn(&Token) -> Option<&'a Price>,
    ) -> DueAlerts {
        let unchecked = take(&mut self.unchecked);
        let known = unchecked
            .iter()
            .filter(|token| announced.iter().all(|price| price.token != **token))
            .filter_map(last_price);
        self.matches(announced.iter().chain(known))
    }

    fn matches<'a>(&self, prices: impl Iterator<Item = &'a Price>) -> DueAlerts {
        let mut due = DueAlerts::default();
        for price in prices {
            if price.status == PriceStatus::Stale {
                continue;
            }
            let degraded = price.status == PriceStatus::Degraded;
            let matches = self.index.matches(&price.token, &price.price, degraded);
            due.arm.extend(matches.arm);
            due.fire
                .extend(matches.fire.into_iter().map(|alert| Firing {
                    alert,
                    price: price.price.clone(),
                    status: price.status,
                }));
        }
        due
    }

    /// Applies a commit. An alert that was due but did not fire is no longer active.
    pub(super) fn settle(&mut self, due: &DueAlerts) {
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
