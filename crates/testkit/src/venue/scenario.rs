//! A scenario file: the actions of a venue, and the expected behavior of a client.

use std::{collections::BTreeMap, path::Path};

use serde::Deserialize;

use super::{
    super::scenario_file::{self, ScenarioError},
    Action, VenueProtocol,
};

/// The content of the file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VenueScenario {
    /// One sentence: what the venue does, and what is expected.
    pub about: String,
    /// Whose protocol and limits the server has.
    pub venue: VenueProtocol,
    /// Symbols to subscribe to, as in the venue's messages.
    pub symbols: Vec<String>,
    /// Concurrent connections of the client; default 1.
    #[serde(default)]
    pub hot: Option<u32>,
    /// What happens, one step after the other.
    pub steps: Vec<VenueStep>,
}

/// One step: first the actions, then the waits, then the checks.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VenueStep {
    /// Actions of the venue, in this order.
    pub does: Vec<Action>,
    /// Waits until the client has connected this often in total, and its newest connection is subscribed to every
    /// symbol that is not refused.
    pub connections: Option<u64>,
    /// Waits until this many requests were answered, on all connections.
    pub answered: Option<u64>,
    /// Waits until this many connections are open.
    pub open: Option<u64>,
    /// The next ticks, without others before them: a symbol and a price each.
    pub ticks: Vec<String>,
    /// Checks the total number of connections.
    pub made: Option<u64>,
    /// Waits until these symbols have this state in the feed: `connecting`, `live`, `silent` or `refused`.
    pub states: BTreeMap<String, String>,
}

impl VenueScenario {
    /// Reads a file. Errors name the problem and its line.
    pub fn read(path: &Path) -> Result<Self, ScenarioError> {
        scenario_file::read(path)
    }
}
