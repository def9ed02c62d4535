//! Whether the gas of a header can be that of its receipts. Pure.
//!
//! Up to Ethereum's Amsterdam fork both are one sum. From the first header with a slot number (EIP-7843) on they are not:
//! the header counts execution and state apart, before refunds, and has the larger of the two sums (EIP-7778, EIP-8037);
//! receipts have what senders paid for, which is both, after refunds. Refunds lift the header above the receipts, and the
//! smaller of the two sums lifts the receipts above the header. What holds of every valid block is a least value of the
//! header; a greater one than the receipts add up to is no fault.

use super::wire::{RawHeader, RawReceipt};

/// The least that a transaction is charged for state: the 23 bytes of a delegation at 1,530 gas each (EIP-8037).
const LEAST_STATE_GAS: u64 = 23 * 1_530;
/// A transaction that used less paid for execution alone: refunds are at most a fifth (EIP-3529).
const EXECUTION_ALONE: u64 = LEAST_STATE_GAS - LEAST_STATE_GAS / 5;

/// Compares what the header and the last receipt have as the gas of the whole block. Receipts must be consistent among
/// themselves, which is checked before.
pub(super) fn total<T>(header: &RawHeader<T>, receipts: &[RawReceipt]) -> Result<(), String> {
    let Some(sum) = receipts.last().map(|last| last.cumulative_gas_used) else {
        return Ok(());
    };
    let used = header.gas_used;
    if header.slot_number.is_none() {
        return match sum == used {
            true => Ok(()),
            false => Err(format!(
                "its transactions used {sum} gas, but the header says {used}"
            )),
        };
    }
    let least = least(sum, receipts);
    if used < least {
        return Err(format!(
            "its transactions used {sum} gas, of which the header counts at least {least} (EIP-7778, EIP-8037), but it \
             says {used}"
        ));
    }
    Ok(())
}

/// The least gas of a header whose receipts add up to `sum`: the larger of two sums is at least half of both, and at
/// least all that belongs to execution for certain.
fn least(sum: u64, receipts: &[RawReceipt]) -> u64 {
    let execution = receipts
        .iter()
        .map(|receipt| receipt.gas_used)
        .filter(|used| *used < EXECUTION_ALONE)
        .fold(0_u64, u64::saturating_add);
    execution.max(sum.div_ceil(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipts(used: &[u64]) -> Vec<RawReceipt> {
        let mut sum = 0;
        used.iter()
            .map(|used| {
                sum += used;
                serde_json::from_value(serde_json::json!({
                    "transactionHash": format!("0x{}", "11".repeat(32)),
                    "blockHash": format!("0x{}", "22".repeat(32)),
                    "status": "0x1", "logs": [],
                    "cumulativeGasUsed": format!("{sum:#x}"), "gasUsed": format!("{used:#x}"),
                }))
                .unwrap()
            })
            .collect()
    }

    fn header(gas_used: u64, slot: Option<u64>) -> RawHeader<()> {
        let zero = |bytes: usize| format!("0x{}", "00".repeat(bytes));
        serde_json::from_value(serde_json::json!({
            "hash": zero(32), "parentHash": zero(32), "sha3Uncles": zero(32), "miner": zero(20), "stateRoot": zero(32),
            "transactionsRoot": zero(32), "receiptsRoot": zero(32), "logsBloom": zero(256), "number": "0x1",
            "gasLimit": "0x0", "gasUsed": format!("{gas_used:#x}"), "timestamp": "0x0", "extraData": "0x",
            "slotNumber": slot.map(|slot| format!("{slot:#x}")), "transactions": null,
        }))
        .unwrap()
    }

    fn check(gas_used: u64, slot: Option<u64>, used: &[u64]) -> Result<(), String> {
        total(&header(gas_used, slot), &receipts(used))
    }

    #[test]
    fn demands_equality_before_the_fork() {
        assert_eq!(check(50_000, None, &[20_000, 30_000]), Ok(()));
        assert!(check(49_999, None, &[20_000, 30_000]).is_err());
        assert!(check(50_001, None, &[20_000, 30_000]).is_err());
        // Some chains charge a block for more than its transactions.
        assert_eq!(check(7, None, &[]), Ok(()));
    }

    #[test]
    fn allows_refunds_after_the_fork() {
        assert_eq!(check(48_800, Some(1), &[44_000]), Ok(()));
        assert_eq!(check(44_000, Some(1), &[44_000]), Ok(()));
        assert_eq!(check(u64::MAX, Some(1), &[44_000]), Ok(()));
    }

    #[test]
    fn allows_two_dimensions_after_the_fork() {
        // Five transactions that each fill a storage slot, by the specification's tests of EIP-8037.
        assert_eq!(check(187_840, Some(1), &[63_574; 5]), Ok(()));
        assert_eq!(check(158_935, Some(1), &[63_574; 5]), Ok(()));
        let error = check(158_934, Some(1), &[63_574; 5]).unwrap_err();
        assert!(
            error.contains("used 317870 gas") && error.contains("at least 158935"),
            "{error}"
        );
    }

    #[test]
    fn counts_transactions_without_state_in_full() {
        assert_eq!(check(42_000, Some(1), &[21_000, 21_000]), Ok(()));
        assert!(check(41_999, Some(1), &[21_000, 21_000]).is_err());
        assert!(check(28_150, Some(1), &[EXECUTION_ALONE - 1]).is_err());
        assert_eq!(check(28_150, Some(1), &[EXECUTION_ALONE]), Ok(()));
    }
}
