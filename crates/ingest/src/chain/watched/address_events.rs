//! The events of `address:ADDR`, made from indexed blocks.

use chaincast_model::{IndexedBlock, IndexedTransaction, TokenStandard, Transfer};
use chaincast_protocol::{AddressTransaction, AddressTransfer, ChainId, now_ms};

/// A transaction as an update of one of its parties.
pub(super) fn transaction(
    chain_id: ChainId,
    block: &IndexedBlock,
    sent: &IndexedTransaction,
) -> AddressTransaction {
    let wei = |wei: Option<u128>| wei.map(|wei| wei.to_string());
    AddressTransaction {
        chain_id,
        hash: sent.hash,
        status: sent.success.map(|success| match success {
            true => "success",
            false => "failed",
        }),
        block_number: block.header.number,
        block_hash: block.header.hash,
        block_timestamp: block.header.timestamp,
        transaction_index: sent.index,
        from: sent.from.to_string(),
        to: sent.to.map(|to| to.to_string()),
        contract_address: sent.contract_address.map(|contract| contract.to_string()),
        value: sent.value.to_string(),
        nonce: sent.nonce.to_string(),
        r#type: sent.transaction_type,
        gas_limit: sent.gas_limit.to_string(),
        gas_price: wei(sent.gas_price),
        max_fee_per_gas: wei(sent.max_fee_per_gas),
        max_priority_fee_per_gas: wei(sent.max_priority_fee_per_gas),
        gas_used: sent.gas_used.to_string(),
        cumulative_gas_used: sent.cumulative_gas_used.to_string(),
        effective_gas_price: sent.effective_gas_price.to_string(),
        timestamp: now_ms(),
    }
}

/// A transfer from a log as an update of one of its parties.
pub(super) fn transfer(
    chain_id: ChainId,
    block: &IndexedBlock,
    moved: &Transfer,
) -> AddressTransfer {
    let sent = block.transactions.get(moved.transaction_index as usize);
    AddressTransfer {
        chain_id,
        block_number: block.header.number,
        block_hash: block.header.hash,
        block_timestamp: block.header.timestamp,
        transaction_hash: sent.map(|sent| sent.hash).or(moved.transaction_hash),
        transaction_index: moved.transaction_index,
        source: "log",
        log_index: Some(moved.log_index),
        position: moved.position,
        standard: moved.standard.name(),
        token: moved.token.map(|token| token.to_string()),
        from: moved.from.to_string(),
        to: moved.to.to_string(),
        token_id: moved.token_id.map(|id| id.to_string()),
        amount: moved.amount.to_string(),
        timestamp: now_ms(),
    }
}

/// The transaction's own value as a native transfer; `None` if it moved none.
pub(super) fn value_transfer(
    chain_id: ChainId,
    block: &IndexedBlock,
    sent: &IndexedTransaction,
) -> Option<AddressTransfer> {
    let to = sent.value_recipient()?;
    Some(AddressTransfer {
        chain_id,
        block_number: block.header.number,
        block_hash: block.header.hash,
        block_timestamp: block.header.timestamp,
        transaction_hash: Some(sent.hash),
        transaction_index: sent.index,
        source: "transaction",
        log_index: None,
        position: 0,
        standard: TokenStandard::Native.name(),
        token: None,
        from: sent.from.to_string(),
        to: to.to_string(),
        token_id: None,
        amount: sent.value.to_string(),
        timestamp: now_ms(),
    })
}
