//! Encodings of Celo's own transaction types, and additions in its receipts. Pure.
//!
//! Both types may pay fees in a token, and are signed like Ethereum's. The order of their fields is that of Celo's fork
//! of geth (`core/types/celo_dynamic_fee_tx_v2.go`, `celo_dynamic_fee_tx.go`).

use alloy::{
    primitives::{B256, Signature, TxKind, keccak256},
    rlp::Encodable,
};

use super::{
    encode::{self, CIP64},
    wire::{RawReceipt, RawTransaction},
};

/// CIP-42, up to Celo's move to the OP stack.
const CIP42: u8 = 0x7c;

/// Whether a transaction type is Celo's own.
pub(super) fn is_celo_type(kind: u8) -> bool {
    matches!(kind, CIP64 | CIP42)
}

/// Appends the encoding (EIP-2718); appends nothing and returns `None` for another type or if a part is missing.
pub(super) fn transaction(tx: &RawTransaction, out: &mut Vec<u8>) -> Option<()> {
    let (signature, _) = encode::signature(tx)
        .ok()
        .filter(|_| is_celo_type(tx.kind()))?;
    put(tx, Some(&signature), out)
}

/// The signature and the signed hash; `Ok(None)` for another type. The error names the missing part.
pub(super) fn signed(tx: &RawTransaction) -> Result<Option<(Signature, B256)>, String> {
    if !is_celo_type(tx.kind()) {
        return Ok(None);
    }
    let (signature, _) = encode::signature(tx)?;
    let mut unsigned = Vec::new();
    put(tx, None, &mut unsigned)
        .ok_or_else(|| format!("lacks a field that type {} needs", tx.kind()))?;
    Ok(Some((signature, keccak256(unsigned))))
}

/// The base fee, in wei or in units of the fee token: CIP-64 receipts have it since the move to the OP stack. Before,
/// that of a token is unknown.
pub(super) fn base_fee(
    tx: &RawTransaction,
    receipt: &RawReceipt,
    block_base_fee: Option<u64>,
) -> Option<u128> {
    let block_base_fee = block_base_fee.map(u128::from);
    match (tx.kind(), tx.fee_currency.is_some()) {
        (CIP64, pays_in_token) => receipt
            .base_fee
            .or(block_base_fee.filter(|_| !pays_in_token)),
        (CIP42, true) => None,
        _ => block_base_fee,
    }
}

fn put(tx: &RawTransaction, signature: Option<&Signature>, out: &mut Vec<u8>) -> Option<()> {
    let chain = tx.chain_id?;
    let (nonce, gas, data) = (&tx.nonce, &tx.gas, tx.input());
    let tip = &tx.max_priority_fee_per_gas?;
    let fee = &tx.max_fee_per_gas?;
    let to = &tx.to.map_or(TxKind::Create, TxKind::Call);
    let value = &tx.value.unwrap_or_default();
    let access = &tx.access_list.clone().unwrap_or_default();
    // A missing address is encoded like a missing receiver.
    let address = |address: Option<_>| address.map_or(TxKind::Create, TxKind::Call);
    let currency = &address(tx.fee_currency.as_deref().copied());
    let gateway = &address(tx.gateway_fee_recipient.as_deref().copied());
    let gateway_fee = &tx.gateway_fee.as_deref().copied().unwrap_or_default();
    let mut fields: Vec<&dyn Encodable> = vec![&chain, nonce, tip, fee, gas];
    match tx.kind() {
        CIP64 => fields.extend([to as &dyn Encodable, value, data, access, currency]),
        CIP42 => fields.extend([
            currency as &dyn Encodable,
            gateway,
            gateway_fee,
            to,
            value,
            data,
            access,
        ]),
        _ => return None,
    }
    let parts = signature.map(|signature| (signature.v(), signature.r(), signature.s()));
    if let Some((odd, r, s)) = &parts {
        fields.extend([odd as &dyn Encodable, r, s]);
    }
    encode::typed_transaction(tx.kind(), &fields, out);
    Some(())
}

#[cfg(test)]
#[path = "celo_tests.rs"]
mod tests;
