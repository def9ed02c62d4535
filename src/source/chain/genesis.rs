//! Block 0, which no rule of consensus made: some development nodes write a root of an empty list into it that is not
//! the one of an empty trie (hardhat does). Pure.

use alloy::consensus::EMPTY_ROOT_HASH;

use super::wire::RawBlock;

/// Whether it is a block 0 in which nothing happened. Its empty lists are not held against its roots: there is nothing
/// that they could be over, and the identity of the chain is its hash.
pub(super) fn is_bare(block: &RawBlock) -> bool {
    let header = &block.header;
    header.number == 0
        && header.gas_used == 0
        && block.transactions.is_empty()
        && block.receipts.is_empty()
        && header.logs_bloom.is_none_or(|bloom| bloom.is_zero())
}

/// Which root of such a block is another than that of an empty trie.
pub(super) fn odd_root(block: &RawBlock) -> Option<&'static str> {
    let header = &block.header;
    let roots = [
        ("transactionsRoot", header.transactions_root),
        ("receiptsRoot", header.receipts_root),
    ];
    let odd = roots
        .into_iter()
        .find(|(_, root)| root.is_some_and(|root| root != EMPTY_ROOT_HASH));
    odd.map(|(name, _)| name).filter(|_| is_bare(block))
}
