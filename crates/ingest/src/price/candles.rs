//! Candles of announced prices: their changes with each commit, and their updates.
//!
//! No I/O, and no clock of its own. A price counts at its event time, the time of its newest tick. Within a token that
//! time never decreases, so only the newest candle of each interval changes. A candle closes when the clock passes its
//! end. A later price within the grace period corrects it and closes it again. A price after that, or one announced
//! because a reorg dropped its ticks, counts at its announcement time. Stale prices do not count.
//!
//! Candles of a minute are stored with each price, longer ones when they are announced: see `store::candles`.

use std::collections::BTreeSet;

use rustc_hash::FxHashMap;

use chaincast_model::Price;
use chaincast_prices::CandleRules;
use chaincast_protocol::{
    Candle, CandleInterval, CandleUpdate, Channel, Event, NewUpdate, PriceStatus, Token,
};
use chaincast_store::candles::StoredCandle;

/// Factor by which candles longer than a minute are announced less often: there are five of them, and they change
/// relatively slowly.
const LONGER_EVERY: i64 = 20;

const INTERVALS: usize = CandleInterval::ALL.len();

/// A candle by the position of its token and the position of its interval in [`CandleInterval::ALL`].
type Key = (usize, usize);

/// The newest candles of all tokens.
#[derive(Debug)]
pub(super) struct Candles {
    rules: CandleRules,
    positions: FxHashMap<Token, usize>,
    tokens: Vec<TokenCandles>,
    /// When a candle closes or may be announced again.
    due: BTreeSet<(i64, Key)>,
}

#[derive(Debug)]
struct TokenCandles {
    token: Token,
    /// Event time of the price announced last.
    observed_at: i64,
    newest: [Option<Newest>; INTERVALS],
}

/// The newest candle of a token and interval.
#[derive(Debug)]
struct Newest {
    candle: Candle,
    /// The number of its prices at its last announcement.
    announced_count: u64,
    announced_at: i64,
    /// Whether its close was announced.
    closed: bool,
    due: Option<i64>,
}

/// The candles that a commit stores and announces.
#[derive(Debug, Default)]
pub(super) struct CandleChanges {
    pub(super) rows: Vec<StoredCandle>,
    pub(super) updates: Vec<NewUpdate>,
    /// Prices that were too late for the candle of their event time.
    pub(super) late: u64,
}

impl Candles {
    /// Restores the newest candle of each interval and the last announced prices from the store.
    pub(super) fn new<'a>(
        rules: CandleRules,
        tokens: Vec<Token>,
        stored: Vec<StoredCandle>,
        announced: impl Iterator<Item = &'a Price>,
    ) -> Self {
        let positions: FxHashMap<Token, usize> = tokens.iter().cloned().zip(0..).collect();
        let tokens = tokens.into_iter().map(|token| TokenCandles {
            token,
            observed_at: i64::MIN,
            newest: [const { None }; INTERVALS],
        });
        let mut candles = Self {
            rules,
            positions,
            tokens: tokens.collect(),
            due: BTreeSet::new(),
        };
        for price in announced {
            if let Some(&position) = candles.positions.get(&price.token) {
                candles.tokens[position].observed_at = price.observed_at;
            }
        }
        for row in stored {
            let interval = position_of(row.interval);
            if let Some(&position) = candles.positions.get(&row.token) {
                candles.tokens[position].newest[interval] = Some(Newest {
                    candle: row.candle,
                    announced_count: row.announced_count,
                    announced_at: i64::MIN,
                    closed: row.closed,
                    due: None,
                });
                candles.schedule((position, interval));
            }
        }
        candles
    }

    /// When a candle must be announced without a new price, in ms since the Unix epoch.
    pub(super) fn next_due(&self) -> Option<i64> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Adds the prices that are announced at a time in ms since the Unix epoch, closes the candles that end by then, and
    /// returns the candles to store and announce with them.
    pub(super) fn advance(&mut self, announced: &[Price], now_ms: i64) -> CandleChanges {
        let mut changes = CandleChanges::default();
        let mut touched = BTreeSet::new();
        for price in announced {
            self.take(price, now_ms, &mut touched, &mut changes);
        }
        while let Some((at, key)) = self.due.first().copied()
            && at <= now_ms
        {
            self.due.pop_first();
            if let Some(newest) = &mut self.tokens[key.0].newest[key.1] {
                newest.due = None;
            }
            touched.insert(key);
        }
        for key in touched {
            self.settle(key, now_ms, &mut changes);
        }
        changes
    }

    /// Adds a price to the candles of its token.
    fn take(
        &mut self,
        price: &Price,
        now_ms: i64,
        touched: &mut BTreeSet<Key>,
        changes: &mut CandleChanges,
    ) {
        let Some(&position) = self.positions.get(&price.token) else {
            return;
        };
        let entry = &mut self.tokens[position];
        let is_reverted = price.observed_at < entry.observed_at;
        // A price that is only announced again is not late.
        let is_new = price.observed_at > entry.observed_at;
        entry.observed_at = price.observed_at;
        // A candle keeps its extremes: a doubtful price must not set one.
        if price.status == PriceStatus::Stale || price.doubtful {
            return;
        }
        let observed_at = price.observed_at.min(now_ms);
        let late = now_ms.saturating_sub(observed_at) > self.rules.grace_ms;
        changes.late += u64::from(late && is_new);
        let mut at = if late || is_reverted {
            now_ms
        } else {
            observed_at
        };
        if let Some(newest) = &entry.newest[0] {
            at = at.max(newest.candle.last_at);
        }
        for (which, interval) in CandleInterval::ALL.into_iter().enumerate() {
            let key = (position, which);
            touched.insert(key);
            let start = interval.start_of(at);
            match &mut self.tokens[position].newest[which] {
                Some(newest) if newest.candle.start >= start => {
                    newest.candle.add(at, &price.price);
                }
                _ => {
                    self.end(key, changes);
                    self.tokens[position].newest[which] = Some(Newest {
                        candle: Candle::from_price(interval, at, &price.price),
                        announced_count: 0,
                        announced_at: i64::MIN,
                        closed: false,
                        due: None,
                    });
                }
            }
        }
    }

    /// Announces the close of a candle that is followed by a new one.
    fn end(&mut self, key: Key, changes: &mut CandleChanges) {
        let entry = &mut self.tokens[key.0];
        let Some(mut before) = entry.newest[key.1].take() else {
            return;
        };
        if let Some(due) = before.due.take() {
            self.due.remove(&(due, key));
        }
        if !before.closed {
            before.closed = true;
            before.announce(&entry.token, key.1, changes);
        }
    }

    /// Announces a candle that changed or ended, or defers that.
    fn settle(&mut self, key: Key, now_ms: i64, changes: &mut CandleChanges) {
        let min_interval_ms = self.min_interval_ms(key.1);
        let entry = &mut self.tokens[key.0];
        let Some(newest) = &mut entry.newest[key.1] else {
            return;
        };
        let changed = newest.candle.count > newest.announced_count;
        if newest.end(key.1) <= now_ms {
            if changed || !newest.closed {
                newest.closed = true;
                newest.announce(&entry.token, key.1, changes);
            }
        } else if changed
            && !(0..min_interval_ms).contains(&now_ms.saturating_sub(newest.announced_at))
        {
            // A clock that was set back must not block announcements.
            newest.announced_at = now_ms;
            newest.announce(&entry.token, key.1, changes);
        } else if changed && key.1 == 0 {
            let row = newest.row(&entry.token, key.1);
            changes.rows.push(row);
        }
        self.schedule(key);
    }

    /// Schedules a candle for its close, or earlier if a change is not announced yet.
    fn schedule(&mut self, key: Key) {
        let min_interval_ms = self.min_interval_ms(key.1);
        let Some(newest) = &mut self.tokens[key.0].newest[key.1] else {
            return;
        };
        let due = if newest.closed {
            None
        } else if newest.candle.count > newest.announced_count {
            Some(
                newest
                    .announced_at
                    .saturating_add(min_interval_ms)
                    .min(newest.end(key.1)),
            )
        } else {
            Some(newest.end(key.1))
        };
        let before = std::mem::replace(&mut newest.due, due);
        if before != due {
            if let Some(before) = before {
                self.due.remove(&(before, key));
            }
            self.due.extend(due.map(|at| (at, key)));
        }
    }

    /// The shortest time between two announcements of an open candle, in ms.
    fn min_interval_ms(&self, interval: usize) -> i64 {
        match interval {
            0 => self.rules.publish_ms,
            _ => self.rules.publish_ms.saturating_mul(LONGER_EVERY),
        }
    }
}

impl Newest {
    /// Its end, in ms since the Unix epoch.
    fn end(&self, interval: usize) -> i64 {
        let length = CandleInterval::ALL[interval].millis();
        self.candle.start.saturating_add(length)
    }

    /// Stores and announces its current state.
    fn announce(&mut self, token: &Token, interval: usize, changes: &mut CandleChanges) {
        self.announced_count = self.candle.count;
        changes.rows.push(self.row(token, interval));
        let interval = CandleInterval::ALL[interval];
        let update = CandleUpdate::new(token, interval, &self.candle, self.closed);
        changes.updates.push(NewUpdate {
            channel: Channel::Candle(token.clone(), interval),
            event: Event::CandleUpdate(update),
        });
    }

    fn row(&self, token: &Token, interval: usize) -> StoredCandle {
        StoredCandle {
            token: token.clone(),
            interval: CandleInterval::ALL[interval],
            candle: self.candle.clone(),
            announced_count: self.announced_count,
            closed: self.closed,
        }
    }
}

/// The position of an interval in [`CandleInterval::ALL`], which lists every interval.
fn position_of(interval: CandleInterval) -> usize {
    let mut positions = CandleInterval::ALL.iter();
    positions
        .position(|listed| *listed == interval)
        .unwrap_or_default()
}

#[cfg(test)]
#[path = "candles_tests.rs"]
mod tests;
