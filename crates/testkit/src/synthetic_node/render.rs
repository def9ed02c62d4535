//! A block rendered as JSON, with the positions of the parts that are answers of their own.

use std::ops::Range;

use alloy::{
    consensus::{Header, Receipt, ReceiptEnvelope, Transaction as _, transaction::Recovered},
    eips::eip4844::DATA_GAS_PER_BLOB,
    primitives::{Bytes, Log},
    rpc::types,
};
use serde::Serialize;

use super::{
    body::{Body, blobs, envelope},
    traffic::{BASE_FEE, BLOB_FEE},
};
use chaincast_protocol::{Address, B256, U256};

/// A byte range. Blocks are far smaller than 4 GiB.
#[derive(Clone, Copy)]
pub(super) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    fn from_range(range: Range<usize>) -> Self {
        Self {
            start: range.start as u32,
            end: range.end as u32,
        }
    }

    pub(super) fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

pub(super) struct RenderedBlock {
    pub(super) hash: B256,
    /// The block with full transactions.
    pub(super) full: Bytes,
    /// The header within `full`, without the closing brace.
    pub(super) header: Span,
    /// Hash of each transaction, and its range within `full`.
    pub(super) transactions: Vec<(B256, Span)>,
    /// All receipts.
    pub(super) receipts: Bytes,
    /// The range of each receipt within `receipts`.
    pub(super) receipt_places: Vec<Span>,
    pub(super) logs: Vec<RenderedLog>,
}

/// A log, with the fields that filters match.
pub(super) struct RenderedLog {
    pub(super) address: Address,
    pub(super) topics: Vec<B256>,
    /// The range within the block's receipts.
    pub(super) place: Span,
}

/// Between a block's header and its transactions.
pub(super) const BEFORE_TRANSACTIONS: &str = r#","uncles":[],"transactions":["#;
pub(super) const AFTER_TRANSACTIONS: &str = r#"],"withdrawals":[]}"#;

impl RenderedBlock {
    /// Renders a block. `hash` is the hash of its header.
    pub(super) fn render(body: Body, hash: B256) -> Self {
        let header = &body.header;
        let mut block = JsonBuffer::default();
        let size = U256::from(body.size + header.size());
        block.json(&types::Header {
            hash,
            inner: header.clone(),
            total_difficulty: None,
            size: Some(size),
        });
        block.text.pop(); // its closing brace: more fields follow
        let header_place = Span::from_range(0..block.text.len());
        block.text.extend_from_slice(BEFORE_TRANSACTIONS.as_bytes());
        let mut receipts = JsonBuffer::default();
        receipts.text.push(b'[');
        let (mut transactions, mut receipt_places, mut logs) = (vec![], vec![], vec![]);
        for (index, (sent, receipt)) in body.transactions.iter().zip(&body.receipts).enumerate() {
            if index > 0 {
                block.text.push(b',');
                receipts.text.push(b',');
            }
            let transaction_hash = *sent.envelope.tx_hash();
            let price = sent.envelope.effective_gas_price(Some(BASE_FEE));
            let place = block.json(&types::Transaction {
                inner: Recovered::new_unchecked(sent.envelope.clone(), sent.from),
                block_hash: Some(hash),
                block_number: Some(header.number),
                transaction_index: Some(index as u64),
                effective_gas_price: Some(price),
                block_timestamp: None,
            });
            transactions.push((transaction_hash, place));
            let at = TransactionPosition {
                header,
                hash,
                transaction_hash,
                index,
            };
            let rendered: Vec<types::Log> = at.logs(&sent.logs, logs.len());
            let blobs = blobs(sent) as u64;
            let place = receipts.json(&types::TransactionReceipt {
                inner: at.receipt(receipt, rendered.clone()),
                transaction_hash,
                transaction_index: Some(index as u64),
                block_hash: Some(hash),
                block_number: Some(header.number),
                gas_used: sent.gas_used,
                effective_gas_price: price,
                blob_gas_used: (blobs > 0).then_some(blobs * DATA_GAS_PER_BLOB),
                blob_gas_price: (blobs > 0).then_some(BLOB_FEE),
                from: sent.from,
                to: sent.envelope.to(),
                contract_address: sent.created,
            });
            receipt_places.push(place);
            let mut from = place.range().start;
            for log in rendered {
                let place = receipts.find(&log, from);
                from = place.range().end;
                logs.push(RenderedLog {
                    address: log.inner.address,
                    topics: log.inner.data.topics().to_vec(),
                    place,
                });
            }
        }
        block.text.extend_from_slice(AFTER_TRANSACTIONS.as_bytes());
        receipts.text.push(b']');
        Self {
            hash,
            full: block.text.into(),
            header: header_place,
            transactions,
            receipts: receipts.text.into(),
            receipt_places,
            logs,
        }
    }
}

/// The position of a transaction.
struct TransactionPosition<'a> {
    header: &'a Header,
    hash: B256,
    transaction_hash: B256,
    index: usize,
}

impl TransactionPosition<'_> {
    fn logs(&self, logs: &[Log], first: usize) -> Vec<types::Log> {
        let logs = logs.iter().enumerate().map(|(offset, log)| types::Log {
            inner: log.clone(),
            block_hash: Some(self.hash),
            block_number: Some(self.header.number),
            block_timestamp: Some(self.header.timestamp),
            transaction_hash: Some(self.transaction_hash),
            transaction_index: Some(self.index as u64),
            log_index: Some((first + offset) as u64),
            removed: false,
        });
        logs.collect()
    }

    fn receipt(
        &self,
        receipt: &ReceiptEnvelope<Log>,
        logs: Vec<types::Log>,
    ) -> ReceiptEnvelope<types::Log> {
        let with_places = Receipt {
            status: receipt.status().into(),
            cumulative_gas_used: receipt.cumulative_gas_used(),
            logs,
        };
        envelope(receipt.tx_type(), with_places, *receipt.logs_bloom())
    }
}

#[derive(Default)]
struct JsonBuffer {
    text: Vec<u8>,
}

impl JsonBuffer {
    fn json(&mut self, value: &impl Serialize) -> Span {
        let start = self.text.len();
        serde_json::to_writer(&mut self.text, value)
            .expect("alloy's types are JSON, and memory takes it");
        Span::from_range(start..self.text.len())
    }

    /// The range of a value that was written as part of another one.
    fn find(&self, value: &impl Serialize, from: usize) -> Span {
        let json = serde_json::to_vec(value).expect("alloy's types are JSON");
        let mut windows = self.text[from..].windows(json.len());
        let offset = windows
            .position(|window| window == json)
            .expect("it was written as part of the receipt");
        Span::from_range(from + offset..from + offset + json.len())
    }
}
