//! Resolves channel names of this deployment, and checks access and options of a subscription.

use rustc_hash::FxHashMap;

use super::{auth::Identity, channel::Pace, hub::Hub};
use chaincast_protocol::{
    Channel,
    channel::{DeliveryRule, Requirement},
};
use chaincast_protocol::{
    ErrorCode, Refusal,
    request::{Interval, Mode, Since, Subscribe},
};

/// The resume position of each channel of a request.
pub(super) enum Positions {
    /// The one channel of the request, if any.
    One(Option<u64>),
    Each(FxHashMap<Channel, u64>),
}

impl Positions {
    pub fn get(&self, channel: &Channel) -> Option<u64> {
        match self {
            _ if !channel.has_position() => None,
            Self::One(seq) => *seq,
            Self::Each(seqs) => seqs.get(channel).copied(),
        }
    }
}

impl Hub {
    /// Resolves the names in `since`. Unknown names are ignored: a client may remember channels that are no longer
    /// served.
    pub(super) fn positions(&self, since: Option<&Since>) -> Result<Positions, Refusal> {
        let seqs = match since {
            None => return Ok(Positions::One(None)),
            Some(Since::One(seq)) => return Ok(Positions::One(Some(*seq))),
            Some(Since::Each(seqs)) => seqs,
        };
        let most = self.config().limits.channels_per_request;
        if seqs.len() > most {
            return Err(Refusal::bad_request(format!(
                "since names {} channels; the limit is {most}",
                seqs.len()
            )));
        }
        let mut positions = FxHashMap::default();
        for (name, seq) in seqs {
            if let Ok(channel) = self.resolve(name) {
                positions.entry(channel).or_insert(*seq);
            }
        }
        Ok(Positions::Each(positions))
    }

    /// The channel of this deployment with the given name.
    pub fn resolve(&self, name: &str) -> Result<Channel, Refusal> {
        let unknown = |message: String| Refusal::new(ErrorCode::UnknownChannel, message);
        let channel: Channel = match name.parse() {
            Ok(channel) => channel,
            Err(error) => return Err(unknown(format!("{error}"))),
        };
        let channel = channel.canonical(self.first_chain());
        match self.missing(channel.requirement()) {
            Some(message) => Err(unknown(message)),
            None => Ok(channel),
        }
    }

    /// What this deployment lacks of what a channel requires, for a client.
    fn missing(&self, requirement: Requirement<'_>) -> Option<String> {
        match requirement {
            Requirement::Nothing => None,
            Requirement::Chain(None) => (!self.has_chain(self.first_chain()))
                .then(|| "no chain is indexed here".to_owned()),
            Requirement::Chain(Some(id)) => (!self.has_chain(id)).then(|| {
                format!("chain {id} is not indexed here; /api/v1/status lists the chains")
            }),
            Requirement::Transactions => (!self.has_transactions()).then(|| {
                "this server indexes no transactions, so tx: channels are unavailable; address:ADDRESS reports transfers; \
                 an operator enables transactions with chains.index = \"blocks\""
                    .to_owned()
            }),
            Requirement::Token(token) => (!self.has_token(token)).then(|| {
                format!("{token} is not tracked here; /api/v1/tokens lists the tokens")
            }),
            Requirement::Contract(name, event) => match (self.contracts().get(name), event) {
                (None, _) => Some(format!(
                    "this server has no contract {name}; configured: {}",
                    join_names(self.contracts().keys())
                )),
                (Some(events), Some(event)) if !events.contains(event) => Some(format!(
                    "contract {name} has no event {event}; configured: {}",
                    join_names(events)
                )),
                _ => None,
            },
        }
    }

    /// Checks every channel and option of a subscription; returns the first error.
    pub fn check(&self, subscribe: &Subscribe, identity: Option<&Identity>) -> Result<(), Refusal> {
        self.positions(subscribe.since.as_ref())?;
        let mut seen = Vec::new();
        for name in subscribe.names.as_slice() {
            let channel = self.resolve(name)?;
            check_access(identity, &channel)?;
            pace(&channel, subscribe.mode, subscribe.interval)?;
            if seen.contains(&channel) {
                return Err(duplicate_channel(&channel));
            }
            seen.push(channel);
        }
        Ok(())
    }
}

/// The first names, for an error message.
fn join_names<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    const MOST: usize = 20;
    let mut names = names.into_iter();
    let mut shown: Vec<&str> = names.by_ref().take(MOST).map(String::as_str).collect();
    if names.next().is_some() {
        shown.push("…");
    }
    match shown.as_slice() {
        [] => "none".to_owned(),
        shown => shown.join(", "),
    }
}

pub(super) fn duplicate_channel(channel: &Channel) -> Refusal {
    Refusal::bad_request(format!("{channel} is named twice in one request"))
}

/// Checks whether a client may subscribe to a channel.
pub(super) fn check_access(identity: Option<&Identity>, channel: &Channel) -> Result<(), Refusal> {
    match identity {
        Some(identity) if identity.can_subscribe(channel) => Ok(()),
        Some(_) => Err(Refusal::new(
            ErrorCode::Forbidden,
            format!("the token does not allow {channel}"),
        )),
        None if channel.is_private() => Err(Refusal::new(
            ErrorCode::Unauthorized,
            format!("{channel} is private: authenticate as its subject with auth first"),
        )),
        None => Ok(()),
    }
}

/// The pace of a subscription, from the channel and the options.
pub(super) fn pace(
    channel: &Channel,
    mode: Option<Mode>,
    interval: Interval,
) -> Result<Pace, Refusal> {
    let kind = channel.kind();
    let latest = match mode {
        Some(mode) => mode == Mode::Latest,
        None => kind.delivery == DeliveryRule::LatestByDefault,
    };
    if let DeliveryRule::AllOnly(what) = kind.delivery
        && (latest || interval != Interval::NONE)
    {
        return Err(Refusal::bad_request(format!(
            "{} never skips {what}: it supports only mode \"all\" without an interval",
            kind.forms[0]
        )));
    }
    match (latest, interval) {
        (false, Interval::NONE) => Ok(Pace::All),
        (false, _) => Err(Refusal::bad_request("interval needs mode \"latest\"")),
        (true, Interval::NONE) => Ok(Pace::Latest),
        (true, interval) => Ok(Pace::Every(interval)),
    }
}
