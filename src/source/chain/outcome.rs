//! Whether a receipt's `status` or its `root` is what the receipts root is over. Pure.
//!
//! Before Byzantium it is the state's root (EIP-658), since then the status. Some nodes give both: a status that they
//! made up beside the root, or a root that nothing is over beside the status. Only the header can tell.

use alloy::primitives::B256;

use super::wire::RawReceipt;

/// Leaves of each receipt the one by which `root_of` all receipts is the one claimed. When neither is, what was given
/// stays, and the status counts.
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
