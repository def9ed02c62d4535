//! Limits the transactions and addresses watched per client, which is a JWT's subject or else an address.
//!
//! A watch outlives its session, and so does the count. A channel counts for every client that is subscribed to it; after
//! the last one has left, it counts for that client until its updates are no longer stored. So a reconnecting client
//! keeps its watches, and every stored watch counts for some client. Each gateway counts its own clients.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::connection_limit::client_network;
use crate::{auth::Identity, config::GatewayConfig};
use chaincast_protocol::Channel;

/// The client whose watches are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum WatchOwner {
    /// As for connections: the /64 of an IPv6 address.
    Address(IpAddr),
    Subject(Arc<str>),
}

impl WatchOwner {
    /// `None` for a session without identity and address.
    pub(crate) fn new(identity: Option<&Identity>, address: Option<IpAddr>) -> Option<Self> {
        match identity {
            Some(identity) => Some(Self::Subject(identity.sub.as_str().into())),
            None => address.map(|address| Self::Address(client_network(address))),
        }
    }
}

/// The client is at its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct QuotaExceeded {
    pub limit: usize,
    /// Time until the first watch without a subscription stops to count, if there is one.
    pub free_in: Option<Duration>,
}

/// See the module's description. Clones share the counts.
#[derive(Clone)]
pub(crate) struct WatchQuota(Arc<Inner>);

struct Inner {
    per_address: usize,
    per_subject: usize,
    retention: Duration,
    // Maps with a keyed hash: clients choose the keys.
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    accounts: HashMap<WatchOwner, Account>,
    channels: HashMap<Channel, ChannelUse>,
}

/// The watches that count for one client.
#[derive(Default)]
struct Account {
    /// Subscriptions per channel.
    subscribed: HashMap<Channel, usize>,
    /// Channels that this client was the last to leave, and until when they count.
    kept: HashMap<Channel, Instant>,
}

/// The clients of one channel.
#[derive(Default)]
struct ChannelUse {
    /// Number of subscribed clients.
    subscribers: usize,
    /// Without subscribers: the client that it counts for.
    kept_by: Option<WatchOwner>,
    /// A client may resume, or the watch was released already: do not release it early.
    retained: bool,
}

/// One subscription of a client to a watched channel. It counts until dropped, and longer when it was the last one.
pub struct WatchPermit {
    quota: WatchQuota,
    owner: WatchOwner,
    channel: Channel,
    exit: Exit,
}

/// How a subscription ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exit {
    /// With its session: the client may resume.
    SessionEnded,
    Unsubscribed,
    /// The watch did not begin.
    Canceled,
}

impl WatchQuota {
    pub(crate) fn new(config: &GatewayConfig) -> Self {
        Self(Arc::new(Inner {
            per_address: config.limits.watches_per_address,
            per_subject: config.limits.watches_per_subject,
            retention: Duration::from_secs(config.watch_retention_secs),
            counts: Mutex::default(),
        }))
    }

    /// Counts one more subscription to each channel, up to the client's limit.
    pub(crate) fn acquire(
        &self,
        owner: &WatchOwner,
        channels: &[Channel],
        now: Instant,
    ) -> Vec<Result<Box<WatchPermit>, QuotaExceeded>> {
        let limit = match owner {
            WatchOwner::Address(_) => self.0.per_address,
            WatchOwner::Subject(_) => self.0.per_subject,
        };
        let mut counts = self.0.counts.lock();
        // Computed once per request, because it examines all watches of the client.
        let mut exceeded = None;
        let charged = channels.iter().map(|channel| {
            if !counts.acquire(owner, channel, limit) {
                if exceeded.is_none() {
                    counts.expire_owner(owner, now);
                }
                if exceeded.is_some() || !counts.acquire(owner, channel, limit) {
                    return Err(*exceeded.get_or_insert_with(|| QuotaExceeded {
                        limit,
                        free_in: counts.free_in(owner, now),
                    }));
                }
            }
            Ok(Box::new(WatchPermit {
                quota: self.clone(),
                owner: owner.clone(),
                channel: channel.clone(),
                exit: Exit::SessionEnded,
            }))
        });
        charged.collect()
    }

    /// Removes watches that no longer count.
    pub(crate) fn expire(&self, now: Instant) {
        let Counts { accounts, channels } = &mut *self.0.counts.lock();
        accounts.retain(|_, account| {
            account.expire(channels, now);
            !account.is_empty()
        });
    }

    /// Channels that every client has unsubscribed from. Returns each once.
    pub(crate) fn take_abandoned(&self) -> Vec<Channel> {
        let mut counts = self.0.counts.lock();
        let left = counts
            .channels
            .iter_mut()
            .filter(|(_, used)| used.subscribers == 0 && !used.retained);
        left.map(|(channel, used)| {
            used.retained = true;
            channel.clone()
        })
        .collect()
    }

    /// Limits the time that channels without subscribers count to `until`.
    pub(crate) fn shorten(&self, channels: &[Channel], until: Instant) {
        let mut counts = self.0.counts.lock();
        let counts = &mut *counts;
        for channel in channels {
            let keeper = counts
                .channels
                .get(channel)
                .and_then(|used| used.kept_by.as_ref());
            let account = keeper.and_then(|keeper| counts.accounts.get_mut(keeper));
            if let Some(kept) = account.and_then(|account| account.kept.get_mut(channel)) {
                *kept = until.min(*kept);
            }
        }
    }

    /// Whether any watched channel has a subscriber.
    #[cfg(test)]
    pub fn has_subscribers(&self) -> bool {
        let counts = self.0.counts.lock();
        counts.channels.values().any(|used| used.subscribers > 0)
    }

    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        let counts = self.0.counts.lock();
        counts.accounts.is_empty() && counts.channels.is_empty()
    }
}

impl Counts {
    /// Counts one more subscription; `false` at the limit.
    fn acquire(&mut self, owner: &WatchOwner, channel: &Channel, limit: usize) -> bool {
        let account = self.accounts.entry(owner.clone()).or_default();
        if let Some(count) = account.subscribed.get_mut(channel) {
            *count += 1;
            return true;
        }
        if account.kept.remove(channel).is_none() && account.len() >= limit {
            return false;
        }
        account.subscribed.insert(channel.clone(), 1);
        let used = self.channels.entry(channel.clone()).or_default();
        used.subscribers += 1;
        let keeper = used.kept_by.take().filter(|keeper| keeper != owner);
        if let Some(keeper) = keeper {
            self.change(&keeper, |account| {
                account.kept.remove(channel);
            });
        }
        true
    }

    /// Counts one subscription less.
    fn release(&mut self, owner: &WatchOwner, channel: &Channel, exit: Exit, until: Instant) {
        let Self { accounts, channels } = self;
        let Some(account) = accounts.get_mut(owner) else {
            return;
        };
        let count = account.subscribed.get_mut(channel).map(|count| {
            *count = count.saturating_sub(1);
            *count
        });
        let Some(used) = channels.get_mut(channel) else {
            return;
        };
        used.retained |= exit == Exit::SessionEnded;
        if count == Some(0) {
            account.subscribed.remove(channel);
            used.subscribers = used.subscribers.saturating_sub(1);
            if used.subscribers == 0 && exit == Exit::Canceled {
                channels.remove(channel);
            } else if used.subscribers == 0 {
                used.kept_by = Some(owner.clone());
                account.kept.insert(channel.clone(), until);
            }
        }
        if account.is_empty() {
            accounts.remove(owner);
        }
    }

    /// Changes a client's account, and removes it when it is empty.
    fn change(&mut self, owner: &WatchOwner, change: impl FnOnce(&mut Account)) {
        if let Some(account) = self.accounts.get_mut(owner) {
            change(account);
            if account.is_empty() {
                self.accounts.remove(owner);
            }
        }
    }

    fn expire_owner(&mut self, owner: &WatchOwner, now: Instant) {
        if let Some(account) = self.accounts.get_mut(owner) {
            account.expire(&mut self.channels, now);
        }
    }

    fn free_in(&self, owner: &WatchOwner, now: Instant) -> Option<Duration> {
        let kept = self.accounts.get(owner)?.kept.values();
        Some(kept.min()?.saturating_duration_since(now))
    }
}

impl Account {
    fn len(&self) -> usize {
        self.subscribed.len() + self.kept.len()
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn expire(&mut self, channels: &mut HashMap<Channel, ChannelUse>, now: Instant) {
        self.kept.retain(|channel, until| {
            let counts = *until > now;
            if !counts {
                channels.remove(channel);
            }
            counts
        });
    }
}

impl WatchPermit {
    /// The client unsubscribed: the watch need not be kept for it.
    pub fn unsubscribe(&mut self) {
        self.exit = Exit::Unsubscribed;
    }

    /// The watch did not begin.
    pub fn cancel(mut self) {
        self.exit = Exit::Canceled;
    }
}

impl Drop for WatchPermit {
    fn drop(&mut self) {
        let until = Instant::now() + self.quota.0.retention;
        let mut counts = self.quota.0.counts.lock();
        counts.release(&self.owner, &self.channel, self.exit, until);
    }
}
