//! The 2048-bit filters over logs (Yellow Paper, section 4.3.1). Pure.
//!
//! Recent hashes of addresses and topics are cached: contracts and event signatures repeat.

use std::cell::RefCell;

use alloy::primitives::{Address, B256, Bloom, BloomInput, keccak256};

use super::wire::RawLog;

/// Entries of the hash cache; a power of two. About 70 bytes each per thread.
const CACHE_SIZE: usize = 4096;

struct CachedHash {
    /// The hashed input: 20 bytes followed by zeros, or 32.
    input: B256,
    length: u8,
    hash: B256,
}

thread_local! {
    static HASHES: RefCell<Vec<Option<CachedHash>>> = const { RefCell::new(Vec::new()) };
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
            bloom.m3_2048_hashed(&cached_hash(hashes, address.as_slice()));
            for topic in topics {
                bloom.m3_2048_hashed(&cached_hash(hashes, topic.as_slice()));
            }
        });
    }
    bloom
}

/// Whether a filter may contain a log with this address and these topics. `false` is certain.
pub(super) fn may_contain(bloom: &Bloom, address: Option<&Address>, topics: &[B256]) -> bool {
    with_hashes(|hashes| {
        let mut holds = |input: &[u8]| {
            let hash = cached_hash(hashes, input);
            bloom.contains_input(BloomInput::Hash(hash))
        };
        address.is_none_or(|address| holds(address.as_slice()))
            && topics.iter().all(|topic| holds(topic.as_slice()))
    })
}

fn with_hashes<T>(work: impl FnOnce(&mut [Option<CachedHash>]) -> T) -> T {
    HASHES.with_borrow_mut(|hashes| {
        if hashes.is_empty() {
            hashes.resize_with(CACHE_SIZE, || None);
        }
        work(hashes)
    })
}

fn cached_hash(hashes: &mut [Option<CachedHash>], input: &[u8]) -> B256 {
    let mut padded = B256::ZERO;
    padded[..input.len()].copy_from_slice(input);
    let length = input.len() as u8;
    // The last bytes vary most: addresses in topics, and numbers, begin with zeros.
    let at = input.len() - 8;
    let spread = u64::from_le_bytes(input[at..].try_into().unwrap_or_default())
        .wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let slot = &mut hashes[(spread >> 52) as usize % CACHE_SIZE];
    match slot {
        Some(known) if known.input == padded && known.length == length => known.hash,
        _ => {
            let hash = keccak256(input);
            *slot = Some(CachedHash {
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
    fn bloom_equals_alloy_with_cache_evictions() {
        let logs: Vec<RawLog> = (0..3 * CACHE_SIZE as u64)
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

    /// The count of each bit of a filter, and the topics in it.
    struct BackfillOutcome {
        counts: Vec<u32>,
        topics: Vec<B256>,
    }

    fn bits(topic: &B256) -> impl Iterator<Item = usize> {
        let mut one = Bloom::ZERO;
        one.m3_2048(topic.as_slice());
        let bytes = one.0.0;
        (0..2048).filter(move |bit| bytes[255 - bit / 8] >> (bit % 8) & 1 == 1)
    }

    impl BackfillOutcome {
        /// Adds random topics until this percentage of bits is set.
        fn to(percent: usize) -> Self {
            let (mut counts, mut topics) = (vec![0; 2048], Vec::new());
            while counts.iter().filter(|count| **count > 0).count() * 100 < 2048 * percent {
                let topic: B256 = rand::random::<[u8; 32]>().into();
                bits(&topic).for_each(|bit| counts[bit] += 1);
                topics.push(topic);
            }
            Self { counts, topics }
        }

        /// Whether another topic also matches the filter.
        fn may_contain(&self, topic: &B256) -> bool {
            bits(topic).all(|bit| self.counts[bit] > 0)
        }

        /// Whether the filter is unchanged if another topic replaces the one at this position.
        fn hides(&self, at: usize, topic: &B256) -> bool {
            let gone: Vec<usize> = bits(&self.topics[at]).collect();
            let left = |bit: usize| self.counts[bit] - u32::from(gone.contains(&bit));
            let new: Vec<usize> = bits(topic).collect();
            new.iter().all(|bit| self.counts[*bit] > 0)
                && gone.iter().all(|bit| left(*bit) > 0 || new.contains(bit))
        }
    }

    /// The numbers of docs/chains.md for `index = "logs"` and `"transfers"`; `--nocapture` prints them.
    #[test]
    fn false_positives_match_documentation() {
        const TRIES: usize = 8_000;
        // In percent of tries: a false topic matches the filter; a replaced topic does not change it.
        for (percent, held, hidden) in [
            (30, 1.5..4.5, 0.0..1.0),
            (50, 10.0..15.5, 0.5..4.0),
            (70, 30.0..39.0, 9.0..20.0),
            (85, 56.0..67.0, 32.0..50.0),
        ] {
            let (mut in_filter, mut unseen) = (0, 0);
            for turn in 0..TRIES / 1_000 {
                let filled = BackfillOutcome::to(percent);
                for try_ in 0..1_000 {
                    let topic: B256 = rand::random::<[u8; 32]>().into();
                    let at = (turn * 1_000 + try_) % filled.topics.len();
                    in_filter += usize::from(filled.may_contain(&topic));
                    unseen += usize::from(filled.hides(at, &topic));
                }
            }
            let percentage = |count: usize| count as f64 * 100.0 / TRIES as f64;
            println!(
                "{percent} % of bits set: {:.1} % in the filter, {:.1} % unseen in place of another",
                percentage(in_filter),
                percentage(unseen)
            );
            assert!(
                held.contains(&percentage(in_filter)),
                "{percent}: {}",
                percentage(in_filter)
            );
            assert!(
                hidden.contains(&percentage(unseen)),
                "{percent}: {}",
                percentage(unseen)
            );
        }
    }
}
