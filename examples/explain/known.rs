//! Arguments of queries that have results in the loaded database.

use chaincast_protocol::Channel;
use chaincast_store::explain::Known;

use super::blocks;

/// Those for a chain of `blocks` blocks, with pages of `limit` items.
pub fn known(blocks: u64, limit: u32) -> Known {
    let number = blocks / 2;
    Known {
        chain: blocks::CHAIN,
        limit,
        number,
        block: blocks::block_hash(number),
        transaction: blocks::transaction_hash(number, 0),
        busy: blocks::account(0),
        quiet: blocks::account(7),
        token: "ETH".parse().expect("a token"),
        channel: Channel::NewBlock(None),
    }
}
