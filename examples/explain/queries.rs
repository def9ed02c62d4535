//! Every query of the read pool. Add new ones here; a test fails if one is missing.

use std::{future::Future, pin::Pin, time::Duration};

use chaincast_protocol::{Address, B256, CandleInterval, Channel, EventName, Token};
use chaincast_store::{
    Store, StoreError,
    read::{
        AlertFilter, BlockId, ContractEventFilter, ContractEventKey, TickKey, TransactionKey,
        TransferKey,
    },
};

use super::blocks::{self, CHAIN};

/// A query, with the name of its function and its arguments.
pub type Query<'a> = (
    &'static str,
    Pin<Box<dyn Future<Output = Result<(), StoreError>> + 'a>>,
);

/// Arguments that have results in a database of `blocks::block`s.
pub struct Known {
    /// Items per page.
    pub limit: u32,
    /// A height in the middle of the chain.
    pub number: u64,
    pub block: B256,
    pub transaction: B256,
    /// An account with a large share of the traffic, and one with almost none.
    pub busy: Address,
    pub quiet: Address,
    pub token: Token,
    pub channel: Channel,
    /// Channels, with the seq to read from.
    pub since: Vec<(Channel, u64)>,
    /// The configured contract, and filters for its events.
    pub contract: i64,
    pub any_event: ContractEventFilter,
    pub one_event: ContractEventFilter,
    pub one_emitter: ContractEventFilter,
    pub every_alert: AlertFilter,
    pub some_alerts: AlertFilter,
}

impl Known {
    pub fn new(blocks: u64, limit: u32) -> Self {
        let number = blocks / 2;
        Self {
            limit,
            number,
            block: blocks::block_hash(number),
            transaction: blocks::transaction_hash(number, 0),
            busy: blocks::account(0),
            quiet: blocks::account(7),
            token: "ETH".parse().expect("a token"),
            channel: Channel::NewBlock(None),
            since: vec![(Channel::NewBlock(None), number)],
            contract: 1,
            any_event: ContractEventFilter::default(),
            one_event: ContractEventFilter {
                event: Some("Rare".to_owned()),
                ..ContractEventFilter::default()
            },
            one_emitter: ContractEventFilter {
                address: Some(Address::with_last_byte(7)),
                ..ContractEventFilter::default()
            },
            every_alert: AlertFilter::default(),
            some_alerts: AlertFilter {
                token: Some("ETH".parse().expect("a token")),
                active: Some(true),
            },
        }
    }
}

fn query<'a, T: 'a>(
    name: &'static str,
    read: impl Future<Output = Result<T, StoreError>> + 'a,
) -> Query<'a> {
    (name, Box::pin(async move { read.await.map(drop) }))
}

/// All queries, each to be run once.
#[rustfmt::skip] // one line per query
pub fn all<'a>(store: &'a Store, known: &'a Known) -> Vec<Query<'a>> {
    let Known { number, block, transaction, busy, quiet, token, channel, .. } = known;
    let (number, block, transaction) = (*number, *block, *transaction);
    let limit = known.limit;
    let transactions = Some(TransactionKey { block_number: number, transaction_index: 1 });
    let transfers = Some(TransferKey { block_number: number, transaction_index: 1, log_index: Some(1), position: 0 });
    let values = Some(TransferKey { block_number: number, transaction_index: 1, log_index: None, position: 0 });
    let event = Some(ContractEventKey { block_number: 10_000, log_index: 1 });
    let Known { contract, any_event, one_event, one_emitter, .. } = known;
    let contract = *contract;
    let times = (1_700_000_000_000, 1_700_100_000_000);
    let tick = Some(TickKey { observed_at_us: 1_700_010_000_000_000, id: 1 });
    vec![
        query("read_chains", store.read_chains(&[CHAIN])),
        query("live_chains", store.live_chains(&[CHAIN])),
        query("read_halts", store.read_halts(&[CHAIN])),
        query("read_providers", store.read_providers(&[CHAIN])),
        query("read_deferred_indexes", store.read_deferred_indexes()),
        query("read_block by number", store.read_block(CHAIN, BlockId::Number(number))),
        query("read_block by hash", store.read_block(CHAIN, BlockId::Hash(block))),
        query("read_block latest", store.read_block(CHAIN, BlockId::Latest)),
        query("read_block finalized", store.read_block(CHAIN, BlockId::Finalized)),
        query("read_whole_block", store.read_whole_block(CHAIN, BlockId::Number(number))),
        query("read_blocks", store.read_blocks(CHAIN, None, None, limit)),
        query("read_blocks behind one", store.read_blocks(CHAIN, Some(number), None, limit)),
        query("read_dropped_block", store.read_dropped_block(CHAIN, block)),
        query("read_transaction", store.read_transaction(CHAIN, transaction)),
        query("read_block_transactions", store.read_block_transactions(CHAIN, block, None, limit)),
        query("read_address_transactions, busy", store.read_address_transactions(CHAIN, *busy, None, limit)),
        query("read_address_transactions, busy, behind one", store.read_address_transactions(CHAIN, *busy, transactions, limit)),
        query("read_address_transactions, quiet", store.read_address_transactions(CHAIN, *quiet, None, limit)),
        query("read_address_transfers, busy", store.read_address_transfers(CHAIN, *busy, None, limit)),
        query("read_address_transfers, busy, behind one", store.read_address_transfers(CHAIN, *busy, transfers, limit)),
        query("read_address_transfers, busy, behind a value", store.read_address_transfers(CHAIN, *busy, values, limit)),
        query("read_address_transfers, quiet", store.read_address_transfers(CHAIN, *quiet, None, limit)),
        query("read_contracts", store.read_contracts()),
        query("read_contract", store.read_contract("demo")),
        query("has_contract_event", store.has_contract_event("demo", Some("said"))),
        query("read_contract_events", store.read_contract_events(contract, any_event, None, limit)),
        query("read_contract_events behind one", store.read_contract_events(contract, any_event, event, limit)),
        query("read_contract_events, one event", store.read_contract_events(contract, one_event, event, limit)),
        query("read_contract_events, one emitter", store.read_contract_events(contract, one_emitter, event, limit)),
        query("unread_tokens", store.unread_tokens(CHAIN, Duration::from_secs(60), limit)),
        query("read_tokens", store.read_tokens(None, limit)),
        query("is_tracked", store.is_tracked(token)),
        query("read_price", store.read_price(token)),
        query("read_prices", store.read_prices(None, limit)),
        query("read_sources", store.read_sources(limit)),
        query("live_sources", store.live_sources(limit)),
        query("read_ticks", store.read_ticks(token, times, None, limit)),
        query("read_ticks behind one", store.read_ticks(token, times, tick, limit)),
        query("read_alerts", store.read_alerts("user-7", &known.every_alert, None, limit)),
        query("read_alerts, some", store.read_alerts("user-7", &known.some_alerts, Some(10_000), limit)),
        query("read_alert", store.read_alert("user-7", 7)),
        query("read_deliveries", store.read_deliveries("user-7", None, limit)),
        query("read_deliveries behind one", store.read_deliveries("user-7", Some(10_000), limit)),
        query("read_candles", store.read_candles(token, CandleInterval::Minute, times, limit)),
        query("candles_end", store.candles_end(token, CandleInterval::Minute, times.1)),
        query("channel_extent", store.channel_extent(channel)),
        query("updates_between", store.updates_between(channel, number, number + 500, limit)),
        query("updates_with_age", store.updates_with_age(channel, number, number + 500, limit)),
        query("newest_update", store.newest_update(channel, &EventName::NewBlock)),
        query("updates_after", store.updates_after(&known.since, limit)),
        query("channel_heads", store.channel_heads(Some(1_000), limit)),
    ]
}
