//! Removes duplicate prices of several connections to one venue: each price counts once, from the connection that
//! delivers it first, and never after a newer one.
//!
//! If the venue numbers its messages, the numbers are the same on every connection and decide. Otherwise a price is
//! identified by its time and digits. Each connection delivers a price once, so a repetition on the same connection is
//! a new price.

use std::{collections::VecDeque, time::Duration};

use bigdecimal::BigDecimal;
use tokio::time::Instant;

use super::Quote;

/// Number of remembered prices without a number.
const MAX_KNOWN: usize = 256;
/// If prices keep arriving but none is newer for this long, the newest number was wrong.
const STUCK_AFTER: Duration = Duration::from_secs(5);
/// Minimum number of such prices.
const STUCK_MESSAGES: u32 = 16;

/// Prices of one symbol, over all connections.
#[derive(Debug, Default)]
pub(super) struct Dedup {
    newest: Option<Numbered>,
    known: VecDeque<Known>,
    /// Number of times the venue restarted its numbering.
    era: u32,
}

#[derive(Debug)]
struct Numbered {
    number: u64,
    /// The connection that delivered it first, and when.
    slot: u8,
    at: Instant,
}

#[derive(Debug)]
struct Known {
    observed_at: Option<i64>,
    price: BigDecimal,
    confidence: Option<BigDecimal>,
    /// Bit mask of the connections that delivered it.
    slots: u8,
}

/// State of one connection for one symbol.
#[derive(Debug, Clone, Default)]
pub(super) struct SlotState {
    /// The connection, 0 to 7; unique among the open ones.
    slot: u8,
    era: u32,
    /// Consecutive prices behind the newest number.
    behind: u32,
}

impl SlotState {
    pub(super) fn for_slot(slot: u8) -> Self {
        Self {
            slot,
            ..Self::default()
        }
    }
}

impl Dedup {
    /// Whether a price is new. `renumbered` means that its connection detected restarted numbering.
    pub(super) fn is_new(
        &mut self,
        slot_state: &mut SlotState,
        quote: &Quote<'_>,
        renumbered: bool,
    ) -> bool {
        match quote.order {
            Some(number) => self.is_newer(slot_state, number, renumbered),
            None => self.is_unknown(slot_state.slot, quote),
        }
    }

    fn is_newer(&mut self, slot_state: &mut SlotState, number: u64, renumbered: bool) -> bool {
        let now = Instant::now();
        if let Some(newest) = &self.newest {
            // Each connection detects the restart by itself; the first one counts.
            let has_restarted = renumbered && slot_state.era == self.era;
            let is_behind = number < newest.number
                || (number == newest.number && slot_state.slot != newest.slot);
            if is_behind && !has_restarted {
                slot_state.behind = slot_state.behind.saturating_add(1);
                let is_stuck = slot_state.behind >= STUCK_MESSAGES
                    && now.duration_since(newest.at) >= STUCK_AFTER;
                if !is_stuck {
                    slot_state.era = self.era;
                    return false;
                }
            }
            if is_behind {
                self.era = self.era.wrapping_add(1);
            }
        }
        slot_state.behind = 0;
        slot_state.era = self.era;
        self.newest = Some(Numbered {
            number,
            slot: slot_state.slot,
            at: now,
        });
        true
    }

    fn is_unknown(&mut self, slot: u8, quote: &Quote<'_>) -> bool {
        let bit = 1 << slot;
        let mut known = self.known.iter_mut();
        let same = known.find(|known| {
            known.slots & bit == 0
                && known.observed_at == quote.observed_at
                && known.price == quote.price
                && known.confidence == quote.confidence
        });
        if let Some(known) = same {
            known.slots |= bit;
            return false;
        }
        if self.known.len() >= MAX_KNOWN {
            self.known.pop_front();
        }
        self.known.push_back(Known {
            observed_at: quote.observed_at,
            price: quote.price.clone(),
            confidence: quote.confidence.clone(),
            slots: bit,
        });
        true
    }

    /// Starts a new connection in a slot.
    pub(super) fn reset_slot(&mut self, slot: u8) {
        for known in &mut self.known {
            known.slots &= !(1 << slot);
        }
    }

    /// Resets after the last connection closed: the first price of the next connection is new.
    pub(super) fn clear(&mut self) {
        self.newest = None;
        self.known.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quote(price: &str, observed_at: Option<i64>, order: Option<u64>) -> Quote<'static> {
        Quote {
            stream: "X".into(),
            price: price.parse().unwrap(),
            confidence: None,
            observed_at,
            order,
        }
    }

    fn slot_state(slot: u8) -> SlotState {
        SlotState::for_slot(slot)
    }

    #[test]
    fn first_copy_by_number_counts() {
        let (mut dedup, mut a, mut b) = (Dedup::default(), slot_state(0), slot_state(1));
        let mut is_new = |slot_state: &mut SlotState, number| {
            dedup.is_new(slot_state, &quote("1", None, Some(number)), false)
        };
        assert!(is_new(&mut a, 5));
        assert!(!is_new(&mut b, 5));
        assert!(is_new(&mut b, 9), "gaps are allowed");
        assert!(!is_new(&mut a, 7) && !is_new(&mut a, 9));
        assert!(is_new(&mut a, 10));
        // A repeated number on one connection counts, as with a single connection.
        assert!(is_new(&mut a, 10));
        assert!(!is_new(&mut b, 10));
    }

    #[test]
    fn slow_connection_does_not_repeat_old_prices() {
        let (mut dedup, mut a, mut b) = (Dedup::default(), slot_state(0), slot_state(1));
        for number in 0..1_000 {
            assert!(dedup.is_new(&mut a, &quote("1", None, Some(number)), false));
        }
        for number in 0..1_000 {
            assert!(!dedup.is_new(&mut b, &quote("1", None, Some(number)), false));
        }
        assert!(dedup.is_new(&mut b, &quote("1", None, Some(1_000)), false));
    }

    #[tokio::test(start_paused = true)]
    async fn recovers_from_number_far_too_high() {
        let (mut dedup, mut a, mut b) = (Dedup::default(), slot_state(0), slot_state(1));
        assert!(dedup.is_new(&mut a, &quote("1", None, Some(u64::MAX)), false));
        let mut is_new = |number| dedup.is_new(&mut b, &quote("1", None, Some(number)), false);
        assert!((0..100).all(|number| !is_new(number)));
        tokio::time::advance(STUCK_AFTER).await;
        assert!(is_new(100) && is_new(101));
    }

    #[test]
    fn restarted_numbering_counts_once() {
        let (mut dedup, mut a, mut b) = (Dedup::default(), slot_state(0), slot_state(1));
        assert!(dedup.is_new(&mut a, &quote("1", None, Some(900)), false));
        assert!(dedup.is_new(&mut a, &quote("1", None, Some(17)), true));
        assert!(dedup.is_new(&mut a, &quote("1", None, Some(18)), false));
        // The other connection detects it later.
        assert!(!dedup.is_new(&mut b, &quote("1", None, Some(17)), true));
        assert!(!dedup.is_new(&mut b, &quote("1", None, Some(18)), false));
        assert!(dedup.is_new(&mut b, &quote("1", None, Some(19)), false));
    }

    #[test]
    fn first_copy_by_time_and_digits_counts() {
        let (mut dedup, mut a, mut b) = (Dedup::default(), slot_state(0), slot_state(1));
        let at = Some(1_700_000_000_000);
        let mut is_new = |slot_state: &mut SlotState, price: &str| {
            dedup.is_new(slot_state, &quote(price, at, None), false)
        };
        assert!(is_new(&mut a, "1") && is_new(&mut a, "2") && is_new(&mut a, "1"));
        // The same three prices, and one more.
        assert!(!is_new(&mut b, "1") && !is_new(&mut b, "2") && !is_new(&mut b, "1"));
        assert!(is_new(&mut b, "3") && !is_new(&mut a, "3"));
        assert!(!dedup.is_new(&mut slot_state(2), &quote("3", at, None), false));
        assert!(dedup.is_new(&mut slot_state(2), &quote("3", Some(1), None), false));
        // A new connection in the same slot starts with the known price.
        dedup.reset_slot(0);
        assert!(!dedup.is_new(&mut slot_state(0), &quote("3", at, None), false));
        dedup.clear();
        assert!(dedup.is_new(&mut slot_state(0), &quote("3", at, None), false));
        for number in 0..3 * MAX_KNOWN {
            dedup.is_new(&mut a, &quote(&format!("{}", number + 9), at, None), false);
        }
        assert_eq!(dedup.known.len(), MAX_KNOWN);
    }
}
