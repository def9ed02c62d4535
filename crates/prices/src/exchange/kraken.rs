//! Kraken, following its "Spot WebSocket v2" reference (`ticker`, `heartbeat`, `status`, `ping`).
//!
//! `ticker` with `event_trigger: "bbo"` reports best bid and ask on every change, starting with a `snapshot`. Prices
//! are JSON numbers, read from their text: no float ever holds them. A `heartbeat` arrives about every second if there
//! is nothing else; a `status` when a connection opens and when the trading engine changes. Symbols are case-sensitive.
//! Each symbol of a request is answered separately, so an unknown one does not affect others. The venue may close a
//! connection on which nothing is sent for about a minute, so it is pinged.

use std::time::Duration;

use bigdecimal::BigDecimal;
use serde::Deserialize;
use serde_json::{json, value::RawValue};

use super::{
    super::{
        price_text::{mid_price, price_from_json},
        venue_time,
    },
    Exchange, Limits, PriceFault, Quote, Request, VenueEvent,
    json::Text,
    symbol::is_pair,
};

pub(super) const VENUE: &dyn Exchange = &Kraken;

#[derive(Debug)]
struct Kraken;

/// Any message: of a channel, or the answer to a method.
#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(borrow)]
    channel: Option<Text<'a>>,
    /// A list for the channels used here; other channels have objects.
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<Text<'a>>,
    success: Option<bool>,
    #[serde(borrow, alias = "Error")]
    error: Option<Text<'a>>,
    #[serde(borrow)]
    symbol: Option<Text<'a>>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
}

/// The subscribed symbol as the venue writes it.
#[derive(Deserialize)]
struct Subscribed<'a> {
    #[serde(borrow)]
    symbol: Text<'a>,
}

#[derive(Deserialize)]
struct Ticker<'a> {
    #[serde(borrow)]
    symbol: Text<'a>,
    #[serde(borrow)]
    bid: Option<&'a RawValue>,
    #[serde(borrow)]
    ask: Option<&'a RawValue>,
    #[serde(borrow)]
    timestamp: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Status<'a> {
    #[serde(borrow)]
    system: Text<'a>,
}

impl Exchange for Kraken {
    fn name(&self) -> &'static str {
        "kraken"
    }

    fn url(&self) -> &'static str {
        "wss://ws.kraken.com/v2"
    }

    fn example(&self) -> &'static str {
        "BTC/USD"
    }

    /// The period is in the names of staked assets. Case-sensitive: `AAPLx/USD` exists and `AAPLX/USD` does not.
    fn is_symbol(&self, symbol: &str) -> bool {
        is_pair(symbol, '/', |c| c.is_ascii_alphanumeric() || c == '.')
    }

    fn text(&self) -> &'static str {
        "ticker of Kraken's WebSocket v2: midpoint of the best bid and ask"
    }

    fn limits(&self) -> Limits {
        Limits {
            // The venue documents no limit, and limits requests by load.
            streams: 500,
            streams_a_request: 50,
            min_interval: Duration::from_millis(250),
            heartbeat: Duration::from_secs(1),
            pings_count: false,
            keepalive: Some((Duration::from_secs(30), r#"{"method":"ping"}"#)),
            refuses_whole_requests: false,
        }
    }

    fn hint(&self, stream: &str) -> Option<String> {
        let (base, quote) = stream.split_once('/')?;
        let name_of =
            |asset: &str| venue_name(asset).map_or(asset.to_ascii_uppercase(), str::to_owned);
        let (named, upper) = (
            venue_name(base).or(venue_name(quote)),
            stream.to_ascii_uppercase(),
        );
        match named {
            Some(_) => Some(format!(
                "the venue's name is {}/{}",
                name_of(base),
                name_of(quote)
            )),
            None if upper != stream => {
                Some(format!("symbols are case-sensitive; did you mean {upper}?"))
            }
            None => None,
        }
    }

    fn subscribe(&self, streams: &[&str], id: u64) -> Request {
        let params = json!({ "channel": "ticker", "symbol": streams, "event_trigger": "bbo" });
        Request {
            text: json!({ "method": "subscribe", "params": params, "req_id": id }).to_string(),
            answers: streams.len(),
        }
    }

    fn read<'a>(&self, text: &'a str, emit: &mut dyn FnMut(VenueEvent<'a>)) {
        let frame = match serde_json::from_str::<Frame<'a>>(text) {
            Ok(frame) => frame,
            Err(error) => return emit(VenueEvent::Unreadable(error.to_string())),
        };
        type Read<'a> = fn(&'a RawValue) -> VenueEvent<'a>;
        let read = match frame.channel.as_deref() {
            Some("ticker") => ticker as Read<'a>,
            Some("status") => status as Read<'a>,
            Some(_) => return emit(VenueEvent::Alive),
            None => return emit(answer(frame)),
        };
        let items = frame.data.map_or("[]", RawValue::get);
        match serde_json::from_str::<Vec<&'a RawValue>>(items) {
            Ok(items) => items.into_iter().for_each(|item| emit(read(item))),
            Err(error) => emit(VenueEvent::Unreadable(error.to_string())),
        }
    }
}

fn ticker(item: &RawValue) -> VenueEvent<'_> {
    let ticker = match serde_json::from_str::<Ticker<'_>>(item.get()) {
        Ok(ticker) => ticker,
        Err(error) => return VenueEvent::Unreadable(error.to_string()),
    };
    match read_ticker(&ticker) {
        Ok((price, confidence, observed_at)) => VenueEvent::Quote(Quote {
            stream: ticker.symbol.0,
            price,
            confidence: Some(confidence),
            observed_at,
            order: None,
        }),
        Err(fault) => VenueEvent::Unusable {
            stream: ticker.symbol.0,
            fault,
        },
    }
}

/// Mid price, half the spread, and time.
fn read_ticker(ticker: &Ticker<'_>) -> Result<(BigDecimal, BigDecimal, Option<i64>), PriceFault> {
    let side = |side: Option<&RawValue>, name: &str| match side {
        Some(text) => price_from_json(text),
        None => Err(PriceFault::Malformed(format!("ticker without {name}"))),
    };
    let (price, confidence) = mid_price(side(ticker.bid, "bid")?, side(ticker.ask, "ask")?)?;
    let observed_at = ticker.timestamp.map(venue_time::from_json).transpose()?;
    Ok((price, confidence, observed_at))
}

fn status(item: &RawValue) -> VenueEvent<'_> {
    match serde_json::from_str::<Status<'_>>(item.get()) {
        Ok(status) if &*status.system == "online" => VenueEvent::Normal,
        Ok(status) => VenueEvent::Notice(match meaning(&status.system) {
            Some(meaning) => format!("trading engine is {:?}: {meaning}", &*status.system),
            None => format!("trading engine is {:?}", &*status.system),
        }),
        Err(error) => VenueEvent::Unreadable(error.to_string()),
    }
}

/// The meaning of a state of the trading engine other than `online`.
fn meaning(system: &str) -> Option<&'static str> {
    Some(match system {
        "upcoming_maintenance" => "maintenance begins soon",
        "maintenance" => "no trading",
        "cancel_only" => "orders can only be cancelled",
        "post_only" => "orders can be placed and cancelled but are not matched",
        "limit_only" => "only limit orders are accepted",
        "emergency" => "trading is restricted without notice",
        _ => return None,
    })
}

/// The venue's name of an asset that its older API calls differently.
fn venue_name(asset: &str) -> Option<&'static str> {
    const NAMES: [(&str, &str); 20] = [
        ("XBT", "BTC"),
        ("XXBT", "BTC"),
        ("XDG", "DOGE"),
        ("XXDG", "DOGE"),
        ("XETH", "ETH"),
        ("XETC", "ETC"),
        ("XLTC", "LTC"),
        ("XMLN", "MLN"),
        ("XREP", "REP"),
        ("XXLM", "XLM"),
        ("XXMR", "XMR"),
        ("XXRP", "XRP"),
        ("XZEC", "ZEC"),
        ("ZAUD", "AUD"),
        ("ZCAD", "CAD"),
        ("ZEUR", "EUR"),
        ("ZGBP", "GBP"),
        ("ZJPY", "JPY"),
        ("ZUSD", "USD"),
        ("STR", "XLM"),
    ];
    let mut named = NAMES.iter();
    let found = named.find(|(other, _)| other.eq_ignore_ascii_case(asset));
    found.map(|(_, name_of)| *name_of)
}

fn answer(frame: Frame<'_>) -> VenueEvent<'_> {
    let reason = frame.error.map(|error| error.0.into_owned());
    match (frame.method.as_deref(), frame.success, reason) {
        (Some("subscribe"), Some(false), reason) | (Some("subscribe"), _, reason @ Some(_)) => {
            let reason = reason.unwrap_or_else(|| "rejected without a reason".to_owned());
            match frame.symbol {
                Some(symbol) => VenueEvent::Refused {
                    stream: symbol.0,
                    reason,
                },
                None => VenueEvent::Rejected { reason },
            }
        }
        (Some("subscribe"), ..) => {
            let subscribed = frame.result.map(RawValue::get);
            let subscribed = subscribed
                .and_then(|subscribed| serde_json::from_str::<Subscribed<'_>>(subscribed).ok());
            subscribed.map_or(VenueEvent::Accepted, |subscribed| VenueEvent::AcceptedAs {
                stream: subscribed.symbol.0,
            })
        }
        (None, _, Some(reason)) => VenueEvent::Rejected { reason },
        // `pong`, and unused methods.
        _ => VenueEvent::Alive,
    }
}

#[cfg(test)]
#[path = "kraken_tests.rs"]
mod tests;
