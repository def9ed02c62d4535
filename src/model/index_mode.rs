//! How much of a chain is indexed.

use std::fmt;

use serde::Deserialize;

/// `chains.index`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IndexMode {
    /// Whole blocks: transactions with receipts, logs and transfers.
    #[default]
    Blocks,
    /// Blocks, logs and transfers, without transactions.
    Logs,
    /// Blocks and transfers alone.
    Transfers,
}

impl IndexMode {
    pub const ALL: [Self; 3] = [Self::Blocks, Self::Logs, Self::Transfers];

    /// As it is configured and stored.
    pub fn name(self) -> &'static str {
        match self {
            Self::Blocks => "blocks",
            Self::Logs => "logs",
            Self::Transfers => "transfers",
        }
    }

    /// What proves the blocks of a mode: `full`, all roots of a block; or `bloom`, the header's hash and the bloom of its
    /// logs. Nothing shows of transfers alone that none is left out.
    pub fn proof(self) -> Option<&'static str> {
        match self {
            Self::Blocks => Some("full"),
            Self::Logs => Some("bloom"),
            Self::Transfers => None,
        }
    }

    /// The mode of this name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name)
    }
}

impl fmt::Display for IndexMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
