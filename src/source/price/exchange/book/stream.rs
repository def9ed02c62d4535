//! One stream of a book: who reads it, what was heard of it, and how it stands.

use ::metrics::Counter;
use bigdecimal::BigDecimal;
use tokio::time::Instant;

use super::super::{
    super::{FeedState, feed_name::shown, metrics::ticks, seldom::Seldom},
    PriceFault,
    connection::words,
    copies::{Copies, Told},
    group::Reader,
    number::has_size,
};

pub(super) struct Stream {
    pub(super) name: Box<str>,
    pub(super) readers: Vec<(Reader, Counter)>,
    /// Whether the venue has another name for it, which is in `by_name` too.
    pub(super) renamed: bool,
    /// What several connections tell of it.
    pub(super) copies: Copies,
    /// When it was last told, on whichever connection.
    pub(super) told_at: Option<Instant>,
    /// Event time of the newest tick, on whichever connection, in ms.
    pub(super) newest: i64,
    /// How it stands, whatever the venue says of itself.
    pub(super) state: FeedState,
    /// Which kind of trouble leaves a document without its price, where `state` tells of that.
    pub(super) lack: Option<&'static str>,
    /// The same as it was logged last; none once there is a price.
    pub(super) logged_lack: Option<&'static str>,
    /// Lines of how it stands.
    pub(super) logged: Seldom,
}

/// What one connection heard of one stream.
#[derive(Debug, Clone, Default)]
pub(in super::super::super) struct Heard {
    pub(super) order: Option<u64>,
    /// Messages in a row whose number is below `order`.
    pub(super) behind: u32,
    /// Any price, whether it is a tick or not.
    pub(super) told: bool,
    pub(super) ticked: bool,
    pub(in super::super::super) refused: bool,
    pub(super) copies: Told,
}

impl Heard {
    /// On the connection of this slot; see [`Told::slot`].
    pub(in super::super) fn on(slot: u8) -> Self {
        Self {
            copies: Told::on(slot),
            ..Self::default()
        }
    }
}

impl Stream {
    /// One that nothing was heard of.
    pub(super) fn new(name: String, readers: Vec<Reader>) -> Self {
        let counted = readers.into_iter().map(|reader| {
            let counter = ticks(&reader.token, &reader.source);
            (reader, counter)
        });
        Self {
            name: name.into(),
            readers: counted.collect(),
            renamed: false,
            copies: Copies::default(),
            told_at: None,
            newest: i64::MIN,
            state: FeedState::Live,
            lack: None,
            logged_lack: None,
            logged: Seldom::default(),
        }
    }

    /// Who reads it, for log lines.
    pub(super) fn sources(&self) -> String {
        let readers = self.readers.iter().map(|(reader, _)| reader);
        let named: Vec<String> = readers
            .map(|reader| shown(&reader.token, &reader.source))
            .collect();
        named.join(", ")
    }
}

/// What a venue told, as the price of one of the reader's tokens.
pub(super) fn in_units(
    reader: &Reader,
    price: &BigDecimal,
    confidence: Option<&BigDecimal>,
) -> Result<(BigDecimal, Option<BigDecimal>), PriceFault> {
    let absurd = |text: String| PriceFault::Absurd(words(&text));
    let (price, confidence) = reader.unit.apply(price, confidence).map_err(|_| {
        absurd(format!(
            "the inverse of {price} with an interval down to zero"
        ))
    })?;
    if has_size(&price) {
        Ok((price, confidence))
    } else {
        Err(absurd(price.to_scientific_notation()))
    }
}
