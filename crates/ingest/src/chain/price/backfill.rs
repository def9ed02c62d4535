//! Price backfill: decodes stored logs for price sources that were configured later, downward from the block at which
//! a source became known.
//!
//! This is state of one term of the chain writer. At every commit the logs of each source are decoded from its
//! `decoded_from` to the head. A log yields the same tick whenever it is decoded, and a stored tick is not changed, so
//! no tick is stored twice. Ticks older than the retention are skipped.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use metrics::{describe_gauge, gauge};
use sqlx::PgConnection;

use super::{averages, view};
use chaincast_model::{IndexedBlock, Tick};
use chaincast_prices::{AveragedSource, BackfillSource, OnChainSources};
use chaincast_protocol::{BlockRef, ChainId, Token, now_ms};
use chaincast_store::{
    StoreError,
    chain::{ChainState, indexes},
    pool_logs::{self, LogRange},
    price_backfills::{self as stored, ConfiguredSource},
    ticks::{self, Decoded},
    writer::Writer,
};

/// Maximum number of logs decoded in one transaction; a single block is never split.
const MAX_LOGS: u32 = 5_000;
/// Number of blocks of the first step, and of the largest.
const FIRST_WINDOW: u64 = 1_000;
const LARGEST_WINDOW: u64 = 10_000_000;
/// Largest step of an average, which may have a tick for every block.
const LARGEST_AVERAGE_WINDOW: u64 = 5_000;
/// The next step is smaller when the last took longer than `SLOW`, and larger when it took less than `QUICK`: new blocks
/// wait for a running step.
const SLOW: Duration = Duration::from_millis(250);
const QUICK: Duration = Duration::from_millis(50);

/// The sources of one chain, with how far each is decoded.
pub(in super::super) struct PriceBackfills {
    chain_id: ChainId,
    /// How long ticks are kept; `None` keeps all.
    retention: Option<Duration>,
    backfills: Vec<SourceBackfill>,
}

struct SourceBackfill {
    source: usize,
    has_answers: bool,
    average: Option<AveragedSource>,
    token: Token,
    name: Arc<str>,
    decoded_from: u64,
    replaces: bool,
    window: u64,
}

/// The outcome of one step.
#[derive(Debug, Default)]
pub(in super::super) struct BackfillStep {
    /// Whether the step did something; more may be left.
    pub(in super::super) more: bool,
    /// The newest tick that the step decoded.
    pub(in super::super) newest: Option<Tick>,
    /// Whether the step replaced stored ticks.
    pub(in super::super) replaced: bool,
}

impl PriceBackfills {
    /// Records the configured sources in the store and reads how far each is decoded.
    pub(in super::super) async fn open(
        writer: &mut Writer,
        state: &ChainState,
        sources: Option<&OnChainSources>,
        retention: Option<Duration>,
    ) -> Result<Self, StoreError> {
        describe_gauge!(
            "chaincast_price_source_left_blocks",
            "Blocks whose stored logs are still to be decoded for a price source"
        );
        let chain_id = state.chain_id;
        let sources = sources.map_or_else(Vec::new, |sources| sources.backfill_sources(chain_id));
        let configured: Vec<ConfiguredSource<'_>> = sources.iter().map(configured).collect();
        let mut transaction = writer.begin().await?;
        let (start, head) = (state.start_block, state.head);
        let states = stored::sync(&mut transaction, chain_id, start, head, &configured).await?;
        transaction.commit().await?;
        let backfills = sources.into_iter().zip(states);
        let backfills = backfills.map(|(source, state)| SourceBackfill {
            source: source.source,
            has_answers: source.has_answers,
            average: source.average,
            token: source.token,
            name: source.name,
            decoded_from: state.decoded_from,
            replaces: state.replaces,
            window: FIRST_WINDOW,
        });
        let backfills = Self {
            chain_id,
            retention,
            backfills: backfills.collect(),
        };
        for backfill in &backfills.backfills {
            backfill.set_gauge(start);
        }
        Ok(backfills)
    }

    /// For each source, whether its logs are not decoded now; committed blocks are then decoded for it later. Call this
    /// before blocks are decoded: a source can become readable at any moment.
    pub(in super::super) fn unread(&self, sources: Option<&OnChainSources>) -> Vec<bool> {
        let is_read = |backfill: &SourceBackfill| {
            sources.is_some_and(|sources| sources.is_read(backfill.source))
        };
        self.backfills
            .iter()
            .map(|backfill| !is_read(backfill))
            .collect()
    }

    /// Records, in the transaction of a commit, that its blocks are decoded: above the head (above `ancestor` after a
    /// reorg), or below the first stored block. A failed commit ends this term of the writer, and this state with it.
    pub(in super::super) async fn record_decoded(
        &mut self,
        transaction: &mut PgConnection,
        unread: &[bool],
        ancestor: Option<BlockRef>,
        blocks: &[IndexedBlock],
        below: bool,
    ) -> Result<(), StoreError> {
        let first = blocks.first().map(|block| block.header.number);
        let last = blocks.last().map(|block| block.header.number);
        let Some(last) = last.or(ancestor.map(|ancestor| ancestor.number)) else {
            return Ok(());
        };
        for (backfill, unread) in self.backfills.iter_mut().zip(unread) {
            if below && backfill.average.is_some() {
                // The averages above lacked the prices in these blocks; only the logs show up to which block.
                let head = pool_logs::last_block(transaction, self.chain_id).await?;
                backfill.decoded_from = head.unwrap_or(last) + 1;
                continue;
            }
            if below {
                // With a gap in between, these blocks are decoded later.
                if !unread && backfill.decoded_from == last + 1 {
                    backfill.decoded_from = first.unwrap_or(backfill.decoded_from);
                }
                continue;
            }
            if let Some(ancestor) = ancestor {
                backfill.decoded_from = backfill.decoded_from.min(ancestor.number + 1);
            }
            if *unread {
                backfill.decoded_from = last + 1;
            }
        }
        let through = (!below).then_some(last);
        stored::record(transaction, self.chain_id, &self.decoded(), through).await
    }

    fn decoded(&self) -> Vec<(&Token, &str, u64)> {
        let backfills = self.backfills.iter();
        backfills
            .map(|backfill| (&backfill.token, &*backfill.name, backfill.decoded_from))
            .collect()
    }

    /// Decodes one range of blocks of one source, down to the block `start`.
    pub(in super::super) async fn step(
        &mut self,
        writer: &mut Writer,
        sources: Option<&OnChainSources>,
        start: u64,
    ) -> Result<BackfillStep, StoreError> {
        let Some(sources) = sources else {
            return Ok(BackfillStep::default());
        };
        let mut backfills = self.backfills.iter_mut();
        let behind = backfills.find_map(|backfill| {
            let emitting_contracts = sources.emitting_contracts(backfill.source)?;
            (backfill.decoded_from > start).then_some((backfill, emitting_contracts))
        });
        let Some((backfill, (addresses, topic))) = behind else {
            return Ok(BackfillStep::default());
        };
        let (chain_id, below) = (self.chain_id, backfill.decoded_from);
        let from = below.saturating_sub(backfill.window).max(start);
        let began = Instant::now();
        let wanted = LogRange {
            chain_id,
            addresses: &addresses,
            topic,
            from,
            below,
        };
        let mut transaction = writer.begin().await?;
        if backfill.average.is_some() && !indexes::deferred(&mut transaction).await?.is_empty() {
            // Without the index by address, the search for the price before a window would scan the table.
            return Ok(BackfillStep::default());
        }
        let Some(logs) =
            pool_logs::logs_emitted(&mut transaction, wanted, max_logs(from, below)).await?
        else {
            backfill.window = ((below - from) / 2).max(1);
            return Ok(BackfillStep {
                more: true,
                ..BackfillStep::default()
            });
        };
        let oldest = self.retention.map_or(i64::MIN, |kept| {
            now_ms().saturating_sub_unsigned(u64::try_from(kept.as_millis()).unwrap_or(u64::MAX))
        });
        let mut found: Vec<Tick> = match backfill.average {
            Some(of) => {
                let range = (from, below);
                averages::of_stored_blocks(&mut transaction, sources, chain_id, of, range, logs)
                    .await?
            }
            None => {
                let decoded = logs.iter().filter_map(|stored| {
                    let log = view(stored.block, stored.timestamp, &stored.log);
                    sources.decode_stored_log(backfill.source, &log)
                });
                // The decoder has counted and logged rejected logs.
                decoded.flatten().collect()
            }
        };
        found.retain(|tick| tick.observed_at >= oldest);
        // Block times never decrease: below a block that is too old, all blocks are.
        let edge = pool_logs::block_at(&mut transaction, chain_id, from).await?;
        let is_old = edge.is_some_and(|(_, timestamp)| {
            i64::try_from(timestamp).is_ok_and(|seconds| seconds.saturating_mul(1_000) < oldest)
        });
        let key = (&backfill.token, &*backfill.name);
        if backfill.replaces {
            // No further step runs below a block that is too old.
            let from = if is_old { 0 } else { from };
            let decoded = backfill.decoded();
            let range = (from, below);
            ticks::delete_decoded(&mut transaction, decoded, key, chain_id, range).await?;
        }
        ticks::insert(&mut transaction, &found).await?;
        let reached = if is_old { start } else { from };
        let decoded = [(key.0, key.1, reached)];
        stored::record(&mut transaction, chain_id, &decoded, None).await?;
        let is_done = reached <= start;
        if is_done && backfill.replaces {
            stored::record_replaced(&mut transaction, chain_id, key.0, key.1).await?;
        }
        transaction.commit().await?;
        let replaced = backfill.replaces;
        backfill.decoded_from = reached;
        backfill.replaces &= !is_done;
        backfill.adapt(began.elapsed());
        backfill.set_gauge(start);
        if is_done {
            tracing::info!(
                chain_id, token = %backfill.token, source = %backfill.name,
                "price backfill finished"
            );
        }
        let place = |tick: &Tick| tick.origin.map(|at| (at.block_number, at.log_index));
        Ok(BackfillStep {
            more: true,
            newest: found.into_iter().max_by_key(place),
            replaced,
        })
    }
}

impl SourceBackfill {
    fn decoded(&self) -> Decoded {
        match self.has_answers {
            true => Decoded::Logs,
            false => Decoded::All,
        }
    }

    fn adapt(&mut self, took: Duration) {
        if took > SLOW {
            self.window = (self.window / 2).max(1);
        } else if took < QUICK {
            let largest = match self.average {
                Some(_) => LARGEST_AVERAGE_WINDOW,
                None => LARGEST_WINDOW,
            };
            self.window = (self.window * 4).min(largest);
        }
    }

    fn set_gauge(&self, start: u64) {
        let left = self.decoded_from.saturating_sub(start);
        gauge!(
            "chaincast_price_source_left_blocks",
            "token" => self.token.to_string(), "source" => self.name.to_string()
        )
        .set(u32::try_from(left).unwrap_or(u32::MAX));
    }
}

fn configured(source: &BackfillSource) -> ConfiguredSource<'_> {
    ConfiguredSource {
        token: &source.token,
        source: &source.name,
        definition: source.definition,
    }
}

/// Maximum number of logs of these blocks; unlimited for a single block.
fn max_logs(from: u64, below: u64) -> u32 {
    if below - from > 1 {
        MAX_LOGS
    } else {
        i32::MAX as u32
    }
}
