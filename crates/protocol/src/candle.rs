//! Candles: the published prices of a token in one interval, as open, high, low and close.
//!
//! Pure arithmetic, without clock or I/O. A candle consists of points in event time. These times decide which point is
//! the open and which the close, not the order of arrival, so a late point corrects the candle. A candle of a longer
//! interval is merged from the shorter candles in it.

use std::{fmt, str::FromStr};

use bigdecimal::BigDecimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The length of a candle. Candles start at multiples of it since the Unix epoch, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CandleInterval {
    /// `1m`.
    Minute,
    /// `5m`.
    FiveMinutes,
    /// `15m`.
    QuarterHour,
    /// `1h`.
    Hour,
    /// `4h`.
    FourHours,
    /// `1d`: a UTC day.
    Day,
}

/// Why a text is not an interval.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a candle interval: use 1m, 5m, 15m, 1h, 4h or 1d")]
pub struct CandleIntervalError(String);

impl CandleInterval {
    /// All intervals, the shortest first.
    pub const ALL: [Self; 6] = [
        Self::Minute,
        Self::FiveMinutes,
        Self::QuarterHour,
        Self::Hour,
        Self::FourHours,
        Self::Day,
    ];

    /// The length in seconds.
    pub const fn seconds(self) -> i32 {
        match self {
            Self::Minute => 60,
            Self::FiveMinutes => 5 * 60,
            Self::QuarterHour => 15 * 60,
            Self::Hour => 3_600,
            Self::FourHours => 4 * 3_600,
            Self::Day => 24 * 3_600,
        }
    }

    /// The length in ms.
    pub const fn millis(self) -> i64 {
        self.seconds() as i64 * 1_000
    }

    /// The interval with this many seconds.
    pub fn from_seconds(seconds: i32) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|interval| interval.seconds() == seconds)
    }

    /// Start of the candle that contains this time; both in ms since the Unix epoch.
    pub fn start_of(self, at: i64) -> i64 {
        at.saturating_sub(at.rem_euclid(self.millis()))
    }

    /// The next shorter interval, whose candles are merged into candles of this one.
    pub fn smaller(self) -> Option<Self> {
        let at = Self::ALL.iter().position(|interval| *interval == self)?;
        Some(Self::ALL[at.checked_sub(1)?])
    }

    /// The name in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Minute => "1m",
            Self::FiveMinutes => "5m",
            Self::QuarterHour => "15m",
            Self::Hour => "1h",
            Self::FourHours => "4h",
            Self::Day => "1d",
        }
    }
}

impl FromStr for CandleInterval {
    type Err = CandleIntervalError;

    /// In any case.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|interval| interval.name().eq_ignore_ascii_case(text))
            .ok_or_else(|| CandleIntervalError(text.chars().take(16).collect()))
    }
}

impl fmt::Display for CandleInterval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for CandleInterval {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for CandleInterval {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

/// The prices of `[start, start + interval)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Candle {
    /// In ms since the Unix epoch, a multiple of the interval.
    pub start: i64,
    /// The first price, by event time, in USD.
    pub open: BigDecimal,
    /// The highest price, in USD.
    pub high: BigDecimal,
    /// The lowest price, in USD.
    pub low: BigDecimal,
    /// The last price, by event time, in USD.
    pub close: BigDecimal,
    /// Number of prices in it; 0 if synthetic.
    pub count: u64,
    /// Event time of its first price, in ms since the Unix epoch; the start if synthetic.
    pub first_at: i64,
    /// Event time of its last price, likewise.
    pub last_at: i64,
}

impl Candle {
    /// A candle with one price, at a time in ms since the Unix epoch.
    pub fn from_price(interval: CandleInterval, at: i64, price: &BigDecimal) -> Self {
        Self {
            start: interval.start_of(at),
            open: price.clone(),
            high: price.clone(),
            low: price.clone(),
            close: price.clone(),
            count: 1,
            first_at: at,
            last_at: at,
        }
    }

    /// A candle for an interval without prices: the previous close.
    fn synthetic(start: i64, close: &BigDecimal) -> Self {
        Self {
            start,
            open: close.clone(),
            high: close.clone(),
            low: close.clone(),
            close: close.clone(),
            count: 0,
            first_at: start,
            last_at: start,
        }
    }

    /// Whether no price was published in it.
    pub fn is_synthetic(&self) -> bool {
        self.count == 0
    }

    /// Adds a price, whose time must be in the candle's interval. Of two prices with the same time, the first one added
    /// is earlier.
    pub fn add(&mut self, at: i64, price: &BigDecimal) {
        if at < self.first_at {
            self.first_at = at;
            self.open = price.clone();
        }
        if at >= self.last_at {
            self.last_at = at;
            self.close = price.clone();
        }
        self.widen(price, price);
        self.count += 1;
    }

    /// Adds the prices of a shorter candle within this one.
    pub fn merge(&mut self, smaller: &Self) {
        if smaller.is_synthetic() {
            return;
        }
        if smaller.first_at < self.first_at {
            self.first_at = smaller.first_at;
            self.open = smaller.open.clone();
        }
        if smaller.last_at >= self.last_at {
            self.last_at = smaller.last_at;
            self.close = smaller.close.clone();
        }
        self.widen(&smaller.low, &smaller.high);
        self.count += smaller.count;
    }

    fn widen(&mut self, low: &BigDecimal, high: &BigDecimal) {
        if *low < self.low {
            self.low = low.clone();
        }
        if *high > self.high {
            self.high = high.clone();
        }
    }
}

/// Merges candles into those of a longer interval; both in order of time. Synthetic candles are ignored.
pub fn fold_candles(smaller: &[Candle], interval: CandleInterval) -> Vec<Candle> {
    let mut larger: Vec<Candle> = Vec::new();
    for candle in smaller.iter().filter(|candle| !candle.is_synthetic()) {
        let start = interval.start_of(candle.start);
        match larger.last_mut() {
            Some(open) if open.start == start => open.merge(candle),
            _ => larger.push(Candle {
                start,
                ..candle.clone()
            }),
        }
    }
    larger
}

/// Fills gaps between candles with synthetic ones. The candles are in order and start at `from` or later.
///
/// `before` is the close of the newest candle before `from`, if any. `until` is the time in ms up to which the gap
/// after the last candle is filled: the start of the next candle, or the end of the range. Returns at most `limit`
/// candles; the following page starts where the last one ends.
pub fn fill_gaps(
    candles: Vec<Candle>,
    interval: CandleInterval,
    from: i64,
    before: Option<BigDecimal>,
    until: Option<i64>,
    limit: usize,
) -> Vec<Candle> {
    let mut filled: Vec<Candle> = Vec::with_capacity(candles.len().min(limit));
    let (mut next, mut close) = (from, before);
    let stop = until.unwrap_or(i64::MIN);
    let mut given = candles.into_iter();
    loop {
        let candle = given.next();
        let end = candle.as_ref().map_or(stop, |candle| candle.start);
        if let Some(close) = &close {
            while next < end && filled.len() < limit {
                filled.push(Candle::synthetic(next, close));
                next = next.saturating_add(interval.millis());
            }
        }
        match candle {
            Some(candle) if filled.len() < limit => {
                next = candle.start.saturating_add(interval.millis());
                close = Some(candle.close.clone());
                filled.push(candle);
            }
            _ => return filled,
        }
    }
}

#[cfg(test)]
#[path = "candle_tests.rs"]
mod tests;
