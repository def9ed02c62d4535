//! Random numbers from a seed, the same on every machine and with every version of every crate: SplitMix64 (Steele,
//! Lea, Flood 2014).

use chaincast_protocol::{Address, B256};

pub(super) struct Random(u64);

impl Random {
    /// An independent sequence of a seed for one object, such as a block.
    pub(super) fn from_seed(seed: u64, stream: u64) -> Self {
        let mut random = Self(seed);
        let base = random.next();
        Self(base ^ stream.wrapping_mul(0xd134_2543_de82_ef95))
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which must be above 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(super) fn word(&mut self) -> B256 {
        let mut word = B256::ZERO;
        for eight in word.chunks_exact_mut(8) {
            eight.copy_from_slice(&self.next().to_be_bytes());
        }
        word
    }

    pub(super) fn address(&mut self) -> Address {
        Address::from_word(self.word())
    }
}
