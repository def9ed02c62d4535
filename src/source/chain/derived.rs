//! What receipts repeat of the block, its transaction and the receipts before it, and no root is over: gas used, price
//! paid (EIP-1559) and the address of a created contract. A rule each, as a chain may differ in one of them. Pure.
//!
//! Of transaction types of other chains only the gas is known to follow these rules, and of Celo's all; of a chain's own
//! transactions also that one with a receiver creates nothing. Which contract one without a receiver creates is not
//! checked: Nitro counts the nonces of its own transactions apart, and op-reth shows the address of the nonce 0 for every
//! deposit (ethereum-optimism/optimism #21549).

use alloy::primitives::Address;

use super::{
    ChecksConfig, RawBlock, celo, encode, fixed, gas,
    wire::{RawReceipt, RawTransaction},
};

/// The first of Ethereum's transaction types that is not followed here.
const FOREIGN: u8 = 5;

/// A rule that does not hold: its key in `[chains.checks]`, and what is wrong.
pub(super) type Broken = (&'static str, String);

/// Runs the rules that are on over the first `count` transactions, which are those that the header is about.
pub(super) fn check(block: &RawBlock, checks: &ChecksConfig, count: usize) -> Result<(), Broken> {
    let receipts = &block.receipts[..count];
    let sent = || block.transactions.iter().zip(receipts).enumerate();
    if checks.gas_used() {
        gas_used(block, receipts).map_err(|reason| ("gas_used", reason))?;
    }
    let followed = |kind: u8| kind < FOREIGN || celo::is_own(kind);
    let followers = || sent().filter(|(_, (sent, _))| followed(sent.kind()));
    if checks.gas_price() {
        let of_block = block.header.base_fee_per_gas;
        for (index, (sent, receipt)) in followers() {
            let base_fee = celo::base_fee(sent, receipt, of_block);
            gas_price(index, sent, receipt, base_fee).map_err(|reason| ("gas_price", reason))?;
        }
    }
    if checks.contract_address() {
        let known = |sent: &RawTransaction| {
            followed(sent.kind()) || sent.to.is_some() && fixed::is_chains_own(sent)
        };
        for (index, (sent, receipt)) in sent().filter(|(_, (sent, _))| known(sent)) {
            contract_address(index, sent, receipt)
                .map_err(|reason| ("contract_address", reason))?;
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
                "transaction {index} used {} gas by its receipt, but {} by the sums",
                receipt.gas_used,
                used.map_or_else(|| "less than none".to_owned(), |used| used.to_string())
            ));
        }
        before = receipt.cumulative_gas_used;
    }
    gas::total(&block.header, receipts)
}

fn gas_price(
    index: usize,
    sent: &RawTransaction,
    receipt: &RawReceipt,
    base_fee: Option<u128>,
) -> Result<(), String> {
    match (
        receipt.effective_gas_price,
        effective_gas_price(sent, base_fee),
    ) {
        (Some(paid), Some(price)) if paid != price => Err(format!(
            "transaction {index} paid {paid} wei a gas by its receipt, but {price} by its fees"
        )),
        _ => Ok(()),
    }
}

fn contract_address(
    index: usize,
    sent: &RawTransaction,
    receipt: &RawReceipt,
) -> Result<(), String> {
    let expected = created(sent, receipt);
    // A creation that failed made none, which some nodes say and some do not.
    let failed = receipt.status == Some(0) && receipt.contract_address.is_none();
    if receipt.contract_address == expected || failed {
        return Ok(());
    }
    let shown = |address: Option<Address>| {
        address.map_or_else(|| "none".to_owned(), |address| address.to_string())
    };
    Err(format!(
        "transaction {index} created the contract {} by its receipt, but {} by its sender and nonce",
        shown(receipt.contract_address),
        shown(expected)
    ))
}

/// The contract that a transaction creates by its sender and nonce, whether or not it failed.
fn created(sent: &RawTransaction, receipt: &RawReceipt) -> Option<Address> {
    // The nonce of a deposit is in its receipt.
    let nonce = match sent.kind() {
        encode::DEPOSIT => receipt.deposit_nonce?,
        _ => sent.nonce,
    };
    sent.to.is_none().then(|| sent.from.create(nonce))
}

/// The created contract as a receipt has it; of a chain's own transaction only where it follows from sender and nonce,
/// unless that is not checked. Of a deposit whose nonce the receipts root is over, the one that follows from that nonce,
/// whatever the node shows.
pub(super) fn contract_of(
    sent: &RawTransaction,
    receipt: &RawReceipt,
    checks: &ChecksConfig,
) -> Option<Address> {
    let told = receipt.contract_address;
    if !checks.contract_address() || !fixed::is_chains_own(sent) {
        return told;
    }
    let expected = created(sent, receipt);
    let has_proved_nonce =
        sent.kind() == encode::DEPOSIT && receipt.deposit_receipt_version.is_some();
    // A creation that failed made none, which some nodes say and some do not.
    if has_proved_nonce && (told.is_some() || receipt.status != Some(0)) {
        return expected;
    }
    told.filter(|_| told == expected)
}

/// What a gas costs the sender, in wei (EIP-1559); `None` when a fee is missing.
pub(super) fn effective_gas_price(sent: &RawTransaction, base_fee: Option<u128>) -> Option<u128> {
    if !sent.is_dynamic() {
        return sent.gas_price.and_then(|price| price.try_into().ok());
    }
    let most: u128 = sent.max_fee_per_gas?.saturating_to();
    let tip = sent.max_priority_fee_per_gas?;
    Some(most.min(tip.saturating_add(base_fee?)))
}
