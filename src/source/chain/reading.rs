//! JSON of a node, read fast; and when that fails once more with care, to say where it is wrong, or to read it all the
//! same. Pure.
//!
//! The second reading takes the last of several keys of one name, and leaves out fields that cannot be read and that
//! only a check needs: the check that needs them refuses the block if it is on, and says what stood there.

use std::cell::RefCell;

use serde::de::DeserializeOwned;
use serde_json::{Value, error::Category};
use serde_path_to_error::{Path, Segment};

use super::spelling::Spelled;

/// A larger text is not read a second time into memory: only the place of the error is found. In bytes.
const CAREFUL_BYTES: usize = 8 * 1024 * 1024;
/// Longest reason that is shown, in characters.
const SHOWN: usize = 200;

/// Fields of headers and transactions that only checks need.
const OF_CHECKS: [&str; 37] = [
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
    /// What the second reading leaves out of the header that it reads on this thread. Beside the text, where no node can
    /// write.
    static LEFT_OUT: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// The fields that are left out of the header that is being read, each with what was there.
pub(super) fn left_out() -> Vec<String> {
    LEFT_OUT.with_borrow(Vec::clone)
}

/// Says for as long as it lives what is left out.
struct LeavingOut;

impl LeavingOut {
    fn of(unread: &[String]) -> Self {
        LEFT_OUT.with_borrow_mut(|left_out| unread.clone_into(left_out));
        Self
    }
}

impl Drop for LeavingOut {
    fn drop(&mut self) {
        LEFT_OUT.take();
    }
}

/// Reads an answer; the error names the block, the field by its path, and what was there.
pub(super) fn read<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_str(text).or_else(|error| carefully(text, &error))
}

fn carefully<T: DeserializeOwned>(text: &str, error: &serde_json::Error) -> Result<T, String> {
    if error.classify() != Category::Data {
        return Err(format!("it is not whole JSON: {error}"));
    }
    if text.len() > CAREFUL_BYTES {
        let mut json = serde_json::Deserializer::from_str(text);
        return serde_path_to_error::deserialize(&mut json)
            .map_err(|error| described(error.path(), error.inner()));
    }
    let mut value: Value =
        serde_json::from_str(text).map_err(|error| format!("it is not whole JSON: {error}"))?;
    let about = about(&value["result"]);
    let mut unread = Vec::new();
    loop {
        let said = LeavingOut::of(&unread);
        let error = match serde_path_to_error::deserialize::<_, T>(&value) {
            Ok(read) => return Ok(read),
            Err(error) => error,
        };
        drop(said);
        let what = described(error.path(), error.inner());
        if unread.len() == OF_CHECKS.len() || !leave_out(&mut value, error.path()) {
            return Err(format!("{about}{what}"));
        }
        unread.push(what);
    }
}

/// Removes the field of a check in which the path ends or which it passes; of a transaction, from all transactions.
fn leave_out(value: &mut Value, path: &Path) -> bool {
    let segments: Vec<&Segment> = path.iter().collect();
    let [Segment::Map { key: first }, rest @ ..] = segments.as_slice() else {
        return false;
    };
    let Some(Value::Object(block)) = value.get_mut("result").filter(|_| first == "result") else {
        return false;
    };
    let of_check = |key: &String| OF_CHECKS.contains(&key.as_str());
    match rest {
        [
            Segment::Map { key: list },
            Segment::Seq { .. },
            Segment::Map { key },
            ..,
        ] if list == "transactions" && of_check(key) && key != "nonce" => {
            let Some(Value::Array(sent)) = block.get_mut("transactions") else {
                return false;
            };
            for sent in sent.iter_mut().filter_map(Value::as_object_mut) {
                sent.remove(key);
            }
            true
        }
        [Segment::Map { key }, ..] if of_check(key) && block.contains_key("transactions") => {
            block.remove(key).is_some()
        }
        _ => false,
    }
}

/// Where it is wrong, and what was there.
fn described(path: &Path, error: &serde_json::Error) -> String {
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
    // What is asked for is the result; errors name the path within it.
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
    if let Some((end, _)) = reason.char_indices().nth(SHOWN) {
        reason.truncate(end);
        reason.push('…');
    }
    match (place.is_empty(), reason.starts_with("is ")) {
        (true, _) => reason,
        (false, true) => format!("`{place}` {reason}"),
        (false, false) => format!("`{place}`: {reason}"),
    }
}

/// The block or transaction that a result is about, as far as it says.
fn about(result: &Value) -> String {
    let one = match result {
        Value::Array(items) => items.first().unwrap_or(&Value::Null),
        one => one,
    };
    let text = |keys: [&str; 2]| keys.iter().find_map(|key| one.get(key)?.as_str());
    let number = text(["number", "blockNumber"]).and_then(u64::of_text);
    let hash = text(["blockHash", "hash"]).filter(|hash| hash.len() <= 66);
    match (number, hash) {
        (Some(number), Some(hash)) => format!("of block {number} {hash}, "),
        (Some(number), None) => format!("of block {number}, "),
        (None, Some(hash)) => format!("of {hash}, "),
        (None, None) => String::new(),
    }
}

#[cfg(test)]
#[path = "reading_tests.rs"]
mod tests;
