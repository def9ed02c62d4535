//! Decides whether the receipts root covers a receipt's `status` or its `root`. Pure.
//!
//! Before Byzantium it is the state root (EIP-658), since then the status. Some nodes return both: an invented status
//! beside the root, or an uncovered root beside the status. Only the header can decide.

use alloy::primitives::B256;

use super::wire::RawReceipt;

/// Keeps of each receipt the one for which `root_of` all receipts equals the claimed root. If neither does, both stay,
/// and the status counts.
pub(super) fn settle(
    receipts: &mut [RawReceipt],
    claimed: Option<B256>,
    root_of: impl Fn(&[RawReceipt]) -> Option<B256>,
) {
    let is_both = |receipt: &RawReceipt| receipt.status.is_some() && receipt.root.is_some();
    let both: Vec<usize> = (0..receipts.len())
        .filter(|&index| is_both(&receipts[index]))
        .collect();
    if both.is_empty() || claimed.is_none() {
        return;
    }
    let statuses: Vec<_> = both
        .iter()
        .map(|&index| receipts[index].status.take())
        .collect();
    if root_of(receipts) == claimed {
        return;
    }
    for (&index, status) in both.iter().zip(statuses) {
        receipts[index].status = status;
    }
}
