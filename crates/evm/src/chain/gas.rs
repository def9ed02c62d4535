//! Checks the gas of a header against its receipts. Pure.
//!
//! Up to Ethereum's Amsterdam fork both are one sum. From the first header with a slot number (EIP-7843) they differ:
//! the header counts execution and state separately, before refunds, and has the larger of the two sums (EIP-7778,
//! EIP-8037); receipts have what senders paid, which is both, after refunds. Refunds raise the header above the
//! receipts, and the smaller sum raises the receipts above the header. Every valid block has a minimum for the header;
//! a header above the receipts is valid.

use super::wire::{RawHeader, RawReceipt};

/// Minimum charge of a transaction for state: the 23 bytes of a delegation at 1,530 gas each (EIP-8037).
const MIN_STATE_GAS: u64 = 23 * 1_530;
/// A transaction below this paid for execution only: refunds are at most a fifth (EIP-3529).
const EXECUTION_ONLY_BELOW: u64 = MIN_STATE_GAS - MIN_STATE_GAS / 5;

/// Compares the gas of the header with that of the last receipt. The receipts must be consistent with each other, which
/// is checked before.
pub(super) fn check_total<T>(header: &RawHeader<T>, receipts: &[RawReceipt]) -> Result<(), String> {
    let Some(sum) = receipts.last().map(|last| last.cumulative_gas_used) else {
        return Ok(());
    };
    let used = header.gas_used;
    if header.slot_number.is_none() {
        return match sum == used {
            true => Ok(()),
            false => Err(format!(
                "its transactions used {sum} gas, but the header has {used}"
            )),
        };
    }
    let minimum = min_header_gas(sum, receipts);
    if used < minimum {
        return Err(format!(
            "its transactions used {sum} gas, so the header must have at least {minimum} (EIP-7778, EIP-8037), but it \
             has {used}"
        ));
    }
    Ok(())
}

/// The minimum header gas for receipts that add up to `sum`: at least half of the sum, because it is the larger of two
/// parts, and at least all gas that is certainly execution.
fn min_header_gas(sum: u64, receipts: &[RawReceipt]) -> u64 {
    let execution = receipts
        .iter()
        .map(|receipt| receipt.gas_used)
        .filter(|used| *used < EXECUTION_ONLY_BELOW)
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
        check_total(&header(gas_used, slot), &receipts(used))
    }

    #[test]
    fn gas_must_be_equal_before_fork() {
        assert_eq!(check(50_000, None, &[20_000, 30_000]), Ok(()));
        assert!(check(49_999, None, &[20_000, 30_000]).is_err());
        assert!(check(50_001, None, &[20_000, 30_000]).is_err());
        // Some chains charge a block beyond its transactions.
        assert_eq!(check(7, None, &[]), Ok(()));
    }

    #[test]
    fn gas_allows_refunds_after_fork() {
        assert_eq!(check(48_800, Some(1), &[44_000]), Ok(()));
        assert_eq!(check(44_000, Some(1), &[44_000]), Ok(()));
        assert_eq!(check(u64::MAX, Some(1), &[44_000]), Ok(()));
    }

    #[test]
    fn gas_allows_two_dimensions_after_fork() {
        // Five transactions that each fill a storage slot, from the specification tests of EIP-8037.
        assert_eq!(check(187_840, Some(1), &[63_574; 5]), Ok(()));
        assert_eq!(check(158_935, Some(1), &[63_574; 5]), Ok(()));
        let error = check(158_934, Some(1), &[63_574; 5]).unwrap_err();
        assert!(
            error.contains("used 317870 gas") && error.contains("at least 158935"),
            "{error}"
        );
    }

    #[test]
    fn gas_counts_stateless_transactions_in_full() {
        assert_eq!(check(42_000, Some(1), &[21_000, 21_000]), Ok(()));
        assert!(check(41_999, Some(1), &[21_000, 21_000]).is_err());
        assert!(check(28_150, Some(1), &[EXECUTION_ONLY_BELOW - 1]).is_err());
        assert_eq!(check(28_150, Some(1), &[EXECUTION_ONLY_BELOW]), Ok(()));
    }
}
