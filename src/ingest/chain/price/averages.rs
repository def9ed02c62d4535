//! The windows of sources that average the prices of pools, moved block by block with the stored chain.
//!
//! What a window holds is a function of the stored logs: it is read from them when a session begins, after a reorg,
//! and when a contract becomes known that is read from then on; each new block is added in the transaction that stores
//! it. When that transaction fails the session ends, and the windows with it. So the averages of stored blocks can be
//! made later too, and are the same.

use bigdecimal::BigDecimal;
use rustc_hash::FxHashMap;
use sqlx::PgConnection;

use crate::{
    model::{BlockRef, ChainId, IndexedBlock, IndexedLog, Tick},
    source::price::{Averaged, LogView, OnChainSources, PriceWindow},
    store::{
        StoreError,
        pool_logs::{self, PoolLog, Window},
    },
};

/// Most logs that a window is made of when it is read; of a busier pool it begins later.
const MOST_LOGS: u32 = 50_000;
/// Blocks below a window in which its first price is looked for before new blocks are stored: the index by address may be
/// missing then.
const LOOK_BACK: u64 = 10_000;

/// The windows of one chain.
pub(in super::super) struct Averages {
    chain_id: ChainId,
    windows: FxHashMap<usize, Moving>,
}

struct Moving {
    of: Averaged,
    window: PriceWindow,
    /// Whether the logs of the contract were read for all of the window, and not only from some block on.
    is_read: bool,
}

impl Averages {
    /// As they are at the end of a stored block, or empty above none.
    pub(in super::super) async fn read(
        connection: &mut PgConnection,
        sources: Option<&OnChainSources>,
        chain_id: ChainId,
        head: Option<BlockRef>,
    ) -> Result<Self, StoreError> {
        let averaged = sources.map_or_else(Vec::new, |sources| sources.averaged(chain_id));
        let windows = averaged.into_iter().map(|of| {
            let moving = Moving {
                of,
                window: PriceWindow::new(of.seconds),
                is_read: false,
            };
            (of.source, moving)
        });
        let mut averages = Self {
            chain_id,
            windows: windows.collect(),
        };
        if let Some(sources) = sources {
            averages.rewind(connection, sources, head).await?;
        }
        Ok(averages)
    }

    /// The averages at the end of each block that goes on top of `ancestor`, or else on top of the blocks before.
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
        if ancestor.is_some() {
            self.rewind(connection, sources, ancestor).await?;
        }
        if let Some(first) = blocks.first() {
            self.fill_new(connection, sources, first).await?;
        }
        let mut ticks = Vec::new();
        for block in blocks {
            let (block_ref, time) = (block.block_ref(), block.header.timestamp);
            for log in &block.logs {
                self.observe(sources, block_ref, time, log);
            }
            for (source, moving) in &mut self.windows {
                let Some(average) = moving.window.end_of_block(time) else {
                    continue;
                };
                ticks.extend(sources.average_tick(*source, block_ref, time, average));
            }
        }
        Ok(ticks)
    }

    /// Reads every window anew, as of the end of a stored block.
    async fn rewind(
        &mut self,
        connection: &mut PgConnection,
        sources: &OnChainSources,
        last: Option<BlockRef>,
    ) -> Result<(), StoreError> {
        let last = last.map(|last| last.number);
        for moving in self.windows.values_mut() {
            moving.is_read = sources.is_read(moving.of.source);
            moving.window = window_after(
                connection,
                sources,
                self.chain_id,
                moving.of,
                last,
                LOOK_BACK,
            )
            .await?;
        }
        Ok(())
    }

    /// Reads the windows whose contracts are read from this block on: what was stored before counts too.
    async fn fill_new(
        &mut self,
        connection: &mut PgConnection,
        sources: &OnChainSources,
        first: &IndexedBlock,
    ) -> Result<(), StoreError> {
        let last = first.header.number.checked_sub(1);
        for moving in self.windows.values_mut() {
            let was_read =
                std::mem::replace(&mut moving.is_read, sources.is_read(moving.of.source));
            if moving.is_read && !was_read {
                moving.window = window_after(
                    connection,
                    sources,
                    self.chain_id,
                    moving.of,
                    last,
                    LOOK_BACK,
                )
                .await?;
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
        if let Some(moving) = self.windows.get_mut(&source) {
            put(&mut moving.window, time, price);
        }
    }
}

/// The window of an average at the end of the stored block `last`; empty where that is not stored.
async fn window_after(
    connection: &mut PgConnection,
    sources: &OnChainSources,
    chain_id: ChainId,
    of: Averaged,
    last: Option<u64>,
    look_back: u64,
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
        limit: MOST_LOGS,
        look_back,
    };
    for stored in pool_logs::of_window(connection, wanted).await? {
        observe_stored(&mut window, sources, chain_id, of, &stored);
    }
    window.resume_after(last_time);
    Ok(window)
}

/// The averages at the end of the stored blocks with `from <= number < below`, of which `logs` are those of the contract.
/// The same as when these blocks were added one by one.
pub(super) async fn of_stored(
    connection: &mut PgConnection,
    sources: &OnChainSources,
    chain_id: ChainId,
    of: Averaged,
    (from, below): (u64, u64),
    mut logs: Vec<PoolLog>,
) -> Result<Vec<Tick>, StoreError> {
    logs.sort_unstable_by_key(|stored| (stored.block.number, stored.log.index));
    let last = from.checked_sub(1);
    let mut window = window_after(connection, sources, chain_id, of, last, u64::MAX).await?;
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

/// Several sources may read one contract; only this one's window is meant.
fn observe_stored(
    window: &mut PriceWindow,
    sources: &OnChainSources,
    chain_id: ChainId,
    of: Averaged,
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
