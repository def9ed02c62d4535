//! Deletes all indexed and published data; the schema stays.

use sqlx::Connection;

use super::{MIGRATIONS, Store, StoreConfig, StoreError, chain::indexes};

/// Every table with data. `meta` stays and gets a new epoch, so that clients cannot mistake new seqs for old ones.
const DATA: &str = "chains, halts, chain_providers, blocks, transactions, logs, transfers, dropped_blocks, \
                    channels, updates, tokens, price_sources, price_pasts, price_clock, ticks, prices, contracts, contract_events, \
                    contract_addresses, token_contracts, watches, candles, alerts, alert_deliveries, message_keys, \
                    message_deliveries";

impl Store {
    /// Empties the configured database and gives it a new epoch; applies pending migrations first. Nothing else may
    /// write to it meanwhile.
    pub async fn reset(config: &StoreConfig) -> Result<(), StoreError> {
        Self::refuse_inapplicable(config).await?;
        let options = Self::connect_options(config)?;
        let pool = Self::connect_pool(config, options, String::new()).await?;
        MIGRATIONS.run(&pool).await?;
        let mut connection = pool.acquire().await?;
        let mut transaction = connection.begin().await?;
        sqlx::query(&format!("TRUNCATE {DATA} RESTART IDENTITY"))
            .execute(&mut *transaction)
            .await?;
        sqlx::query(
            "UPDATE meta SET value = substr(md5(gen_random_uuid()::text), 1, 10) WHERE key = 'epoch'",
        )
        .execute(&mut *transaction)
        .await?;
        sqlx::query("UPDATE watching SET count = 0")
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        // Deferred indexes belong to the schema.
        indexes::restore(&mut connection, config.index_memory_bytes, |_| {}).await?;
        drop(connection);
        pool.close().await;
        Ok(())
    }
}
