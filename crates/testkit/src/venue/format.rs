//! The messages and limits of each venue, as in its documentation. The only place that knows the venues.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat};
use serde::Deserialize;
use serde_json::{Value, json};

use super::VenueTick;
use chaincast_protocol::now_ms;

/// The protocol of a venue. Benchmarks use its messages without the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VenueProtocol {
    /// Combined streams of Binance.
    Binance,
    /// The WebSocket feed of Coinbase Exchange.
    Coinbase,
    /// Version 2 of Kraken's WebSocket API.
    Kraken,
}

/// A subscription request.
pub struct SubscribeRequest {
    /// What to subscribe to: Binance's streams, such as `btcusdt@bookTicker`; else the venue's symbols.
    pub streams: Vec<String>,
    id: Value,
}

impl VenueProtocol {
    /// Every protocol, in the order of declaration.
    pub const ALL: [Self; 3] = [Self::Binance, Self::Coinbase, Self::Kraken];

    /// The kind of its sources in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Binance => "binance",
            Self::Coinbase => "coinbase",
            Self::Kraken => "kraken",
        }
    }

    /// Interval of its heartbeats.
    pub fn heartbeat_interval(self) -> Duration {
        match self {
            Self::Binance => Duration::from_secs(20),
            Self::Coinbase | Self::Kraken => Duration::from_secs(1),
        }
    }

    /// Time after which the venue closes a connection without a subscription.
    pub(super) fn subscribe_timeout(self) -> Option<Duration> {
        (self == Self::Coinbase).then_some(Duration::from_secs(5))
    }

    /// Most messages per second that the venue accepts, pongs included; it closes a connection that sends more.
    pub(super) fn max_per_second(self) -> usize {
        match self {
            Self::Binance => 5,
            Self::Coinbase | Self::Kraken => usize::MAX,
        }
    }

    /// The symbol of a subscribed stream, as in the venue's messages.
    pub fn symbol_of(self, stream: &str) -> String {
        let symbol = stream.split('@').next().unwrap_or_default();
        match self {
            Self::Binance | Self::Coinbase => symbol.to_uppercase(),
            // Kraken's symbols are case-sensitive.
            Self::Kraken => symbol.to_owned(),
        }
    }

    /// Sent when a connection opens.
    pub fn greeting(self) -> Option<String> {
        let status = json!({ "channel": "status", "type": "update", "data": [{
            "system": "online", "api_version": "v2",
            "connection_id": 13_834_774_380_200_032_777_u64, "version": "2.0.0",
        }] });
        (self == Self::Kraken).then(|| status.to_string())
    }

    /// A heartbeat; `None` for a venue that pings instead.
    pub fn heartbeat(self, symbol: &str) -> Option<String> {
        match self {
            Self::Binance => None,
            Self::Coinbase => {
                let time = rfc3339(now_ms());
                let beat = json!({ "type": "heartbeat", "sequence": 90, "last_trade_id": 20,
                    "product_id": symbol, "time": time });
                Some(beat.to_string())
            }
            Self::Kraken => Some(json!({ "channel": "heartbeat" }).to_string()),
        }
    }

    /// The message that announces the end of the connection, if the venue has one.
    pub(super) fn announcement(self) -> Option<String> {
        let event = json!({ "e": "serverShutdown", "E": now_ms() });
        (self == Self::Binance).then(|| event.to_string())
    }

    /// Parses a client's message as a subscription request; `None` for any other message.
    pub fn parse_subscribe(self, text: &str) -> Option<SubscribeRequest> {
        let request: Value = serde_json::from_str(text).ok()?;
        let (verb, streams, id) = match self {
            Self::Binance => ("SUBSCRIBE", &request["params"], &request["id"]),
            Self::Coinbase => (
                "subscribe",
                &request["channels"][0]["product_ids"],
                &Value::Null,
            ),
            Self::Kraken => (
                "subscribe",
                &request["params"]["symbol"],
                &request["req_id"],
            ),
        };
        let method = request.get("method").or_else(|| request.get("type"))?;
        let names = |streams: &Vec<Value>| {
            let names = streams.iter().filter_map(Value::as_str);
            names.map(str::to_owned).collect()
        };
        (method == verb).then(|| SubscribeRequest {
            streams: streams.as_array().map(names).unwrap_or_default(),
            id: id.clone(),
        })
    }

    /// The responses to a request, and the accepted streams.
    pub fn answer(
        self,
        request: SubscribeRequest,
        refused: impl Fn(&str) -> bool,
    ) -> (Vec<String>, Vec<String>) {
        let SubscribeRequest { streams, id } = request;
        let is_refused = |stream: &str| refused(&self.symbol_of(stream));
        match self {
            // Binance accepts unknown streams, and never sends data for them.
            Self::Binance => {
                let answer = json!({ "result": null, "id": id });
                let known = streams
                    .into_iter()
                    .filter(|stream| !is_refused(stream.as_str()));
                (vec![answer.to_string()], known.collect())
            }
            Self::Coinbase => {
                let unknown = streams.iter().find(|stream| is_refused(stream.as_str()));
                if let Some(stream) = unknown {
                    let reason = format!("{stream} is not a valid product");
                    let error = json!({ "type": "error", "message": "Failed to subscribe",
                        "reason": reason });
                    return (vec![error.to_string()], Vec::new());
                }
                let alive = &streams[..streams.len().min(1)];
                let answer = json!({ "type": "subscriptions", "channels": [
                    { "name": "ticker", "product_ids": streams, "account_ids": null },
                    { "name": "heartbeat", "product_ids": alive, "account_ids": null },
                ] });
                (vec![answer.to_string()], streams)
            }
            Self::Kraken => {
                let time = rfc3339(now_ms());
                let answer = |stream: &String| {
                    let mut answer = json!({ "method": "subscribe", "req_id": id,
                        "time_in": time, "time_out": time });
                    if is_refused(stream.as_str()) {
                        answer["success"] = json!(false);
                        answer["symbol"] = json!(stream);
                        answer["error"] = json!(format!("Currency pair not supported {stream}"));
                    } else {
                        answer["success"] = json!(true);
                        answer["result"] = json!({ "channel": "ticker", "symbol": stream,
                            "event_trigger": "bbo", "snapshot": true });
                    }
                    answer.to_string()
                };
                let answers = streams.iter().map(answer).collect();
                let known = streams.iter().filter(|stream| !is_refused(stream.as_str()));
                (answers, known.cloned().collect())
            }
        }
    }

    /// The response to a ping message.
    pub fn pong(self, text: &str) -> Option<String> {
        let is_ping = self == Self::Kraken && text.contains(r#""method":"ping""#);
        is_ping.then(|| json!({ "method": "pong", "time_in": rfc3339(now_ms()) }).to_string())
    }

    /// Whether a new subscription gets the last price of the symbol immediately.
    pub(super) fn has_snapshots(self) -> bool {
        self != Self::Binance
    }

    /// A price message of a stream. The values are inserted unchanged, so they may be invalid.
    pub fn tick(self, stream: &str, tick: &VenueTick, order: u64, snapshot: bool) -> String {
        let (symbol, price, bid, ask) = (&tick.symbol, &tick.price, tick.bid(), tick.ask());
        match self {
            Self::Binance if stream.ends_with("@trade") => {
                let time = tick.time_ms.unwrap_or_else(now_ms);
                format!(
                    r#"{{"stream":"{stream}","data":{{"e":"trade","E":{time},"s":"{symbol}","t":{order},"p":"{price}","q":"100","T":{time},"m":true,"M":true}}}}"#
                )
            }
            Self::Binance => format!(
                r#"{{"stream":"{stream}","data":{{"u":{order},"s":"{symbol}","b":"{bid}","B":"31.21000000","a":"{ask}","A":"40.66000000"}}}}"#
            ),
            Self::Coinbase => {
                let time = tick
                    .time_ms
                    .map(|at| format!(r#","time":"{}""#, rfc3339(at)));
                let time = time.unwrap_or_default();
                format!(
                    r#"{{"type":"ticker","sequence":{order},"product_id":"{symbol}","price":"{price}","open_24h":"1310.79","volume_24h":"245532.79269678","low_24h":"1280.52","high_24h":"1313.8","volume_30d":"9788783.60117027","best_bid":"{bid}","best_bid_size":"0.46688654","best_ask":"{ask}","best_ask_size":"1.56637040","side":"buy"{time},"trade_id":370843401,"last_size":"11.4396987"}}"#
                )
            }
            Self::Kraken => {
                let time = tick
                    .time_ms
                    .map(|at| format!(r#","timestamp":"{}""#, rfc3339(at)));
                let time = time.unwrap_or_default();
                let kind = if snapshot { "snapshot" } else { "update" };
                format!(
                    r#"{{"channel":"ticker","type":"{kind}","data":[{{"symbol":"{symbol}","bid":{bid},"bid_qty":740.0,"ask":{ask},"ask_qty":740.0,"last":{price},"volume":997038.98383185,"vwap":0.10148,"low":0.09979,"high":0.10285,"change":-0.00017,"change_pct":-0.17{time}}}]}}"#
                )
            }
        }
    }
}

fn rfc3339(ms: i64) -> String {
    let time = DateTime::from_timestamp_millis(ms).unwrap_or_default();
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}
