//! Checks that logs are those of a block: by the hash and bloom of the header, the hashes of its transactions, and
//! their numbering. Pure.

use alloy::primitives::{B256, Bloom};

use super::wire::{PlacedLog, TransactionHash};
use crate::chain::{
    ChecksConfig,
    bloom::{bloom_over, may_contain},
    decode::{header_of, withdrawals_of},
    prealloc::PreallocVec,
    transfers::{SIGNATURES, transfers_in},
    wire::RawHeader,
};
use chaincast_model::{IndexMode, IndexedBlock, IndexedLog};

/// Most topics of a log (Yellow Paper, LOG0 to LOG4).
const TOPICS: usize = 4;

/// A header with only the hashes of its transactions.
pub(super) type HashHeader = RawHeader<PreallocVec<TransactionHash>>;

/// Why the logs of a block are rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LogRejection {
    /// They are not of this block, or malformed.
    Invalid(String),
    /// They do not match the bloom of the header: some are missing or invented.
    Bloom(String),
    /// The list is empty although the bloom allows logs. It may be correct.
    Unconfirmed,
}

/// Groups logs of a range by their block, in the order received.
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
                    "a log of block {} is outside the {count} blocks from {from}",
                    log.block_number
                ));
            }
        }
    }
    Ok(blocks)
}

/// Checks the logs of one block against its header.
pub(super) fn check_logs(
    header: &HashHeader,
    logs: &[PlacedLog],
    mode: IndexMode,
    checks: &ChecksConfig,
) -> Result<(), LogRejection> {
    if let Some(log) = logs
        .iter()
        .find(|log| log.block_hash != header.hash || log.block_number != header.number)
    {
        return Err(LogRejection::Invalid(format!(
            "a log is of block {} {}",
            log.block_number, log.block_hash
        )));
    }
    let txs = &header.transactions;
    for log in logs {
        let index = usize::try_from(log.transaction_index).unwrap_or(usize::MAX);
        let Some(TransactionHash(hash)) = txs.get(index) else {
            return Err(LogRejection::Invalid(format!(
                "log {} is of transaction {index}, but the block has {}",
                log.log_index,
                txs.len()
            )));
        };
        if log.transaction_hash != *hash {
            return Err(LogRejection::Invalid(format!(
                "log {} is of transaction {}, but transaction {index} of the block is {hash}",
                log.log_index, log.transaction_hash
            )));
        }
        if log.removed || log.topics.len() > TOPICS {
            return Err(LogRejection::Invalid(format!(
                "log {} has {} topics{}",
                log.log_index,
                log.topics.len(),
                if log.removed { " and was removed" } else { "" }
            )));
        }
    }
    if mode == IndexMode::Transfers {
        check_transfers(header, logs, checks)
    } else {
        check_all(header, logs, checks)
    }
}

/// Whether the header proves that the block has none of the requested logs, so that a `null` from the node is correct.
pub(super) fn proves_no_logs(header: &HashHeader, mode: IndexMode, checks: &ChecksConfig) -> bool {
    let Some(bloom) = header.logs_bloom.filter(|_| checks.logs_bloom) else {
        return false;
    };
    match mode {
        IndexMode::Transfers => !may_contain_transfers(&bloom),
        IndexMode::Blocks | IndexMode::Logs => bloom.is_zero(),
    }
}

fn may_contain_transfers(bloom: &Bloom) -> bool {
    SIGNATURES
        .iter()
        .any(|topic| may_contain(bloom, None, &[*topic]))
}

/// Checks all logs of the block: numbered without a gap, and with exactly the bloom of the header.
fn check_all(
    header: &HashHeader,
    logs: &[PlacedLog],
    checks: &ChecksConfig,
) -> Result<(), LogRejection> {
    check_numbering(logs)?;
    let Some(claimed) = header.logs_bloom.filter(|_| checks.logs_bloom) else {
        return accept_without_bloom(checks);
    };
    if bloom(logs) != claimed {
        return Err(LogRejection::Bloom(format!(
            "the bloom of its {} logs from eth_getLogs differs from the header",
            logs.len()
        )));
    }
    Ok(())
}

/// A missing bloom is accepted only if its check is disabled.
fn accept_without_bloom(checks: &ChecksConfig) -> Result<(), LogRejection> {
    if checks.logs_bloom {
        return Err(LogRejection::Bloom(
            "its header has no logsBloom".to_owned(),
        ));
    }
    Ok(())
}

/// A bloom does not reveal that one of several logs with equal topics is missing; a gap in the numbers does. Nodes
/// count per block, some per transaction.
fn check_numbering(logs: &[PlacedLog]) -> Result<(), LogRejection> {
    let (mut in_transaction, mut within) = (true, 0);
    let mut in_block = true;
    let mut before = None;
    for (log, position) in logs.iter().zip(0..) {
        within = match before {
            Some(before) if before == log.transaction_index => within + 1,
            Some(before) if before > log.transaction_index => {
                return Err(LogRejection::Invalid(
                    "its logs are not in order".to_owned(),
                ));
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
        Err(LogRejection::Invalid(
            "its log indexes have a gap".to_owned(),
        ))
    }
}

/// Checks the transfers of the block: each has a requested topic and is in the bloom, and they ascend with their
/// transactions.
fn check_transfers(
    header: &HashHeader,
    logs: &[PlacedLog],
    checks: &ChecksConfig,
) -> Result<(), LogRejection> {
    if logs.windows(2).any(|pair| {
        pair[0].log_index >= pair[1].log_index
            || pair[0].transaction_index > pair[1].transaction_index
    }) {
        return Err(LogRejection::Invalid(
            "its log indexes do not ascend with their transactions".to_owned(),
        ));
    }
    if logs
        .windows(2)
        .any(|pair| pair[0].transaction_index > pair[1].transaction_index)
    {
        return Err(LogRejection::Invalid(
            "its logs are not in order".to_owned(),
        ));
    }
    let other = |log: &&PlacedLog| {
        log.topics
            .first()
            .is_none_or(|topic| !SIGNATURES.contains(topic))
    };
    if let Some(log) = logs.iter().find(other) {
        return Err(LogRejection::Invalid(format!(
            "log {} is not a transfer",
            log.log_index
        )));
    }
    let Some(bloom) = &header.logs_bloom.filter(|_| checks.logs_bloom) else {
        return accept_without_bloom(checks);
    };
    if let Some(log) = logs
        .iter()
        .find(|log| !may_contain(bloom, Some(&log.address), &log.topics))
    {
        return Err(LogRejection::Bloom(format!(
            "log {} from eth_getLogs is not in the bloom of the header",
            log.log_index
        )));
    }
    if logs.is_empty() && may_contain_transfers(bloom) {
        return Err(LogRejection::Unconfirmed);
    }
    Ok(())
}

fn bloom(logs: &[PlacedLog]) -> Bloom {
    bloom_over(logs.iter().map(|log| (&log.address, log.topics.as_slice())))
}

/// The rows of a block with checked logs.
pub(super) fn rows(
    header: HashHeader,
    logs: Vec<PlacedLog>,
    mode: IndexMode,
) -> Result<IndexedBlock, String> {
    let at = header.block_ref();
    let number = |number: u64| match i32::try_from(number) {
        Ok(number) => Ok(number.unsigned_abs()),
        Err(_) => Err(format!(
            "block {} {}: the log index {number} exceeds its column",
            at.number, at.hash
        )),
    };
    let mut indexed = Vec::with_capacity(logs.len());
    for (log, position) in logs.into_iter().zip(0_u64..) {
        indexed.push(IndexedLog {
            // With all logs the index is the position. With some of them only the node knows it.
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
    let logs = indexed;
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

/// The `topics` parameter of the filter: the requested first topics.
pub(super) fn topics(mode: IndexMode) -> String {
    if mode != IndexMode::Transfers {
        return String::new();
    }
    let quoted = |topic: &B256| format!("\"{topic}\"");
    let all: Vec<String> = SIGNATURES.iter().map(quoted).collect();
    format!(",\"topics\":[[{}]]", all.join(","))
}
