//! Receipt fields that follow from other data and that no root covers: gas used, price paid (EIP-1559) and the address
//! of a created contract. One rule each, because a chain may differ in one of them. Pure.
//!
//! Only the gas rule holds for transaction types of other chains; all rules hold for Celo's. A system transaction with
//! a receiver also creates nothing. The contract created by one without a receiver is not checked: Nitro counts the
//! nonces of its own transactions separately, and op-reth shows the address of nonce 0 for every deposit
//! (ethereum-optimism/optimism #21549).

use alloy::primitives::Address;

use super::{
    ChecksConfig, RawBlock, celo, encode, fixed_fields, gas,
    wire::{RawReceipt, RawTransaction},
};

/// The first transaction type that is not Ethereum's.
const FIRST_FOREIGN_TYPE: u8 = 5;

/// A violated rule: its key in `[chains.checks]`, and the reason.
pub(super) type Violation = (&'static str, String);

/// Runs the enabled rules over the first `count` transactions, which the header covers.
pub(super) fn check(
    block: &RawBlock,
    checks: &ChecksConfig,
    count: usize,
) -> Result<(), Violation> {
    let receipts = &block.receipts[..count];
    let txs = || block.transactions.iter().zip(receipts).enumerate();
    if checks.gas_used() {
        gas_used(block, receipts).map_err(|reason| ("gas_used", reason))?;
    }
    let follows_rules = |kind: u8| kind < FIRST_FOREIGN_TYPE || celo::is_celo_type(kind);
    let rule_followers = || txs().filter(|(_, (tx, _))| follows_rules(tx.kind()));
    if checks.gas_price() {
        let block_base_fee = block.header.base_fee_per_gas;
        for (index, (tx, receipt)) in rule_followers() {
            let base_fee = celo::base_fee(tx, receipt, block_base_fee);
            gas_price(index, tx, receipt, base_fee).map_err(|reason| ("gas_price", reason))?;
        }
    }
    if checks.contract_address() {
        let known = |tx: &RawTransaction| {
            follows_rules(tx.kind()) || tx.to.is_some() && fixed_fields::is_system_transaction(tx)
        };
        for (index, (tx, receipt)) in txs().filter(|(_, (tx, _))| known(tx)) {
            contract_address(index, tx, receipt).map_err(|reason| ("contract_address", reason))?;
        }
    }
    Ok(())
}

fn gas_used(block: &RawBlock, receipts: &[RawReceipt]) -> Result<(), String> {
    let mut before = 0_u64;
    for (index, receipt) in receipts.iter().enumerate() {
        let used = receipt.cumulative_gas_used.checked_sub(before);
        if used != Some(receipt.gas_used) {
            return Err(format!(
                "transaction {index} used {} gas by its receipt, but {} by the cumulative sums",
                receipt.gas_used,
                used.map_or_else(|| "a negative amount".to_owned(), |used| used.to_string())
            ));
        }
        before = receipt.cumulative_gas_used;
    }
    gas::check_total(&block.header, receipts)
}

fn gas_price(
    index: usize,
    tx: &RawTransaction,
    receipt: &RawReceipt,
    base_fee: Option<u128>,
) -> Result<(), String> {
    match (
        receipt.effective_gas_price,
        effective_gas_price(tx, base_fee),
    ) {
        (Some(paid), Some(price)) if paid != price => Err(format!(
            "transaction {index} paid {paid} wei per gas by its receipt, but {price} by its fees"
        )),
        _ => Ok(()),
    }
}

fn contract_address(index: usize, tx: &RawTransaction, receipt: &RawReceipt) -> Result<(), String> {
    let expected = created(tx, receipt);
    // A failed creation made no contract; only some nodes omit the address.
    let failed = receipt.status == Some(0) && receipt.contract_address.is_none();
    if receipt.contract_address == expected || failed {
        return Ok(());
    }
    let or_none = |address: Option<Address>| {
        address.map_or_else(|| "none".to_owned(), |address| address.to_string())
    };
    Err(format!(
        "transaction {index} created the contract {} by its receipt, but {} by its sender and nonce",
        or_none(receipt.contract_address),
        or_none(expected)
    ))
}

/// The contract of a creation by its sender and nonce, even if it failed.
fn created(tx: &RawTransaction, receipt: &RawReceipt) -> Option<Address> {
    // The nonce of a deposit is in its receipt.
    let nonce = match tx.kind() {
        encode::DEPOSIT => receipt.deposit_nonce?,
        _ => tx.nonce,
    };
    tx.to.is_none().then(|| tx.from.create(nonce))
}

/// The created contract of a receipt; for a system transaction only if it follows from sender and nonce, unless that
/// check is off. For a deposit whose nonce the receipts root covers, the contract of that nonce, even if the node
/// returns another.
pub(super) fn created_contract(
    tx: &RawTransaction,
    receipt: &RawReceipt,
    checks: &ChecksConfig,
) -> Option<Address> {
    let reported = receipt.contract_address;
    if !checks.contract_address() || !fixed_fields::is_system_transaction(tx) {
        return reported;
    }
    let expected = created(tx, receipt);
    let has_proved_nonce =
        tx.kind() == encode::DEPOSIT && receipt.deposit_receipt_version.is_some();
    // A failed creation made no contract; only some nodes omit the address.
    if has_proved_nonce && (reported.is_some() || receipt.status != Some(0)) {
        return expected;
    }
    reported.filter(|_| reported == expected)
}

/// The effective gas price in wei (EIP-1559); `None` if a fee is missing.
pub(super) fn effective_gas_price(tx: &RawTransaction, base_fee: Option<u128>) -> Option<u128> {
    if !tx.is_dynamic() {
        return tx.gas_price.and_then(|price| price.try_into().ok());
    }
    let most: u128 = tx.max_fee_per_gas?.saturating_to();
    let tip = tx.max_priority_fee_per_gas?;
    Some(most.min(tip.saturating_add(base_fee?)))
}
