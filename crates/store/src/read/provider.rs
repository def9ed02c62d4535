//! The state of each chain's providers.

#[cfg(feature = "explain")]
use super::super::explain::{Known, Query};
use super::{
    super::{Store, StoreError, chain::ProviderRow},
    row::{RowReader, bigint},
};
use chaincast_protocol::ChainId;

impl Store {
    /// The last stored providers of these chains, each chain's preferred first.
    pub async fn read_providers(
        &self,
        chains: &[ChainId],
    ) -> Result<Vec<(ChainId, ProviderRow)>, StoreError> {
        let ids: Vec<i64> = chains.iter().map(|id| bigint(*id)).collect();
        let rows = sqlx::query(
            "SELECT chain_id, name, url, role, state, active, head_number, latency_ms, last_error, failures, since
             FROM chain_providers WHERE chain_id = ANY($1) ORDER BY chain_id, position",
        )
        .bind(&ids)
        .fetch_all(&self.reads)
        .await?;
        rows.iter()
            .map(|row| {
                let row = RowReader::new(row, "provider");
                let provider = ProviderRow {
                    name: row.get("name")?,
                    url: row.get("url")?,
                    role: row.get("role")?,
                    state: row.get("state")?,
                    active: row.get("active")?,
                    head: row.natural_or_null("head_number")?,
                    latency_ms: row.natural_or_null("latency_ms")?,
                    last_error: row.get("last_error")?,
                    failures: row.natural("failures")?,
                    since: row.millis("since")?,
                };
                Ok((row.natural("chain_id")?, provider))
            })
            .collect()
    }
}

#[cfg(feature = "explain")]
pub(super) fn explained<'a>(store: &'a Store, known: &'a Known) -> Vec<Query<'a>> {
    vec![Query::new(
        "read_providers",
        store.read_providers(std::slice::from_ref(&known.chain)),
    )]
}
