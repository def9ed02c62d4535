//! The streams that are written.

use chaincast_protocol::ChainId;

/// A stream. Each has at most one writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    /// The blocks of the chain with this EIP-155 id, and what is decoded from them.
    Chain(ChainId),
    /// The prices of all tokens.
    Prices,
}

/// Namespace of chaincast's advisory locks: "chai" in ASCII.
const LOCK_SPACE: i64 = 0x6368_6169 << 32;

impl Stream {
    /// The key of its advisory lock.
    pub(super) fn key(self) -> i64 {
        match self {
            // Ids above 2^31 may share keys: two such chains would exclude each other, never corrupt data.
            Self::Chain(id) => LOCK_SPACE | (((id & 0x7fff_ffff) as i64) << 1),
            Self::Prices => LOCK_SPACE | 1,
        }
    }

    /// The name in the table of leases, `/readyz` and metrics.
    pub fn name(self) -> String {
        match self {
            Self::Chain(id) => format!("chain:{id}"),
            Self::Prices => "prices".to_owned(),
        }
    }
}

impl std::fmt::Display for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Chain(id) => write!(f, "chain {id}"),
            Self::Prices => f.write_str("the price stream"),
        }
    }
}
