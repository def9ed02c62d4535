//! `[[chains.providers]]`: the nodes that serve a chain, the preferred first.

use serde::Deserialize;

use super::work::Work;
use crate::chain::NodeHeaders;
use chaincast_base::{
    Secret,
    settings::{lower_case_word, plain_settings, settings},
};

settings! {
    /// One `[[chains.providers]]`.
    pub struct ProviderConfig {
        /// Name in logs, metrics and /status; default: host and port of the URL.
        name: Option<String> = None, example("\"backup\"");
        /// URL of the node, http or https.
        url: Secret = Secret::default(), example("\"https://other.example/KEY\""), required();
        /// Its WebSocket for newHeads, ws or wss; without it the head is only polled.
        ws_url: Option<Secret> = None, example("\"wss://other.example/KEY\"");
        /// Sent with each request, HTTP and WebSocket; at most 16, never printed.
        headers: NodeHeaders = NodeHeaders::default(), example("{ \"Authorization\" = \"Bearer …\" }");
        /// Its work: `"live"`: the head and new blocks; `"history"`: backfills; `"all"`: both.
        role: Role = Role::All;
    }
}

impl ProviderConfig {
    /// A provider for all work, named after its URL, polled.
    pub fn of(url: Secret) -> Self {
        Self {
            url,
            ..Self::default()
        }
    }
}

/// The work of a provider. Work without a configured provider goes to all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Both kinds of work.
    #[default]
    All,
    /// The head and new blocks.
    Live,
    /// Backfills, and blocks far below the head.
    History,
}

plain_settings! { Role = lower_case_word }

impl Role {
    /// As in the configuration and in `/status`.
    pub fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Live => "live",
            Self::History => "history",
        }
    }

    /// Whether it is configured for this work.
    pub fn does(self, work: Work) -> bool {
        match self {
            Self::All => true,
            Self::Live => work == Work::Live,
            Self::History => work == Work::History,
        }
    }
}
