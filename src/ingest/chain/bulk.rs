//! Large loads leave secondary indexes out and build them after it (see [`indexes`]).

use super::{
    IngestError,
    session::{PATIENCE, Session},
};
use crate::store::chain::indexes::{self, Building};

impl Session<'_> {
    /// Ahead of a load of `coming` blocks: leaves indexes out when that is worthwhile and safe.
    pub(super) async fn begin_load(&mut self, coming: u64) -> Result<(), IngestError> {
        let parts = self.parts;
        let least = parts.store.loading().defer_indexes_blocks;
        let chain_id = parts.config.chain_id;
        let deferring = indexes::defer(self.writer.connection(), chain_id, coming, least);
        self.indexes_missing |= parts.within(PATIENCE, deferring).await?;
        Ok(())
    }

    /// With nothing large left to load: builds what this load, or one that was killed, left out. It takes the time
    /// that it takes; `stop` leaves the rest to the next start.
    pub(super) async fn end_load(&mut self) -> Result<(), IngestError> {
        if !self.indexes_missing {
            return Ok(());
        }
        let memory = self.parts.store.loading().index_memory_bytes;
        let stop = self.stop.clone();
        tokio::select! {
            biased;
            // The connection is closed next, upon which Postgres gives up.
            () = stop.cancelled() => {}
            built = indexes::restore(self.writer.connection(), memory, tell) => {
                built?;
                // Those that another writer is building now may be left when it is killed.
                let left = indexes::deferred(self.writer.connection());
                self.indexes_missing = !self.parts.within(PATIENCE, left).await?.is_empty();
            }
        }
        Ok(())
    }
}

fn tell(building: Building) {
    tracing::info!(
        index = building.name,
        number = building.done + 1,
        of = building.of,
        "building an index that a large load left out"
    );
}
