//! Synthetic blocks: linked, deterministic, with realistic sizes and skew. Hashes are noise from a counter and would
//! fail the chain checks.

use alloy::{
    eips::{eip2930::AccessList, eip4895::Withdrawal},
    primitives::{Bloom, Bytes},
};
use chaincast_model::{
    BlockHeader, IndexedBlock, IndexedLog, IndexedTransaction, TokenStandard, Transfer,
};
use chaincast_protocol::{Address, B256, BlockRef, ChainId, U256};

pub const CHAIN: ChainId = 31_337;
/// Accounts that send and receive, and contracts that emit.
const ACCOUNTS: u64 = 1_000_000;
const CONTRACTS: u64 = 2_000;
/// Share of one exchange in the traffic, and of one token in the logs.
const ONE_IN: u64 = 16;

/// The contents of a block.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub transactions: u32,
    /// The logs include one per transfer.
    pub logs: u32,
    pub transfers: u32,
}

/// Noise that depends on all of its arguments.
fn noise(kind: u64, number: u64, index: u64) -> u64 {
    let mut z = kind << 56 ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ index.rotate_left(32);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn hash(kind: u64, number: u64, index: u64) -> B256 {
    let mut bytes = B256::ZERO;
    for (place, word) in bytes.0.chunks_mut(8).enumerate() {
        word.copy_from_slice(&noise(kind + 64 * place as u64, number, index).to_be_bytes());
    }
    bytes
}

fn address(kind: u64, number: u64) -> Address {
    Address::from_slice(&hash(kind, number, 0)[12..])
}

/// The account with the most traffic is number 0.
pub fn account(number: u64) -> Address {
    address(1, number)
}

/// The contract with the most logs is number 0.
pub fn contract(number: u64) -> Address {
    address(2, number)
}

pub fn block_hash(number: u64) -> B256 {
    hash(3, number, 0)
}

pub fn block_ref(number: u64) -> BlockRef {
    BlockRef {
        number,
        hash: block_hash(number),
    }
}

pub fn transaction_hash(number: u64, index: u32) -> B256 {
    hash(4, number, index.into())
}

fn some(of: u64, kind: u64, number: u64, index: u64) -> u64 {
    let noise = noise(kind, number, index);
    match noise % ONE_IN {
        0 => 0,
        _ => 1 + (noise >> 8) % (of - 1),
    }
}

pub fn block(number: u64, shape: Shape) -> IndexedBlock {
    let gas = 21_000 * u64::from(shape.transactions);
    IndexedBlock {
        header: BlockHeader {
            number,
            hash: block_hash(number),
            parent_hash: block_hash(number.wrapping_sub(1)),
            timestamp: 1_700_000_000 + 12 * number,
            miner: Some(account(some(ACCOUNTS, 5, number, 0))),
            gas_used: gas,
            gas_limit: 30_000_000,
            base_fee_per_gas: Some(noise(6, number, 0) % 100_000_000_000),
            difficulty: U256::ZERO,
            size: Some(80_000),
            state_root: Some(hash(7, number, 0)),
            transactions_root: Some(hash(8, number, 0)),
            receipts_root: Some(hash(9, number, 0)),
            extra_data: Bytes::from_static(b"beaverbuild.org"),
            mix_hash: Some(hash(10, number, 0)),
            nonce: Some(Default::default()),
            blob_gas_used: Some(131_072),
            excess_blob_gas: Some(0),
            ommers_hash: Some(hash(32, number, 0)),
            logs_bloom: Some(Bloom::repeat_byte(0x55)),
            size_proved: true,
            withdrawals_root: Some(hash(33, number, 0)),
            parent_beacon_block_root: Some(hash(34, number, 0)),
            requests_hash: Some(hash(35, number, 0)),
            block_access_list_hash: None,
            slot_number: None,
        },
        // As in a block of Ethereum.
        withdrawals: Some(
            (0..16)
                .map(|at| Withdrawal {
                    index: 16 * number + at,
                    validator_index: noise(36, number, at) % 1_000_000,
                    address: account(some(ACCOUNTS, 37, number, at)),
                    amount: noise(38, number, at) % 100_000_000,
                })
                .collect(),
        ),
        transaction_count: shape.transactions,
        transactions: (0..shape.transactions)
            .map(|index| transaction(number, index))
            .collect(),
        logs: (0..shape.logs)
            .map(|index| log(number, index, shape))
            .collect(),
        transfers: (0..shape.transfers)
            .map(|index| transfer(number, index, shape))
            .collect(),
    }
}

fn transaction(number: u64, index: u32) -> IndexedTransaction {
    let at = u64::from(index);
    let dynamic = !at.is_multiple_of(5);
    let price = u128::from(noise(12, number, at) % 100_000_000_000);
    IndexedTransaction {
        index,
        hash: transaction_hash(number, index),
        from: account(some(ACCOUNTS, 13, number, at)),
        to: (!at.is_multiple_of(97)).then(|| contract(some(CONTRACTS, 14, number, at))),
        contract_address: at.is_multiple_of(97).then(|| address(15, number)),
        value: U256::from(noise(16, number, at)) << (at % 32),
        nonce: noise(17, number, at) % 100_000,
        // The arguments of a token's `transfer`.
        input: [
            &[0xa9, 0x05, 0x9c, 0xbb][..],
            &*hash(18, number, at),
            &*hash(19, number, at),
        ]
        .concat()
        .into(),
        transaction_type: if dynamic { 2 } else { 0 },
        gas_limit: 60_000,
        gas_price: (!dynamic).then_some(price),
        max_fee_per_gas: dynamic.then_some(price * 2),
        max_priority_fee_per_gas: dynamic.then_some(1_000_000_000),
        success: Some(!at.is_multiple_of(33)),
        gas_used: 21_000,
        cumulative_gas_used: 21_000 * (at + 1),
        effective_gas_price: price,
        access_list: dynamic.then(AccessList::default),
        authorization_list: None,
        blob_versioned_hashes: None,
        max_fee_per_blob_gas: None,
        blob_gas_price: None,
    }
}

/// The transaction of a log.
fn emitter(index: u32, of: u32, shape: Shape) -> u32 {
    index * shape.transactions / of.max(1)
}

fn log(number: u64, index: u32, shape: Shape) -> IndexedLog {
    let at = u64::from(index);
    let kind = some(64, 20, number, at);
    IndexedLog {
        index,
        transaction_index: emitter(index, shape.logs, shape),
        transaction_hash: None,
        address: contract(some(CONTRACTS, 21, number, at)),
        topics: (0..=(at % 4))
            .map(|topic| match topic {
                0 => hash(22, kind, 0),
                topic => account(some(ACCOUNTS, 22 + topic, number, at)).into_word(),
            })
            .collect(),
        data: Bytes::copy_from_slice(&hash(26, number, at)[..]),
    }
}

fn transfer(number: u64, index: u32, shape: Shape) -> Transfer {
    let at = u64::from(index);
    let standard = match at % 20 {
        0 => TokenStandard::Erc1155,
        1..4 => TokenStandard::Erc721,
        _ => TokenStandard::Erc20,
    };
    Transfer {
        // Every n-th log is a transfer.
        log_index: index * (shape.logs / shape.transfers.max(1)).max(1),
        position: 0,
        transaction_index: emitter(index, shape.transfers, shape),
        transaction_hash: None,
        standard,
        token: Some(contract(some(CONTRACTS, 27, number, at))),
        from: account(some(ACCOUNTS, 28, number, at)),
        to: account(some(ACCOUNTS, 29, number, at)),
        token_id: (standard != TokenStandard::Erc20).then(|| U256::from(noise(30, number, at))),
        amount: match standard {
            TokenStandard::Erc721 => U256::from(1),
            _ => U256::from(noise(31, number, at)) * U256::from(1_000),
        },
    }
}
