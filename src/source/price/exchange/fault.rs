//! Why what a venue said gave no tick.

/// What is wrong with a price that a venue told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PriceFault {
    #[error("it cannot be read: {0}")]
    Malformed(String),
    #[error("the price is {0}, and a price is above zero")]
    NotPositive(String),
    #[error("the price is {0}, which is not the price of anything")]
    Absurd(String),
    #[error("the best bid, {bid}, is above the best ask, {ask}")]
    Crossed { bid: String, ask: String },
    #[error("the best ask, {ask}, is more than twice the best bid, {bid}")]
    Wide { bid: String, ask: String },
    #[error("its time, {0} ms after 1970, is more than a year ago")]
    Timestamp(i64),
    #[error(
        "its time is {0} ms ahead of this machine's clock, and at most 60000 are allowed; is one of the clocks wrong?"
    )]
    Ahead(u64),
    #[error("its time is {0}, which is no time in seconds, ms, µs or ns since 1970")]
    NoTime(String),
    #[error("{0:?} was not requested")]
    UnknownSymbol(String),
    #[error("a newer one of the same symbol came before")]
    Older,
    #[error("another connection delivered it before")]
    Duplicate,
}

impl PriceFault {
    /// Stable label of the metric `chaincast_price_feed_refused_total`.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::NotPositive(_) => "not_positive",
            Self::Absurd(_) => "absurd",
            Self::Crossed { .. } => "crossed",
            Self::Wide { .. } => "wide",
            Self::Timestamp(_) | Self::Ahead(_) | Self::NoTime(_) => "timestamp",
            Self::UnknownSymbol(_) => "unknown_symbol",
            Self::Older => "older",
            Self::Duplicate => "duplicate",
        }
    }

    /// Every label there is.
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
