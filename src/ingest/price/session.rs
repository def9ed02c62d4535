//! The price writer while it holds the lock: from the first read to the loss of the connection.

use std::{collections::BTreeSet, future::Future, time::Duration};

use futures_util::FutureExt;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    Parts, PriceIngestError, age_ms,
    board::{Board, Evaluation},
    outage::Outage,
    telemetry,
};
use crate::{
    ingest::{PriceSignal, PriceSignalQueue},
    model::{Channel, Event, JsonNumber, NewUpdate, Price, PriceUpdate, USD, now_ms},
    store::{
        StoreError, prices, ticks, tokens, updates,
        writer::{Stream, Writer},
    },
};

/// How often time alone is looked at, and the store: for prices that went stale, and for ticks that no signal told
/// of, such as those of a chain that another process writes.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A database that takes longer for one step is taken for gone: a dead connection may never say so itself.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most signals in one commit, so that a flood of them cannot put it off for ever.
const SIGNALS_A_COMMIT: usize = 1_024;

/// Ends with the connection that holds the lock, so what it knows is never older than its right to write.
pub(super) struct Session<'a> {
    parts: &'a Parts,
    writer: Writer,
    board: Board,
}

impl<'a> Session<'a> {
    /// Takes the lock, stores what is configured, and reads where prices stand. Signals that were queued before are
    /// dropped: they tell of what is in the store, which is read after.
    pub(super) async fn open(
        parts: &'a Parts,
        signals: &mut PriceSignalQueue,
    ) -> Result<Self, PriceIngestError> {
        let mut writer = within(Writer::acquire(&parts.store, Stream::Prices)).await?;
        within(async {
            let mut transaction = writer.begin().await?;
            tokens::sync(&mut transaction, &parts.tokens, &parts.sources).await?;
            Ok(transaction.commit().await?)
        })
        .await?;
        while signals.next().now_or_never().flatten().is_some() {}
        let mut board = Board::new(&parts.config);
        let announced = within(prices::latest(writer.connection(), board.tokens())).await?;
        board.keep(announced);
        let mut session = Self {
            parts,
            writer,
            board,
        };
        session.reload().await?;
        Ok(session)
    }

    /// Writes prices until `stop`, or until the store fails.
    pub(super) async fn run(
        mut self,
        signals: &mut PriceSignalQueue,
        outage: &mut Outage,
        stop: &CancellationToken,
    ) -> Result<(), PriceIngestError> {
        self.commit(self.board.evaluate_all(now_ms())).await?;
        outage.ended();
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut closed = false;
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                signal = signals.next(), if !closed => match signal {
                    Some(signal) => self.react(signal, signals).await?,
                    // The last chain writer ended; prices still go stale until shutdown.
                    None => closed = true,
                },
                _ = look.tick() => {
                    self.reload().await?;
                    let now = now_ms();
                    self.commit(self.board.evaluate_all(now)).await?;
                    telemetry::ages(self.board.prices(), now);
                }
            }
        }
        // A lock that cannot be given back goes with its connection.
        within(self.writer.release()).await.ok();
        Ok(())
    }

    /// One commit for this signal and those that wait behind it.
    async fn react(
        &mut self,
        signal: PriceSignal,
        signals: &mut PriceSignalQueue,
    ) -> Result<(), PriceIngestError> {
        let mut affected = BTreeSet::new();
        let mut reload = false;
        let mut next = Some(signal);
        for _ in 0..SIGNALS_A_COMMIT {
            match next {
                Some(PriceSignal::Ticks(ticks)) => affected.extend(self.board.take(ticks)),
                Some(PriceSignal::Reorged { .. } | PriceSignal::Reload) => reload = true,
                None => break,
            }
            next = signals.next().now_or_never().flatten();
        }
        let found = if reload {
            // The store has what the ticks say, and not what a reorg took back.
            self.reload().await?;
            self.board.evaluate_all(now_ms())
        } else {
            self.board.evaluate(&affected, now_ms())
        };
        self.commit(found).await
    }

    async fn reload(&mut self) -> Result<(), PriceIngestError> {
        let ticks = within(ticks::latest_per_source(self.writer.connection())).await?;
        self.board.replace_ticks(ticks);
        Ok(())
    }

    /// Stores what changed and what was confirmed, then announces what changed; only then is it what the next prices
    /// are compared with. What was confirmed is stored so that readers of the table know its age.
    async fn commit(&mut self, found: Evaluation) -> Result<(), PriceIngestError> {
        let Evaluation { changed, confirmed } = found;
        if !changed.is_empty() || !confirmed.is_empty() {
            let (began, now) = (Instant::now(), now_ms());
            let writer = &mut self.writer;
            let committed = within(async {
                let mut transaction = writer.begin().await?;
                let mut updates = Vec::new();
                if !changed.is_empty() {
                    let news = changed.iter().map(|price| update_of(price, now)).collect();
                    updates = updates::append(&mut transaction, news).await?;
                    let seqs = updates.iter().map(|update| update.seq);
                    let rows: Vec<(u64, &Price)> = seqs.zip(&changed).collect();
                    prices::insert(&mut transaction, &rows, now).await?;
                }
                if !confirmed.is_empty() {
                    prices::confirm(&mut transaction, &confirmed).await?;
                }
                transaction.commit().await?;
                Ok(updates)
            })
            .await?;
            telemetry::committed(&changed, began.elapsed());
            if !committed.is_empty() {
                self.parts.publisher.publish(committed);
            }
        }
        self.board.keep(changed);
        self.board.keep(confirmed);
        Ok(())
    }
}

/// Waits for the store no longer than it may take.
async fn within<T>(
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, PriceIngestError> {
    match timeout(PATIENCE, work).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(PriceIngestError::Silent(PATIENCE)),
    }
}

fn update_of(price: &Price, now_ms: i64) -> NewUpdate {
    NewUpdate {
        channel: Channel::Price(price.token.clone()),
        event: Event::PriceUpdate(PriceUpdate {
            token: price.token.clone(),
            price: JsonNumber(price.price.clone()),
            timestamp: now_ms,
            quote: USD,
            confidence: JsonNumber(price.confidence.clone()),
            sources: price.sources.clone(),
            age_ms: age_ms(price, now_ms),
            status: price.status,
        }),
    }
}
