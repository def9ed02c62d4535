//! The contents of a block, and the header's commitments to them. Independent of the previous block, so that bodies are
//! generated on all cores.

use alloy::{
    consensus::{
        Eip658Value, Header, Receipt, ReceiptEnvelope, ReceiptWithBloom, TxType,
        constants::EMPTY_WITHDRAWALS,
        proofs::{calculate_receipt_root, ordered_trie_root_encoded},
    },
    eips::{eip2718::Encodable2718, eip4844::DATA_GAS_PER_BLOB, eip7685::EMPTY_REQUESTS_HASH},
    primitives::{Bloom, Bytes, Log, logs_bloom},
};

use super::{
    SyntheticOptions,
    accounts::Accounts,
    random::Random,
    traffic::{BASE_FEE, Sender, SentTransaction},
};

const GENESIS_TIME: u64 = 1_700_000_000;
const SLOT_SECONDS: u64 = 12;

pub(super) struct Body {
    /// Complete except for the parent hash.
    pub(super) header: Header,
    pub(super) transactions: Vec<SentTransaction>,
    pub(super) receipts: Vec<ReceiptEnvelope<Log>>,
    /// Bytes of the encoded transactions.
    pub(super) size: usize,
}

impl Body {
    pub(super) fn generate(options: &SyntheticOptions, accounts: &Accounts, number: u64) -> Self {
        let mut random = Random::from_seed(options.seed, number);
        let header = Header {
            number,
            timestamp: GENESIS_TIME + SLOT_SECONDS * number,
            beneficiary: random.address(),
            state_root: random.word(),
            mix_hash: random.word(),
            gas_limit: 60_000_000,
            base_fee_per_gas: Some(BASE_FEE),
            extra_data: Bytes::from_static(b"chaincast synthetic node"),
            withdrawals_root: Some(EMPTY_WITHDRAWALS),
            excess_blob_gas: Some(0),
            parent_beacon_block_root: Some(random.word()),
            requests_hash: Some(EMPTY_REQUESTS_HASH),
            ..Header::default()
        };
        let sender = Sender { options, accounts };
        let count = if number == 0 {
            0
        } else {
            options.transactions as u64
        };
        let transactions: Vec<SentTransaction> = (0..count)
            .map(|index| sender.transaction(number, index, &mut random))
            .collect();
        let receipts = receipts(&transactions);
        let encoded: Vec<Vec<u8>> = transactions
            .iter()
            .map(|sent| sent.envelope.encoded_2718())
            .collect();
        let blobs: usize = transactions.iter().map(blobs).sum();
        let logs = transactions.iter().flat_map(|sent| &sent.logs);
        let header = Header {
            transactions_root: ordered_trie_root_encoded(&encoded),
            receipts_root: calculate_receipt_root(&receipts),
            logs_bloom: logs_bloom(logs),
            gas_used: transactions.iter().map(|sent| sent.gas_used).sum(),
            blob_gas_used: Some(blobs as u64 * DATA_GAS_PER_BLOB),
            ..header
        };
        Self {
            header,
            transactions,
            receipts,
            size: encoded.iter().map(Vec::len).sum(),
        }
    }
}

/// Blobs that a transaction carries (EIP-4844).
pub(super) fn blobs(sent: &SentTransaction) -> usize {
    use alloy::consensus::Transaction;
    sent.envelope.blob_versioned_hashes().map_or(0, <[_]>::len)
}

fn receipts(transactions: &[SentTransaction]) -> Vec<ReceiptEnvelope<Log>> {
    let mut cumulative_gas_used = 0;
    let receipts = transactions.iter().map(|sent| {
        cumulative_gas_used += sent.gas_used;
        let receipt = Receipt {
            status: Eip658Value::Eip658(sent.success),
            cumulative_gas_used,
            logs: sent.logs.clone(),
        };
        let bloom = logs_bloom(&sent.logs);
        envelope(sent.envelope.tx_type(), receipt, bloom)
    });
    receipts.collect()
}

/// A receipt in the envelope of its transaction type (EIP-2718).
pub(super) fn envelope<T>(
    kind: TxType,
    receipt: Receipt<T>,
    logs_bloom: Bloom,
) -> ReceiptEnvelope<T> {
    let receipt = ReceiptWithBloom {
        receipt,
        logs_bloom,
    };
    match kind {
        TxType::Legacy => ReceiptEnvelope::Legacy(receipt),
        TxType::Eip2930 => ReceiptEnvelope::Eip2930(receipt),
        TxType::Eip1559 => ReceiptEnvelope::Eip1559(receipt),
        TxType::Eip4844 => ReceiptEnvelope::Eip4844(receipt),
        TxType::Eip7702 => ReceiptEnvelope::Eip7702(receipt),
    }
}
