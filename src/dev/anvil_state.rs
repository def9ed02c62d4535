//! anvil's state file, mended before anvil reads it.
//!
//! The file holds every block that anvil ever knew, by hash and in no order: those that a reorg dropped, and a block 0
//! of its own for each start. Reading it, anvil takes any of them as the block of its height, so that after a few
//! restarts the chain has another genesis. Kept here are the blocks that the best one descends from, and no others.

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

/// The environment of the best block.
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

/// Leaves only the canonical chain in the file; returns how many other blocks were in it. A file that is not there, or
/// not understood, is left alone; the latter is logged.
pub(super) fn keep_canonical(path: &Path) -> Result<usize, DevError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(DevError::file("read", path)(error)),
    };
    let (mended, others) = match mend(&text) {
        Ok(mended) => mended,
        Err(reason) => {
            // anvil decides; should it come up with another genesis, the index refuses it.
            tracing::warn!(
                ?path,
                reason,
                "the chain's state was not understood and is left as it is"
            );
            return Ok(0);
        }
    };
    if others > 0 {
        let beside = path.with_extension("mended");
        fs::write(&beside, mended).map_err(DevError::file("write", &beside))?;
        fs::rename(&beside, path).map_err(DevError::file("replace", path))?;
    }
    Ok(others)
}

fn mend(text: &str) -> Result<(String, usize), String> {
    let told = |error: serde_json::Error| error.to_string();
    let mut state: BTreeMap<&str, &RawValue> = serde_json::from_str(text).map_err(told)?;
    let part = |name: &str| {
        let found = state.get(name).copied();
        found
            .map(RawValue::get)
            .ok_or(format!("it has no `{name}`"))
    };
    let best: Best = serde_json::from_str(part("block")?).map_err(told)?;
    if best.number.is_zero() {
        return Err("it has no block after the first".to_owned());
    }
    let blocks: Vec<&RawValue> = serde_json::from_str(part("blocks")?).map_err(told)?;
    let mut by_hash = HashMap::with_capacity(blocks.len());
    let mut next = None;
    for raw in &blocks {
        let Block { header } = serde_json::from_str(raw.get()).map_err(told)?;
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
        return Err(format!("only {found} blocks lead to block {number}"));
    }
    let others = blocks.len() - kept.len();
    let kept = serde_json::value::to_raw_value(&kept).map_err(told)?;
    state.insert("blocks", &kept);
    Ok((serde_json::to_string(&state).map_err(told)?, others))
}
