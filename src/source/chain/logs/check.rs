//! Whether logs are those of a block: by the header's hash and bloom, the hashes of its transactions, and by how they
//! are numbered. Pure.

use alloy::primitives::{B256, Bloom};

use super::wire::{PlacedLog, SentHash};
use crate::{
    model::{IndexMode, IndexedBlock, IndexedLog},
    source::chain::{
        ChecksConfig,
        bloom::{bloom_over, may_hold},
        decode::{header_of, withdrawals_of},
        roomy::Roomy,
        transfers::{SIGNATURES, transfers_in},
        wire::RawHeader,
    },
};

/// Most topics of a log (Yellow Paper, LOG0 to LOG4).
const TOPICS: usize = 4;

/// A header with the hashes of its transactions alone.
pub(super) type Light = RawHeader<Roomy<SentHash>>;

/// Why the logs given for a block are not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Doubt {
    /// They are not this block's, or not well-formed.
    Wrong(String),
    /// The header's bloom is not over them: some are left out, or made up.
    Bloom(String),
    /// There is none, although the bloom allows for some. It may be right.
    Perhaps,
}

/// Logs by the block of a range that they say they are of, in the order in which they came.
pub(super) fn by_block(
    logs: Vec<PlacedLog>,
    from: u64,
    count: usize,
) -> Result<Vec<Vec<PlacedLog>>, String> {
    let mut sizes = vec![0; count];
    for log in &logs {
        let at = log.block_number.checked_sub(from);
        if let Some(size) = at.and_then(|at| sizes.get_mut(usize::try_from(at).ok()?)) {
            *size += 1;
        }
    }
    let mut blocks: Vec<Vec<PlacedLog>> = sizes.into_iter().map(Vec::with_capacity).collect();
    for log in logs {
        let block = log
            .block_number
            .checked_sub(from)
            .and_then(|at| blocks.get_mut(usize::try_from(at).ok()?));
        match block {
            Some(block) => block.push(log),
            None => {
                return Err(format!(
                    "a log of block {}, outside of the {count} from {from} on",
                    log.block_number
                ));
            }
        }
    }
    Ok(blocks)
}

/// Checks the logs of one block against its header.
pub(super) fn judged(
    header: &Light,
    logs: &[PlacedLog],
    mode: IndexMode,
    checks: &ChecksConfig,
) -> Result<(), Doubt> {
    if let Some(log) = logs
        .iter()
        .find(|log| log.block_hash != header.hash || log.block_number != header.number)
    {
        return Err(Doubt::Wrong(format!(
            "a log is of block {} {}",
            log.block_number, log.block_hash
        )));
    }
    let sent = &header.transactions;
    for log in logs {
        let index = usize::try_from(log.transaction_index).unwrap_or(usize::MAX);
        let Some(SentHash(hash)) = sent.get(index) else {
            return Err(Doubt::Wrong(format!(
                "log {} is of transaction {index}, and the block has {}",
                log.log_index,
                sent.len()
            )));
        };
        if log.transaction_hash != *hash {
            return Err(Doubt::Wrong(format!(
                "log {} is of transaction {}, and transaction {index} of the block is {hash}",
                log.log_index, log.transaction_hash
            )));
        }
        if log.removed || log.topics.len() > TOPICS {
            return Err(Doubt::Wrong(format!(
                "log {} has {} topics{}",
                log.log_index,
                log.topics.len(),
                if log.removed { " and was removed" } else { "" }
            )));
        }
    }
    if mode == IndexMode::Transfers {
        transfers(header, logs, checks)
    } else {
        all(header, logs, checks)
    }
}

/// Whether the header shows that the block has no log of those that are asked for: a node that gives `null` instead of a
/// list is right then.
pub(super) fn proves_none(header: &Light, mode: IndexMode, checks: &ChecksConfig) -> bool {
    let Some(bloom) = header.logs_bloom.filter(|_| checks.logs_bloom) else {
        return false;
    };
    match mode {
        IndexMode::Transfers => !may_hold_transfers(&bloom),
        IndexMode::Blocks | IndexMode::Logs => bloom.is_zero(),
    }
}

fn may_hold_transfers(bloom: &Bloom) -> bool {
    SIGNATURES
        .iter()
        .any(|topic| may_hold(bloom, None, &[*topic]))
}

/// All logs of the block: numbered without a hole, and the bloom is over exactly them.
fn all(header: &Light, logs: &[PlacedLog], checks: &ChecksConfig) -> Result<(), Doubt> {
    numbered(logs)?;
    let Some(claimed) = header.logs_bloom.filter(|_| checks.logs_bloom) else {
        return unchecked(checks);
    };
    if bloom(logs) != claimed {
        return Err(Doubt::Bloom(format!(
            "the bloom of its {} logs by eth_getLogs is not the header's",
            logs.len()
        )));
    }
    Ok(())
}

/// Without a bloom nothing is compared, which is right only where that check is off.
fn unchecked(checks: &ChecksConfig) -> Result<(), Doubt> {
    if checks.logs_bloom {
        return Err(Doubt::Bloom("its header has no logsBloom".to_owned()));
    }
    Ok(())
}

/// A bloom does not show that one of several logs with the same topics is left out; a hole in the numbers does. Nodes
/// count within the block, some within the transaction.
fn numbered(logs: &[PlacedLog]) -> Result<(), Doubt> {
    let (mut in_transaction, mut within) = (true, 0);
    let mut in_block = true;
    let mut before = None;
    for (log, position) in logs.iter().zip(0..) {
        within = match before {
            Some(before) if before == log.transaction_index => within + 1,
            Some(before) if before > log.transaction_index => {
                return Err(Doubt::Wrong("its logs are not in order".to_owned()));
            }
            _ => 0,
        };
        before = Some(log.transaction_index);
        in_block &= log.log_index == position;
        in_transaction &= log.log_index == within;
    }
    if in_block || in_transaction {
        Ok(())
    } else {
        Err(Doubt::Wrong(
            "the numbers of its logs have a hole".to_owned(),
        ))
    }
}

/// Some logs of the block: each is of the topics asked for and in the bloom, and they ascend with their transactions.
fn transfers(header: &Light, logs: &[PlacedLog], checks: &ChecksConfig) -> Result<(), Doubt> {
    if logs.windows(2).any(|pair| {
        pair[0].log_index >= pair[1].log_index
            || pair[0].transaction_index > pair[1].transaction_index
    }) {
        return Err(Doubt::Wrong(
            "the numbers of its logs do not rise with those of their transactions".to_owned(),
        ));
    }
    if logs
        .windows(2)
        .any(|pair| pair[0].transaction_index > pair[1].transaction_index)
    {
        return Err(Doubt::Wrong("its logs are not in order".to_owned()));
    }
    let other = |log: &&PlacedLog| {
        log.topics
            .first()
            .is_none_or(|topic| !SIGNATURES.contains(topic))
    };
    if let Some(log) = logs.iter().find(other) {
        return Err(Doubt::Wrong(format!(
            "log {} is no transfer",
            log.log_index
        )));
    }
    let Some(bloom) = &header.logs_bloom.filter(|_| checks.logs_bloom) else {
        return unchecked(checks);
    };
    if let Some(log) = logs
        .iter()
        .find(|log| !may_hold(bloom, Some(&log.address), &log.topics))
    {
        return Err(Doubt::Bloom(format!(
            "log {} by eth_getLogs is not in the header's bloom",
            log.log_index
        )));
    }
    if logs.is_empty() && may_hold_transfers(bloom) {
        return Err(Doubt::Perhaps);
    }
    Ok(())
}

fn bloom(logs: &[PlacedLog]) -> Bloom {
    bloom_over(logs.iter().map(|log| (&log.address, log.topics.as_slice())))
}

/// The rows of a block whose logs were judged.
pub(super) fn rows(
    header: Light,
    logs: Vec<PlacedLog>,
    mode: IndexMode,
) -> Result<IndexedBlock, String> {
    let at = header.block_ref();
    let number = |number: u64| match i32::try_from(number) {
        Ok(number) => Ok(number.unsigned_abs()),
        Err(_) => Err(format!(
            "of block {} {}, the index {number} of a log is one that no column holds",
            at.number, at.hash
        )),
    };
    let mut placed = Vec::with_capacity(logs.len());
    for (log, position) in logs.into_iter().zip(0_u64..) {
        placed.push(IndexedLog {
            // With all logs at hand the position is what the index means. Of some of them the node must know it.
            index: number(if mode == IndexMode::Transfers {
                log.log_index
            } else {
                position
            })?,
            transaction_index: number(log.transaction_index)?,
            transaction_hash: Some(log.transaction_hash),
            address: log.address,
            topics: log.topics,
            data: log.data,
        });
    }
    let logs = placed;
    let transaction_count = number(header.transactions.len() as u64)?;
    let withdrawals = withdrawals_of(&header);
    Ok(IndexedBlock {
        header: header_of(header),
        transaction_count,
        withdrawals,
        transactions: Vec::new(),
        transfers: transfers_in(&logs),
        logs: if mode == IndexMode::Transfers {
            Vec::new()
        } else {
            logs
        },
    })
}

/// The third parameter of the filter: which first topics are wanted.
pub(super) fn topics(mode: IndexMode) -> String {
    if mode != IndexMode::Transfers {
        return String::new();
    }
    let quoted = |topic: &B256| format!("\"{topic}\"");
    let all: Vec<String> = SIGNATURES.iter().map(quoted).collect();
    format!(",\"topics\":[[{}]]", all.join(","))
}
