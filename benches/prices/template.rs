//! A venue's message of one stream, built in advance: only the parts that change from tick to tick are inserted.

use std::fmt::Write;

use chaincast_testkit::venue::{VenueProtocol, VenueTick};

use crate::timestamped_price;

/// The price, the sequence number and the time that mark their positions in a sample message.
const PRICE: &str = "~price~";
const ORDER: u64 = 987_654_321_987_654_321;
const TIME_MS: i64 = 4_102_444_800_000;
const TIME: &str = "2100-01-01T00:00:00.000000Z";

#[derive(Debug, Clone)]
enum Piece {
    Text(String),
    Price,
    Order,
    Time,
}

pub struct Template {
    pieces: Vec<Piece>,
    level: usize,
    order: u64,
}

impl Template {
    /// The template of a stream that a client requested. The symbol is that of a token of [`crate::product::symbol`].
    pub fn new(speaks: VenueProtocol, stream: &str) -> Self {
        let symbol = speaks.symbol_of(stream);
        let sent = VenueTick {
            time_ms: Some(TIME_MS),
            ..VenueTick::new(&symbol, PRICE)
        };
        let text = speaks.tick(stream, &sent, ORDER, false);
        let mut pieces = vec![Piece::Text(text)];
        for (mark, piece) in [
            (PRICE, Piece::Price),
            (&*ORDER.to_string(), Piece::Order),
            (TIME, Piece::Time),
        ] {
            pieces = cut(pieces, mark, &piece);
        }
        Self {
            pieces,
            // Each venue is at another level.
            level: speaks as usize + number(&symbol),
            order: 0,
        }
    }

    /// The next message, for this instant; `time` is the venue's time in it.
    pub fn tick(&mut self, time: &str) -> String {
        self.order += 1;
        let price = timestamped_price::price(self.level);
        let mut text = String::with_capacity(512);
        for piece in &self.pieces {
            match piece {
                Piece::Text(part) => text.push_str(part),
                Piece::Price => text.push_str(&price),
                Piece::Order => write!(text, "{}", self.order).expect("it is memory"),
                Piece::Time => text.push_str(time),
            }
        }
        text
    }
}

/// Inserts a piece wherever its mark is.
fn cut(pieces: Vec<Piece>, mark: &str, made: &Piece) -> Vec<Piece> {
    let mut cut = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Text(text) => {
                for (at, part) in text.split(mark).enumerate() {
                    if at > 0 {
                        cut.push(made.clone());
                    }
                    cut.push(Piece::Text(part.to_owned()));
                }
            }
            other => cut.push(other),
        }
    }
    cut
}

/// 12 of `T12-USD`.
fn number(symbol: &str) -> usize {
    let digits: String = symbol
        .chars()
        .skip(1)
        .take_while(char::is_ascii_digit)
        .collect();
    digits.parse().expect("symbols are numbered")
}
