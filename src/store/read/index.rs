//! Indexes that are not there yet.

use super::super::{Store, StoreError};

impl Store {
    /// Names of the secondary indexes that a large load left out and that are yet to be built: searches by hash or
    /// address read whole tables meanwhile. Empty almost always.
    pub async fn read_deferred_indexes(&self) -> Result<Vec<String>, StoreError> {
        let names = sqlx::query_scalar("SELECT name FROM deferred_indexes ORDER BY name");
        Ok(names.fetch_all(&self.reads).await?)
    }
}
