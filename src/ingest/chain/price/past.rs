//! Price sources that come later than the blocks: ticks of stored logs, decoded downward from where a source became
//! known, as events of contracts are.
//!
//! The state of one session of the chain's writer. Promises that at every commit the logs of each source are decoded
//! from its `decoded_from` to the head. A log gives the same tick whenever it is decoded, and one that is stored stays
//! as it is, so nothing is twice. What is older than ticks are kept is left out.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use metrics::{describe_gauge, gauge};
use sqlx::PgConnection;

use super::{averages, view};
use crate::{
    model::{BlockRef, ChainId, IndexedBlock, Tick, Token, now_ms},
    source::price::{Averaged, OnChainSources, PastSource},
    store::{
        StoreError,
        chain::ChainState,
        pool_logs::{self, Emitted},
        price_pasts::{self as stored, Reading},
        ticks::{self, Decoded},
        writer::Writer,
    },
};

/// Most logs decoded in one transaction, except those of a single block.
const MOST_LOGS: u32 = 5_000;
/// Blocks looked at first, and at most.
const FIRST_WINDOW: u64 = 1_000;
const LARGEST_WINDOW: u64 = 10_000_000;
/// The same for averages, which may have a tick for every block.
const LARGEST_AVERAGED: u64 = 5_000;
/// A step is smaller when the last took longer, and larger when it was over sooner: new blocks wait for a step.
const SLOW: Duration = Duration::from_millis(250);
const QUICK: Duration = Duration::from_millis(50);

/// The sources of one chain, and how far each is decoded.
pub(in super::super) struct Pasts {
    chain_id: ChainId,
    /// How long ticks are kept.
    retention: Option<Duration>,
    pasts: Vec<Past>,
}

struct Past {
    source: usize,
    average: Option<Averaged>,
    token: Token,
    name: Arc<str>,
    decoded_from: u64,
    replaces: bool,
    window: u64,
}

/// What a step came to.
#[derive(Debug, Default)]
pub(in super::super) struct Stepped {
    /// Whether something was done, so that more may be left.
    pub(in super::super) more: bool,
    /// The newest tick that was found.
    pub(in super::super) newest: Option<Tick>,
    /// Ticks that were stored before were replaced.
    pub(in super::super) replaced: bool,
}

impl Pasts {
    /// Puts the configured sources in force.
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
        let sources = sources.map_or_else(Vec::new, |sources| sources.with_past(chain_id));
        let readings: Vec<Reading<'_>> = sources.iter().map(reading).collect();
        let mut transaction = writer.begin().await?;
        let (start, head) = (state.start_block, state.head);
        let states = stored::sync(&mut transaction, chain_id, start, head, &readings).await?;
        transaction.commit().await?;
        let pasts = sources.into_iter().zip(states);
        let pasts = pasts.map(|(source, state)| Past {
            source: source.source,
            average: source.average,
            token: source.token,
            name: source.name,
            decoded_from: state.decoded_from,
            replaces: state.replaces,
            window: FIRST_WINDOW,
        });
        let pasts = Self {
            chain_id,
            retention,
            pasts: pasts.collect(),
        };
        for past in &pasts.pasts {
            past.show(start);
        }
        Ok(pasts)
    }

    /// The sources whose logs are not read now, in the order of all: what is committed is to be decoded for them later.
    /// To be asked before blocks are decoded, as a source may be read from any moment on.
    pub(in super::super) fn unread(&self, sources: Option<&OnChainSources>) -> Vec<bool> {
        let is_read = |past: &Past| sources.is_some_and(|sources| sources.is_read(past.source));
        self.pasts.iter().map(|past| !is_read(past)).collect()
    }

    /// Notes what blocks were decoded with their commit, in its transaction: above the head, behind `ancestor` if the
    /// chain goes back there first, or below the first stored block. What is not committed then must not be noted again:
    /// a commit that fails ends the session.
    pub(in super::super) async fn note(
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
        for (past, unread) in self.pasts.iter_mut().zip(unread) {
            if below && past.average.is_some() {
                // The first averages above lacked what is below now, up to some block that only the logs tell.
                if past.decoded_from <= last + 1 {
                    let head = pool_logs::last_block(transaction, self.chain_id).await?;
                    past.decoded_from = head.unwrap_or(last) + 1;
                }
                continue;
            }
            if below {
                // With a gap in between, all of it is decoded later.
                if !unread && past.decoded_from == last + 1 {
                    past.decoded_from = first.unwrap_or(past.decoded_from);
                }
                continue;
            }
            if let Some(ancestor) = ancestor {
                past.decoded_from = past.decoded_from.min(ancestor.number + 1);
            }
            if *unread {
                past.decoded_from = last + 1;
            }
        }
        let through = (!below).then_some(last);
        stored::record(transaction, self.chain_id, &self.decoded(), through).await
    }

    fn decoded(&self) -> Vec<(&Token, &str, u64)> {
        let pasts = self.pasts.iter();
        pasts
            .map(|past| (&past.token, &*past.name, past.decoded_from))
            .collect()
    }

    /// Does one small piece of what is left to do, down to the block `start`.
    pub(in super::super) async fn step(
        &mut self,
        writer: &mut Writer,
        sources: Option<&OnChainSources>,
        start: u64,
    ) -> Result<Stepped, StoreError> {
        let Some(sources) = sources else {
            return Ok(Stepped::default());
        };
        let mut pasts = self.pasts.iter_mut();
        let behind = pasts.find_map(|past| {
            let emitters = sources.emitters(past.source)?;
            (past.decoded_from > start).then_some((past, emitters))
        });
        let Some((past, (addresses, topic))) = behind else {
            return Ok(Stepped::default());
        };
        let (chain_id, below) = (self.chain_id, past.decoded_from);
        let from = below.saturating_sub(past.window).max(start);
        let began = Instant::now();
        let wanted = Emitted {
            chain_id,
            addresses: &addresses,
            topic,
            from,
            below,
        };
        let mut transaction = writer.begin().await?;
        let Some(logs) = pool_logs::emitted(&mut transaction, wanted, most(from, below)).await?
        else {
            past.window = ((below - from) / 2).max(1);
            return Ok(Stepped {
                more: true,
                ..Stepped::default()
            });
        };
        let oldest = self.retention.map_or(i64::MIN, |kept| {
            now_ms().saturating_sub_unsigned(u64::try_from(kept.as_millis()).unwrap_or(u64::MAX))
        });
        let mut found: Vec<Tick> = match past.average {
            Some(of) => {
                let range = (from, below);
                averages::of_stored(&mut transaction, sources, chain_id, of, range, logs).await?
            }
            None => {
                let decoded = logs.iter().filter_map(|stored| {
                    let log = view(stored.block, stored.timestamp, &stored.log);
                    sources.decode_for(past.source, &log)
                });
                // Refused ones are counted and logged already.
                decoded.flatten().collect()
            }
        };
        found.retain(|tick| tick.observed_at >= oldest);
        // Times do not fall along a chain: below a block that is too old all are.
        let edge = pool_logs::block_at(&mut transaction, chain_id, from).await?;
        let is_old = edge.is_some_and(|(_, timestamp)| {
            i64::try_from(timestamp).is_ok_and(|seconds| seconds.saturating_mul(1_000) < oldest)
        });
        let key = (&past.token, &*past.name);
        if past.replaces {
            // All of them at once, where nothing more is decoded below.
            let from = if is_old { 0 } else { from };
            let decoded = past.decoded();
            let range = (from, below);
            ticks::delete_decoded(&mut transaction, decoded, key, chain_id, range).await?;
        }
        ticks::insert(&mut transaction, &found).await?;
        let reached = if is_old { start } else { from };
        let decoded = [(key.0, key.1, reached)];
        stored::record(&mut transaction, chain_id, &decoded, None).await?;
        let is_done = reached <= start;
        if is_done && past.replaces {
            stored::replaced(&mut transaction, chain_id, key.0, key.1).await?;
        }
        transaction.commit().await?;
        let replaced = past.replaces;
        past.decoded_from = reached;
        past.replaces &= !is_done;
        past.took(began.elapsed());
        past.show(start);
        if is_done {
            tracing::info!(
                chain_id, token = %past.token, source = %past.name,
                "the past of a price source is decoded"
            );
        }
        let place = |tick: &Tick| tick.origin.map(|at| (at.block_number, at.log_index));
        Ok(Stepped {
            more: true,
            newest: found.into_iter().max_by_key(place),
            replaced,
        })
    }
}

impl Past {
    fn decoded(&self) -> Decoded {
        match self.average {
            Some(_) => Decoded::Averages,
            None => Decoded::Logs,
        }
    }

    fn took(&mut self, took: Duration) {
        if took > SLOW {
            self.window = (self.window / 2).max(1);
        } else if took < QUICK {
            let largest = match self.average {
                Some(_) => LARGEST_AVERAGED,
                None => LARGEST_WINDOW,
            };
            self.window = (self.window * 4).min(largest);
        }
    }

    fn show(&self, start: u64) {
        let left = self.decoded_from.saturating_sub(start);
        gauge!(
            "chaincast_price_source_left_blocks",
            "token" => self.token.to_string(), "source" => self.name.to_string()
        )
        .set(u32::try_from(left).unwrap_or(u32::MAX));
    }
}

fn reading(source: &PastSource) -> Reading<'_> {
    Reading {
        token: &source.token,
        source: &source.name,
        definition: source.definition,
    }
}

/// Most logs of these blocks: one block is never cut.
fn most(from: u64, below: u64) -> u32 {
    if below - from > 1 {
        MOST_LOGS
    } else {
        i32::MAX as u32
    }
}
