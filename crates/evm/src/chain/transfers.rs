//! Decodes transfers from logs. Pure except for a counter of ignored batches.
//!
//! Needs no configuration: the event signatures of [ERC-20](https://eips.ethereum.org/EIPS/eip-20),
//! [ERC-721](https://eips.ethereum.org/EIPS/eip-721) and [ERC-1155](https://eips.ethereum.org/EIPS/eip-1155) identify a
//! transfer. A log with such a signature but another shape is ignored.
//!
//! A log of the system address is a native transfer ([EIP-7708](https://eips.ethereum.org/EIPS/eip-7708)), on every
//! chain and at every height: no contract and no key has that address, so only the chain itself emits such a log.

use alloy::primitives::{address, b256};

use chaincast_model::{IndexedLog, TokenStandard, Transfer};
use chaincast_protocol::{Address, B256, U256};

/// `Transfer(address,address,uint256)` of ERC-20, of ERC-721, where the third argument is a topic, and of older NFT
/// contracts, where all three are data.
const TRANSFER: B256 = b256!("ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef");
/// `TransferSingle(address,address,address,uint256,uint256)`.
const SINGLE: B256 = b256!("c3d58168c5ae7397731d063d5bbf3d657854427343f4c083240f7aacaa2d0f62");
/// `TransferBatch(address,address,address,uint256[],uint256[])`.
const BATCH: B256 = b256!("4a39dc06d4c0dbc64b70af90fd698a233a518aa5d07e595d983b8c0526c8f7fb");

/// `Burn(address,uint256)` of EIP-7708.
const BURN: B256 = b256!("cc16f5dbb4873280815c1ee09dbd06736cffcc184412cf7a71a0fdb75d397ca5");
/// Emitter of the logs of EIP-7708.
const SYSTEM: Address = address!("fffffffffffffffffffffffffffffffffffffffe");

/// Most transfers of one batch: more than the gas of a block allows, because each writes two balances.
const MAX_BATCH: usize = 10_000;
const WORD: usize = 32;

/// The first topics of logs that may be transfers.
pub(super) const SIGNATURES: [B256; 4] = [TRANSFER, SINGLE, BATCH, BURN];

/// The transfers in logs, in order.
pub(super) fn transfers_in(logs: &[IndexedLog]) -> Vec<Transfer> {
    let likely = logs
        .iter()
        .filter(|log| log.topics.first() == Some(&TRANSFER))
        .count();
    let mut found = Vec::with_capacity(likely);
    for log in logs {
        if log.address == SYSTEM {
            found.extend(native(log));
            continue;
        }
        match log.topics.as_slice() {
            [TRANSFER, from, to] if log.data.len() == WORD => {
                let amount = U256::from_be_slice(&log.data);
                found.push(new_transfer(
                    log,
                    TokenStandard::Erc20,
                    0,
                    (from, to),
                    None,
                    amount,
                ));
            }
            [TRANSFER, from, to, id] if log.data.is_empty() => {
                let id = Some(U256::from_be_bytes(id.0));
                let one = U256::from(1);
                found.push(new_transfer(
                    log,
                    TokenStandard::Erc721,
                    0,
                    (from, to),
                    id,
                    one,
                ));
            }
            [TRANSFER] => found.extend(unindexed(log)),
            [SINGLE, _, from, to] if log.data.len() == 2 * WORD => {
                let (id, amount) = log.data.split_at(WORD);
                let (id, amount) = (U256::from_be_slice(id), U256::from_be_slice(amount));
                found.push(new_transfer(
                    log,
                    TokenStandard::Erc1155,
                    0,
                    (from, to),
                    Some(id),
                    amount,
                ));
            }
            [BATCH, _, from, to] => match batch(&log.data) {
                Some(pairs) => {
                    found.extend(pairs.into_iter().zip(0..).map(|((id, amount), position)| {
                        let parties = (from, to);
                        new_transfer(
                            log,
                            TokenStandard::Erc1155,
                            position,
                            parties,
                            Some(id),
                            amount,
                        )
                    }))
                }
                None => {
                    metrics::counter!("chaincast_chain_transfer_batches_ignored_total").increment(1)
                }
            },
            _ => {}
        }
    }
    found
}

/// A transfer with parties and token id as data, from contracts older than ERC-721 (such as CryptoKitties).
fn unindexed(log: &IndexedLog) -> Option<Transfer> {
    if log.data.len() != 3 * WORD {
        return None;
    }
    let word = |at: usize| B256::from_slice(&log.data[at * WORD..(at + 1) * WORD]);
    let (from, to) = (word(0), word(1));
    // A word that is no address belongs to another event of the same signature.
    let is_address = |word: &B256| Address::from_word(*word).into_word() == *word;
    let id = Some(U256::from_be_bytes(word(2).0));
    (is_address(&from) && is_address(&to)).then(|| {
        let one = U256::from(1);
        new_transfer(log, TokenStandard::Erc721, 0, (&from, &to), id, one)
    })
}

/// A native transfer. Burned coins go to the zero address, like burned tokens.
fn native(log: &IndexedLog) -> Option<Transfer> {
    let parties = match log.topics.as_slice() {
        [TRANSFER, from, to] => (from, to),
        [BURN, account] => (account, &B256::ZERO),
        _ => return None,
    };
    let amount = (log.data.len() == WORD).then(|| U256::from_be_slice(&log.data))?;
    let transfer = new_transfer(log, TokenStandard::Native, 0, parties, None, amount);
    Some(Transfer {
        token: None,
        ..transfer
    })
}

fn new_transfer(
    log: &IndexedLog,
    standard: TokenStandard,
    position: u32,
    (from, to): (&B256, &B256),
    token_id: Option<U256>,
    amount: U256,
) -> Transfer {
    Transfer {
        log_index: log.index,
        position,
        transaction_index: log.transaction_index,
        transaction_hash: log.transaction_hash,
        standard,
        token: Some(log.address),
        from: Address::from_word(*from),
        to: Address::from_word(*to),
        token_id,
        amount,
    }
}

/// The ids and amounts of a batch: two arrays of equal length, at their offsets.
fn batch(data: &[u8]) -> Option<Vec<(U256, U256)>> {
    let (ids, amounts) = (array(data, 0)?, array(data, WORD)?);
    if ids.len() != amounts.len() {
        return None;
    }
    let word = U256::from_be_slice;
    let pairs = ids.chunks_exact(WORD).zip(amounts.chunks_exact(WORD));
    Some(pairs.map(|(id, amount)| (word(id), word(amount))).collect())
}

/// The words of the array whose offset is at `at`.
fn array(data: &[u8], at: usize) -> Option<&[u8]> {
    let number = |at: usize| -> Option<usize> {
        let word = data.get(at..at.checked_add(WORD)?)?;
        U256::from_be_slice(word).try_into().ok()
    };
    let start = number(at)?;
    let count = number(start).filter(|&count| count <= MAX_BATCH)?;
    let words = start.checked_add(WORD)?;
    data.get(words..words.checked_add(count * WORD)?)
}

#[cfg(test)]
mod tests {
    use alloy::{primitives::keccak256, sol_types::SolValue};

    use super::*;

    fn log(topics: &[B256], data: Vec<u8>) -> IndexedLog {
        IndexedLog {
            index: 4,
            transaction_index: 2,
            transaction_hash: None,
            address: Address::with_last_byte(9),
            topics: topics.to_vec(),
            data: data.into(),
        }
    }

    /// A `Transfer` with this many topics and bytes of data.
    fn transfer(topics: usize, data: usize) -> Vec<Transfer> {
        let mut all = vec![TRANSFER, B256::with_last_byte(1), B256::with_last_byte(2)];
        all.resize(topics, B256::with_last_byte(3));
        transfers_in(&[log(&all, vec![0xff; data])])
    }

    fn erc1155_transfers(signature: B256, data: Vec<u8>) -> Vec<Transfer> {
        let [operator, from, to] = [7, 1, 2].map(B256::with_last_byte);
        transfers_in(&[log(&[signature, operator, from, to], data)])
    }

    #[test]
    fn reads_transfer_with_parties_in_data() {
        let [from, to] = [1, 2].map(Address::with_last_byte);
        let data = (from, to, U256::from(77)).abi_encode();
        let found = transfers_in(&[log(&[TRANSFER], data.clone())]);
        let [found] = found.as_slice() else {
            panic!("{found:?}");
        };
        assert_eq!((found.from, found.to), (from, to));
        assert_eq!(found.standard, TokenStandard::Erc721);
        assert_eq!(found.token_id, Some(U256::from(77)));
        assert_eq!(found.amount, U256::from(1));
        // A word more or less, and a party that is no address.
        for other in [&data[..64], &[data.as_slice(), &[0; 32]].concat()] {
            assert!(transfers_in(&[log(&[TRANSFER], other.to_vec())]).is_empty());
        }
        let mut no_address = data;
        no_address[0] = 1;
        assert!(transfers_in(&[log(&[TRANSFER], no_address)]).is_empty());
    }

    #[test]
    fn signatures_match_standards() {
        for (topic, signature) in [
            (TRANSFER, "Transfer(address,address,uint256)"),
            (
                SINGLE,
                "TransferSingle(address,address,address,uint256,uint256)",
            ),
            (
                BATCH,
                "TransferBatch(address,address,address,uint256[],uint256[])",
            ),
            (BURN, "Burn(address,uint256)"),
        ] {
            assert_eq!(topic, keccak256(signature), "{signature}");
        }
    }

    #[test]
    fn erc20_transfer_reads_largest_amount() {
        let transfer = transfer(3, 32).pop().unwrap();
        assert_eq!(transfer.standard, TokenStandard::Erc20);
        assert_eq!((transfer.amount, transfer.token_id), (U256::MAX, None));
        assert_eq!(transfer.from, Address::with_last_byte(1));
        assert_eq!(transfer.to, Address::with_last_byte(2));
        assert_eq!((transfer.log_index, transfer.transaction_index), (4, 2));
    }

    #[test]
    fn fourth_topic_is_erc721_token_id() {
        let transfer = transfer(4, 0).pop().unwrap();
        assert_eq!(transfer.standard, TokenStandard::Erc721);
        assert_eq!(transfer.token_id, Some(U256::from(3)));
        assert_eq!(transfer.amount, U256::from(1));
    }

    #[test]
    fn ignores_transfer_of_other_shape() {
        for (topics, data) in [(3, 0), (3, 64), (2, 32), (4, 32), (1, 96)] {
            assert_eq!(transfer(topics, data), [], "{topics} topics, {data} bytes");
        }
    }

    #[test]
    fn reads_native_transfers_of_the_system_address() {
        let system_transfers = |topics: &[B256], data: usize| {
            let log = IndexedLog {
                address: SYSTEM,
                ..log(topics, vec![0xff; data])
            };
            transfers_in(&[log])
        };
        let [from, to, other] = [1, 2, 3].map(B256::with_last_byte);
        let tx = system_transfers(&[TRANSFER, from, to], 32).pop().unwrap();
        assert_eq!((tx.standard, tx.token), (TokenStandard::Native, None));
        assert_eq!(tx.from, Address::with_last_byte(1));
        assert_eq!(tx.to, Address::with_last_byte(2));
        assert_eq!((tx.amount, tx.token_id), (U256::MAX, None));
        let burned = system_transfers(&[BURN, from], 32).pop().unwrap();
        assert_eq!((burned.standard, burned.token), (tx.standard, None));
        assert_eq!(burned.from, Address::with_last_byte(1));
        assert_eq!((burned.to, burned.amount), (Address::ZERO, U256::MAX));
        for (topics, data) in [
            (&[TRANSFER, from, to][..], 0),
            (&[TRANSFER, from, to], 64),
            (&[TRANSFER, from, to, other], 0),
            (&[TRANSFER, from], 32),
            (&[BURN, from], 0),
            (&[BURN, from, to], 32),
            (&[SINGLE, other, from, to], 64),
        ] {
            assert_eq!(
                system_transfers(topics, data),
                [],
                "{topics:?}, {data} bytes"
            );
        }
    }

    #[test]
    fn native_topics_of_other_contracts_are_not_native() {
        let [from, to] = [1, 2].map(B256::with_last_byte);
        let token = transfers_in(&[log(&[TRANSFER, from, to], vec![1; 32])]);
        assert_eq!(token[0].standard, TokenStandard::Erc20);
        assert_eq!(token[0].token, Some(Address::with_last_byte(9)));
        assert_eq!(transfers_in(&[log(&[BURN, from], vec![1; 32])]), []);
    }

    #[test]
    fn erc1155_transfer_has_token_id_and_amount() {
        let data = (U256::from(5), U256::MAX).abi_encode();
        let transfer = erc1155_transfers(SINGLE, data).pop().unwrap();
        assert_eq!(transfer.standard, TokenStandard::Erc1155);
        assert_eq!(transfer.from, Address::with_last_byte(1));
        assert_eq!(transfer.token_id, Some(U256::from(5)));
        assert_eq!(transfer.amount, U256::MAX);
    }

    #[test]
    fn batch_yields_transfers_in_order() {
        let ids = [5, 6, 5].map(U256::from).to_vec();
        let amounts = [1, 2, 3].map(U256::from).to_vec();
        let transfers = erc1155_transfers(BATCH, (ids, amounts).abi_encode_params());
        let read: Vec<_> = transfers
            .iter()
            .map(|one| (one.position, one.token_id.unwrap().to(), one.amount.to()))
            .collect::<Vec<(u32, u64, u64)>>();
        assert_eq!(read, [(0, 5, 1), (1, 6, 2), (2, 5, 3)]);
        let empty: Vec<U256> = vec![];
        assert_eq!(
            erc1155_transfers(BATCH, (empty.clone(), empty).abi_encode_params()),
            []
        );
    }

    #[test]
    fn ignores_batch_with_mismatched_arrays() {
        let words = |count: usize| vec![U256::from(1); count];
        let good = (words(2), words(2)).abi_encode_params();
        assert_eq!(erc1155_transfers(BATCH, good.clone()).len(), 2);
        assert_eq!(
            erc1155_transfers(BATCH, (words(2), words(3)).abi_encode_params()),
            []
        );
        assert_eq!(
            erc1155_transfers(BATCH, good[..good.len() - 1].to_vec()),
            []
        );
        assert_eq!(erc1155_transfers(BATCH, vec![]), []);
        for at in [0, WORD, 2 * WORD] {
            let mut wild = good.clone();
            wild[at..at + WORD].fill(0xff);
            assert_eq!(erc1155_transfers(BATCH, wild), [], "at {at}");
        }
        let long = (words(MAX_BATCH + 1), words(MAX_BATCH + 1)).abi_encode_params();
        assert_eq!(erc1155_transfers(BATCH, long), []);
    }
}
