//! The windows of sources that average the prices of pools, advanced block by block.
//!
//! A window is a function of the stored logs. It is read from them when a term of the writer begins, after a reorg, and
//! when a contract becomes readable. Each new block is added in the transaction that stores it; when that transaction
//! fails, this term of the writer ends, and the windows with it. The averages of stored blocks can therefore be computed
//! later, with the same result.

use bigdecimal::BigDecimal;
use rustc_hash::FxHashMap;
use sqlx::PgConnection;

use chaincast_model::{IndexedBlock, IndexedLog, Tick};
use chaincast_prices::{AveragedSource, LogView, OnChainSources, PriceWindow};
use chaincast_protocol::{BlockRef, ChainId};
use chaincast_store::{
    StoreError,
    chain::indexes,
    pool_logs::{self, PoolLog, Window},
};

/// Maximum number of logs read for a window; the window of a busier pool starts later.
const MAX_LOGS: u32 = 50_000;
/// Number of blocks searched below a window for the last price before it while a load has deferred the index by address;
/// with the index the search has no limit.
const LOOK_BACK: u64 = 10_000;

/// The windows of one chain.
pub(in super::super) struct Averages {
    chain_id: ChainId,
    windows: FxHashMap<usize, SourceWindow>,
}

/// Which windows are read again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Refill {
    All,
    /// Those of contracts that have become readable since the last time: stored logs count too.
    NewlyReadable,
}

struct SourceWindow {
    of: AveragedSource,
    window: PriceWindow,
    /// Whether the contract was readable when the window was last read from the store.
    is_read: bool,
}

impl Averages {
    /// Reads the windows as of the end of a stored block; empty windows when no block is stored.
    pub(in super::super) async fn read(
        connection: &mut PgConnection,
        sources: Option<&OnChainSources>,
        chain_id: ChainId,
        head: Option<BlockRef>,
    ) -> Result<Self, StoreError> {
        let averaged = sources.map_or_else(Vec::new, |sources| sources.averaged(chain_id));
        let windows = averaged.into_iter().map(|of| {
            let entry = SourceWindow {
                of,
                window: PriceWindow::new(of.seconds),
                is_read: false,
            };
            (of.source, entry)
        });
        let mut averages = Self {
            chain_id,
            windows: windows.collect(),
        };
        if let Some(sources) = sources {
            let last = head.map(|head| head.number);
            averages
                .refill(connection, sources, last, Refill::All)
                .await?;
        }
        Ok(averages)
    }

    /// Adds blocks on top of `ancestor` (after a reorg) or of the previous blocks; returns the averages at the end of each.
    pub(in super::super) async fn advance(
        &mut self,
        connection: &mut PgConnection,
        sources: Option<&OnChainSources>,
        ancestor: Option<BlockRef>,
        blocks: &[IndexedBlock],
    ) -> Result<Vec<Tick>, StoreError> {
        let Some(sources) = sources.filter(|_| !self.windows.is_empty()) else {
            return Ok(Vec::new());
        };
        if let Some(ancestor) = ancestor {
            let last = Some(ancestor.number);
            self.refill(connection, sources, last, Refill::All).await?;
        }
        if let Some(first) = blocks.first() {
            let last = first.header.number.checked_sub(1);
            self.refill(connection, sources, last, Refill::NewlyReadable)
                .await?;
        }
        let mut ticks = Vec::new();
        for block in blocks {
            let (block_ref, time) = (block.block_ref(), block.header.timestamp);
            for log in &block.logs {
                self.observe(sources, block_ref, time, log);
            }
            for (source, entry) in &mut self.windows {
                let Some(average) = entry.window.end_of_block(time) else {
                    continue;
                };
                ticks.extend(sources.average_tick(*source, block_ref, time, average));
            }
        }
        Ok(ticks)
    }

    /// Reads windows again, as of the end of a stored block.
    async fn refill(
        &mut self,
        connection: &mut PgConnection,
        sources: &OnChainSources,
        last: Option<u64>,
        refill: Refill,
    ) -> Result<(), StoreError> {
        let chain_id = self.chain_id;
        for entry in self.windows.values_mut() {
            let was_read = std::mem::replace(&mut entry.is_read, sources.is_read(entry.of.source));
            let newly_readable = entry.is_read && !was_read;
            if refill == Refill::All || newly_readable {
                let read = window_after(connection, sources, chain_id, entry.of, last);
                entry.window = read.await?;
            }
        }
        Ok(())
    }

    fn observe(&mut self, sources: &OnChainSources, block: BlockRef, time: u64, log: &IndexedLog) {
        for (source, price) in sources.observe(self.chain_id, &view(block, time, log)) {
            self.put(source, time, price);
        }
    }

    fn put(&mut self, source: usize, time: u64, price: Option<BigDecimal>) {
        if let Some(entry) = self.windows.get_mut(&source) {
            put(&mut entry.window, time, price);
        }
    }
}

/// The window of an average as of the end of block `last`; empty if that block is not stored.
async fn window_after(
    connection: &mut PgConnection,
    sources: &OnChainSources,
    chain_id: ChainId,
    of: AveragedSource,
    last: Option<u64>,
) -> Result<PriceWindow, StoreError> {
    let mut window = PriceWindow::new(of.seconds);
    let Some(last) = last else {
        return Ok(window);
    };
    let Some((_, last_time)) = pool_logs::block_at(connection, chain_id, last).await? else {
        return Ok(window);
    };
    let wanted = Window {
        chain_id,
        address: of.address,
        topic: of.topic,
        last,
        last_time,
        seconds: of.seconds,
        limit: MAX_LOGS,
        look_back: match indexes::deferred(connection).await?.is_empty() {
            true => u64::MAX,
            false => LOOK_BACK,
        },
    };
    for stored in pool_logs::logs_in_window(connection, wanted).await? {
        observe_stored(&mut window, sources, chain_id, of, &stored);
    }
    window.resume_after(last_time);
    Ok(window)
}

/// The averages at the end of the stored blocks with `from <= number < below`, whose logs of the contract are `logs`.
/// Equals what [`Averages::advance`] returns when these blocks are added.
pub(super) async fn of_stored_blocks(
    connection: &mut PgConnection,
    sources: &OnChainSources,
    chain_id: ChainId,
    of: AveragedSource,
    (from, below): (u64, u64),
    mut logs: Vec<PoolLog>,
) -> Result<Vec<Tick>, StoreError> {
    logs.sort_unstable_by_key(|stored| (stored.block.number, stored.log.index));
    let last = from.checked_sub(1);
    let mut window = window_after(connection, sources, chain_id, of, last).await?;
    let mut logs = logs.iter().peekable();
    let mut ticks = Vec::new();
    for (block, time) in pool_logs::blocks_of(connection, chain_id, from, below).await? {
        while let Some(stored) = logs.next_if(|stored| stored.block.number <= block.number) {
            observe_stored(&mut window, sources, chain_id, of, stored);
        }
        if let Some(average) = window.end_of_block(time) {
            ticks.extend(sources.average_tick(of.source, block, time, average));
        }
    }
    Ok(ticks)
}

/// Adds a stored log to the window of one source; other sources may read the same contract.
fn observe_stored(
    window: &mut PriceWindow,
    sources: &OnChainSources,
    chain_id: ChainId,
    of: AveragedSource,
    stored: &PoolLog,
) {
    let log = view(stored.block, stored.timestamp, &stored.log);
    for (source, price) in sources.observe(chain_id, &log) {
        if source == of.source {
            put(window, stored.timestamp, price);
        }
    }
}

fn put(window: &mut PriceWindow, time: u64, price: Option<BigDecimal>) {
    match price {
        Some(price) => window.observe(time, price),
        None => window.clear(),
    }
}

pub(super) fn view(block: BlockRef, time: u64, log: &IndexedLog) -> LogView<'_> {
    LogView {
        address: log.address,
        topics: &log.topics,
        data: &log.data,
        block_number: block.number,
        block_hash: block.hash,
        block_timestamp: time,
        log_index: log.index,
    }
}
