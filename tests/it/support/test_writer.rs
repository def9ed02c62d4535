//! A writer without a chain: commits updates to the database as the product's writers do.

use std::collections::HashMap;

use chaincast_base::Secret;
use chaincast_protocol::{
    B256, Channel, Event, JsonNumber, NewBlock, NewUpdate, PriceStatus, PriceUpdate, Update,
};
use chaincast_store::{Store, StoreConfig, updates::append};

pub struct TestWriter {
    store: Store,
    /// Seq of the newest update, by channel.
    pub newest: HashMap<String, u64>,
}

impl TestWriter {
    /// Opens the database, and creates the schema when it is empty.
    pub async fn open(url: &str) -> Self {
        let config = StoreConfig {
            url: Secret::new(url),
            ..StoreConfig::default()
        };
        Self {
            store: Store::connect(&config).await.unwrap(),
            newest: HashMap::new(),
        }
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Commits one update for each name, in one transaction. The data contains its own seq: as the `number` of a block,
    /// as the `price` of others.
    pub async fn commit(&mut self, channels: &[&str]) -> Vec<Update> {
        let updates = channels.iter().map(|name| {
            let seq = self.newest.entry((*name).to_owned()).or_default();
            *seq += 1;
            NewUpdate {
                channel: name.parse().unwrap(),
                event: event(&name.parse().unwrap(), *seq),
            }
        });
        let updates = updates.collect();
        let mut transaction = self.store.pool().begin().await.unwrap();
        let committed = append(&mut transaction, updates).await.unwrap();
        transaction.commit().await.unwrap();
        committed
    }
}

fn event(channel: &Channel, seq: u64) -> Event {
    match channel {
        Channel::NewBlock(_) => Event::NewBlock(NewBlock {
            number: seq,
            hash: B256::with_last_byte(seq as u8),
            parent_hash: B256::ZERO,
            timestamp: 0,
            block_timestamp: seq,
            transactions: 0,
            gas_used: 0_u64.into(),
            gas_limit: 0_u64.into(),
            base_fee_per_gas: None,
            chain_id: 31_337,
        }),
        _ => Event::PriceUpdate(PriceUpdate {
            token: "ETH".parse().unwrap(),
            price: JsonNumber(seq.into()),
            timestamp: 0,
            quote: "USD".into(),
            confidence: JsonNumber(0.into()),
            sources: Vec::new(),
            age_ms: 0,
            status: PriceStatus::Ok,
            reason: None,
            details: Vec::new(),
        }),
    }
}
