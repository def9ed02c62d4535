//! One transaction of the price writer: ticks, the prices computed from them, fired alerts and candles.

use super::{age::age_ms, candles::CandleChanges};
use chaincast_model::{Price, Tick};
use chaincast_prices::{FeedState, SourceKey};
use chaincast_protocol::{
    Channel, Event, JsonNumber, NewUpdate, PriceUpdate, PriceUpdateDetail, USD, Update,
};
use chaincast_store::{
    StoreError, alert_deliveries,
    alert_firing::{self, DueAlerts, Fired},
    candles, price_clock, prices, ticks,
    tokens::{self, SourceState},
    updates,
    writer::Writer,
};

/// The content of one transaction.
#[derive(Default)]
pub(super) struct Commit<'a> {
    /// Ticks of feeds; those of chains are already stored.
    pub(super) ticks: &'a [Tick],
    pub(super) announced: Vec<Price>,
    /// Prices announced before, with newer times.
    pub(super) moved: Vec<Price>,
    /// Alerts that these prices fire, or arm again.
    pub(super) due: DueAlerts,
    pub(super) states: Vec<(SourceKey, FeedState)>,
    /// The new offset of this clock, if it changed; `Some(None)` if it is within its tolerance.
    pub(super) clock: Option<Option<i64>>,
}

/// The result of a transaction.
pub(super) struct Committed {
    /// Updates to publish, in this order.
    pub(super) updates: Vec<Update>,
    /// Alerts that fired.
    pub(super) fired: usize,
}

impl Commit<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.ticks.is_empty()
            && self.announced.is_empty()
            && self.moved.is_empty()
            && self.due.is_empty()
            && self.states.is_empty()
            && self.clock.is_none()
    }

    /// Stores the commit and the candle changes in one transaction, as announced at `now_ms`.
    pub(super) async fn store(
        &self,
        writer: &mut Writer,
        changes: CandleChanges,
        now_ms: i64,
    ) -> Result<Committed, StoreError> {
        let announced = &self.announced;
        let mut transaction = writer.begin().await?;
        ticks::insert(&mut transaction, self.ticks).await?;
        let fired = alert_firing::apply(&mut transaction, &self.due, now_ms).await?;
        // Prices come first, in their order, then the alerts that they fired.
        let price_updates = announced.iter().map(|price| price_update(price, now_ms));
        let new_updates = price_updates.chain(fired.iter().map(alert_update));
        let new_updates = new_updates.chain(changes.updates).collect();
        let updates = updates::append(&mut transaction, new_updates).await?;
        if !announced.is_empty() {
            let seqs = updates.iter().map(|update| update.seq);
            let rows: Vec<(u64, &Price)> = seqs.zip(announced).collect();
            prices::insert(&mut transaction, &rows, now_ms).await?;
        }
        let alert_updates = announced.len()..announced.len() + fired.len();
        let alert_updates = updates.get(alert_updates).unwrap_or_default();
        alert_deliveries::insert(&mut transaction, &fired, alert_updates).await?;
        candles::write(&mut transaction, &changes.rows).await?;
        if !self.moved.is_empty() {
            prices::confirm(&mut transaction, &self.moved).await?;
        }
        tokens::record_states(&mut transaction, &state_rows(&self.states)).await?;
        if let Some(off_ms) = self.clock {
            price_clock::record(&mut transaction, off_ms).await?;
        }
        transaction.commit().await?;
        Ok(Committed {
            updates,
            fired: fired.len(),
        })
    }
}

fn state_rows(states: &[(SourceKey, FeedState)]) -> Vec<SourceState<'_>> {
    let rows = states.iter().map(|((token, source), state)| SourceState {
        token,
        source,
        state: state.name(),
        reason: state.reason(),
    });
    rows.collect()
}

fn alert_update(fired: &Fired) -> NewUpdate {
    NewUpdate {
        channel: Channel::User(fired.subject.clone()),
        event: Event::PriceAlert(fired.alert.clone()),
    }
}

fn price_update(price: &Price, now_ms: i64) -> NewUpdate {
    let details = price.details.iter().map(|detail| PriceUpdateDetail {
        source: detail.source.clone(),
        age_ms: age_ms(detail.observed_at, now_ms),
        block: detail.block,
        outlier: detail.outlier,
    });
    NewUpdate {
        channel: Channel::Price(price.token.clone()),
        event: Event::PriceUpdate(PriceUpdate {
            token: price.token.clone(),
            price: JsonNumber(price.price.clone()),
            timestamp: now_ms,
            quote: USD.into(),
            confidence: JsonNumber(price.confidence.clone()),
            sources: price.sources.clone(),
            age_ms: age_ms(price.observed_at, now_ms),
            status: price.status,
            reason: price.reason,
            details: details.collect(),
        }),
    }
}
