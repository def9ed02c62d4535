//! Parses JSON of a node with a fast path. On an error it parses again to locate the error, or to skip fields that are
//! not essential. Pure.
//!
//! The second pass takes the last of several equal keys, and skips unreadable fields that only a check needs: that
//! check, if enabled, rejects the block and reports the value.

use std::cell::RefCell;

use serde::de::DeserializeOwned;
use serde_json::{Value, error::Category};
use serde_path_to_error::{Path, Segment};

use super::json_values::FromJson;

/// A larger text is not parsed into memory again; only the error is located. In bytes.
const MAX_REREAD_BYTES: usize = 8 * 1024 * 1024;
/// Longest reason, in characters.
const MAX_SHOWN: usize = 200;

/// Fields of headers and transactions that only checks need.
const CHECK_FIELDS: [&str; 37] = [
    "sha3Uncles",
    "stateRoot",
    "transactionsRoot",
    "receiptsRoot",
    "logsBloom",
    "difficulty",
    "mixHash",
    "nonce",
    "withdrawalsRoot",
    "blobGasUsed",
    "excessBlobGas",
    "parentBeaconBlockRoot",
    "requestsHash",
    "blockAccessListHash",
    "slotNumber",
    "size",
    "chainId",
    "accessList",
    "blobVersionedHashes",
    "authorizationList",
    "maxFeePerBlobGas",
    "v",
    "yParity",
    "r",
    "s",
    "signature",
    "sourceHash",
    "mint",
    "isSystemTx",
    "requestId",
    "ticketId",
    "maxRefund",
    "submissionFeeRefund",
    "l1BaseFee",
    "depositValue",
    "retryValue",
    "maxSubmissionFee",
];

thread_local! {
    /// The fields that the second pass skips on this thread. Kept outside the text, where no node can write.
    static SKIPPED_FIELDS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// The skipped fields of the current header, each with its value.
pub(super) fn skipped_fields() -> Vec<String> {
    SKIPPED_FIELDS.with_borrow(Vec::clone)
}

/// Sets the skipped fields while it lives.
struct SkipGuard;

impl SkipGuard {
    fn of(unread: &[String]) -> Self {
        SKIPPED_FIELDS.with_borrow_mut(|skipped_fields| unread.clone_into(skipped_fields));
        Self
    }
}

impl Drop for SkipGuard {
    fn drop(&mut self) {
        SKIPPED_FIELDS.take();
    }
}

/// Parses an answer; the error names the block, the path of the field and its value.
pub(super) fn read<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_str(text).or_else(|error| read_with_path(text, &error))
}

fn read_with_path<T: DeserializeOwned>(text: &str, error: &serde_json::Error) -> Result<T, String> {
    if error.classify() != Category::Data {
        return Err(format!("incomplete or invalid JSON: {error}"));
    }
    if text.len() > MAX_REREAD_BYTES {
        let mut json = serde_json::Deserializer::from_str(text);
        return serde_path_to_error::deserialize(&mut json)
            .map_err(|error| describe(error.path(), error.inner()));
    }
    let mut value: Value = serde_json::from_str(text)
        .map_err(|error| format!("incomplete or invalid JSON: {error}"))?;
    let subject = describe_subject(&value["result"]);
    let mut unread = Vec::new();
    loop {
        let guard = SkipGuard::of(&unread);
        let error = match serde_path_to_error::deserialize::<_, T>(&value) {
            Ok(read) => return Ok(read),
            Err(error) => error,
        };
        drop(guard);
        let what = describe(error.path(), error.inner());
        if unread.len() == CHECK_FIELDS.len() || !remove_check_field(&mut value, error.path()) {
            return Err(format!("{subject}{what}"));
        }
        unread.push(what);
    }
}

/// Removes the check field at or on the path; for a transaction, from all transactions.
fn remove_check_field(value: &mut Value, path: &Path) -> bool {
    let segments: Vec<&Segment> = path.iter().collect();
    let [Segment::Map { key: first }, rest @ ..] = segments.as_slice() else {
        return false;
    };
    let Some(Value::Object(block)) = value.get_mut("result").filter(|_| first == "result") else {
        return false;
    };
    let is_check_field = |key: &String| CHECK_FIELDS.contains(&key.as_str());
    match rest {
        [
            Segment::Map { key: list },
            Segment::Seq { .. },
            Segment::Map { key },
            ..,
        ] if list == "transactions" && is_check_field(key) && key != "nonce" => {
            let Some(Value::Array(txs)) = block.get_mut("transactions") else {
                return false;
            };
            for tx in txs.iter_mut().filter_map(Value::as_object_mut) {
                tx.remove(key);
            }
            true
        }
        [Segment::Map { key }, ..] if is_check_field(key) && block.contains_key("transactions") => {
            block.remove(key).is_some()
        }
        _ => false,
    }
}

/// The path and the value of an error.
fn describe(path: &Path, error: &serde_json::Error) -> String {
    let mut place = String::new();
    for segment in path.iter() {
        match segment {
            Segment::Seq { index } => place.push_str(&format!("[{index}]")),
            Segment::Map { key } | Segment::Enum { variant: key } => {
                if !place.is_empty() {
                    place.push('.');
                }
                place.push_str(key);
            }
            Segment::Unknown => {}
        }
    }
    // The path is relative to the result.
    let mut place = match place.strip_prefix("result") {
        Some(within) => within.trim_start_matches('.').to_owned(),
        None => place,
    };
    let mut reason = error.to_string();
    let at = format!(" at line {} column {}", error.line(), error.column());
    if let Some(whole) = reason.strip_suffix(&at) {
        reason.truncate(whole.len());
    }
    let missing = reason
        .strip_prefix("missing field `")
        .and_then(|field| field.strip_suffix('`'));
    if let Some(field) = missing {
        if !place.is_empty() {
            place.push('.');
        }
        place.push_str(field);
        reason = "is missing".to_owned();
    }
    if let Some((end, _)) = reason.char_indices().nth(MAX_SHOWN) {
        reason.truncate(end);
        reason.push('…');
    }
    match (place.is_empty(), reason.starts_with("is ")) {
        (true, _) => reason,
        (false, true) => format!("`{place}` {reason}"),
        (false, false) => format!("`{place}`: {reason}"),
    }
}

/// The block or transaction of a result, if known.
fn describe_subject(result: &Value) -> String {
    let one = match result {
        Value::Array(items) => items.first().unwrap_or(&Value::Null),
        one => one,
    };
    let text = |keys: [&str; 2]| keys.iter().find_map(|key| one.get(key)?.as_str());
    let number = text(["number", "blockNumber"]).and_then(u64::from_text);
    let hash = text(["blockHash", "hash"]).filter(|hash| hash.len() <= 66);
    match (number, hash) {
        (Some(number), Some(hash)) => format!("block {number} {hash}: "),
        (Some(number), None) => format!("block {number}: "),
        (None, Some(hash)) => format!("{hash}: "),
        (None, None) => String::new(),
    }
}

#[cfg(test)]
#[path = "json_reader_tests.rs"]
mod tests;
