//! Tokens that moved, read out of logs. Pure.

use alloy::primitives::b256;

use crate::model::{Address, B256, IndexedLog, TokenStandard, Transfer, U256};

/// `Transfer(address,address,uint256)`. ERC-721 has the same, with its third argument as a fourth topic.
const TRANSFER: B256 = b256!("ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef");

/// The first topics of every log that may be a transfer: the last two are ERC-1155's `TransferSingle` and `TransferBatch`.
pub(super) const SIGNATURES: [B256; 3] = [
    TRANSFER,
    b256!("c3d58168c5ae7397731d063d5bbf3d657854427343f4c083240f7aacaa2d0f62"),
    b256!("4a39dc06d4c0dbc64b70af90fd698a233a518aa5d07e595d983b8c0526c8f7fb"),
];

/// The transfers in some logs, in order.
pub fn transfers_in(logs: &[IndexedLog]) -> Vec<Transfer> {
    logs.iter().filter_map(transfer).collect()
}

/// The ERC-20 transfer in a log, if it is one: exactly three topics and one word of data.
fn transfer(log: &IndexedLog) -> Option<Transfer> {
    let [signature, from, to] = log.topics.as_slice() else {
        return None;
    };
    if *signature != TRANSFER || log.data.len() != 32 {
        return None;
    }
    Some(Transfer {
        log_index: log.index,
        position: 0,
        transaction_index: log.transaction_index,
        transaction_hash: log.transaction_hash,
        standard: TokenStandard::Erc20,
        token: log.address,
        from: Address::from_word(*from),
        to: Address::from_word(*to),
        token_id: None,
        amount: U256::from_be_slice(&log.data),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(topics: usize, data: usize) -> IndexedLog {
        let mut all = vec![TRANSFER, B256::with_last_byte(1), B256::with_last_byte(2)];
        all.resize(topics, B256::with_last_byte(3));
        IndexedLog {
            index: 4,
            transaction_index: 2,
            transaction_hash: None,
            address: Address::with_last_byte(9),
            topics: all,
            data: vec![0xff; data].into(),
        }
    }

    #[test]
    fn a_transfer_of_the_largest_amount_is_read_whole() {
        let transfer = transfer(&log(3, 32)).unwrap();
        assert_eq!(transfer.amount, U256::MAX);
        assert_eq!(transfer.from, Address::with_last_byte(1));
        assert_eq!(transfer.to, Address::with_last_byte(2));
        assert_eq!((transfer.log_index, transfer.transaction_index), (4, 2));
    }

    #[test]
    fn an_erc721_transfer_or_one_with_odd_data_is_no_erc20_transfer() {
        assert_eq!(transfer(&log(4, 0)), None);
        assert_eq!(transfer(&log(3, 0)), None);
        assert_eq!(transfer(&log(3, 64)), None);
        assert_eq!(transfer(&log(2, 32)), None);
    }
}
