//! Which alerts a price fires, and which it arms again, without looking at the others.
//!
//! Every alert waits for one price on one side: armed, for its threshold; disarmed, for the price to be back behind it
//! by the hysteresis. Those that wait for a price to rise and those that wait for it to fall stand sorted, each once,
//! so a price costs `O(log n + hits)`. Alerts that fire once leave the index when they do. No I/O.

use std::collections::BTreeSet;

use bigdecimal::BigDecimal;
use rustc_hash::FxHashMap;

use crate::model::{AlertCondition, Token, WatchedAlert};

/// See the module's description.
#[derive(Debug, Default)]
pub(super) struct AlertIndex {
    alerts: FxHashMap<i64, WatchedAlert>,
    /// By their token, and whether degraded prices count for them: such a price does not look at the others, however
    /// many they are and however long it stays so.
    tokens: FxHashMap<(Token, bool), Sides>,
}

/// What the alerts of a token wait for, with their ids.
#[derive(Debug, Default)]
struct Sides {
    /// For a price at this or above.
    rising: BTreeSet<(BigDecimal, i64)>,
    /// For a price at this or below.
    falling: BTreeSet<(BigDecimal, i64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Rising,
    Falling,
}

/// Ids of alerts that a price meets, each sorted.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Met {
    /// Armed ones whose condition holds.
    pub(super) fire: Vec<i64>,
    /// Disarmed ones that the price went back for.
    pub(super) arm: Vec<i64>,
}

impl AlertIndex {
    pub(super) fn len(&self) -> usize {
        self.alerts.len()
    }

    /// Tokens that alerts are about, each once or twice.
    pub(super) fn tokens(&self) -> impl Iterator<Item = &Token> {
        self.tokens.keys().map(|(token, _)| token)
    }

    /// Takes an alert, instead of what was known of it.
    pub(super) fn insert(&mut self, alert: WatchedAlert) {
        self.remove(alert.id);
        let (side, key) = awaited(&alert);
        let sides = self.tokens.entry(kind_of(&alert)).or_default();
        sides.of(side).insert((key, alert.id));
        self.alerts.insert(alert.id, alert);
    }

    /// Forgets an alert, if it is known.
    pub(super) fn remove(&mut self, id: i64) {
        let Some(alert) = self.alerts.remove(&id) else {
            return;
        };
        let (side, key) = awaited(&alert);
        let kind = kind_of(&alert);
        if let Some(sides) = self.tokens.get_mut(&kind) {
            sides.of(side).remove(&(key, id));
            if sides.rising.is_empty() && sides.falling.is_empty() {
                self.tokens.remove(&kind);
            }
        }
    }

    /// What a price of a token meets, which may be a degraded one. Changes nothing: that is for [`Self::fired`] and [`Self::armed`], once it is
    /// stored.
    pub(super) fn met(&self, token: &Token, price: &BigDecimal, degraded: bool) -> Met {
        let mut met = Met::default();
        for counts_degraded in [true, false] {
            let sides = self.tokens.get(&(token.clone(), counts_degraded));
            let Some(sides) = sides.filter(|_| counts_degraded || !degraded) else {
                continue;
            };
            let rising = sides.rising.range(..=(price.clone(), i64::MAX));
            let falling = sides.falling.range((price.clone(), i64::MIN)..);
            for (_, id) in rising.chain(falling) {
                if self.alerts.get(id).is_some_and(|alert| alert.armed) {
                    met.fire.push(*id);
                } else {
                    met.arm.push(*id);
                }
            }
        }
        met.fire.sort_unstable();
        met.arm.sort_unstable();
        met
    }

    /// Notes that an alert fired: it is gone, or waits for the price to go back.
    pub(super) fn fired(&mut self, id: i64) {
        match self.alerts.get(&id) {
            Some(alert) if alert.hysteresis.is_some() => self.set_armed(id, false),
            _ => self.remove(id),
        }
    }

    /// Notes that an alert is armed again.
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
    fn of(&mut self, side: Side) -> &mut BTreeSet<(BigDecimal, i64)> {
        match side {
            Side::Rising => &mut self.rising,
            Side::Falling => &mut self.falling,
        }
    }
}

/// The price that an alert waits for, and from which side it has to come.
fn awaited(alert: &WatchedAlert) -> (Side, BigDecimal) {
    let threshold = alert.threshold.clone();
    // One that fires once is never disarmed while it is here.
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
