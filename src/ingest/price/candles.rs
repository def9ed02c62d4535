//! Candles of announced prices: what changes in them with each commit, and what is said of them.
//!
//! No I/O, and no clock of its own. A price counts in event time, the time of the newest tick that it stands on; within
//! a token that time never goes back, so only the newest candle of each interval is ever touched. A candle closes when
//! the clock passes its end. A price that comes later, but within the grace, puts it right and closes it again; one
//! that is later still, or that was announced because something it stood on was taken back, counts as of its
//! announcement: it says what is known from then on. Stale prices count nowhere.
//!
//! Candles of a minute are stored with each price, longer ones when they are announced: see `store::candles`.

use std::collections::BTreeSet;

use rustc_hash::FxHashMap;

use crate::{
    model::{
        Candle, CandleInterval, CandleUpdate, Channel, Event, NewUpdate, Price, PriceStatus, Token,
    },
    source::price::CandleRules,
    store::candles::StoredCandle,
};

/// Candles longer than a minute are announced so many times less often than those of a minute: there are five of them,
/// and none needs to move as fast.
const LONGER_EVERY: i64 = 20;

const INTERVALS: usize = CandleInterval::ALL.len();

/// A candle by the place of its token, and by its interval's place in [`CandleInterval::ALL`].
type Key = (usize, usize);

/// The newest candles of all tokens.
#[derive(Debug)]
pub(super) struct Candles {
    rules: CandleRules,
    places: FxHashMap<Token, usize>,
    tokens: Vec<TokenCandles>,
    /// When which candle closes, or may be announced again.
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
    /// How many prices it had when it was announced last.
    told: u64,
    told_at: i64,
    /// Whether its close was announced.
    closed: bool,
    due: Option<i64>,
}

/// What a commit stores and announces of candles.
#[derive(Debug, Default)]
pub(super) struct CandleNews {
    pub(super) rows: Vec<StoredCandle>,
    pub(super) updates: Vec<NewUpdate>,
    /// Prices that came too late for the candle of their time.
    pub(super) late: u64,
}

impl Candles {
    /// From what is stored: the newest candle of each interval, and the prices announced last.
    pub(super) fn new<'a>(
        rules: CandleRules,
        tokens: Vec<Token>,
        stored: Vec<StoredCandle>,
        announced: impl Iterator<Item = &'a Price>,
    ) -> Self {
        let places: FxHashMap<Token, usize> = tokens.iter().cloned().zip(0..).collect();
        let tokens = tokens.into_iter().map(|token| TokenCandles {
            token,
            observed_at: i64::MIN,
            newest: [const { None }; INTERVALS],
        });
        let mut candles = Self {
            rules,
            places,
            tokens: tokens.collect(),
            due: BTreeSet::new(),
        };
        for price in announced {
            if let Some(&place) = candles.places.get(&price.token) {
                candles.tokens[place].observed_at = price.observed_at;
            }
        }
        for row in stored {
            let interval = place_of(row.interval);
            if let Some(&place) = candles.places.get(&row.token) {
                candles.tokens[place].newest[interval] = Some(Newest {
                    candle: row.candle,
                    told: row.told,
                    told_at: i64::MIN,
                    closed: row.closed,
                    due: None,
                });
                candles.schedule((place, interval));
            }
        }
        candles
    }

    /// When something is to be said although no price came, in ms since the Unix epoch.
    pub(super) fn next_due(&self) -> Option<i64> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Takes the prices that are announced at a time in ms since the Unix epoch, closes what is over by then, and
    /// returns what is to be stored and announced with them.
    pub(super) fn advance(&mut self, announced: &[Price], now_ms: i64) -> CandleNews {
        let mut news = CandleNews::default();
        let mut touched = BTreeSet::new();
        for price in announced {
            self.take(price, now_ms, &mut touched, &mut news);
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
            self.settle(key, now_ms, &mut news);
        }
        news
    }

    /// Adds a price to the candles of its token.
    fn take(
        &mut self,
        price: &Price,
        now_ms: i64,
        touched: &mut BTreeSet<Key>,
        news: &mut CandleNews,
    ) {
        let Some(&place) = self.places.get(&price.token) else {
            return;
        };
        let entry = &mut self.tokens[place];
        let taken_back = price.observed_at < entry.observed_at;
        // One that is only said again is not late.
        let came = price.observed_at > entry.observed_at;
        entry.observed_at = price.observed_at;
        // A candle never forgets its extremes: a number in doubt makes none.
        if price.status == PriceStatus::Stale || price.doubtful {
            return;
        }
        let observed_at = price.observed_at.min(now_ms);
        let late = now_ms.saturating_sub(observed_at) > self.rules.grace_ms;
        news.late += u64::from(late && came);
        let mut at = if late || taken_back {
            now_ms
        } else {
            observed_at
        };
        if let Some(newest) = &entry.newest[0] {
            at = at.max(newest.candle.last_at);
        }
        for (which, interval) in CandleInterval::ALL.into_iter().enumerate() {
            let key = (place, which);
            touched.insert(key);
            let start = interval.start_of(at);
            match &mut self.tokens[place].newest[which] {
                Some(newest) if newest.candle.start >= start => {
                    newest.candle.add(at, &price.price);
                }
                _ => {
                    self.end(key, news);
                    self.tokens[place].newest[which] = Some(Newest {
                        candle: Candle::of(interval, at, &price.price),
                        told: 0,
                        told_at: i64::MIN,
                        closed: false,
                        due: None,
                    });
                }
            }
        }
    }

    /// Announces the close of a candle that another one follows.
    fn end(&mut self, key: Key, news: &mut CandleNews) {
        let entry = &mut self.tokens[key.0];
        let Some(mut before) = entry.newest[key.1].take() else {
            return;
        };
        if let Some(due) = before.due.take() {
            self.due.remove(&(due, key));
        }
        if !before.closed {
            before.closed = true;
            before.tell(&entry.token, key.1, news);
        }
    }

    /// Announces a candle that changed or whose time is over, or leaves it for later.
    fn settle(&mut self, key: Key, now_ms: i64, news: &mut CandleNews) {
        let pace = self.pace(key.1);
        let entry = &mut self.tokens[key.0];
        let Some(newest) = &mut entry.newest[key.1] else {
            return;
        };
        let changed = newest.candle.count > newest.told;
        if newest.end(key.1) <= now_ms {
            if changed || !newest.closed {
                newest.closed = true;
                newest.tell(&entry.token, key.1, news);
            }
        } else if changed && !(0..pace).contains(&now_ms.saturating_sub(newest.told_at)) {
            // Nor does a clock that was set back keep it silent.
            newest.told_at = now_ms;
            newest.tell(&entry.token, key.1, news);
        } else if changed && key.1 == 0 {
            let row = newest.row(&entry.token, key.1);
            news.rows.push(row);
        }
        self.schedule(key);
    }

    /// Has a candle looked at again when it closes, or earlier when there is something to say.
    fn schedule(&mut self, key: Key) {
        let pace = self.pace(key.1);
        let Some(newest) = &mut self.tokens[key.0].newest[key.1] else {
            return;
        };
        let due = if newest.closed {
            None
        } else if newest.candle.count > newest.told {
            Some(newest.told_at.saturating_add(pace).min(newest.end(key.1)))
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

    /// Between two announcements of an open candle at least, in ms.
    fn pace(&self, interval: usize) -> i64 {
        match interval {
            0 => self.rules.publish_ms,
            _ => self.rules.publish_ms.saturating_mul(LONGER_EVERY),
        }
    }
}

impl Newest {
    /// When its time is over, in ms since the Unix epoch.
    fn end(&self, interval: usize) -> i64 {
        let length = CandleInterval::ALL[interval].millis();
        self.candle.start.saturating_add(length)
    }

    /// Stores and announces it as it stands.
    fn tell(&mut self, token: &Token, interval: usize, news: &mut CandleNews) {
        self.told = self.candle.count;
        news.rows.push(self.row(token, interval));
        let interval = CandleInterval::ALL[interval];
        let update = CandleUpdate::new(token, interval, &self.candle, self.closed);
        news.updates.push(NewUpdate {
            channel: Channel::Candle(token.clone(), interval),
            event: Event::CandleUpdate(update),
        });
    }

    fn row(&self, token: &Token, interval: usize) -> StoredCandle {
        StoredCandle {
            token: token.clone(),
            interval: CandleInterval::ALL[interval],
            candle: self.candle.clone(),
            told: self.told,
            closed: self.closed,
        }
    }
}

/// The place of an interval in [`CandleInterval::ALL`], which has them all.
fn place_of(interval: CandleInterval) -> usize {
    let mut places = CandleInterval::ALL.iter();
    places
        .position(|listed| *listed == interval)
        .unwrap_or_default()
}

#[cfg(test)]
#[path = "candles_tests.rs"]
mod tests;
