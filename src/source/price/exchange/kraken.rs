//! Kraken, as its "Spot WebSocket v2" reference (`ticker`, `heartbeat`, `status`, `ping`) has it.
//!
//! `ticker` with `event_trigger: "bbo"` tells the best bid and ask whenever they change, first as a `snapshot`. Prices
//! are JSON numbers, which are read as their text: no float ever holds them. A `heartbeat` comes about every second
//! while there is nothing else; `status` when a connection opens and when the trading engine changes. Symbols are
//! case-sensitive, and each symbol of a request is answered by itself, so one that is not traded costs no other. A connection on which nothing is sent for
//! about a minute may be closed, so it is pinged.

use std::time::Duration;

use bigdecimal::BigDecimal;
use serde::Deserialize;
use serde_json::{json, value::RawValue};

use super::{
    super::venue_time,
    Exchange, Limits, PriceFault, Quote, Request, Said,
    json::Text,
    number::{middle, price},
};

pub(super) struct Kraken;

/// Every message there is: of a channel, or the answer to a method.
#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(borrow)]
    channel: Option<Text<'a>>,
    /// A list where it is of use here; other channels have objects.
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

/// What was asked for, as the venue calls it.
#[derive(Deserialize)]
struct Given<'a> {
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

    fn limits(&self) -> Limits {
        Limits {
            // The venue names no number, and limits requests as its load asks for.
            streams: 500,
            streams_a_request: 50,
            pace: Duration::from_millis(250),
            heartbeat: Duration::from_secs(1),
            pings_count: false,
            keepalive: Some((Duration::from_secs(30), r#"{"method":"ping"}"#)),
            refuses_whole_requests: false,
        }
    }

    fn hint(&self, stream: &str) -> Option<String> {
        let (base, quote) = stream.split_once('/')?;
        let own = |asset: &str| own_name(asset).map_or(asset.to_ascii_uppercase(), str::to_owned);
        let (named, upper) = (
            own_name(base).or(own_name(quote)),
            stream.to_ascii_uppercase(),
        );
        match named {
            Some(_) => Some(format!("the venue writes it {}/{}", own(base), own(quote))),
            None if upper != stream => {
                Some(format!("symbols are case-sensitive there; is it {upper}?"))
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

    fn read<'a>(&self, text: &'a str, say: &mut dyn FnMut(Said<'a>)) {
        let frame = match serde_json::from_str::<Frame<'a>>(text) {
            Ok(frame) => frame,
            Err(error) => return say(Said::Unreadable(error.to_string())),
        };
        type Read<'a> = fn(&'a RawValue) -> Said<'a>;
        let read = match frame.channel.as_deref() {
            Some("ticker") => ticker as Read<'a>,
            Some("status") => status as Read<'a>,
            Some(_) => return say(Said::Alive),
            None => return say(answer(frame)),
        };
        let items = frame.data.map_or("[]", RawValue::get);
        match serde_json::from_str::<Vec<&'a RawValue>>(items) {
            Ok(items) => items.into_iter().for_each(|item| say(read(item))),
            Err(error) => say(Said::Unreadable(error.to_string())),
        }
    }
}

fn ticker(item: &RawValue) -> Said<'_> {
    let ticker = match serde_json::from_str::<Ticker<'_>>(item.get()) {
        Ok(ticker) => ticker,
        Err(error) => return Said::Unreadable(error.to_string()),
    };
    match best(&ticker) {
        Ok((price, confidence, observed_at)) => Said::Quote(Quote {
            stream: ticker.symbol.0,
            price,
            confidence: Some(confidence),
            observed_at,
            order: None,
        }),
        Err(fault) => Said::Unusable {
            stream: ticker.symbol.0,
            fault,
        },
    }
}

/// The middle, half the spread, and the time.
fn best(ticker: &Ticker<'_>) -> Result<(BigDecimal, BigDecimal, Option<i64>), PriceFault> {
    let side = |side: Option<&RawValue>, name: &str| match side {
        Some(text) => price(text),
        None => Err(PriceFault::Malformed(format!("a ticker without {name}"))),
    };
    let (price, confidence) = middle(side(ticker.bid, "bid")?, side(ticker.ask, "ask")?)?;
    let observed_at = ticker.timestamp.map(venue_time::of_json).transpose()?;
    Ok((price, confidence, observed_at))
}

fn status(item: &RawValue) -> Said<'_> {
    match serde_json::from_str::<Status<'_>>(item.get()) {
        Ok(status) if &*status.system == "online" => Said::Usual,
        Ok(status) => Said::Notice(match meaning(&status.system) {
            Some(meaning) => format!("its trading engine is {:?}: {meaning}", &*status.system),
            None => format!("its trading engine is {:?}", &*status.system),
        }),
        Err(error) => Said::Unreadable(error.to_string()),
    }
}

/// What a state of the trading engine other than `online` allows.
fn meaning(system: &str) -> Option<&'static str> {
    Some(match system {
        "upcoming_maintenance" => "maintenance begins soon",
        "maintenance" => "there is no trading",
        "cancel_only" => "orders can be cancelled, and there is no other trading",
        "post_only" => "orders can be placed and cancelled, and none is matched",
        "limit_only" => "limit orders alone are taken",
        "emergency" => "trading is not as usual, without notice",
        _ => return None,
    })
}

/// What the venue calls an asset that other parts of it, and users of its older API, call otherwise.
fn own_name(asset: &str) -> Option<&'static str> {
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
    found.map(|(_, own)| *own)
}

fn answer(frame: Frame<'_>) -> Said<'_> {
    let reason = frame.error.map(|error| error.0.into_owned());
    match (frame.method.as_deref(), frame.success, reason) {
        (Some("subscribe"), Some(false), reason) | (Some("subscribe"), _, reason @ Some(_)) => {
            let reason = reason.unwrap_or_else(|| "refused without a word".to_owned());
            match frame.symbol {
                Some(symbol) => Said::Refused {
                    stream: symbol.0,
                    reason,
                },
                None => Said::Rejected { reason },
            }
        }
        (Some("subscribe"), ..) => {
            let given = frame.result.map(RawValue::get);
            let given = given.and_then(|given| serde_json::from_str::<Given<'_>>(given).ok());
            given.map_or(Said::Accepted, |given| Said::AcceptedAs {
                stream: given.symbol.0,
            })
        }
        (None, _, Some(reason)) => Said::Rejected { reason },
        // `pong`, and methods that are not used here.
        _ => Said::Alive,
    }
}

#[cfg(test)]
#[path = "kraken_tests.rs"]
mod tests;
