//! Deferred indexes.

#[cfg(feature = "explain")]
use super::super::explain::{Known, Query};
use super::super::{Store, StoreError};

impl Store {
    /// Names of the secondary indexes that a large load dropped and that are not rebuilt yet: meanwhile, searches by
    /// hash or address scan whole tables. Usually empty.
    pub async fn read_deferred_indexes(&self) -> Result<Vec<String>, StoreError> {
        let names = sqlx::query_scalar("SELECT name FROM deferred_indexes ORDER BY name");
        Ok(names.fetch_all(&self.reads).await?)
    }
}

#[cfg(feature = "explain")]
pub(super) fn explained<'a>(store: &'a Store, _: &'a Known) -> Vec<Query<'a>> {
    vec![Query::new(
        "read_deferred_indexes",
        store.read_deferred_indexes(),
    )]
}
