//! Faults, and the requests that they match.

use serde::Deserialize;
use serde_json::Value;

/// One entry of a node's script: which requests it matches, and what happens to them.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The JSON-RPC method; `*` for all. `newHeads` is a notification of a head, `batch` an array of requests.
    pub method: String,
    /// Matches only requests for this height, by number or by hash.
    #[serde(default)]
    pub height: Option<u64>,
    /// Matches only requests that identify a block in this way.
    #[serde(default)]
    pub by: Option<BlockSelector>,
    /// Matches only arrays of at least this many requests; with `method = "batch"`.
    #[serde(default)]
    pub at_least: usize,
    /// Lets this many matching requests pass first.
    #[serde(default)]
    pub skip: u64,
    /// Of the following ones, hits only every n-th.
    #[serde(default)]
    pub every: Option<u64>,
    /// Hits this many requests at most; default: all, until the fault is removed.
    #[serde(default)]
    pub times: Option<u64>,
    /// What happens to the request.
    #[serde(rename = "does")]
    pub kind: Kind,
}

/// How a request identifies a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BlockSelector {
    /// Its first parameter, or the `blockHash` in it, is a hash, as in `eth_getBlockByHash`.
    Hash,
    /// Its first parameter is a height or a tag, as in `eth_getBlockByNumber`.
    Number,
}

/// What happens to a request.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Kind {
    /// The result is `null`; a notification is dropped.
    Null,
    /// The result is an empty list.
    Empty,
    /// Keeps only the first n items of a list.
    Keep(usize),
    /// Reverses a list.
    Reverse,
    /// Duplicates each item of a list.
    Double,
    /// Removes the logs of receipts.
    OmitLogs,
    /// The node's head is this many blocks lower; higher blocks do not exist.
    Lag(u64),
    /// Replaces the value at this JSON pointer (RFC 6901) in the result.
    Alter {
        /// Such as `/hash`. The result stays as it is if it has nothing there.
        at: String,
        /// The new value.
        to: Value,
    },
    /// Answers with the block this many heights above (or below) the requested one.
    OtherBlock(i64),
    /// A JSON-RPC error.
    Error {
        /// Its code, such as -32000.
        code: i64,
        /// Its message.
        message: String,
    },
    /// An error that is a string instead of an object.
    ErrorText(String),
    /// This HTTP status and body.
    Body {
        /// The HTTP status; default: 200.
        #[serde(default = "ok")]
        status: u16,
        /// The whole body.
        text: String,
    },
    /// An HTTP status, with `Retry-After` in seconds.
    Status {
        /// The HTTP status, with the body `scripted fault`.
        code: u16,
        /// The seconds of `Retry-After`; default: no such header.
        #[serde(default)]
        retry_after: Option<u64>,
    },
    /// The answer is held until [`FaultyNode::release`](super::FaultyNode::release).
    Hold,
    /// The connection closes without an answer.
    Cut,
    /// The connection closes after this many bytes of the body.
    CutAfter(usize),
    /// The body is not JSON.
    Malformed,
    /// The body is compressed regardless of the client's `Accept-Encoding`: `gzip` or `br`. This many spaces follow the
    /// JSON in it.
    Compressed {
        /// The content encoding; any other name than `gzip` and `br` is claimed, and the body sent uncompressed.
        with: String,
        /// Spaces after the JSON, before compression.
        #[serde(default)]
        padding: usize,
    },
}

fn ok() -> u16 {
    200
}

impl Kind {
    /// Whether the fault concerns the whole HTTP answer, not one result in it.
    pub(super) fn affects_whole_answer(&self) -> bool {
        matches!(
            self,
            Self::Status { .. }
                | Self::Body { .. }
                | Self::Cut
                | Self::CutAfter(_)
                | Self::Malformed
                | Self::Compressed { .. }
        )
    }
}

impl Fault {
    /// A fault for all requests of a method.
    pub fn new(method: &str, kind: Kind) -> Self {
        Self {
            method: method.to_owned(),
            height: None,
            by: None,
            at_least: 0,
            skip: 0,
            every: None,
            times: None,
            kind,
        }
    }

    /// Matches only requests for this height.
    pub fn at(mut self, height: u64) -> Self {
        self.height = Some(height);
        self
    }

    /// Matches only requests that identify a block in this way.
    pub fn by(mut self, by: BlockSelector) -> Self {
        self.by = Some(by);
        self
    }

    /// Hits only every n-th request.
    pub fn every(mut self, every: u64) -> Self {
        self.every = Some(every);
        self
    }

    /// Hits at most this many requests.
    pub fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }

    /// Skips this many requests first.
    pub fn after(mut self, skip: u64) -> Self {
        self.skip = skip;
        self
    }
}
