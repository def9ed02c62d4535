//! A scenario in a file: what a venue does, and what a client makes of it.

use std::{collections::BTreeMap, path::Path};

use serde::Deserialize;

use super::{
    super::scenario_file::{self, ScenarioError},
    Act, Speaks,
};

/// What is in the file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VenueScenario {
    /// What the venue does, and what should come of it, in a sentence.
    pub about: String,
    pub venue: Speaks,
    /// Symbols that are asked for, as the venue writes them in its messages.
    pub symbols: Vec<String>,
    /// Connections of the client at one time; one when left out.
    #[serde(default)]
    pub hot: Option<u32>,
    pub steps: Vec<VenueStep>,
}

/// First the acts, then the waits, then the checks.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VenueStep {
    /// What the venue does, in this order.
    pub does: Vec<Act>,
    /// Waits until the client connected so often in all, and its newest connection gets every symbol that is not
    /// refused.
    pub connections: Option<u64>,
    /// Waits until so many requests were answered, on all connections.
    pub answered: Option<u64>,
    /// Waits until so many connections are open.
    pub open: Option<u64>,
    /// The ticks that come next, and no others before them: a symbol and a price each.
    pub ticks: Vec<String>,
    /// So many connections were made in all, and no more.
    pub made: Option<u64>,
    /// Waits until the feed stands so with these symbols: `connecting`, `live`, `silent` or `refused`.
    pub states: BTreeMap<String, String>,
}

impl VenueScenario {
    /// Reads a file; the error names what is wrong with it, and the line.
    pub fn read(path: &Path) -> Result<Self, ScenarioError> {
        scenario_file::read(path)
    }
}
