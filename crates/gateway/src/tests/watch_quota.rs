//! The watches that count for a client.

use std::time::{Duration, Instant};

use crate::{
    GatewayConfig,
    admission::{QuotaExceeded, WatchOwner, WatchPermit, WatchQuota},
    auth::Identity,
};
use chaincast_protocol::{Address, Channel};

const HOUR: Duration = Duration::from_secs(3_600);

fn quota(most: usize) -> WatchQuota {
    let mut config = GatewayConfig::default();
    config.limits.watches_per_address = most;
    config.limits.watches_per_subject = 1;
    WatchQuota::new(&config)
}

fn at(last: u8) -> WatchOwner {
    WatchOwner::new(None, Some([192, 0, 2, last].into())).unwrap()
}

fn channel(byte: u8) -> Channel {
    Channel::Address(Address::repeat_byte(byte))
}

fn acquire(
    quota: &WatchQuota,
    who: &WatchOwner,
    byte: u8,
) -> Result<Box<WatchPermit>, QuotaExceeded> {
    let mut one = quota.acquire(who, &[channel(byte)], Instant::now());
    one.remove(0)
}

#[test]
fn watch_counts_once_and_outlives_sessions() {
    let quota = quota(2);
    let one = acquire(&quota, &at(1), 1).unwrap();
    let again = acquire(&quota, &at(1), 1).unwrap();
    let two = acquire(&quota, &at(1), 2).unwrap();
    let refused = acquire(&quota, &at(1), 3).err().unwrap();
    assert_eq!(refused.limit, 2);
    assert_eq!(refused.free_in, None, "both have a subscriber");
    drop((one, again));
    let refused = acquire(&quota, &at(1), 3).err().unwrap();
    let free_in = refused.free_in.unwrap();
    assert!(
        free_in <= HOUR && free_in > HOUR - Duration::from_secs(60),
        "{free_in:?}"
    );
    // A held watch is available again, and another client has its own quota.
    let back = acquire(&quota, &at(1), 1).unwrap();
    let other = acquire(&quota, &at(2), 3).unwrap();
    drop((back, other, two));
    quota.expire(Instant::now());
    assert!(acquire(&quota, &at(1), 3).is_err());
    quota.expire(Instant::now() + HOUR);
    assert!(quota.is_empty());
}

#[test]
fn expired_watch_frees_quota() {
    let quota = quota(1);
    drop(acquire(&quota, &at(1), 1).unwrap());
    let later = Instant::now() + HOUR;
    let charged = quota.acquire(&at(1), &[channel(2), channel(3)], later);
    assert!(charged[0].is_ok() && charged[1].is_err());
}

#[test]
fn shared_watch_counts_for_remaining_client() {
    let quota = quota(1);
    let one = acquire(&quota, &at(1), 1).unwrap();
    let other = acquire(&quota, &at(2), 1).unwrap();
    drop(one);
    let next = acquire(&quota, &at(1), 2).unwrap();
    assert!(acquire(&quota, &at(2), 3).is_err());
    // It counts for the last client, until another one watches it.
    drop(other);
    assert!(acquire(&quota, &at(2), 3).is_err());
    let third = acquire(&quota, &at(3), 1).unwrap();
    let free = acquire(&quota, &at(2), 3).unwrap();
    drop((next, third, free));
}

#[test]
fn subject_has_its_own_quota() {
    let quota = quota(1);
    let identity = Identity {
        sub: "alice".to_owned(),
        role: None,
        channels: None,
        publish: None,
        expires_at_ms: 0,
    };
    let alice = WatchOwner::new(Some(&identity), Some([192, 0, 2, 1].into())).unwrap();
    let _held = acquire(&quota, &at(1), 1).unwrap();
    let _own = acquire(&quota, &alice, 2).unwrap();
    assert!(acquire(&quota, &alice, 3).is_err());
    let six = |text: &str| WatchOwner::new(None, Some(text.parse().unwrap()));
    assert_eq!(six("2001:db8::1"), six("2001:db8::2"));
}

#[test]
fn abandoned_watch_is_reported_once() {
    let quota = quota(3);
    let mut left = acquire(&quota, &at(1), 1).unwrap();
    left.unsubscribe();
    drop(left);
    // One of two clients only lost its connection.
    let (lost, mut left) = (
        acquire(&quota, &at(1), 2).unwrap(),
        acquire(&quota, &at(2), 2).unwrap(),
    );
    drop(lost);
    left.unsubscribe();
    drop(left);
    acquire(&quota, &at(1), 3).unwrap().cancel();
    assert_eq!(quota.take_abandoned(), [channel(1)]);
    assert!(quota.take_abandoned().is_empty());
    let soon = Instant::now() + Duration::from_secs(10);
    quota.shorten(&[channel(1)], soon);
    quota.expire(soon);
    quota.expire(Instant::now() + HOUR);
    assert!(quota.is_empty());
}
