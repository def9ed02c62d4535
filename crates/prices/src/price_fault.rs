//! Why a venue's price gave no tick.

/// A fault of a price from a venue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum PriceFault {
    #[error("unreadable: {0}")]
    Malformed(String),
    #[error("price {0} is not above zero")]
    NotPositive(String),
    #[error("price {0} is out of range")]
    OutOfRange(String),
    #[error("best bid {bid} is above best ask {ask}")]
    Crossed { bid: String, ask: String },
    #[error("best ask {ask} is more than twice the best bid {bid}")]
    Wide { bid: String, ask: String },
    #[error("time {0} ms after 1970 is more than a year ago")]
    Timestamp(i64),
    #[error(
        "time is {0} ms ahead of this machine's clock, more than the allowed 60000 ms; is one of the clocks wrong?"
    )]
    Ahead(u64),
    #[error("time {0} is not in seconds, ms, µs or ns since 1970")]
    NoTime(String),
    #[error("symbol {0:?} was not requested")]
    UnknownSymbol(String),
    #[error("a newer price of the symbol was received before")]
    Older,
    #[error("another connection delivered the price before")]
    Duplicate,
}

impl PriceFault {
    /// Stable label of the metric `chaincast_price_feed_refused_total`.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::NotPositive(_) => "not_positive",
            Self::OutOfRange(_) => "absurd",
            Self::Crossed { .. } => "crossed",
            Self::Wide { .. } => "wide",
            Self::Timestamp(_) | Self::Ahead(_) | Self::NoTime(_) => "timestamp",
            Self::UnknownSymbol(_) => "unknown_symbol",
            Self::Older => "older",
            Self::Duplicate => "duplicate",
        }
    }

    /// All labels.
    pub(super) const REASONS: [&'static str; 9] = [
        "malformed",
        "not_positive",
        "absurd",
        "crossed",
        "wide",
        "timestamp",
        "unknown_symbol",
        "older",
        "duplicate",
    ];
}
