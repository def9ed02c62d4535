//! Encoded transactions or receipts, and the root of their trie.

use alloy::{consensus::proofs::ordered_trie_root_encoded, primitives::B256};

/// Encoded items in one buffer, each at the key of its position.
pub(super) struct TrieItems {
    /// Encoders append to it; [`TrieItems::end_item`] ends an item.
    pub(super) bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl TrieItems {
    pub(super) fn with_capacity(items: usize, each: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(items * each),
            ends: Vec::with_capacity(items),
        }
    }

    /// Ends an item; returns its bytes.
    pub(super) fn end_item(&mut self) -> &[u8] {
        let from = self.ends.last().copied().unwrap_or(0);
        self.ends.push(self.bytes.len());
        &self.bytes[from..]
    }

    pub(super) fn root(&self) -> B256 {
        let mut from = 0;
        let items: Vec<&[u8]> = self
            .ends
            .iter()
            .map(|&end| &self.bytes[std::mem::replace(&mut from, end)..end])
            .collect();
        ordered_trie_root_encoded(&items)
    }
}
