//! The windows of sources that average the prices of pools, moved block by block with the stored chain.
//!
//! What a window holds is a function of the stored logs: it is read from them when a session begins and after a
//! reorg, and each new block is added in the transaction that stores it. When that transaction fails the session ends,
//! and the windows with it.

use rustc_hash::FxHashMap;
use sqlx::PgConnection;

use crate::{
    model::{BlockRef, ChainId, IndexedBlock, IndexedLog, Tick},
    source::price::{Averaged, LogView, OnChainSources, PriceWindow},
    store::{
        StoreError,
        pool_logs::{self, Window},
    },
};

/// Most logs that a window is made of when it is read; of a busier pool it begins later.
const MOST_LOGS: u32 = 50_000;

/// The windows of one chain.
pub(in super::super) struct Averages {
    chain_id: ChainId,
    windows: FxHashMap<usize, (Averaged, PriceWindow)>,
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
        let windows = averaged
            .into_iter()
            .map(|one| (one.source, (one, PriceWindow::new(one.seconds))));
        let mut averages = Self {
            chain_id,
            windows: windows.collect(),
        };
        if let (Some(sources), Some(head)) = (sources, head) {
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
        if let Some(ancestor) = ancestor {
            self.rewind(connection, sources, ancestor).await?;
        }
        let mut ticks = Vec::new();
        for block in blocks {
            let (block_ref, time) = (block.block_ref(), block.header.timestamp);
            for log in &block.logs {
                self.observe(sources, block_ref, time, log);
            }
            for (source, (_, window)) in &mut self.windows {
                let Some(average) = window.end_of_block(time) else {
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
        last: BlockRef,
    ) -> Result<(), StoreError> {
        if self.windows.is_empty() {
            return Ok(());
        }
        for (of, window) in self.windows.values_mut() {
            *window = PriceWindow::new(of.seconds);
        }
        let block = pool_logs::block_at(connection, self.chain_id, last.number).await?;
        let Some((_, last_time)) = block else {
            return Ok(());
        };
        let all: Vec<Averaged> = self.windows.values().map(|(of, _)| *of).collect();
        for of in all {
            let window = Window {
                chain_id: self.chain_id,
                address: of.address,
                topic: of.topic,
                last: last.number,
                last_time,
                seconds: of.seconds,
                limit: MOST_LOGS,
            };
            for past in pool_logs::of_window(connection, window).await? {
                // Several sources may read one contract; only this one's window is at its beginning.
                let view = view(past.block, past.timestamp, &past.log);
                for (source, price) in sources.observe(self.chain_id, &view) {
                    if source == of.source {
                        self.put(source, past.timestamp, price);
                    }
                }
            }
            if let Some((_, window)) = self.windows.get_mut(&of.source) {
                window.was_told(last_time);
            }
        }
        Ok(())
    }

    fn observe(&mut self, sources: &OnChainSources, block: BlockRef, time: u64, log: &IndexedLog) {
        for (source, price) in sources.observe(self.chain_id, &view(block, time, log)) {
            self.put(source, time, price);
        }
    }

    fn put(&mut self, source: usize, time: u64, price: Option<bigdecimal::BigDecimal>) {
        let Some((_, window)) = self.windows.get_mut(&source) else {
            return;
        };
        match price {
            Some(price) => window.observe(time, price),
            None => window.clear(),
        }
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
