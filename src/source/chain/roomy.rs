//! Long lists in a node's answers: read into room for what is usual, as growing by doubling copies every item about once.

use std::{fmt, marker::PhantomData, ops::Deref};

use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};

/// Room that a list begins with, in bytes: small enough that one without items costs nothing to speak of.
const ROOM: usize = 96 << 10;

/// A list, read with room.
#[derive(Debug, Clone)]
pub struct Roomy<T>(pub(super) Vec<T>);

impl<T> Default for Roomy<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Deref for Roomy<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Roomy<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(List(PhantomData))
    }
}

struct List<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for List<T> {
    type Value = Roomy<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let Some(first) = items.next_element()? else {
            return Ok(Roomy::default());
        };
        let mut list = Vec::with_capacity((ROOM / size_of::<T>().max(1)).max(1));
        list.push(first);
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Roomy(list))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_whole_whatever_its_length() {
        for length in [0, 1, 3, 100_000] {
            let list: Vec<u64> = (0..length).collect();
            let text = serde_json::to_string(&list).unwrap();
            let read: Roomy<u64> = serde_json::from_str(&text).unwrap();
            assert_eq!(read.0, list);
        }
        assert!(serde_json::from_str::<Roomy<u64>>("{}").is_err());
    }
}
