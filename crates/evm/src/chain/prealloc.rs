//! Long lists in answers of nodes, read into preallocated memory: growth by doubling copies every item about once.

use std::{fmt, marker::PhantomData, ops::Deref};

use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};

/// Initial capacity, in bytes; an empty list allocates nothing.
const PREALLOC_BYTES: usize = 96 << 10;

/// A list read with preallocation.
#[derive(Debug, Clone)]
pub(super) struct PreallocVec<T>(pub(super) Vec<T>);

impl<T> Default for PreallocVec<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Deref for PreallocVec<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for PreallocVec<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(List(PhantomData))
    }
}

struct List<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for List<T> {
    type Value = PreallocVec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let Some(first) = items.next_element()? else {
            return Ok(PreallocVec::default());
        };
        let mut list = Vec::with_capacity((PREALLOC_BYTES / size_of::<T>().max(1)).max(1));
        list.push(first);
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(PreallocVec(list))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_lists_of_any_length() {
        for length in [0, 1, 3, 100_000] {
            let list: Vec<u64> = (0..length).collect();
            let text = serde_json::to_string(&list).unwrap();
            let read: PreallocVec<u64> = serde_json::from_str(&text).unwrap();
            assert_eq!(read.0, list);
        }
        assert!(serde_json::from_str::<PreallocVec<u64>>("{}").is_err());
    }
}
