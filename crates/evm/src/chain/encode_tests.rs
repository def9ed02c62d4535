//! Every transaction type in the JSON of alloy, parsed and encoded again.

use alloy::{
    consensus::{
        Receipt, SignableTransaction, TxEip1559, TxEip2930, TxEip4844, TxEip4844Variant, TxEip7702,
        TxEnvelope, TxLegacy,
        transaction::{Recovered, SignerRecoverable},
    },
    eips::{
        eip2718::Encodable2718,
        eip2930::{AccessList, AccessListItem},
        eip7702::Authorization,
    },
    network::TxSignerSync,
    primitives::{Address, B256, Bytes, Log, LogData, TxKind, U256},
    rpc::types::Transaction,
    signers::{SignerSync, local::PrivateKeySigner},
};

use super::*;
use crate::chain::bloom::bloom_of;

fn signer() -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::repeat_byte(7)).unwrap()
}

fn signed<T>(mut transaction: T) -> TxEnvelope
where
    T: SignableTransaction<alloy::primitives::Signature>,
    TxEnvelope: From<alloy::consensus::Signed<T>>,
{
    let signature = signer().sign_transaction_sync(&mut transaction).unwrap();
    transaction.into_signed(signature).into()
}

fn access_list() -> AccessList {
    AccessList(vec![AccessListItem {
        address: Address::repeat_byte(3),
        storage_keys: vec![B256::ZERO, B256::repeat_byte(9)],
    }])
}

/// One of each type; the legacy one with and without a chain.
fn all() -> Vec<TxEnvelope> {
    let to = Address::repeat_byte(2);
    let input = Bytes::from_static(&[0, 1, 2, 3]);
    let value = U256::from(10).pow(U256::from(30));
    let legacy = TxLegacy {
        chain_id: None,
        nonce: 0,
        gas_price: 1,
        gas_limit: 21_000,
        to: TxKind::Create,
        value,
        input: input.clone(),
    };
    let authorization = Authorization {
        chain_id: U256::from(1),
        address: to,
        nonce: 5,
    };
    let signature = signer()
        .sign_hash_sync(&authorization.signature_hash())
        .unwrap();
    vec![
        signed(legacy.clone()),
        signed(TxLegacy {
            chain_id: Some(u64::MAX / 4),
            to: to.into(),
            ..legacy
        }),
        signed(TxEip2930 {
            chain_id: 1,
            nonce: 1,
            gas_price: u128::MAX,
            gas_limit: 30_000,
            to: to.into(),
            value: U256::ZERO,
            access_list: access_list(),
            input: input.clone(),
        }),
        signed(TxEip1559 {
            chain_id: 1,
            nonce: u64::MAX - 1,
            gas_limit: 30_000,
            max_fee_per_gas: 7,
            max_priority_fee_per_gas: 0,
            to: TxKind::Create,
            value,
            access_list: AccessList::default(),
            input: input.clone(),
        }),
        signed::<TxEip4844Variant>(TxEip4844Variant::TxEip4844(TxEip4844 {
            chain_id: 1,
            nonce: 3,
            gas_limit: 30_000,
            max_fee_per_gas: 7,
            max_priority_fee_per_gas: 1,
            to,
            value: U256::ZERO,
            access_list: access_list(),
            blob_versioned_hashes: vec![B256::repeat_byte(1)],
            max_fee_per_blob_gas: 9,
            input: input.clone(),
        })),
        signed(TxEip7702 {
            chain_id: 1,
            nonce: 4,
            gas_limit: 30_000,
            max_fee_per_gas: 7,
            max_priority_fee_per_gas: 1,
            to,
            value: U256::ZERO,
            access_list: access_list(),
            authorization_list: vec![authorization.into_signed(signature)],
            input,
        }),
    ]
}

fn read(tx: &TxEnvelope) -> RawTransaction {
    let written = Transaction {
        inner: Recovered::new_unchecked(tx.clone(), signer().address()),
        block_hash: None,
        block_number: None,
        transaction_index: None,
        effective_gas_price: None,
        block_timestamp: None,
    };
    serde_json::from_str(&serde_json::to_string(&written).unwrap()).unwrap()
}

#[test]
fn envelope_round_trips_every_type() {
    for tx in all() {
        let raw = read(&tx);
        let again = envelope(&raw).unwrap().unwrap();
        assert_eq!(again.encoded_2718(), tx.encoded_2718(), "{raw:?}");
        assert_eq!(again.recover_signer_unchecked().unwrap(), raw.from);
        assert_eq!(raw.hash, *tx.tx_hash());
    }
}

#[test]
fn envelope_names_missing_field() {
    let all = all();
    let mut raw = read(&all[3]);
    raw.max_fee_per_gas = None;
    assert!(envelope(&raw).unwrap_err().contains("maxFeePerGas"));
    let mut raw = read(&all[4]);
    raw.to = None;
    assert!(envelope(&raw).unwrap_err().contains("receiver"));
    let mut raw = read(&all[0]);
    raw.r = None;
    assert!(envelope(&raw).unwrap_err().contains("signature"));
    raw = read(&all[0]);
    raw.v = Some(30);
    raw.y_parity = None;
    assert!(envelope(&raw).unwrap_err().contains("v = 30"));
    raw.ty = Some(0x7e);
    assert_eq!(envelope(&raw), Ok(None));
}

#[test]
fn receipt_encoding_equals_alloy() {
    let log = |topics: usize, data: usize| RawLog {
        address: Address::repeat_byte(5),
        topics: vec![B256::repeat_byte(6); topics],
        data: vec![7; data].into(),
    };
    for logs in [vec![], vec![log(0, 0), log(4, 100), log(1, 1)]] {
        for kind in 0..=4 {
            for (status, root) in [(Some(1), None), (Some(0), None), (None, Some(B256::ZERO))] {
                let raw = RawReceipt {
                    transaction_hash: B256::ZERO,
                    block_hash: B256::ZERO,
                    ty: Some(kind),
                    status,
                    root,
                    cumulative_gas_used: 1_234_567,
                    gas_used: 0,
                    effective_gas_price: None,
                    blob_gas_price: None,
                    contract_address: None,
                    logs: logs.clone(),
                    deposit_nonce: None,
                    deposit_receipt_version: None,
                    base_fee: None,
                };
                let alloys = Receipt {
                    status: match root {
                        Some(root) => alloy::consensus::Eip658Value::PostState(root),
                        None => (status == Some(1)).into(),
                    },
                    cumulative_gas_used: raw.cumulative_gas_used,
                    logs: logs
                        .iter()
                        .map(|log| Log {
                            address: log.address,
                            data: LogData::new_unchecked(log.topics.clone(), log.data.clone()),
                        })
                        .collect(),
                };
                let alloys = alloy::network::any::AnyReceiptEnvelope {
                    inner: alloys.with_bloom(),
                    r#type: kind,
                };
                let mut encoded = Vec::new();
                receipt(&raw, 0, &bloom_of(&logs), &mut encoded).unwrap();
                assert_eq!(encoded, alloys.encoded_2718(), "{raw:?}");
            }
        }
    }
}

#[test]
fn deposit_needs_source_hash() {
    let mut raw = read(&all()[0]);
    raw.ty = Some(DEPOSIT);
    let mut encoded = Vec::new();
    assert_eq!(deposit(&raw, &mut encoded), None);
    raw.source_hash = Some(B256::repeat_byte(1));
    raw.mint = Some(U256::from(5));
    deposit(&raw, &mut encoded).unwrap();
    assert_eq!(encoded[0], DEPOSIT);
    let mut fields = &encoded[1..];
    let list = RlpHeader::decode(&mut fields).unwrap();
    assert!(list.list);
    assert_eq!(list.payload_length, fields.len());
    assert_eq!(fields[..33], [[0xa0].as_slice(), &[1; 32]].concat());
    // The minted value 5 follows the sender and the empty receiver.
    assert_eq!(fields[33 + 21], 0x80);
    assert_eq!(fields[33 + 21 + 1], 5);
}

#[test]
fn legacy_parity_keeps_chain_id() {
    for tx in &all()[..2] {
        let whole = read(tx);
        let mut raw = whole.clone();
        let odd = matches!(whole.v, Some(v) if (v - 27) % 2 == 1);
        let odd = match whole.chain_id {
            Some(_) => whole.v.is_some_and(|v| (v - 35) % 2 == 1),
            None => odd,
        };
        for (parity, v) in [(Some(u64::from(odd)), None), (None, Some(u128::from(odd)))] {
            (raw.y_parity, raw.v) = (parity, v);
            let again = envelope(&raw).unwrap().unwrap();
            assert_eq!(again.encoded_2718(), tx.encoded_2718(), "{raw:?}");
            assert_eq!(again.recover_signer_unchecked().unwrap(), raw.from);
        }
        (raw.y_parity, raw.v) = (None, None);
        raw.signature = Some(Box::new(crate::chain::access_list::RawSignature {
            y_parity: Some(odd.into()),
            ..Default::default()
        }));
        let again = envelope(&raw).unwrap().unwrap();
        assert_eq!(again.encoded_2718(), tx.encoded_2718(), "{raw:?}");
    }
}
