//! Transactions of Celo's own types, and what its receipts add. Pure.
//!
//! Both types pay their fees in a token when they name one, and are signed as Ethereum's are. The order of their fields is
//! that of Celo's fork of geth (`core/types/celo_dynamic_fee_tx_v2.go`, `celo_dynamic_fee_tx.go`).

use alloy::{
    primitives::{B256, Signature, TxKind, keccak256},
    rlp::{BufMut, Encodable, Header},
};

use super::{
    encode,
    wire::{RawReceipt, RawTransaction},
};

/// CIP-64.
pub(super) const CIP64: u8 = 0x7b;
/// CIP-42, up to Celo's move to the OP stack.
const CIP42: u8 = 0x7c;

/// Whether a transaction of this type is Celo's own.
pub(super) fn is_own(kind: u8) -> bool {
    matches!(kind, CIP64 | CIP42)
}

/// Appends the encoding (EIP-2718); `None`, and nothing, for another type or when a part is missing.
pub(super) fn transaction(sent: &RawTransaction, out: &mut Vec<u8>) -> Option<()> {
    let (signature, _) = encode::signature(sent)
        .ok()
        .filter(|_| is_own(sent.kind()))?;
    put(sent, Some(&signature), out)
}

/// The signature and the hash that was signed; `Ok(None)` for another type. The error says what is missing.
pub(super) fn signed(sent: &RawTransaction) -> Result<Option<(Signature, B256)>, String> {
    if !is_own(sent.kind()) {
        return Ok(None);
    }
    let (signature, _) = encode::signature(sent)?;
    let mut unsigned = Vec::new();
    put(sent, None, &mut unsigned)
        .ok_or_else(|| format!("lacks a field that type {} needs", sent.kind()))?;
    Ok(Some((signature, keccak256(unsigned))))
}

/// What a gas costs at least, in wei or in units of the token that pays: a receipt of CIP-64 has it, since the move to the OP
/// stack. Before, that of a token is not known.
pub(super) fn base_fee(
    sent: &RawTransaction,
    receipt: &RawReceipt,
    of_block: Option<u64>,
) -> Option<u128> {
    let of_block = of_block.map(u128::from);
    match (sent.kind(), sent.fee_currency.is_some()) {
        (CIP64, pays_in_token) => receipt.base_fee.or(of_block.filter(|_| !pays_in_token)),
        (CIP42, true) => None,
        _ => of_block,
    }
}

fn put(sent: &RawTransaction, signature: Option<&Signature>, out: &mut Vec<u8>) -> Option<()> {
    let chain = sent.chain_id?;
    let (nonce, gas, data) = (&sent.nonce, &sent.gas, sent.input());
    let tip = &sent.max_priority_fee_per_gas?;
    let fee = &sent.max_fee_per_gas?;
    let to = &sent.to.map_or(TxKind::Create, TxKind::Call);
    let value = &sent.value.unwrap_or_default();
    let access = &sent.access_list.clone().unwrap_or_default();
    // No address is encoded as no receiver is.
    let address = |address: Option<_>| address.map_or(TxKind::Create, TxKind::Call);
    let currency = &address(sent.fee_currency.as_deref().copied());
    let gateway = &address(sent.gateway_fee_recipient.as_deref().copied());
    let gateway_fee = &sent.gateway_fee.as_deref().copied().unwrap_or_default();
    let mut fields: Vec<&dyn Encodable> = vec![&chain, nonce, tip, fee, gas];
    match sent.kind() {
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
    out.put_u8(sent.kind());
    let header = Header {
        list: true,
        payload_length: fields.iter().map(|field| field.length()).sum(),
    };
    header.encode(out);
    for field in fields {
        field.encode(out);
    }
    Some(())
}

#[cfg(test)]
#[path = "celo_tests.rs"]
mod tests;
