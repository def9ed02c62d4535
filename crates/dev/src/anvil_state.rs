//! Repairs anvil's state file before anvil loads it.
//!
//! The file contains every block that anvil has seen, by hash and unordered: blocks dropped by reorgs, and one block 0
//! per start. When loading it, anvil picks any of them as the block of its height, so that after a few restarts the
//! chain has another genesis. This module keeps only the best block and its ancestors.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::Path,
};

use alloy::{
    consensus::Header,
    primitives::{B256, U64},
};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::DevError;

/// The fields that identify the newest block as anvil read it first. It reads `best_block_number` and the blocks later:
/// a block that is mined in between is in the latter two only.
#[derive(Deserialize)]
struct Newest {
    number: U64,
    prevrandao: B256,
    timestamp: U64,
}

#[derive(Deserialize)]
struct Block {
    header: Header,
}

/// Keeps only the canonical chain in the file; returns the number of removed blocks. A missing or unreadable file is
/// left unchanged; the latter is logged.
pub(super) fn keep_canonical(path: &Path) -> Result<usize, DevError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(DevError::file("read", path)(error)),
    };
    let (repaired, others) = match repair(&text) {
        Ok(repaired) => repaired,
        Err(reason) => {
            // anvil decides. If it starts with another genesis, the indexer rejects it.
            tracing::warn!(
                ?path,
                reason,
                "cannot parse the chain state; leaving it unchanged"
            );
            return Ok(0);
        }
    };
    if others > 0 {
        let temporary = path.with_extension("repaired");
        fs::write(&temporary, repaired).map_err(DevError::file("write", &temporary))?;
        fs::rename(&temporary, path).map_err(DevError::file("replace", path))?;
    }
    Ok(others)
}

fn repair(text: &str) -> Result<(String, usize), String> {
    let describe = |error: serde_json::Error| error.to_string();
    let mut state: BTreeMap<&str, &RawValue> = serde_json::from_str(text).map_err(describe)?;
    let part = |name: &str| {
        let found = state.get(name).copied();
        found.map(RawValue::get).ok_or(format!("no field `{name}`"))
    };
    let newest: Newest = serde_json::from_str(part("block")?).map_err(describe)?;
    let number = newest.number.to::<u64>();
    let best: U64 = match state.get("best_block_number") {
        Some(best) => serde_json::from_str(best.get()).map_err(describe)?,
        None => newest.number,
    };
    let best = best.to::<u64>();
    if best == 0 {
        return Err("no block after block 0".to_owned());
    }
    let blocks: Vec<&RawValue> = serde_json::from_str(part("blocks")?).map_err(describe)?;
    let mut by_hash = HashMap::with_capacity(blocks.len());
    let mut next = None;
    let mut newer = BTreeMap::new();
    for raw in &blocks {
        let Block { header } = serde_json::from_str(raw.get()).map_err(describe)?;
        let hash = header.hash_slow();
        let is_newest = header.number == number
            && header.timestamp == newest.timestamp.to::<u64>()
            && header.mix_hash == newest.prevrandao;
        if is_newest {
            next = Some(hash);
        }
        if header.number > number {
            newer.insert((header.number, header.parent_hash), hash);
        }
        by_hash.insert(hash, (header.parent_hash, *raw));
    }
    for height in number + 1..=best {
        next = next.and_then(|parent| newer.get(&(height, parent)).copied());
    }
    let mut kept = Vec::with_capacity(blocks.len());
    while let Some((parent, raw)) = next.and_then(|hash| by_hash.remove(&hash)) {
        kept.push(raw);
        next = Some(parent);
    }
    if kept.len() as u64 != best + 1 {
        let found = kept.len();
        return Err(format!("only {found} ancestors of block {best} found"));
    }
    let others = blocks.len() - kept.len();
    let kept = serde_json::value::to_raw_value(&kept).map_err(describe)?;
    state.insert("blocks", &kept);
    Ok((serde_json::to_string(&state).map_err(describe)?, others))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header with a seed that tells branches apart.
    fn header(parent: &Header, seed: u8) -> Header {
        Header {
            number: parent.number + 1,
            parent_hash: parent.hash_slow(),
            timestamp: parent.timestamp + 1,
            mix_hash: B256::repeat_byte(seed),
            ..Header::default()
        }
    }

    /// A state file of these blocks, whose newest block was read when it was `newest`.
    fn state(newest: &Header, best: Option<u64>, blocks: &[&Header]) -> String {
        let blocks: Vec<_> = blocks
            .iter()
            .map(|header| serde_json::json!({ "header": header }))
            .collect();
        let mut state = serde_json::json!({
            "block": {
                "number": U64::from(newest.number),
                "timestamp": U64::from(newest.timestamp),
                "prevrandao": newest.mix_hash,
            },
            "blocks": blocks,
        });
        if let Some(best) = best {
            state["best_block_number"] = best.into();
        }
        state.to_string()
    }

    /// The numbers and seeds of the blocks that are kept.
    fn kept(text: &str) -> Vec<(u64, u8)> {
        let (repaired, _) = repair(text).unwrap();
        let state: serde_json::Value = serde_json::from_str(&repaired).unwrap();
        let blocks: Vec<Block> = serde_json::from_value(state["blocks"].clone()).unwrap();
        let mut kept: Vec<_> = blocks
            .into_iter()
            .map(|block| (block.header.number, block.header.mix_hash[0]))
            .collect();
        kept.sort_unstable();
        kept
    }

    #[test]
    fn keeps_best_block_and_its_ancestors() {
        let genesis = Header::default();
        let other_genesis = Header {
            mix_hash: B256::repeat_byte(9),
            ..Header::default()
        };
        let (one, dropped) = (header(&genesis, 1), header(&genesis, 2));
        let two = header(&one, 3);
        let blocks = [&other_genesis, &two, &dropped, &genesis, &one];
        for best in [None, Some(2)] {
            let text = state(&two, best, &blocks);
            assert_eq!(kept(&text), [(0, 0), (1, 1), (2, 3)]);
            assert_eq!(repair(&text).unwrap().1, 2);
        }
    }

    #[test]
    fn keeps_block_mined_while_state_was_written() {
        let genesis = Header::default();
        let (one, dropped) = (header(&genesis, 1), header(&genesis, 2));
        let (two, of_dropped) = (header(&one, 3), header(&dropped, 4));
        let blocks = [&genesis, &dropped, &of_dropped, &one, &two];
        let text = state(&one, Some(2), &blocks);
        assert_eq!(kept(&text), [(0, 0), (1, 1), (2, 3)]);
    }

    #[test]
    fn leaves_state_without_its_best_block() {
        let genesis = Header::default();
        let one = header(&genesis, 1);
        let text = state(&one, Some(2), &[&genesis, &one]);
        let error = repair(&text).unwrap_err();
        assert_eq!(error, "only 0 ancestors of block 2 found");
    }
}
