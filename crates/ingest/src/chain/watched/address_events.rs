//! The events of `address:ADDR`, made from indexed blocks.

use chaincast_model::{IndexedBlock, IndexedTransaction, Transfer};
use chaincast_protocol::{
    AddressTransaction, AddressTransfer, ChainId, Checksummed, Quantity, TokenStandard,
    TransactionResult, TransferSource, now_ms,
};

/// A transaction as an update of one of its parties.
pub(super) fn transaction(
    chain_id: ChainId,
    block: &IndexedBlock,
    sent: &IndexedTransaction,
) -> AddressTransaction {
    let wei = |wei: Option<u128>| wei.map(Quantity::from);
    AddressTransaction {
        chain_id,
        hash: sent.hash,
        status: sent.success.map(|success| match success {
            true => TransactionResult::Success,
            false => TransactionResult::Failed,
        }),
        block_number: block.header.number,
        block_hash: block.header.hash,
        block_timestamp: block.header.timestamp,
        transaction_index: sent.index,
        from: sent.from.into(),
        to: sent.to.map(Checksummed),
        contract_address: sent.contract_address.map(Checksummed),
        value: sent.value.into(),
        nonce: sent.nonce.into(),
        r#type: sent.transaction_type,
        gas_limit: sent.gas_limit.into(),
        gas_price: wei(sent.gas_price),
        max_fee_per_gas: wei(sent.max_fee_per_gas),
        max_priority_fee_per_gas: wei(sent.max_priority_fee_per_gas),
        gas_used: sent.gas_used.into(),
        cumulative_gas_used: sent.cumulative_gas_used.into(),
        effective_gas_price: sent.effective_gas_price.into(),
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
        source: TransferSource::Log,
        log_index: Some(moved.log_index),
        position: moved.position,
        standard: moved.standard,
        token: moved.token.map(Checksummed),
        from: moved.from.into(),
        to: moved.to.into(),
        token_id: moved.token_id.map(Quantity::from),
        amount: moved.amount.into(),
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
        source: TransferSource::Transaction,
        log_index: None,
        position: 0,
        standard: TokenStandard::Native,
        token: None,
        from: sent.from.into(),
        to: to.into(),
        token_id: None,
        amount: sent.value.into(),
        timestamp: now_ms(),
    })
}
