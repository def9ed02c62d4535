//! Encodings of Arbitrum's own transaction types. Pure.
//!
//! They have no signature: the hash covers the sender. The types and the order of their fields are those of Nitro's
//! fork of geth (`core/types/arb_types.go`).

use alloy::{
    primitives::{Address, B256, Bytes, TxKind, U256},
    rlp::Encodable,
};

use super::{encode::typed_transaction, wire::RawTransaction};

pub(super) const DEPOSIT: u8 = 0x64;
pub(super) const UNSIGNED: u8 = 0x65;
pub(super) const CONTRACT: u8 = 0x66;
pub(super) const RETRY: u8 = 0x68;
pub(super) const SUBMIT_RETRYABLE: u8 = 0x69;
pub(super) const INTERNAL: u8 = 0x6a;

/// Appends the encoding (EIP-2718); appends nothing and returns `None` for another type or if a field is missing.
pub(super) fn transaction(tx: &RawTransaction, out: &mut Vec<u8>) -> Option<()> {
    let chain = tx.chain_id?;
    let (from, gas, nonce, data) = (&tx.from, &tx.gas, &tx.nonce, tx.input());
    let to = &receiver(tx.to);
    let value = &tx.value.unwrap_or_default();
    let fee = || tx.max_fee_per_gas.or(tx.gas_price);
    match tx.kind() {
        DEPOSIT => {
            let to = &tx.to?;
            typed_transaction(DEPOSIT, &[&chain, request(tx)?, from, to, value], out);
        }
        UNSIGNED => typed_transaction(
            UNSIGNED,
            &[&chain, from, nonce, &fee()?, gas, to, value, data],
            out,
        ),
        CONTRACT => typed_transaction(
            CONTRACT,
            &[&chain, request(tx)?, from, &fee()?, gas, to, value, data],
            out,
        ),
        RETRY => {
            let ticket: &B256 = tx.ticket_id.as_deref()?;
            let refund_to: &Address = tx.refund_to.as_deref()?;
            let max_refund: &U256 = tx.max_refund.as_deref()?;
            let refund: &U256 = tx.submission_fee_refund.as_deref()?;
            let fee = fee()?;
            let fields: [&dyn Encodable; 12] = [
                &chain, nonce, from, &fee, gas, to, value, data, ticket, refund_to, max_refund,
                refund,
            ];
            typed_transaction(RETRY, &fields, out);
        }
        SUBMIT_RETRYABLE => {
            let l1_base_fee: &U256 = tx.l1_base_fee.as_deref()?;
            let deposited: &U256 = tx.deposit_value.as_deref()?;
            let retry_to = receiver(tx.retry_to.as_deref().copied());
            let retry_value: &U256 = tx.retry_value.as_deref()?;
            let beneficiary: &Address = tx.beneficiary.as_deref()?;
            let max_fee: &U256 = tx.max_submission_fee.as_deref()?;
            let refund_to: &Address = tx.refund_to.as_deref()?;
            let retry_data: &Bytes = tx.retry_data.as_deref()?;
            let fee = fee()?;
            let fields: [&dyn Encodable; 13] = [
                &chain,
                request(tx)?,
                from,
                l1_base_fee,
                deposited,
                &fee,
                gas,
                &retry_to,
                retry_value,
                beneficiary,
                max_fee,
                refund_to,
                retry_data,
            ];
            typed_transaction(SUBMIT_RETRYABLE, &fields, out);
        }
        INTERNAL => typed_transaction(INTERNAL, &[&chain, data], out),
        _ => return None,
    }
    Some(())
}

fn request(tx: &RawTransaction) -> Option<&B256> {
    tx.request_id.as_deref()
}

fn receiver(to: Option<Address>) -> TxKind {
    to.map_or(TxKind::Create, TxKind::Call)
}

#[cfg(test)]
mod tests {
    use alloy::primitives::keccak256;
    use serde_json::{Value, json};

    use super::*;

    fn repeated(byte: u8, bytes: usize) -> String {
        format!("0x{}", format!("{byte:02x}").repeat(bytes))
    }

    fn hashed(transaction: &Value) -> Option<B256> {
        let tx: RawTransaction = serde_json::from_value(transaction.clone()).unwrap();
        let mut encoded = Vec::new();
        self::transaction(&tx, &mut encoded)?;
        Some(keccak256(&encoded))
    }

    /// One of each type with invented contents; the hashes were made by Nitro.
    fn samples() -> Vec<(Value, &'static str)> {
        let of = |kind: &str, fields: Value| {
            let mut tx = json!({
                "type": kind, "hash": repeated(0, 32), "chainId": "0xa4b1", "from": repeated(0x11, 20),
                "to": repeated(0x22, 20), "nonce": "0x0", "gas": "0x0", "gasPrice": "0x0", "value": "0x0",
                "input": "0x", "v": "0x0", "r": "0x0", "s": "0x0",
            });
            let all = tx.as_object_mut().unwrap();
            all.extend(fields.as_object().unwrap().clone());
            tx
        };
        vec![
            (
                of(
                    "0x64",
                    json!({ "requestId": repeated(0xcc, 32), "value": "0x7b" }),
                ),
                "0xd53dd73b1b2534d4023508fa3c26f4c7ea74b923c0f190a8874dd689a2c1cd21",
            ),
            (
                of(
                    "0x65",
                    json!({ "nonce": "0x7", "maxFeePerGas": "0x3039", "gas": "0x5208", "value": "0x64", "input": "0xdeadbeef" }),
                ),
                "0x815fe243a019e4903168fa746b13bc64eeb677d3f9f87ce40ff8ce95fe25eae4",
            ),
            (
                of(
                    "0x66",
                    json!({ "requestId": repeated(0xaa, 32), "maxFeePerGas": "0x3039", "gas": "0xc350", "value": "0x1",
                            "input": "0xabcdef" }),
                ),
                "0xb05db1de136f0945ec6ba3bdee8d432a02ba7a2b760501fbcfb2f32cef2e7825",
            ),
            (
                of(
                    "0x68",
                    json!({ "nonce": "0x3", "maxFeePerGas": "0x22b", "gas": "0x13880", "value": "0x5", "input": "0x0102",
                            "ticketId": repeated(0xbb, 32), "refundTo": repeated(0x33, 20), "maxRefund": "0x3e8",
                            "submissionFeeRefund": "0x7d0" }),
                ),
                "0x365cb4747eec1a5703fde8496018afffc055ba835361159935bdefd051510bd5",
            ),
            (
                of(
                    "0x69",
                    json!({ "requestId": repeated(0xaa, 32), "l1BaseFee": "0x64", "depositValue": "0xc8",
                            "maxFeePerGas": "0x12c", "gas": "0x61a80", "retryTo": repeated(0x22, 20), "retryValue": "0x32",
                            "beneficiary": repeated(0x44, 20), "maxSubmissionFee": "0x258",
                            "refundTo": repeated(0x55, 20), "retryData": "0x01020304" }),
                ),
                "0x7c21633a95b29d2af5bf71d2efe4f36352e5aa8cf1980c968245d4b1069ad95e",
            ),
            (
                of("0x6a", json!({ "input": "0x1122334455" })),
                "0x5546c6af5de10e9bcaf1943ac8feddeb2ba2bb1f4252fddd69b16763fb454ab4",
            ),
        ]
    }

    #[test]
    fn hashes_equal_nitro() {
        for (tx, hash) in samples() {
            let expected: B256 = hash.parse().unwrap();
            assert_eq!(hashed(&tx), Some(expected), "{}", tx["type"]);
        }
    }

    #[test]
    fn hashes_real_internal_transaction() {
        // Block 0x4c204bb of chain 4663, as its node returns it.
        let tx = json!({
            "blockHash": "0xd73db86f1603784df5fc164e8fe18756a926ded0922813be2ce269fe5a12c71b",
            "blockNumber": "0x4c204bb",
            "from": "0x00000000000000000000000000000000000a4b05",
            "gas": "0x0",
            "gasPrice": "0x0",
            "hash": "0xfc214c19fee15e5d244c4ecefc4f979974f4177bd85d311e2dceba121733d4f8",
            "input": "0x6bf6a42d000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000018e87a10000000000000000000000000000000000000000000000000000000004c204bb0000000000000000000000000000000000000000000000000000000000000000",
            "nonce": "0x0",
            "to": "0x00000000000000000000000000000000000a4b05",
            "transactionIndex": "0x0",
            "value": "0x0",
            "type": "0x6a",
            "chainId": "0x1237",
            "v": "0x0",
            "r": "0x0",
            "s": "0x0",
        });
        let expected: B256 = tx["hash"].as_str().unwrap().parse().unwrap();
        assert_eq!(hashed(&tx), Some(expected));
    }

    #[test]
    fn rejects_incomplete_and_foreign_transactions() {
        for (mut tx, _) in samples() {
            tx.as_object_mut().unwrap().remove("chainId");
            assert_eq!(hashed(&tx), None);
        }
        for (kind, field) in [
            (0, "requestId"),
            (3, "ticketId"),
            (4, "refundTo"),
            (4, "retryData"),
        ] {
            let mut tx = samples().remove(kind).0;
            tx.as_object_mut().unwrap().remove(field);
            assert_eq!(hashed(&tx), None, "{field}");
        }
        let mut tx = samples().remove(0).0;
        tx["type"] = json!("0x78");
        assert_eq!(hashed(&tx), None);
    }
}
