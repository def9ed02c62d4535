//! The error of a failed check.

use chaincast_protocol::BlockRef;

/// A failed check of a block.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("block {} {}: {reason}; if this chain's rules differ here, set chains.checks.{check} = {}", .block.number, .block.hash, disabled_value(.check))]
pub struct CheckError {
    /// The block that fails it.
    pub block: BlockRef,
    /// The key in `[chains.checks]` that disables this check.
    pub check: &'static str,
    /// What does not match, and the fields of the block that cannot be read.
    pub reason: String,
}

fn disabled_value(check: &str) -> &'static str {
    if check == "senders" {
        "\"off\""
    } else {
        "false"
    }
}
