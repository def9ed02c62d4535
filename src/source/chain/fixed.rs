//! Fields that no encoding of a chain's own transactions is over: the software that makes them has one value for each, so
//! another one is a lie. Pure.
//!
//! The values are those of Nitro's fork of geth (`core/types/arb_types.go`) and of op-geth (`core/types/deposit_tx.go`).
//! Fields that nodes fill as they like, such as prices of what pays none, are not refused but left out.

use alloy::{
    primitives::{Address, U256, address, hex},
    sol_types::SolValue,
};

use super::{
    arbitrum::{self, CONTRACT, DEPOSIT, INTERNAL, RETRY, SUBMIT_RETRYABLE, UNSIGNED},
    encode,
    wire::RawTransaction,
};

/// Whose transactions those are that Nitro makes itself.
const ARBOS: Address = address!("00000000000000000000000000000000000a4b05");
/// Whom a retryable ticket is submitted to.
const RETRYABLES: Address = address!("000000000000000000000000000000000000006e");
/// `submitRetryable(bytes32,uint256,uint256,uint256,uint256,uint64,uint256,address,address,address,bytes)`
const SUBMIT: [u8; 4] = hex!("c9f95d32");

/// Whether a transaction of this type, where it [is the chain's own](is_chains_own), pays nothing for gas.
pub(super) fn is_free(kind: u8) -> bool {
    matches!(kind, encode::DEPOSIT | DEPOSIT | INTERNAL)
}

/// Whether it is a type of Arbitrum's whose encoding is known.
fn is_arbitrums(kind: u8) -> bool {
    matches!(
        kind,
        DEPOSIT | UNSIGNED | CONTRACT | RETRY | SUBMIT_RETRYABLE | INTERNAL
    )
}

/// Whether the chain made it itself: it is of such a type and can be encoded as one. It has no access list and no tip.
///
/// The type alone does not show it: `0x64` is a deposit of Arbitrum's, and on Ronin and Viction a transaction that an
/// account signs and a sponsor pays for.
pub(super) fn is_chains_own(sent: &RawTransaction) -> bool {
    match sent.kind() {
        encode::DEPOSIT => sent.source_hash.is_some(),
        kind => is_arbitrums(kind) && arbitrum::transaction(sent, &mut Vec::new()).is_some(),
    }
}

/// Checks what the encoding of a transaction leaves out.
pub(super) fn check(sent: &RawTransaction) -> Result<(), String> {
    let kind = sent.kind();
    let is = |field: &str, right: bool| match right {
        true => Ok(()),
        false => Err(format!(
            "has another {field} than every transaction of its type, {kind:#x}"
        )),
    };
    if matches!(kind, DEPOSIT | INTERNAL) {
        is("gas", sent.gas == 0)?;
    }
    if matches!(kind, DEPOSIT | CONTRACT | SUBMIT_RETRYABLE | INTERNAL) {
        is("nonce", sent.nonce == 0)?;
    }
    if matches!(kind, SUBMIT_RETRYABLE | INTERNAL) {
        is("value", sent.value.unwrap_or_default().is_zero())?;
    }
    match kind {
        DEPOSIT => is("input", sent.input().is_empty()),
        SUBMIT_RETRYABLE => {
            is("receiver", sent.to == Some(RETRYABLES))?;
            let submitted = submitted(sent);
            is(
                "input",
                submitted.is_some_and(|call| call == **sent.input()),
            )
        }
        INTERNAL => {
            is("sender", sent.from == ARBOS)?;
            is("receiver", sent.to == Some(ARBOS))
        }
        _ => Ok(()),
    }
}

/// The call that a submission of a retryable ticket is shown as.
fn submitted(sent: &RawTransaction) -> Option<Vec<u8>> {
    let fee = sent.max_fee_per_gas.or(sent.gas_price)?;
    let call = (
        *sent.request_id.as_deref()?,
        *sent.l1_base_fee.as_deref()?,
        *sent.deposit_value.as_deref()?,
        *sent.retry_value.as_deref()?,
        fee,
        U256::from(sent.gas),
        *sent.max_submission_fee.as_deref()?,
        *sent.refund_to.as_deref()?,
        *sent.beneficiary.as_deref()?,
        sent.retry_to.as_deref().copied().unwrap_or_default(),
        sent.retry_data.as_deref()?.clone(),
    );
    let mut bytes = SUBMIT.to_vec();
    bytes.extend(call.abi_encode_params());
    Some(bytes)
}

#[cfg(test)]
#[path = "fixed_tests.rs"]
mod tests;
