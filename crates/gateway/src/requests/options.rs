//! The options of a subscription: positions, pace, and whether the client may have the channel at all.

use chaincast_protocol::{
    Channel, ErrorCode, Refusal,
    channel::DeliveryRule,
    request::{Interval, Mode, Since, Subscribe},
};
use rustc_hash::FxHashMap;

use crate::{auth::Identity, config::LimitsConfig, deployment::Deployment, session::Pace};

/// The resume position of each channel of a request.
pub(super) enum Positions {
    /// The one channel of the request, if any.
    One(Option<u64>),
    Each(FxHashMap<Channel, u64>),
}

impl Positions {
    /// Resolves the names in `since`. Unknown names are ignored: a client may remember channels that are no longer
    /// served.
    pub(super) fn resolve(
        since: Option<&Since>,
        deployment: &Deployment,
        limits: &LimitsConfig,
    ) -> Result<Self, Refusal> {
        let seqs = match since {
            None => return Ok(Self::One(None)),
            Some(Since::One(seq)) => return Ok(Self::One(Some(*seq))),
            Some(Since::Each(seqs)) => seqs,
        };
        let most = limits.channels_per_request;
        if seqs.len() > most {
            return Err(Refusal::bad_request(format!(
                "since names {} channels; the limit is {most}",
                seqs.len()
            )));
        }
        let mut positions = FxHashMap::default();
        for (name, seq) in seqs {
            if let Ok(channel) = deployment.resolve(name) {
                positions.entry(channel).or_insert(*seq);
            }
        }
        Ok(Self::Each(positions))
    }

    pub(super) fn get(&self, channel: &Channel) -> Option<u64> {
        match self {
            _ if !channel.has_position() => None,
            Self::One(seq) => *seq,
            Self::Each(seqs) => seqs.get(channel).copied(),
        }
    }
}

/// Checks every channel and option of a subscription; returns the first error.
pub(super) fn check(
    subscribe: &Subscribe,
    identity: Option<&Identity>,
    deployment: &Deployment,
    limits: &LimitsConfig,
) -> Result<(), Refusal> {
    Positions::resolve(subscribe.since.as_ref(), deployment, limits)?;
    let mut seen = Vec::new();
    for name in subscribe.names.as_slice() {
        let channel = deployment.resolve(name)?;
        check_access(identity, &channel, deployment)?;
        pace(&channel, subscribe.mode, subscribe.interval)?;
        if seen.contains(&channel) {
            return Err(duplicate_channel(&channel));
        }
        seen.push(channel);
    }
    Ok(())
}

pub(super) fn duplicate_channel(channel: &Channel) -> Refusal {
    Refusal::bad_request(format!("{channel} is named twice in one request"))
}

/// Checks the number of channels in one request.
pub(super) fn check_count(count: usize, limits: &LimitsConfig) -> Result<(), Refusal> {
    let most = limits.channels_per_request;
    if count > most {
        return Err(Refusal::bad_request(format!(
            "{count} channels in one request; the limit is {most}"
        )));
    }
    Ok(())
}

/// Checks whether a client may subscribe to a channel.
pub(super) fn check_access(
    identity: Option<&Identity>,
    channel: &Channel,
    deployment: &Deployment,
) -> Result<(), Refusal> {
    if deployment.can_subscribe(identity, channel) {
        return Ok(());
    }
    let (code, message) = match identity {
        Some(_) => (
            ErrorCode::Forbidden,
            format!("the token does not allow {channel}"),
        ),
        None if channel.is_private() => (
            ErrorCode::Unauthorized,
            format!("{channel} is private: authenticate as its subject with auth first"),
        ),
        None => (
            ErrorCode::Unauthorized,
            format!("{channel} needs a user: authenticate with auth first"),
        ),
    };
    Err(Refusal::new(code, message))
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
