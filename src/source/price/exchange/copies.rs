//! What several connections to one venue tell of one symbol: each price counts once, by whichever connection it comes
//! first, and never after a newer one.
//!
//! Where the venue numbers what it tells, the numbers are the same on every connection and decide. Where it does not, a
//! price is known by its time and its digits; each connection tells it once, so one that is told twice on the same
//! connection is two.

use std::{collections::VecDeque, time::Duration};

use bigdecimal::BigDecimal;
use tokio::time::Instant;

use super::Quote;

/// Prices without numbers that are remembered.
const MOST_KNOWN: usize = 256;
/// When nothing newer was told for so long although prices come, the newest number was a fault.
const STUCK_AFTER: Duration = Duration::from_secs(5);
/// So many prices in a row at least.
const STUCK_MESSAGES: u32 = 16;

/// What was told of one symbol, on all connections.
#[derive(Debug, Default)]
pub(super) struct Copies {
    newest: Option<Numbered>,
    known: VecDeque<Known>,
    /// How often the venue began to number anew.
    era: u32,
}

#[derive(Debug)]
struct Numbered {
    number: u64,
    /// Where it came first, and when.
    slot: u8,
    at: Instant,
}

#[derive(Debug)]
struct Known {
    observed_at: Option<i64>,
    price: BigDecimal,
    confidence: Option<BigDecimal>,
    /// The connections that told it, a bit each.
    told_by: u8,
}

/// What one connection told of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Told {
    /// The connection, 0 to 7: no two that are open at one time have the same.
    slot: u8,
    era: u32,
    /// Prices in a row that are behind the newest number.
    behind: u32,
}

impl Told {
    pub(super) fn on(slot: u8) -> Self {
        Self {
            slot,
            ..Self::default()
        }
    }
}

impl Copies {
    /// Whether a price is news. `renumbered` says that its own connection tells of numbers that began anew.
    pub(super) fn is_news(&mut self, told: &mut Told, quote: &Quote<'_>, renumbered: bool) -> bool {
        match quote.order {
            Some(number) => self.is_newer(told, number, renumbered),
            None => self.is_unknown(told.slot, quote),
        }
    }

    fn is_newer(&mut self, told: &mut Told, number: u64, renumbered: bool) -> bool {
        let now = Instant::now();
        if let Some(newest) = &self.newest {
            // Each connection notices that the numbers began anew by itself, and the first of them counts.
            let began_anew = renumbered && told.era == self.era;
            let is_behind =
                number < newest.number || (number == newest.number && told.slot != newest.slot);
            if is_behind && !began_anew {
                told.behind = told.behind.saturating_add(1);
                let stuck =
                    told.behind >= STUCK_MESSAGES && now.duration_since(newest.at) >= STUCK_AFTER;
                if !stuck {
                    told.era = self.era;
                    return false;
                }
            }
            if is_behind {
                self.era = self.era.wrapping_add(1);
            }
        }
        told.behind = 0;
        told.era = self.era;
        self.newest = Some(Numbered {
            number,
            slot: told.slot,
            at: now,
        });
        true
    }

    fn is_unknown(&mut self, slot: u8, quote: &Quote<'_>) -> bool {
        let bit = 1 << slot;
        let mut known = self.known.iter_mut();
        let same = known.find(|known| {
            known.told_by & bit == 0
                && known.observed_at == quote.observed_at
                && known.price == quote.price
                && known.confidence == quote.confidence
        });
        if let Some(known) = same {
            known.told_by |= bit;
            return false;
        }
        if self.known.len() >= MOST_KNOWN {
            self.known.pop_front();
        }
        self.known.push_back(Known {
            observed_at: quote.observed_at,
            price: quote.price.clone(),
            confidence: quote.confidence.clone(),
            told_by: bit,
        });
        true
    }

    /// A new connection has told nothing yet.
    pub(super) fn began(&mut self, slot: u8) {
        for known in &mut self.known {
            known.told_by &= !(1 << slot);
        }
    }

    /// No connection is left: the next one begins with the state, which is news.
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

    fn told(slot: u8) -> Told {
        Told::on(slot)
    }

    #[test]
    fn numbers_decide_whichever_connection_is_first() {
        let (mut copies, mut a, mut b) = (Copies::default(), told(0), told(1));
        let mut news =
            |told: &mut Told, number| copies.is_news(told, &quote("1", None, Some(number)), false);
        assert!(news(&mut a, 5));
        assert!(!news(&mut b, 5));
        assert!(news(&mut b, 9), "a gap is nothing");
        assert!(!news(&mut a, 7) && !news(&mut a, 9));
        assert!(news(&mut a, 10));
        // The same number again on one connection is as it is with one connection.
        assert!(news(&mut a, 10));
        assert!(!news(&mut b, 10));
    }

    #[test]
    fn one_connection_far_behind_never_goes_back() {
        let (mut copies, mut a, mut b) = (Copies::default(), told(0), told(1));
        for number in 0..1_000 {
            assert!(copies.is_news(&mut a, &quote("1", None, Some(number)), false));
        }
        for number in 0..1_000 {
            assert!(!copies.is_news(&mut b, &quote("1", None, Some(number)), false));
        }
        assert!(copies.is_news(&mut b, &quote("1", None, Some(1_000)), false));
    }

    #[tokio::test(start_paused = true)]
    async fn a_number_far_too_high_does_not_stop_the_other_connection() {
        let (mut copies, mut a, mut b) = (Copies::default(), told(0), told(1));
        assert!(copies.is_news(&mut a, &quote("1", None, Some(u64::MAX)), false));
        let mut news = |number| copies.is_news(&mut b, &quote("1", None, Some(number)), false);
        assert!((0..100).all(|number| !news(number)));
        tokio::time::advance(STUCK_AFTER).await;
        assert!(news(100) && news(101));
    }

    #[test]
    fn numbers_that_begin_anew_are_taken_once() {
        let (mut copies, mut a, mut b) = (Copies::default(), told(0), told(1));
        assert!(copies.is_news(&mut a, &quote("1", None, Some(900)), false));
        assert!(copies.is_news(&mut a, &quote("1", None, Some(17)), true));
        assert!(copies.is_news(&mut a, &quote("1", None, Some(18)), false));
        // The other one noticed a little later.
        assert!(!copies.is_news(&mut b, &quote("1", None, Some(17)), true));
        assert!(!copies.is_news(&mut b, &quote("1", None, Some(18)), false));
        assert!(copies.is_news(&mut b, &quote("1", None, Some(19)), false));
    }

    #[test]
    fn without_numbers_time_and_digits_decide() {
        let (mut copies, mut a, mut b) = (Copies::default(), told(0), told(1));
        let at = Some(1_700_000_000_000);
        let mut news =
            |told: &mut Told, price: &str| copies.is_news(told, &quote(price, at, None), false);
        assert!(news(&mut a, "1") && news(&mut a, "2") && news(&mut a, "1"));
        // The same three, and one more.
        assert!(!news(&mut b, "1") && !news(&mut b, "2") && !news(&mut b, "1"));
        assert!(news(&mut b, "3") && !news(&mut a, "3"));
        assert!(!copies.is_news(&mut told(2), &quote("3", at, None), false));
        assert!(copies.is_news(&mut told(2), &quote("3", Some(1), None), false));
        // Another connection of the same slot begins with the state, which is known.
        copies.began(0);
        assert!(!copies.is_news(&mut told(0), &quote("3", at, None), false));
        copies.clear();
        assert!(copies.is_news(&mut told(0), &quote("3", at, None), false));
        for number in 0..3 * MOST_KNOWN {
            copies.is_news(&mut a, &quote(&format!("{}", number + 9), at, None), false);
        }
        assert_eq!(copies.known.len(), MOST_KNOWN);
    }
}
