//! Fields of system transactions that no encoding covers: the node software sets a fixed value, so any other value is
//! wrong. Pure.
//!
//! The values are those of Nitro's fork of geth (`core/types/arb_types.go`) and of op-geth
//! (`core/types/deposit_tx.go`). Fields that nodes set freely, such as prices of free transactions, are dropped, not
//! rejected.

use alloy::{
    primitives::{Address, U256, address, hex},
    sol_types::SolValue,
};

use super::{
    arbitrum::{self, CONTRACT, DEPOSIT, INTERNAL, RETRY, SUBMIT_RETRYABLE, UNSIGNED},
    encode,
    wire::RawTransaction,
};

/// Sender of Nitro's internal transactions.
const ARBOS: Address = address!("00000000000000000000000000000000000a4b05");
/// Receiver of retryable ticket submissions.
const RETRYABLE_ADDRESS: Address = address!("000000000000000000000000000000000000006e");
/// `submitRetryable(bytes32,uint256,uint256,uint256,uint256,uint64,uint256,address,address,address,bytes)`
const SUBMIT_SELECTOR: [u8; 4] = hex!("c9f95d32");

/// Whether a [system transaction](is_system_transaction) of this type pays nothing for gas.
pub(super) fn pays_no_gas(kind: u8) -> bool {
    matches!(kind, encode::DEPOSIT | DEPOSIT | INTERNAL)
}

/// Whether it is an Arbitrum type with a known encoding.
fn is_arbitrum_type(kind: u8) -> bool {
    matches!(
        kind,
        DEPOSIT | UNSIGNED | CONTRACT | RETRY | SUBMIT_RETRYABLE | INTERNAL
    )
}

/// Whether the chain itself created it: it has such a type and can be encoded as one. It has no access list and no tip.
///
/// The type alone is not enough: `0x64` is an Arbitrum deposit, and on Ronin and Viction a transaction that an account
/// signs and a sponsor pays.
pub(super) fn is_system_transaction(tx: &RawTransaction) -> bool {
    match tx.kind() {
        encode::DEPOSIT => tx.source_hash.is_some(),
        kind => is_arbitrum_type(kind) && arbitrum::transaction(tx, &mut Vec::new()).is_some(),
    }
}

/// Checks the fields that the encoding of a transaction omits.
pub(super) fn check(tx: &RawTransaction) -> Result<(), String> {
    let kind = tx.kind();
    let is = |field: &str, right: bool| match right {
        true => Ok(()),
        false => Err(format!(
            "has a {field} that differs from the fixed value of type {kind:#x}"
        )),
    };
    if matches!(kind, DEPOSIT | INTERNAL) {
        is("gas", tx.gas == 0)?;
    }
    if matches!(kind, DEPOSIT | CONTRACT | SUBMIT_RETRYABLE | INTERNAL) {
        is("nonce", tx.nonce == 0)?;
    }
    if matches!(kind, SUBMIT_RETRYABLE | INTERNAL) {
        is("value", tx.value.unwrap_or_default().is_zero())?;
    }
    match kind {
        DEPOSIT => is("input", tx.input().is_empty()),
        SUBMIT_RETRYABLE => {
            is("receiver", tx.to == Some(RETRYABLE_ADDRESS))?;
            let submission_call = submission_call(tx);
            is(
                "input",
                submission_call.is_some_and(|call| call == **tx.input()),
            )
        }
        INTERNAL => {
            is("sender", tx.from == ARBOS)?;
            is("receiver", tx.to == Some(ARBOS))
        }
        _ => Ok(()),
    }
}

/// The call data of a retryable ticket submission.
fn submission_call(tx: &RawTransaction) -> Option<Vec<u8>> {
    let fee = tx.max_fee_per_gas.or(tx.gas_price)?;
    let call = (
        *tx.request_id.as_deref()?,
        *tx.l1_base_fee.as_deref()?,
        *tx.deposit_value.as_deref()?,
        *tx.retry_value.as_deref()?,
        fee,
        U256::from(tx.gas),
        *tx.max_submission_fee.as_deref()?,
        *tx.refund_to.as_deref()?,
        *tx.beneficiary.as_deref()?,
        tx.retry_to.as_deref().copied().unwrap_or_default(),
        tx.retry_data.as_deref()?.clone(),
    );
    let mut bytes = SUBMIT_SELECTOR.to_vec();
    bytes.extend(call.abi_encode_params());
    Some(bytes)
}

#[cfg(test)]
#[path = "fixed_fields_tests.rs"]
mod tests;
