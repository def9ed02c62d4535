//! What can be wrong, and with which requests.

use serde::Deserialize;
use serde_json::Value;

/// One line of a node's script: which requests it hits, and what becomes of them.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The JSON-RPC method; `*` for all. `newHeads` is each notification of a head, `batch` an array of requests.
    pub method: String,
    /// Only requests about this height, by number or by hash.
    #[serde(default)]
    pub height: Option<u64>,
    /// Only requests that name a block in this way.
    #[serde(default)]
    pub by: Option<By>,
    /// Only arrays of at least this many requests; with `method = "batch"`.
    #[serde(default)]
    pub at_least: usize,
    /// Lets this many that fit pass first.
    #[serde(default)]
    pub skip: u64,
    /// Of those only each so many-th is hit, the last of them.
    #[serde(default)]
    pub every: Option<u64>,
    /// Hits this many, then nothing more; every one until it is withdrawn when left out.
    #[serde(default)]
    pub times: Option<u64>,
    /// What becomes of it.
    #[serde(rename = "does")]
    pub kind: Kind,
}

/// How a request names a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    Hash,
    Number,
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Kind {
    /// The result is `null`; a notification is left out.
    Null,
    /// The result is an empty list.
    Empty,
    /// Of a list, only the first this many.
    Keep(usize),
    /// A list is in the opposite order.
    Reverse,
    /// Each item of a list is there twice.
    Double,
    /// Receipts lose their logs.
    OmitLogs,
    /// The node's head is this many blocks lower; what is above is not there.
    Lag(u64),
    /// The value at this JSON pointer (RFC 6901) within the result is another.
    Alter { at: String, to: Value },
    /// The answer is about the block this many higher (or lower) than was asked for.
    OtherBlock(i64),
    /// An error of JSON-RPC.
    Error { code: i64, message: String },
    /// An answer whose error is a text and not an object.
    ErrorText(String),
    /// The body is this text, under this HTTP status.
    Body {
        #[serde(default = "ok")]
        status: u16,
        text: String,
    },
    /// An HTTP status, and how many seconds `Retry-After` asks for.
    Status {
        code: u16,
        #[serde(default)]
        retry_after: Option<u64>,
    },
    /// The answer is held until [`FaultyNode::release`](super::FaultyNode::release).
    Hold,
    /// The connection closes before anything is answered.
    Cut,
    /// The connection closes after this many bytes of the body.
    CutAfter(usize),
    /// The body is not JSON.
    Malformed,
    /// The body is compressed, whatever the client accepts: `gzip`, or `br`. So many spaces follow the JSON in it.
    Compressed {
        with: String,
        #[serde(default)]
        padding: usize,
    },
}

fn ok() -> u16 {
    200
}

impl Kind {
    /// Whether it is about the whole HTTP answer, and not about one result in it.
    pub(super) fn is_of_answer(&self) -> bool {
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
    /// Hits every request of a method.
    pub fn of(method: &str, kind: Kind) -> Self {
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

    /// Only those about this height.
    pub fn at(mut self, height: u64) -> Self {
        self.height = Some(height);
        self
    }

    /// Only those that name a block in this way.
    pub fn by(mut self, by: By) -> Self {
        self.by = Some(by);
        self
    }

    /// Only each so many-th.
    pub fn every(mut self, every: u64) -> Self {
        self.every = Some(every);
        self
    }

    /// Only this many.
    pub fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }

    /// Only after this many passed.
    pub fn after(mut self, skip: u64) -> Self {
        self.skip = skip;
        self
    }
}
