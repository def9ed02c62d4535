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

/// The fields that identify the best block.
#[derive(Deserialize)]
struct Best {
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
    let best: Best = serde_json::from_str(part("block")?).map_err(describe)?;
    if best.number.is_zero() {
        return Err("no block after block 0".to_owned());
    }
    let blocks: Vec<&RawValue> = serde_json::from_str(part("blocks")?).map_err(describe)?;
    let mut by_hash = HashMap::with_capacity(blocks.len());
    let mut next = None;
    for raw in &blocks {
        let Block { header } = serde_json::from_str(raw.get()).map_err(describe)?;
        let hash = header.hash_slow();
        let is_best = header.number == best.number.to::<u64>()
            && header.timestamp == best.timestamp.to::<u64>()
            && header.mix_hash == best.prevrandao;
        if is_best {
            next = Some(hash);
        }
        by_hash.insert(hash, (header.parent_hash, *raw));
    }
    let mut kept = Vec::with_capacity(blocks.len());
    while let Some((parent, raw)) = next.and_then(|hash| by_hash.remove(&hash)) {
        kept.push(raw);
        next = Some(parent);
    }
    if kept.len() as u64 != best.number.to::<u64>() + 1 {
        let (found, number) = (kept.len(), best.number);
        return Err(format!("only {found} ancestors of block {number} found"));
    }
    let others = blocks.len() - kept.len();
    let kept = serde_json::value::to_raw_value(&kept).map_err(describe)?;
    state.insert("blocks", &kept);
    Ok((serde_json::to_string(&state).map_err(describe)?, others))
}
