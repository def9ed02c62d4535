//! Messages of Coinbase Exchange's "Exchange WebSocket Overview" and "Exchange WebSocket Channels", as in those
//! documents.

use super::*;

fn event_of(text: &str) -> VenueEvent<'_> {
    let mut events = Vec::new();
    Coinbase.read(text, &mut |event| events.push(event));
    assert_eq!(events.len(), 1, "{text}");
    events.remove(0)
}

const TICKER: &str = r#"{
  "type": "ticker",
  "sequence": 37475248783,
  "product_id": "ETH-USD",
  "price": "1285.22",
  "open_24h": "1310.79",
  "volume_24h": "245532.79269678",
  "low_24h": "1280.52",
  "high_24h": "1313.8",
  "volume_30d": "9788783.60117027",
  "best_bid": "1285.04",
  "best_bid_size": "0.46688654",
  "best_ask": "1285.27",
  "best_ask_size": "1.56637040",
  "side": "buy",
  "time": "2022-10-19T23:28:22.061769Z",
  "trade_id": 370843401,
  "last_size": "11.4396987"
}"#;

#[test]
fn ticker_gives_trade_price_and_half_spread() {
    let VenueEvent::Quote(quote) = event_of(TICKER) else {
        panic!("{TICKER}")
    };
    assert_eq!(quote.stream, "ETH-USD");
    assert_eq!(quote.price.to_plain_string(), "1285.22");
    assert_eq!(quote.confidence, Some("0.115".parse().unwrap()));
    assert_eq!(quote.observed_at, Some(1_666_222_102_061));
    assert_eq!(quote.order, Some(37_475_248_783));
}

#[test]
fn one_sided_book_has_no_confidence() {
    for (from, to) in [
        (r#""1285.04""#, r#""0""#),
        (r#""1285.27""#, r#""""#),
        (r#""1285.27""#, r#""1285""#),
        (r#""best_bid""#, r#""bid""#),
    ] {
        let text = TICKER.replace(from, to);
        let VenueEvent::Quote(quote) = event_of(&text) else {
            panic!("{text}")
        };
        assert_eq!(quote.confidence, None, "{text}");
    }
    let without_time = TICKER.replace("\"time\"", "\"at\"");
    let VenueEvent::Quote(quote) = event_of(&without_time) else {
        panic!("{without_time}")
    };
    assert_eq!(quote.observed_at, None);
}

#[test]
fn request_has_all_tickers_and_one_heartbeat() {
    let request = Coinbase.subscribe(&["BTC-USD", "ETH-USD"], 1);
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&request.text).unwrap(),
        json!({ "type": "subscribe", "channels": [
            { "name": "ticker", "product_ids": ["BTC-USD", "ETH-USD"] },
            { "name": "heartbeat", "product_ids": ["BTC-USD"] },
        ] })
    );
    let answer = r#"{"type":"subscriptions","channels":[
        {"name":"level2","product_ids":["ETH-USD","ETH-EUR"],"account_ids":null},
        {"name":"heartbeat","product_ids":["ETH-USD","ETH-EUR"],"account_ids":null},
        {"name":"ticker","product_ids":["ETH-USD","ETH-EUR","ETH-BTC"],"account_ids":null}]}"#;
    assert_eq!(event_of(answer), VenueEvent::Accepted);
}

#[test]
fn ignores_heartbeats_and_unknown_types() {
    for text in [
        r#"{"type":"heartbeat","sequence":90,"last_trade_id":20,"product_id":"BTC-USD","time":"2014-11-07T08:19:28.464459Z"}"#,
        r#"{"type":"status","products":[],"currencies":[]}"#,
        r#"{"type":"last_match","trade_id":10,"sequence":50,"product_id":"BTC-USD","size":"5.23512","price":"400.23"}"#,
        r#"{"type":"something_new"}"#,
        r#"{"type":"auction","product_id":"LTC-USD","sequence":3262786978,"auction_state":"collection","best_bid_price":"333.98","best_bid_size":"4.39088265","best_ask_price":"333.99","best_ask_size":"25.23542881","open_price":"333.99","open_size":"0.193","can_open":"yes","timestamp":"2015-11-14T20:46:03.511254Z"}"#,
        r#"{"type":"snapshot","product_id":"BTC-USD","bids":[["10101.10","0.45054140"]],"asks":[["10102.55","0.57753524"]]}"#,
        r#"{"type":"l2update","product_id":"BTC-USD","changes":[["buy","22356.270000","0.00000000"]],"time":"2022-08-04T15:25:05.010758Z"}"#,
        r#"{"type":"received","time":"2014-11-07T08:19:27.028459Z","product_id":"BTC-USD","sequence":10,"order_id":"d50ec984-77a8-460a-b958-66f114b0de9b","size":"1.34","price":"502.1","side":"buy","order_type":"limit"}"#,
        r#"{"type":"open","time":"2014-11-07T08:19:27.028459Z","product_id":"BTC-USD","sequence":10,"order_id":"d50ec984-77a8-460a-b958-66f114b0de9b","price":"200.2","remaining_size":"1.00","side":"sell"}"#,
        r#"{"type":"done","time":"2014-11-07T08:19:27.028459Z","product_id":"BTC-USD","sequence":10,"price":"200.2","order_id":"d50ec984-77a8-460a-b958-66f114b0de9b","reason":"filled","side":"sell","remaining_size":"0"}"#,
        r#"{"type":"match","trade_id":10,"sequence":50,"maker_order_id":"ac928c66","taker_order_id":"132fb6ae","time":"2014-11-07T08:19:27.028459Z","product_id":"BTC-USD","size":"5.23512","price":"400.23","side":"sell"}"#,
        r#"{"type":"change","reason":"STP","time":"2014-11-07T08:19:27.028459Z","sequence":80,"order_id":"ac928c66","side":"sell","product_id":"BTC-USD","old_size":"12.234412","new_size":"5.23512","price":"400.23"}"#,
        r#"{"type":"activate","product_id":"test-product","timestamp":"1483736448.299000","user_id":"12","order_id":"7b52009b","stop_type":"entry","side":"buy","stop_price":"80","size":"2","funds":"50","private":true}"#,
        r#"{"type":"balance","account_id":"d50ec984","currency":"USD","holds":"1000.23","available":"102030.99","updated":"2023-10-10T20:42:27.265Z","timestamp":"2023-10-10T20:42:29.265Z"}"#,
    ] {
        assert_eq!(event_of(text), VenueEvent::Alive, "{text}");
    }
}

#[test]
fn distinguishes_product_errors() {
    let unknown = r#"{"type":"error","message":"Failed to subscribe","reason":"DOGE-BTC is not a valid product"}"#;
    let VenueEvent::Refused { stream, reason } = event_of(unknown) else {
        panic!("{unknown}")
    };
    assert_eq!(stream, "DOGE-BTC");
    assert_eq!(reason, "DOGE-BTC is not a valid product");
    let delisted =
        r#"{"type":"error","message":"Failed to subscribe","reason":"1INCH-USD is delisted"}"#;
    let VenueEvent::Refused { stream, reason } = event_of(delisted) else {
        panic!("{delisted}")
    };
    assert_eq!((&*stream, &*reason), ("1INCH-USD", "1INCH-USD is delisted"));
    for (text, expected) in [
        (
            r#"{"type":"error","message":"Failed to subscribe","reason":"Pre-trade checks failed"}"#,
            "Failed to subscribe: Pre-trade checks failed",
        ),
        (
            r#"{"type":"error","message":"Failed to subscribe","reason":"No channels provided"}"#,
            "Failed to subscribe: No channels provided",
        ),
        (
            r#"{"type":"error","message":"Failed to subscribe","reason":" is not a valid product"}"#,
            "Failed to subscribe: is not a valid product",
        ),
        (
            r#"{"type":"error","message":"ErrSlowConsume"}"#,
            "ErrSlowConsume",
        ),
        (r#"{"type":"error"}"#, "error without a message"),
    ] {
        let expected = expected.to_owned();
        assert_eq!(event_of(text), VenueEvent::Rejected { reason: expected });
    }
}

#[test]
fn rejects_invalid_price_with_reason() {
    for (from, to, reason) in [
        (r#""1285.22""#, r#""0""#, "not_positive"),
        (r#""1285.22""#, r#""-1""#, "not_positive"),
        (r#""1285.22""#, r#""1e400""#, "absurd"),
        (r#""1285.22""#, r#""NaN""#, "malformed"),
        (r#""price""#, r#""prize""#, "malformed"),
        ("2022-10-19T", "yesterday ", "malformed"),
    ] {
        let text = TICKER.replace(from, to);
        let VenueEvent::Unusable { stream, fault } = event_of(&text) else {
            panic!("{text}")
        };
        assert_eq!((&*stream, fault.reason()), ("ETH-USD", reason), "{text}");
    }
    for text in ["", "[]", "{}", "\"ticker\"", r#"{"type":"ticker"}"#] {
        assert!(
            matches!(event_of(text), VenueEvent::Unreadable(_)),
            "{text}"
        );
    }
}
