//! Rows read from the tables equal the encoded ones, column by column.

use alloy::{
    eips::{
        eip2930::{AccessList, AccessListItem},
        eip4895::Withdrawal,
        eip7702::{Authorization, SignedAuthorization},
    },
    primitives::{Bloom, Bytes},
    rlp::encode,
};
use serde_json::json;
use sqlx::PgConnection;

use super::{
    anvil_fixture::{AnvilFixture, CHAIN},
    inverse::fetched,
};
use chaincast_model::{IndexedBlock, TokenStandard, Transfer};
use chaincast_protocol::{Address, B256, U256};
use chaincast_store::{
    StoreError,
    chain::{self as stored, Batch},
};

/// A row as Postgres casts it to text.
#[derive(Default)]
struct Row(Vec<String>);

impl Row {
    fn number(mut self, value: impl ToString) -> Self {
        self.0.push(value.to_string());
        self
    }

    fn bytes(mut self, value: impl AsRef<[u8]>) -> Self {
        let hex = alloy::hex::encode(value.as_ref());
        self.0.push(format!(r#""\\x{hex}""#));
        self
    }

    fn number_or_null(mut self, value: Option<impl ToString>) -> Self {
        self.0
            .push(value.map(|value| value.to_string()).unwrap_or_default());
        self
    }

    fn bytes_or_null(self, value: Option<impl AsRef<[u8]>>) -> Self {
        match value {
            Some(value) => self.bytes(value),
            None => self.number(""),
        }
    }

    fn end(self) -> String {
        format!("({})", self.0.join(","))
    }
}

/// The sorted rows of blocks, by table, with their columns.
fn expected(blocks: &[IndexedBlock]) -> Vec<(&'static str, &'static str, Vec<String>)> {
    let (mut headers, mut transactions, mut logs, mut transfers) = (vec![], vec![], vec![], vec![]);
    for block in blocks {
        let h = &block.header;
        let row = || Row::default().number(CHAIN).number(h.number);
        headers.push(
            row()
                .bytes(h.hash)
                .bytes(h.parent_hash)
                .number(h.timestamp)
                .bytes_or_null(h.miner)
                .number(h.gas_used)
                .number(h.gas_limit)
                .number_or_null(h.base_fee_per_gas)
                .number(h.difficulty)
                .number_or_null(h.size)
                .bytes_or_null(h.state_root)
                .bytes_or_null(h.transactions_root)
                .bytes_or_null(h.receipts_root)
                .bytes(&h.extra_data)
                .bytes_or_null(h.mix_hash)
                .bytes_or_null(h.nonce)
                .number_or_null(h.blob_gas_used)
                .number_or_null(h.excess_blob_gas)
                .number_or_null(h.slot_number)
                .bytes_or_null(h.ommers_hash)
                .bytes_or_null(h.logs_bloom)
                .bytes_or_null(h.withdrawals_root)
                .bytes_or_null(h.parent_beacon_block_root)
                .bytes_or_null(h.requests_hash)
                .bytes_or_null(h.block_access_list_hash)
                .bytes_or_null(block.withdrawals.as_ref().map(encode))
                .number(if h.size_proved { "t" } else { "f" })
                .number(block.transaction_count)
                .number(block.logs.len())
                .end(),
        );
        for t in &block.transactions {
            transactions.push(
                row()
                    .number(t.index)
                    .bytes(t.hash)
                    .bytes(t.from)
                    .bytes_or_null(t.to)
                    .bytes_or_null(t.contract_address)
                    .number(t.value)
                    .number(t.nonce)
                    .bytes(&t.input)
                    .number(t.transaction_type)
                    .number(t.gas_limit)
                    .number_or_null(t.gas_price)
                    .number_or_null(t.max_fee_per_gas)
                    .number_or_null(t.max_priority_fee_per_gas)
                    .number_or_null(t.success.map(u8::from))
                    .number(t.gas_used)
                    .number(t.cumulative_gas_used)
                    .number(t.effective_gas_price)
                    .bytes_or_null(t.access_list.as_ref().map(encode))
                    .bytes_or_null(t.authorization_list.as_ref().map(encode))
                    .bytes_or_null(t.blob_hash_bytes())
                    .number_or_null(t.max_fee_per_blob_gas)
                    .number_or_null(t.blob_gas_price)
                    .end(),
            );
        }
        for l in &block.logs {
            logs.push(
                row()
                    .number(l.index)
                    .number(l.transaction_index)
                    .bytes(l.address)
                    .bytes_or_null(l.topics.first())
                    .bytes_or_null(l.topics.get(1))
                    .bytes_or_null(l.topics.get(2))
                    .bytes_or_null(l.topics.get(3))
                    .bytes(&l.data)
                    .bytes_or_null(l.transaction_hash)
                    .end(),
            );
        }
        for t in &block.transfers {
            transfers.push(
                row()
                    .number(t.log_index)
                    .number(t.transaction_index)
                    .bytes_or_null(t.token)
                    .bytes(t.from)
                    .bytes(t.to)
                    .number(t.amount)
                    .number(t.position)
                    .number(t.standard.number())
                    .number_or_null(t.token_id)
                    .bytes_or_null(t.transaction_hash)
                    .end(),
            );
        }
    }
    let mut tables = vec![
        (
            "blocks",
            "chain_id, number, hash, parent_hash, timestamp, miner, gas_used, gas_limit, base_fee_per_gas, difficulty,
             size, state_root, transactions_root, receipts_root, extra_data, mix_hash, nonce, blob_gas_used,
             excess_blob_gas, slot_number, ommers_hash, logs_bloom, withdrawals_root, parent_beacon_block_root,
             requests_hash, block_access_list_hash, withdrawals, size_proved, transaction_count, log_count",
            headers,
        ),
        (
            "transactions",
            "chain_id, block_number, transaction_index, hash, from_address, to_address, contract_address, value, nonce,
             input, type, gas_limit, gas_price, max_fee_per_gas, max_priority_fee_per_gas, status, gas_used,
             cumulative_gas_used, effective_gas_price, access_list, authorization_list, blob_versioned_hashes,
             max_fee_per_blob_gas, blob_gas_price",
            transactions,
        ),
        (
            "logs",
            "chain_id, block_number, log_index, transaction_index, address, topic0, topic1, topic2, topic3, data,
             transaction_hash",
            logs,
        ),
        (
            "transfers",
            "chain_id, block_number, log_index, transaction_index, token_address, from_address, to_address, amount,
             position, standard, token_id, transaction_hash",
            transfers,
        ),
    ];
    tables.iter_mut().for_each(|(_, _, rows)| rows.sort());
    tables
}

async fn assert_stored(connection: &mut PgConnection, blocks: &[IndexedBlock]) {
    for (table, columns, expected) in expected(blocks) {
        let query = format!("SELECT ROW({columns})::text FROM {table}");
        let mut rows = sqlx::query_scalar::<_, String>(&query)
            .fetch_all(&mut *connection)
            .await
            .unwrap();
        rows.sort();
        assert!(!rows.is_empty(), "{table}");
        assert_eq!(rows, expected, "{table}");
    }
}

/// Sets every column to its extreme values.
fn stretch(block: &mut IndexedBlock) {
    let pow = |exponent: usize| U256::from(1) << exponent;
    let wide = [
        U256::ZERO,
        U256::from(1),
        U256::from(9_999),
        U256::from(10_000),
        U256::from(10_001),
        U256::from(100_000_000),
        U256::from(10).pow(U256::from(16)),
        U256::from(10).pow(U256::from(18)),
        pow(64) - U256::from(1),
        pow(64),
        pow(128) - U256::from(1),
        pow(128),
        U256::from(10).pow(U256::from(77)),
        U256::from(10).pow(U256::from(48)) + U256::from(1),
        U256::MAX,
    ];
    let header = &mut block.header;
    header.difficulty = U256::MAX;
    header.base_fee_per_gas = Some(u64::MAX);
    header.size = Some(i64::MAX as u64);
    header.blob_gas_used = Some(131_072);
    header.excess_blob_gas = Some(i64::MAX as u64);
    header.slot_number = Some(i64::MAX as u64);
    header.logs_bloom = Some(Bloom::repeat_byte(0xf0));
    header.withdrawals_root = Some(B256::repeat_byte(11));
    header.parent_beacon_block_root = Some(B256::repeat_byte(12));
    header.requests_hash = Some(B256::repeat_byte(13));
    header.block_access_list_hash = Some(B256::repeat_byte(14));
    header.size_proved = true;
    block.withdrawals = Some(vec![
        Withdrawal {
            index: u64::MAX,
            validator_index: 0,
            address: Address::repeat_byte(15),
            amount: u64::MAX,
        };
        16
    ]);
    header.extra_data = Bytes::from(vec![0xff; 32]);
    let (transaction, log) = (block.transactions[0].clone(), block.logs[0].clone());
    for (place, value) in wide.into_iter().enumerate() {
        let mut one = transaction.clone();
        let narrow: u128 = value.try_into().unwrap_or(u128::MAX);
        one.index = 1 + place as u32;
        one.hash = B256::repeat_byte(place as u8);
        one.value = value;
        one.nonce = value.try_into().unwrap_or(u64::MAX);
        one.transaction_type = place as u8 % 5;
        one.gas_price = place.is_multiple_of(2).then_some(narrow);
        one.max_fee_per_gas = (!place.is_multiple_of(2)).then_some(narrow);
        one.max_priority_fee_per_gas = one.max_fee_per_gas;
        one.effective_gas_price = narrow;
        one.success = [None, Some(false), Some(true)][place % 3];
        one.to = place.is_multiple_of(2).then(|| Address::repeat_byte(1));
        one.contract_address = (!place.is_multiple_of(2)).then(|| Address::repeat_byte(2));
        one.input = Bytes::from(vec![7; place * 1_000]);
        one.access_list = (!place.is_multiple_of(3)).then(|| {
            AccessList(vec![
                AccessListItem {
                    address: Address::repeat_byte(8),
                    storage_keys: vec![B256::repeat_byte(9); place],
                };
                place % 4
            ])
        });
        one.authorization_list = place.is_multiple_of(4).then(|| {
            let inner = Authorization {
                chain_id: value,
                address: Address::repeat_byte(10),
                nonce: u64::MAX,
            };
            vec![SignedAuthorization::new_unchecked(inner, 1, value, U256::MAX); place % 3]
        });
        one.blob_versioned_hashes = place
            .is_multiple_of(2)
            .then(|| vec![B256::repeat_byte(1); place]);
        one.max_fee_per_blob_gas = place.is_multiple_of(2).then_some(narrow);
        one.blob_gas_price = (!place.is_multiple_of(2)).then_some(narrow);
        block.transactions.push(one);
        let mut one = log.clone();
        one.index = 100 + place as u32;
        one.topics = vec![B256::repeat_byte(3); place % 5];
        one.data = Bytes::from(vec![8; place]);
        one.transaction_hash = place.is_multiple_of(2).then(|| B256::repeat_byte(4));
        block.logs.push(one);
        block.transfers.push(Transfer {
            log_index: 100,
            position: place as u32,
            transaction_index: 1,
            transaction_hash: place.is_multiple_of(3).then(|| B256::repeat_byte(5)),
            standard: [
                TokenStandard::Erc20,
                TokenStandard::Erc721,
                TokenStandard::Erc1155,
            ][place % 3],
            token: Some(Address::repeat_byte(6)),
            from: Address::ZERO,
            to: Address::repeat_byte(7),
            token_id: (!place.is_multiple_of(3)).then_some(value),
            amount: value,
        });
        let token = block.transfers[block.transfers.len() - 1].clone();
        block.transfers.push(Transfer {
            position: 1_000 + place as u32,
            standard: TokenStandard::Native,
            token: None,
            token_id: None,
            ..token
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_column_round_trips() {
    let fixture = AnvilFixture::new().await;
    let accounts = fixture.node.accounts(2).await.unwrap();
    let gas = "0x5208";
    // A legacy transaction, one with an access list (EIP-2930) and one with a dynamic fee (EIP-1559).
    for fields in [
        json!({"gasPrice": "0x77359400"}),
        json!({"gasPrice": "0x77359400", "accessList": [{"address": accounts[1], "storageKeys": [B256::ZERO]}]}),
        json!({"maxFeePerGas": "0x77359400", "maxPriorityFeePerGas": "0x1"}),
    ] {
        let gas = if fields["accessList"].is_array() {
            "0x7530"
        } else {
            gas
        };
        let mut transaction = json!({"from": accounts[0], "to": accounts[1], "value": "0xde0b6b3a7640000", "gas": gas});
        for (key, value) in fields.as_object().unwrap() {
            transaction[key] = value.clone();
        }
        let hash: B256 = fixture
            .node
            .request("eth_sendTransaction", (transaction,))
            .await
            .unwrap();
        fixture.node.mined(&[hash]).await.unwrap();
    }
    let mut blocks = fetched(&fixture).await;
    let types: std::collections::BTreeSet<_> = blocks
        .iter()
        .flat_map(|block| &block.transactions)
        .map(|transaction| transaction.transaction_type)
        .collect();
    assert!([0, 1, 2].iter().all(|one| types.contains(one)), "{types:?}");

    let full = blocks
        .iter()
        .position(|block| !block.logs.is_empty() && !block.transactions.is_empty())
        .expect("the demo has logs");
    stretch(&mut blocks[full]);
    let mut connection = fixture.connection().await;
    let connection = &mut *connection;
    stored::register(connection, CHAIN, blocks[0].block_ref(), 0)
        .await
        .unwrap();
    // Some as one batch, the rest as several batches of one transaction.
    let (first, rest) = blocks.split_at(2);
    stored::apply(connection, CHAIN, first, true).await.unwrap();
    let batches: Vec<Batch> = rest
        .chunks(2)
        .map(|blocks| Batch::encode(CHAIN, blocks).unwrap())
        .collect();
    assert!(batches.len() > 1);
    stored::apply_batches(connection, &batches, true)
        .await
        .unwrap();
    assert_stored(connection, &blocks).await;

    let rows = batches.iter().map(|batch| batch.row_count()).sum::<u64>();
    let counted = |blocks: &[IndexedBlock]| -> u64 {
        let of = |block: &IndexedBlock| {
            1 + block.transactions.len() + block.logs.len() + block.transfers.len()
        };
        blocks.iter().map(of).sum::<usize>() as u64
    };
    assert_eq!(rows, counted(rest));
    assert!(batches.iter().all(|batch| batch.bytes() > 0));
    let state = fixture.state().await;
    let last = blocks.last().unwrap().block_ref();
    assert_eq!(state.head, Some(last));
    assert_eq!(state.verified_through, Some(last.number));
    assert_eq!(batches.last().unwrap().last(), last);
    assert_eq!(batches[0].first(), rest[0].block_ref());
}

#[tokio::test(flavor = "multi_thread")]
async fn rejects_overflowing_values_and_stores_nothing() {
    let fixture = AnvilFixture::new().await;
    let blocks = fetched(&fixture).await;
    let full = blocks
        .iter()
        .position(|block| !block.logs.is_empty())
        .expect("the demo has logs");
    type Change = fn(&mut IndexedBlock);
    let wrong: [(&str, Change); 5] = [
        ("gas used is 18446744073709551615", |block| {
            block.header.gas_used = u64::MAX
        }),
        ("size is 9223372036854775808", |block| {
            block.header.size = Some(1 << 63)
        }),
        ("index of a log is 4294967295", |block| {
            block.logs[0].index = u32::MAX
        }),
        (
            "number of a log's topics is 5, above the maximum of 4",
            |block| block.logs[0].topics = vec![B256::ZERO; 5],
        ),
        ("timestamp is", |block| block.header.timestamp = u64::MAX),
    ];
    for (message, change) in wrong {
        let mut block = blocks[full].clone();
        change(&mut block);
        let Err(StoreError::Conflict(text)) = Batch::encode(CHAIN, &[block]) else {
            panic!("{message}");
        };
        let named = format!(
            "block {full} {} of chain {CHAIN} cannot be stored: ",
            blocks[full].header.hash
        );
        assert!(text.starts_with(&named) && text.contains(message), "{text}");
    }
    assert!(Batch::encode(CHAIN, &[]).is_err());
    // Unlinked blocks are rejected when they are encoded, or, between batches, before anything is sent.
    assert!(Batch::encode(CHAIN, &[blocks[1].clone(), blocks[3].clone()]).is_err());
    let mut connection = fixture.connection().await;
    stored::register(&mut connection, CHAIN, blocks[0].block_ref(), 0)
        .await
        .unwrap();
    let batches = [&blocks[..1], &blocks[2..3]].map(|blocks| Batch::encode(CHAIN, blocks).unwrap());
    let error = stored::apply_batches(&mut connection, &batches, true).await;
    assert!(matches!(error, Err(StoreError::Conflict(_))), "{error:?}");
    assert_eq!(fixture.count("SELECT count(*) FROM blocks").await, 0);
}
