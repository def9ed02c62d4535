//! Which data of a chain is indexed.

use std::fmt;

use chaincast_base::settings::plain_settings;
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
    /// Blocks and transfers only.
    Transfers,
}

plain_settings! { IndexMode = |mode| format!("{:?}", mode.name()) }

impl IndexMode {
    const ALL: [Self; 3] = [Self::Blocks, Self::Logs, Self::Transfers];

    /// The name in the configuration and in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Blocks => "blocks",
            Self::Logs => "logs",
            Self::Transfers => "transfers",
        }
    }

    /// How the blocks of a mode are proven: `full`, by all roots of a block; or `bloom`, by the header's hash and the
    /// bloom of its logs. `None` for transfers: nothing proves that they are complete.
    pub fn proof(self) -> Option<&'static str> {
        match self {
            Self::Blocks => Some("full"),
            Self::Logs => Some("bloom"),
            Self::Transfers => None,
        }
    }

    /// The mode with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name)
    }
}

impl fmt::Display for IndexMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
