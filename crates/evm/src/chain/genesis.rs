//! Block 0, which no consensus rule created: some development nodes set a root of an empty list that is not the empty
//! trie root (hardhat). Pure.

use alloy::consensus::EMPTY_ROOT_HASH;

use super::wire::RawBlock;

/// Whether it is a block 0 without content. Its roots are not checked: there is nothing that they could cover, and its
/// hash identifies the chain.
pub(super) fn is_empty_genesis(block: &RawBlock) -> bool {
    let header = &block.header;
    header.number == 0
        && header.gas_used == 0
        && block.transactions.is_empty()
        && block.receipts.is_empty()
        && header.logs_bloom.is_none_or(|bloom| bloom.is_zero())
}

/// The root of such a block that is not the empty trie root.
pub(super) fn nonstandard_root(block: &RawBlock) -> Option<&'static str> {
    let header = &block.header;
    let roots = [
        ("transactionsRoot", header.transactions_root),
        ("receiptsRoot", header.receipts_root),
    ];
    let nonstandard = roots
        .into_iter()
        .find(|(_, root)| root.is_some_and(|root| root != EMPTY_ROOT_HASH));
    nonstandard
        .map(|(name, _)| name)
        .filter(|_| is_empty_genesis(block))
}
