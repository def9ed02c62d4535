//! How many transactions and addresses are watched for one client: counted by its subject when it has a token, by its
//! address when not.
//!
//! A watch outlives the session that asked for it, and so does the count: a channel counts for every client that is
//! subscribed to it, and when the last one has left, for that one, for as long as its updates go on being stored. So
//! whoever comes back in new sessions has what it had, and all that is stored counts for somebody. Each gateway counts
//! its own clients.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::{GatewayConfig, address::network, auth::Identity};
use crate::model::Channel;

/// Whose watches are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Watcher {
    /// As connections are counted: of an IPv6 address the /64.
    Address(IpAddr),
    Subject(Arc<str>),
}

impl Watcher {
    /// `None` for a session that came from nowhere.
    pub fn of(identity: Option<&Identity>, address: Option<IpAddr>) -> Option<Self> {
        match identity {
            Some(identity) => Some(Self::Subject(identity.sub.as_str().into())),
            None => address.map(|address| Self::Address(network(address))),
        }
    }
}

/// A client has as many as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full {
    pub most: usize,
    /// When one of those without a subscription stops to count, if there is one.
    pub free_in: Option<Duration>,
}

/// See the module's description. Clones share it.
#[derive(Clone)]
pub struct Watchers(Arc<Inner>);

struct Inner {
    per_address: usize,
    per_subject: usize,
    retention: Duration,
    // Its maps hash with a key: clients choose what is in them.
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    accounts: HashMap<Watcher, Account>,
    channels: HashMap<Channel, Use>,
}

/// What counts for one client.
#[derive(Default)]
struct Account {
    /// Its subscriptions to each channel.
    held: HashMap<Channel, usize>,
    /// Channels that it left last, and until when they count.
    kept: HashMap<Channel, Instant>,
}

/// Who has a channel.
#[derive(Default)]
struct Use {
    /// Clients that are subscribed.
    holders: usize,
    /// When there are none: for whom it counts.
    kept_by: Option<Watcher>,
    /// Somebody may come back for what it missed, or updates are known to be there: not to be let go early.
    awaited: bool,
}

/// One subscription of a client to a watched channel; it counts until this is dropped, and longer when it was the last.
pub struct Charge {
    watchers: Watchers,
    watcher: Watcher,
    channel: Channel,
    left: Left,
}

/// How a client left a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    /// Its session ended: it may come back.
    Away,
    OnPurpose,
    /// The watch never began.
    Never,
}

impl Watchers {
    pub fn new(config: &GatewayConfig) -> Self {
        Self(Arc::new(Inner {
            per_address: config.limits.watches_per_address,
            per_subject: config.limits.watches_per_subject,
            retention: Duration::from_secs(config.watch_retention_secs),
            counts: Mutex::default(),
        }))
    }

    /// Counts one more subscription to each channel, as far as the client has room.
    pub fn charge(
        &self,
        watcher: &Watcher,
        channels: &[Channel],
        now: Instant,
    ) -> Vec<Result<Box<Charge>, Full>> {
        let most = match watcher {
            Watcher::Address(_) => self.0.per_address,
            Watcher::Subject(_) => self.0.per_subject,
        };
        let mut counts = self.0.counts.lock();
        // Found out once a request, for it looks at all that counts for the client.
        let mut full = None;
        let charged = channels.iter().map(|channel| {
            if !counts.take(watcher, channel, most) {
                if full.is_none() {
                    counts.expire_of(watcher, now);
                }
                if full.is_some() || !counts.take(watcher, channel, most) {
                    return Err(*full.get_or_insert_with(|| Full {
                        most,
                        free_in: counts.free_in(watcher, now),
                    }));
                }
            }
            Ok(Box::new(Charge {
                watchers: self.clone(),
                watcher: watcher.clone(),
                channel: channel.clone(),
                left: Left::Away,
            }))
        });
        charged.collect()
    }

    /// Forgets what does not count any more.
    pub fn expire(&self, now: Instant) {
        let Counts { accounts, channels } = &mut *self.0.counts.lock();
        accounts.retain(|_, account| {
            account.expire(channels, now);
            !account.is_empty()
        });
    }

    /// Channels that everybody has left on purpose, each told once.
    pub fn abandoned(&self) -> Vec<Channel> {
        let mut counts = self.0.counts.lock();
        let left = counts
            .channels
            .iter_mut()
            .filter(|(_, used)| used.holders == 0 && !used.awaited);
        left.map(|(channel, used)| {
            used.awaited = true;
            channel.clone()
        })
        .collect()
    }

    /// Lets channels that nobody has count until then at most.
    pub fn shorten(&self, channels: &[Channel], until: Instant) {
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

    /// Whether anybody is subscribed to anything watched.
    #[cfg(test)]
    pub(super) fn are_held(&self) -> bool {
        let counts = self.0.counts.lock();
        counts.channels.values().any(|used| used.holders > 0)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        let counts = self.0.counts.lock();
        counts.accounts.is_empty() && counts.channels.is_empty()
    }
}

impl Counts {
    /// Counts one more subscription, if there is room for it.
    fn take(&mut self, watcher: &Watcher, channel: &Channel, most: usize) -> bool {
        let account = self.accounts.entry(watcher.clone()).or_default();
        if let Some(count) = account.held.get_mut(channel) {
            *count += 1;
            return true;
        }
        if account.kept.remove(channel).is_none() && account.len() >= most {
            return false;
        }
        account.held.insert(channel.clone(), 1);
        let used = self.channels.entry(channel.clone()).or_default();
        used.holders += 1;
        let keeper = used.kept_by.take().filter(|keeper| keeper != watcher);
        if let Some(keeper) = keeper {
            self.change(&keeper, |account| {
                account.kept.remove(channel);
            });
        }
        true
    }

    /// Counts one subscription less.
    fn give(&mut self, watcher: &Watcher, channel: &Channel, left: Left, until: Instant) {
        let Self { accounts, channels } = self;
        let Some(account) = accounts.get_mut(watcher) else {
            return;
        };
        let count = account.held.get_mut(channel).map(|count| {
            *count = count.saturating_sub(1);
            *count
        });
        let Some(used) = channels.get_mut(channel) else {
            return;
        };
        used.awaited |= left == Left::Away;
        if count == Some(0) {
            account.held.remove(channel);
            used.holders = used.holders.saturating_sub(1);
            if used.holders == 0 && left == Left::Never {
                channels.remove(channel);
            } else if used.holders == 0 {
                used.kept_by = Some(watcher.clone());
                account.kept.insert(channel.clone(), until);
            }
        }
        if account.is_empty() {
            accounts.remove(watcher);
        }
    }

    /// Changes what counts for a client, and forgets it when that is nothing.
    fn change(&mut self, watcher: &Watcher, change: impl FnOnce(&mut Account)) {
        if let Some(account) = self.accounts.get_mut(watcher) {
            change(account);
            if account.is_empty() {
                self.accounts.remove(watcher);
            }
        }
    }

    fn expire_of(&mut self, watcher: &Watcher, now: Instant) {
        if let Some(account) = self.accounts.get_mut(watcher) {
            account.expire(&mut self.channels, now);
        }
    }

    fn free_in(&self, watcher: &Watcher, now: Instant) -> Option<Duration> {
        let kept = self.accounts.get(watcher)?.kept.values();
        Some(kept.min()?.saturating_duration_since(now))
    }
}

impl Account {
    fn len(&self) -> usize {
        self.held.len() + self.kept.len()
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn expire(&mut self, channels: &mut HashMap<Channel, Use>, now: Instant) {
        self.kept.retain(|channel, until| {
            let counts = *until > now;
            if !counts {
                channels.remove(channel);
            }
            counts
        });
    }
}

impl Charge {
    /// The client said that it wants no more of the channel: it need not be kept for it.
    pub fn leave(&mut self) {
        self.left = Left::OnPurpose;
    }

    /// The watch did not begin.
    pub fn cancel(mut self) {
        self.left = Left::Never;
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        let until = Instant::now() + self.watchers.0.retention;
        let mut counts = self.watchers.0.counts.lock();
        counts.give(&self.watcher, &self.channel, self.left, until);
    }
}
