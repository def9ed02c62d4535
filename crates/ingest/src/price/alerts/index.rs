//! Finds the alerts that a price fires or arms again, without visiting the others.
//!
//! Every alert has one trigger price on one side: armed, its threshold; disarmed, the threshold minus or plus the
//! hysteresis. Rising and falling triggers are sorted, each alert once, so a price costs `O(log n + hits)`. One-time
//! alerts leave the index when they fire. No I/O.

use std::collections::BTreeSet;

use bigdecimal::BigDecimal;
use rustc_hash::FxHashMap;

use chaincast_model::WatchedAlert;
use chaincast_protocol::{AlertCondition, Token};

/// The index; see the module documentation.
#[derive(Debug, Default)]
pub(super) struct AlertIndex {
    alerts: FxHashMap<i64, WatchedAlert>,
    /// By token, and by whether degraded prices count: a degraded price skips the other alerts.
    tokens: FxHashMap<(Token, bool), Sides>,
}

/// The trigger prices of a token's alerts, with their ids.
#[derive(Debug, Default)]
struct Sides {
    /// Triggered at or above this price.
    rising: BTreeSet<(BigDecimal, i64)>,
    /// Triggered at or below this price.
    falling: BTreeSet<(BigDecimal, i64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Rising,
    Falling,
}

/// Ids of alerts that a price triggers, sorted.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Matches {
    /// Armed alerts whose condition holds.
    pub(super) fire: Vec<i64>,
    /// Disarmed alerts whose hysteresis the price passed.
    pub(super) arm: Vec<i64>,
}

impl AlertIndex {
    pub(super) fn len(&self) -> usize {
        self.alerts.len()
    }

    /// Tokens with alerts, each once or twice.
    pub(super) fn tokens(&self) -> impl Iterator<Item = &Token> {
        self.tokens.keys().map(|(token, _)| token)
    }

    /// Inserts or replaces an alert.
    pub(super) fn insert(&mut self, alert: WatchedAlert) {
        self.remove(alert.id);
        let (side, key) = trigger(&alert);
        let sides = self.tokens.entry(kind_of(&alert)).or_default();
        sides.side_mut(side).insert((key, alert.id));
        self.alerts.insert(alert.id, alert);
    }

    /// Removes an alert, if it is present.
    pub(super) fn remove(&mut self, id: i64) {
        let Some(alert) = self.alerts.remove(&id) else {
            return;
        };
        let (side, key) = trigger(&alert);
        let kind = kind_of(&alert);
        if let Some(sides) = self.tokens.get_mut(&kind) {
            sides.side_mut(side).remove(&(key, id));
            if sides.rising.is_empty() && sides.falling.is_empty() {
                self.tokens.remove(&kind);
            }
        }
    }

    /// The alerts that a price triggers. Changes nothing: call [`Self::fired`] and [`Self::armed`] once the result is
    /// stored.
    pub(super) fn matches(&self, token: &Token, price: &BigDecimal, degraded: bool) -> Matches {
        let mut matches = Matches::default();
        for counts_degraded in [true, false] {
            let sides = self.tokens.get(&(token.clone(), counts_degraded));
            let Some(sides) = sides.filter(|_| counts_degraded || !degraded) else {
                continue;
            };
            let rising = sides.rising.range(..=(price.clone(), i64::MAX));
            let falling = sides.falling.range((price.clone(), i64::MIN)..);
            for (_, id) in rising.chain(falling) {
                if self.alerts.get(id).is_some_and(|alert| alert.armed) {
                    matches.fire.push(*id);
                } else {
                    matches.arm.push(*id);
                }
            }
        }
        matches.fire.sort_unstable();
        matches.arm.sort_unstable();
        matches
    }

    /// Records that an alert fired: removes it, or disarms it if it repeats.
    pub(super) fn fired(&mut self, id: i64) {
        match self.alerts.get(&id) {
            Some(alert) if alert.hysteresis.is_some() => self.set_armed(id, false),
            _ => self.remove(id),
        }
    }

    /// Records that an alert is armed again.
    pub(super) fn armed(&mut self, id: i64) {
        self.set_armed(id, true);
    }

    fn set_armed(&mut self, id: i64, armed: bool) {
        if let Some(alert) = self.alerts.get(&id) {
            let alert = WatchedAlert {
                armed,
                ..alert.clone()
            };
            self.insert(alert);
        }
    }
}

fn kind_of(alert: &WatchedAlert) -> (Token, bool) {
    (alert.token.clone(), alert.fire_on_degraded)
}

impl Sides {
    fn side_mut(&mut self, side: Side) -> &mut BTreeSet<(BigDecimal, i64)> {
        match side {
            Side::Rising => &mut self.rising,
            Side::Falling => &mut self.falling,
        }
    }
}

/// The trigger price of an alert, and its side.
fn trigger(alert: &WatchedAlert) -> (Side, BigDecimal) {
    let threshold = alert.threshold.clone();
    // A one-time alert is never disarmed while it is in the index.
    let back = alert.hysteresis.as_ref().filter(|_| !alert.armed);
    match (alert.condition, back) {
        (AlertCondition::Above, None) => (Side::Rising, threshold),
        (AlertCondition::Above, Some(back)) => (Side::Falling, threshold - back),
        (AlertCondition::Below, None) => (Side::Falling, threshold),
        (AlertCondition::Below, Some(back)) => (Side::Rising, threshold + back),
    }
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
