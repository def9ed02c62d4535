//! The channels that this deployment serves, and the resolution of their names.

use std::collections::{BTreeMap, BTreeSet};

use chaincast_protocol::{ChainId, Channel, ErrorCode, Refusal, Token, channel::Requirement};
use chaincast_rooms::{JoinRule, RoomConfig, Rooms};
use rustc_hash::FxHashSet;

use crate::auth::Identity;

/// The chains, tokens and contracts that this deployment serves channels for.
#[derive(Debug, Clone)]
pub struct KnownChannels {
    /// The chain of the channel `new-block` without an id.
    pub first_chain: ChainId,
    /// The indexed chains.
    pub chain_ids: Vec<ChainId>,
    /// The tokens whose prices are tracked.
    pub tokens: Vec<Token>,
    /// Whether any chain is indexed with whole blocks, including transactions.
    pub transactions: bool,
    /// Contracts with their events, in lower case.
    pub contracts: BTreeMap<String, BTreeSet<String>>,
}

/// See the module's description.
#[derive(Debug)]
pub(crate) struct Deployment {
    first_chain: ChainId,
    chain_ids: FxHashSet<ChainId>,
    tokens: FxHashSet<Token>,
    transactions: bool,
    contracts: BTreeMap<String, BTreeSet<String>>,
    rooms: Rooms,
}

impl Deployment {
    pub(crate) fn new(known: KnownChannels, rooms: Rooms) -> Self {
        Self {
            rooms,
            first_chain: known.first_chain,
            chain_ids: known.chain_ids.into_iter().collect(),
            tokens: known.tokens.into_iter().collect(),
            transactions: known.transactions,
            contracts: known.contracts,
        }
    }

    /// Whether a client may subscribe to a channel of this deployment.
    pub(crate) fn can_subscribe(&self, identity: Option<&Identity>, channel: &Channel) -> bool {
        let join = self.room(channel).map(|room| room.join);
        match (identity, join) {
            (Some(identity), Some(rule)) => identity.can_join(channel, rule),
            (Some(identity), None) => identity.can_subscribe(channel),
            (None, rule) => {
                !channel.is_private() && rule.is_none_or(|rule| rule == JoinRule::Anyone)
            }
        }
    }

    /// The rules of a room; `None` for other channels.
    pub(crate) fn room(&self, channel: &Channel) -> Option<&RoomConfig> {
        match channel {
            Channel::Room(name) => self.rooms.find(name),
            _ => None,
        }
    }

    /// The channel of this deployment with the given name.
    pub(crate) fn resolve(&self, name: &str) -> Result<Channel, Refusal> {
        let unknown = |message: String| Refusal::new(ErrorCode::UnknownChannel, message);
        let channel: Channel = match name.parse() {
            Ok(channel) => channel,
            Err(error) => return Err(unknown(format!("{error}"))),
        };
        let channel = channel.canonical(self.first_chain);
        match self.missing(channel.requirement()) {
            Some(message) => Err(unknown(message)),
            None => Ok(channel),
        }
    }

    /// What this deployment lacks of what a channel requires, for a client.
    fn missing(&self, requirement: Requirement<'_>) -> Option<String> {
        match requirement {
            Requirement::Nothing => None,
            Requirement::Chain(None) => (!self.chain_ids.contains(&self.first_chain))
                .then(|| "no chain is indexed here".to_owned()),
            Requirement::Chain(Some(id)) => (!self.chain_ids.contains(&id)).then(|| {
                format!("chain {id} is not indexed here; /api/v1/status lists the chains")
            }),
            Requirement::Transactions => (!self.transactions).then(|| {
                "this server indexes no transactions, so tx: channels are unavailable; address:ADDRESS reports transfers; \
                 an operator enables transactions with chains.index = \"blocks\""
                    .to_owned()
            }),
            Requirement::Token(token) => (!self.tokens.contains(token)).then(|| {
                format!("{token} is not tracked here; /api/v1/tokens lists the tokens")
            }),
            Requirement::Contract(name, event) => match (self.contracts.get(name), event) {
                (None, _) => Some(format!(
                    "this server has no contract {name}; configured: {}",
                    join_names(self.contracts.keys())
                )),
                (Some(events), Some(event)) if !events.contains(event) => Some(format!(
                    "contract {name} has no event {event}; configured: {}",
                    join_names(events)
                )),
                _ => None,
            },
            Requirement::Room(name) => self.rooms.find(name).is_none().then(|| {
                format!(
                    "this server has no room {name}; configured: {}",
                    join_names(self.rooms.patterns())
                )
            }),
        }
    }
}

/// The first names, for an error message.
fn join_names<'a, S: AsRef<str> + ?Sized + 'a>(names: impl IntoIterator<Item = &'a S>) -> String {
    const MOST: usize = 20;
    let mut names = names.into_iter();
    let mut shown: Vec<&str> = names.by_ref().take(MOST).map(AsRef::as_ref).collect();
    if names.next().is_some() {
        shown.push("…");
    }
    match shown.as_slice() {
        [] => "none".to_owned(),
        shown => shown.join(", "),
    }
}
