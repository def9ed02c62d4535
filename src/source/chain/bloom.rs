//! The 2048-bit filters over logs (Yellow Paper, section 4.3.1). Pure.
//!
//! An address or topic that was hashed lately is not hashed again: contracts and event signatures repeat.

use std::cell::RefCell;

use alloy::primitives::{Address, B256, Bloom, BloomInput, keccak256};

use super::wire::RawLog;

/// Places in the memory of hashes; a power of two. About 70 bytes each, a thread.
const PLACES: usize = 4096;

struct Place {
    /// What was hashed: 20 bytes followed by zeros, or 32.
    input: B256,
    length: u8,
    hash: B256,
}

thread_local! {
    static HASHES: RefCell<Vec<Option<Place>>> = const { RefCell::new(Vec::new()) };
}

/// The filter over some logs.
pub(super) fn bloom_of(logs: &[RawLog]) -> Bloom {
    bloom_over(logs.iter().map(|log| (&log.address, log.topics.as_slice())))
}

/// The filter over logs with these addresses and topics.
pub(super) fn bloom_over<'l>(logs: impl Iterator<Item = (&'l Address, &'l [B256])>) -> Bloom {
    let mut bloom = Bloom::ZERO;
    for (address, topics) in logs {
        with_hashes(|hashes| {
            bloom.m3_2048_hashed(&remembered(hashes, address.as_slice()));
            for topic in topics {
                bloom.m3_2048_hashed(&remembered(hashes, topic.as_slice()));
            }
        });
    }
    bloom
}

/// Whether what a filter is over may have a log with this address and these topics. `false` is sure.
pub(super) fn may_hold(bloom: &Bloom, address: Option<&Address>, topics: &[B256]) -> bool {
    with_hashes(|hashes| {
        let mut holds = |input: &[u8]| {
            let hash = remembered(hashes, input);
            bloom.contains_input(BloomInput::Hash(hash))
        };
        address.is_none_or(|address| holds(address.as_slice()))
            && topics.iter().all(|topic| holds(topic.as_slice()))
    })
}

fn with_hashes<T>(work: impl FnOnce(&mut [Option<Place>]) -> T) -> T {
    HASHES.with_borrow_mut(|hashes| {
        if hashes.is_empty() {
            hashes.resize_with(PLACES, || None);
        }
        work(hashes)
    })
}

fn remembered(hashes: &mut [Option<Place>], input: &[u8]) -> B256 {
    let mut padded = B256::ZERO;
    padded[..input.len()].copy_from_slice(input);
    let length = input.len() as u8;
    // The last bytes differ most: addresses in topics, and numbers, begin with zeros.
    let at = input.len() - 8;
    let spread = u64::from_le_bytes(input[at..].try_into().unwrap_or_default())
        .wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let place = &mut hashes[(spread >> 52) as usize % PLACES];
    match place {
        Some(known) if known.input == padded && known.length == length => known.hash,
        _ => {
            let hash = keccak256(input);
            *place = Some(Place {
                input: padded,
                length,
                hash,
            });
            hash
        }
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{Address, Log, LogData, logs_bloom};

    use super::*;

    #[test]
    fn the_filter_is_alloys_however_often_places_are_taken_over() {
        let logs: Vec<RawLog> = (0..3 * PLACES as u64)
            .map(|n| RawLog {
                address: Address::left_padding_from(&(n % 7).to_be_bytes()),
                topics: vec![
                    B256::left_padding_from(&(n % 7).to_be_bytes()),
                    B256::left_padding_from(&n.to_be_bytes()),
                    B256::right_padding_from(&n.to_be_bytes()),
                ],
                data: Default::default(),
            })
            .collect();
        for some in logs.chunks(50) {
            let alloys: Vec<Log> = some
                .iter()
                .map(|log| Log {
                    address: log.address,
                    data: LogData::new_unchecked(log.topics.clone(), log.data.clone()),
                })
                .collect();
            assert_eq!(bloom_of(some), logs_bloom(&alloys));
        }
        assert_eq!(bloom_of(&[]), Bloom::ZERO);
    }
}
