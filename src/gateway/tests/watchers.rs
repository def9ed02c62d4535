//! What counts for a client of the transactions and addresses that are watched.

use std::time::{Duration, Instant};

use crate::{
    gateway::{
        GatewayConfig,
        auth::Identity,
        watchers::{Charge, Full, Watcher, Watchers},
    },
    model::{Address, Channel},
};

const HOUR: Duration = Duration::from_secs(3_600);

fn watchers(most: usize) -> Watchers {
    let mut config = GatewayConfig::default();
    config.limits.watches_per_address = most;
    config.limits.watches_per_subject = 1;
    Watchers::new(&config)
}

fn at(last: u8) -> Watcher {
    Watcher::of(None, Some([192, 0, 2, last].into())).unwrap()
}

fn channel(byte: u8) -> Channel {
    Channel::Address(Address::repeat_byte(byte))
}

fn charge(watchers: &Watchers, who: &Watcher, byte: u8) -> Result<Box<Charge>, Full> {
    let mut one = watchers.charge(who, &[channel(byte)], Instant::now());
    one.remove(0)
}

#[test]
fn a_channel_counts_once_a_client_and_goes_on_when_its_sessions_end() {
    let watchers = watchers(2);
    let one = charge(&watchers, &at(1), 1).unwrap();
    let again = charge(&watchers, &at(1), 1).unwrap();
    let two = charge(&watchers, &at(1), 2).unwrap();
    let refused = charge(&watchers, &at(1), 3).err().unwrap();
    assert_eq!(refused.most, 2);
    assert_eq!(refused.free_in, None, "both have a subscriber");
    drop((one, again));
    let refused = charge(&watchers, &at(1), 3).err().unwrap();
    let free_in = refused.free_in.unwrap();
    assert!(
        free_in <= HOUR && free_in > HOUR - Duration::from_secs(60),
        "{free_in:?}"
    );
    // What it had it has again, and another client is another.
    let back = charge(&watchers, &at(1), 1).unwrap();
    let other = charge(&watchers, &at(2), 3).unwrap();
    drop((back, other, two));
    watchers.expire(Instant::now());
    assert!(charge(&watchers, &at(1), 3).is_err());
    watchers.expire(Instant::now() + HOUR);
    assert!(watchers.is_empty());
}

#[test]
fn what_counts_no_longer_makes_room_at_once() {
    let watchers = watchers(1);
    drop(charge(&watchers, &at(1), 1).unwrap());
    let later = Instant::now() + HOUR;
    let charged = watchers.charge(&at(1), &[channel(2), channel(3)], later);
    assert!(charged[0].is_ok() && charged[1].is_err());
}

#[test]
fn a_channel_that_another_keeps_counts_for_that_one_alone() {
    let watchers = watchers(1);
    let one = charge(&watchers, &at(1), 1).unwrap();
    let other = charge(&watchers, &at(2), 1).unwrap();
    drop(one);
    let next = charge(&watchers, &at(1), 2).unwrap();
    assert!(charge(&watchers, &at(2), 3).is_err());
    // The last to leave has it, until somebody else takes it over.
    drop(other);
    assert!(charge(&watchers, &at(2), 3).is_err());
    let third = charge(&watchers, &at(3), 1).unwrap();
    let free = charge(&watchers, &at(2), 3).unwrap();
    drop((next, third, free));
}

#[test]
fn a_subject_counts_apart_from_its_address() {
    let watchers = watchers(1);
    let identity = Identity {
        sub: "alice".to_owned(),
        role: None,
        channels: None,
        expires_at_ms: 0,
    };
    let alice = Watcher::of(Some(&identity), Some([192, 0, 2, 1].into())).unwrap();
    let _held = charge(&watchers, &at(1), 1).unwrap();
    let _own = charge(&watchers, &alice, 2).unwrap();
    assert!(charge(&watchers, &alice, 3).is_err());
    let six = |text: &str| Watcher::of(None, Some(text.parse().unwrap()));
    assert_eq!(six("2001:db8::1"), six("2001:db8::2"));
}

#[test]
fn what_everybody_left_on_purpose_is_told_once_and_what_never_began_does_not_count() {
    let watchers = watchers(3);
    let mut left = charge(&watchers, &at(1), 1).unwrap();
    left.leave();
    drop(left);
    // One of two has only lost its connection.
    let (lost, mut left) = (
        charge(&watchers, &at(1), 2).unwrap(),
        charge(&watchers, &at(2), 2).unwrap(),
    );
    drop(lost);
    left.leave();
    drop(left);
    charge(&watchers, &at(1), 3).unwrap().cancel();
    assert_eq!(watchers.abandoned(), [channel(1)]);
    assert!(watchers.abandoned().is_empty());
    let soon = Instant::now() + Duration::from_secs(10);
    watchers.shorten(&[channel(1)], soon);
    watchers.expire(soon);
    watchers.expire(Instant::now() + HOUR);
    assert!(watchers.is_empty());
}
