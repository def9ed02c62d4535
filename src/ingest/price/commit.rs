//! What the price writer stores at once: ticks, the prices that came of them, and what these fired and moved.

use super::{age_ms, candles::CandleNews};
use crate::{
    model::{
        Channel, Event, JsonNumber, NewUpdate, Price, PriceUpdate, PriceUpdateDetail, Tick, USD,
        Update,
    },
    source::price::{FeedState, SourceKey},
    store::{
        StoreError, alert_deliveries,
        alert_firing::{self, Due, Fired},
        candles, price_clock, prices, ticks,
        tokens::{self, SourceState},
        updates,
        writer::Writer,
    },
};

/// What goes into one transaction.
#[derive(Default)]
pub(super) struct Commit<'a> {
    /// Of feeds; those of chains are stored already.
    pub(super) ticks: &'a [Tick],
    pub(super) announced: Vec<Price>,
    /// Announced before, with newer times.
    pub(super) moved: Vec<Price>,
    /// Alerts that these prices fire, or arm again.
    pub(super) due: Due,
    pub(super) states: Vec<(SourceKey, FeedState)>,
    /// By how much this clock is off, or that it is not, where that is news.
    pub(super) clock: Option<Option<i64>>,
}

/// What a transaction left to be told.
pub(super) struct Committed {
    /// To be published, in this order.
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

    /// Stores it in one transaction, with what it made of the candles, as announced at `now_ms`.
    pub(super) async fn store(
        &self,
        writer: &mut Writer,
        news: CandleNews,
        now_ms: i64,
    ) -> Result<Committed, StoreError> {
        let announced = &self.announced;
        let mut transaction = writer.begin().await?;
        ticks::insert(&mut transaction, self.ticks).await?;
        let fired = alert_firing::apply(&mut transaction, &self.due, now_ms).await?;
        // Prices come first, in their order, then what they fired.
        let said = announced.iter().map(|price| update_of(price, now_ms));
        let told = said.chain(fired.iter().map(alert_of));
        let told = told.chain(news.updates).collect();
        let updates = updates::append(&mut transaction, told).await?;
        if !announced.is_empty() {
            let seqs = updates.iter().map(|update| update.seq);
            let rows: Vec<(u64, &Price)> = seqs.zip(announced).collect();
            prices::insert(&mut transaction, &rows, now_ms).await?;
        }
        let of_alerts = announced.len()..announced.len() + fired.len();
        let of_alerts = updates.get(of_alerts).unwrap_or_default();
        alert_deliveries::insert(&mut transaction, &fired, of_alerts).await?;
        candles::write(&mut transaction, &news.rows).await?;
        if !self.moved.is_empty() {
            prices::confirm(&mut transaction, &self.moved).await?;
        }
        tokens::record_states(&mut transaction, &rows_of(&self.states)).await?;
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

fn rows_of(states: &[(SourceKey, FeedState)]) -> Vec<SourceState<'_>> {
    let rows = states.iter().map(|((token, source), state)| SourceState {
        token,
        source,
        state: state.name(),
        reason: state.reason(),
    });
    rows.collect()
}

fn alert_of(fired: &Fired) -> NewUpdate {
    NewUpdate {
        channel: Channel::User(fired.subject.clone()),
        event: Event::PriceAlert(fired.alert.clone()),
    }
}

fn update_of(price: &Price, now_ms: i64) -> NewUpdate {
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
            quote: USD,
            confidence: JsonNumber(price.confidence.clone()),
            sources: price.sources.clone(),
            age_ms: age_ms(price.observed_at, now_ms),
            status: price.status,
            reason: price.reason,
            details: details.collect(),
        }),
    }
}
