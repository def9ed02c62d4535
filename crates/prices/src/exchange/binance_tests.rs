//! Messages of "WebSocket Streams for Binance", as in that document.

use super::*;

fn events_of(text: &str) -> Vec<VenueEvent<'_>> {
    let mut events = Vec::new();
    Binance.read(text, &mut |event| events.push(event));
    events
}

fn event_of(text: &str) -> VenueEvent<'_> {
    let mut events = events_of(text);
    assert_eq!(events.len(), 1, "{text}");
    events.remove(0)
}

fn fault(text: &str) -> PriceFault {
    match event_of(text) {
        VenueEvent::Unusable { fault, .. } => fault,
        other => panic!("{other:?}"),
    }
}

const BOOK: &str = r#"{"stream":"bnbusdt@bookTicker","data":{
  "u":400900217,
  "s":"BNBUSDT",
  "b":"25.35190000",
  "B":"31.21000000",
  "a":"25.36520000",
  "A":"40.66000000"
}}"#;

const TRADED: &str = r#"{"stream":"bnbbtc@trade","data":{
  "e": "trade",
  "E": 1672515782136,
  "s": "BNBBTC",
  "t": 12345,
  "p": "0.001",
  "q": "100",
  "T": 1672515782136,
  "m": true,
  "M": true
}}"#;

#[test]
fn book_ticker_gives_mid_price_and_half_spread() {
    let VenueEvent::Quote(quote) = event_of(BOOK) else {
        panic!("{BOOK}")
    };
    assert_eq!(quote.stream, "bnbusdt@bookTicker");
    assert_eq!(quote.price.normalized().to_plain_string(), "25.35855");
    assert_eq!(quote.confidence, Some("0.00665".parse().unwrap()));
    assert_eq!((quote.observed_at, quote.order), (None, Some(400_900_217)));
}

#[test]
fn trade_gives_price_and_time() {
    let VenueEvent::Quote(quote) = event_of(TRADED) else {
        panic!("{TRADED}")
    };
    assert_eq!(quote.stream, "bnbbtc@trade");
    assert_eq!(quote.price.to_plain_string(), "0.001");
    assert_eq!(quote.confidence, None);
    assert_eq!(
        (quote.observed_at, quote.order),
        (Some(1_672_515_782_136), Some(12_345))
    );
    // Older documents have the order ids of buyer and seller in `b` and `a`.
    let older = TRADED.replace(r#""T":"#, r#""b": 88, "a": 50, "T":"#);
    assert!(matches!(event_of(&older), VenueEvent::Quote(_)));
}

#[test]
fn distinguishes_answers_from_errors() {
    let request = Binance.subscribe(&["btcusdt@bookTicker", "ethusdt@trade"], 7);
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&request.text).unwrap(),
        json!({ "method": "SUBSCRIBE", "params": ["btcusdt@bookTicker", "ethusdt@trade"], "id": 7 })
    );
    assert_eq!(request.answers, 1);
    assert_eq!(
        event_of(r#"{ "result": null, "id": 1 }"#),
        VenueEvent::Accepted
    );
    for refusal in [
        r#"{"code": 2, "msg": "Invalid request: unknown variant X", "id": 1}"#,
        r#"{"code":3,"msg":"Invalid JSON: expected value at line 1 column 1"}"#,
        r#"{"error":{"code":2,"msg":"Invalid request: too many parameters"},"id":1}"#,
    ] {
        let VenueEvent::Rejected { reason } = event_of(refusal) else {
            panic!("{refusal}")
        };
        assert!(reason.starts_with("Invalid"), "{reason}");
    }
}

#[test]
fn detects_server_shutdown() {
    for text in [
        r#"{"e":"serverShutdown","E":1770123456789}"#,
        r#"{"event":{"e":"serverShutdown","E":1770123456789}}"#,
        r#"{"stream":"!server","data":{"e":"serverShutdown","E":1770123456789}}"#,
    ] {
        assert_eq!(event_of(text), VenueEvent::Closing, "{text}");
    }
}

#[test]
fn rejects_invalid_price_with_reason() {
    for (from, to, reason) in [
        (r#""25.35190000""#, r#""0.00000000""#, "not_positive"),
        (r#""25.35190000""#, r#""-25.3""#, "not_positive"),
        (r#""25.35190000""#, r#""1e99""#, "absurd"),
        (r#""25.35190000""#, r#""NaN""#, "malformed"),
        (r#""25.35190000""#, "null", "malformed"),
        (r#""25.35190000""#, r#""26""#, "crossed"),
        (r#""25.35190000""#, r#""0.01""#, "wide"),
        (r#""BNBUSDT""#, r#""BNBUSDC""#, "unknown_symbol"),
        (r#""u":400900217,"#, "", "malformed"),
    ] {
        assert_eq!(fault(&BOOK.replace(from, to)).reason(), reason, "{from}");
    }
    let other = BOOK.replace("bookTicker", "depth");
    assert_eq!(fault(&other).reason(), "unknown_symbol");
}

#[test]
fn accepts_numbers_like_strings() {
    let text = BOOK.replace(r#""25.36520000""#, "25.36520000");
    let VenueEvent::Quote(quote) = event_of(&text) else {
        panic!("{text}")
    };
    assert_eq!(quote.price.normalized().to_plain_string(), "25.35855");
}

#[test]
fn reports_unreadable_and_ignored_messages() {
    for text in [
        "",
        "[]",
        "{",
        "null",
        "7",
        r#"{"stream":7,"data":{}}"#,
        "NaN",
    ] {
        assert!(
            matches!(event_of(text), VenueEvent::Unreadable(_)),
            "{text}"
        );
    }
    for text in [
        "{}",
        r#"{"id":null,"result":null}"#,
        r#"{"e":"something new"}"#,
    ] {
        assert_eq!(event_of(text), VenueEvent::Alive, "{text}");
    }
}

/// The other streams of the document with their payloads, none of them subscribed.
const OTHERS: [(&str, &str); 9] = [
    (
        "bnbbtc@aggTrade",
        r#"{"e":"aggTrade","E":1672515782136,"s":"BNBBTC","a":12345,"p":"0.001","q":"100","f":100,"l":105,"T":1672515782136,"m":true,"M":true}"#,
    ),
    (
        "bnbbtc@kline_1m",
        r#"{"e":"kline","E":1672515782136,"s":"BNBBTC","k":{"t":1672515780000,"T":1672515839999,"s":"BNBBTC","i":"1m","f":100,"L":200,"o":"0.0010","c":"0.0020","h":"0.0025","l":"0.0015","v":"1000","n":100,"x":false,"q":"1.0000","V":"500","Q":"0.500","B":"123456"}}"#,
    ),
    (
        "bnbbtc@miniTicker",
        r#"{"e":"24hrMiniTicker","E":1672515782136,"s":"BNBBTC","c":"0.0025","o":"0.0010","h":"0.0025","l":"0.0010","v":"10000","q":"18"}"#,
    ),
    (
        "!miniTicker@arr",
        r#"[{"e":"24hrMiniTicker","E":1672515782136,"s":"BNBBTC","c":"0.0025","o":"0.0010","h":"0.0025","l":"0.0010","v":"10000","q":"18"}]"#,
    ),
    (
        "bnbbtc@ticker",
        r#"{"e":"24hrTicker","E":1672515782136,"s":"BNBBTC","p":"0.0015","P":"250.00","w":"0.0018","x":"0.0009","c":"0.0025","Q":"10","b":"0.0024","B":"10","a":"0.0026","A":"100","o":"0.0010","h":"0.0025","l":"0.0010","v":"10000","q":"18","O":0,"C":86400000,"F":0,"L":18150,"n":18151}"#,
    ),
    (
        "bnbbtc@ticker_1h",
        r#"{"e":"1hTicker","E":1672515782136,"s":"BNBBTC","p":"0.0015","P":"250.00","o":"0.0010","h":"0.0025","l":"0.0010","c":"0.0025","w":"0.0018","v":"10000","q":"18","O":0,"C":1675216573749,"F":0,"L":18150,"n":18151}"#,
    ),
    (
        "btcusdt@avgPrice",
        r#"{"e":"avgPrice","E":1693907033000,"s":"BTCUSDT","i":"5m","w":"25776.86000000","T":1693907032213}"#,
    ),
    (
        "bnbbtc@depth5",
        r#"{"lastUpdateId":160,"bids":[["0.0024","10"]],"asks":[["0.0026","100"]]}"#,
    ),
    (
        "bnbbtc@depth",
        r#"{"e":"depthUpdate","E":1672515782136,"s":"BNBBTC","U":157,"u":160,"b":[["0.0024","10"]],"a":[["0.0026","100"]]}"#,
    ),
];

#[test]
fn rejects_streams_not_requested() {
    for (stream, payload) in OTHERS {
        let combined = format!(r#"{{"stream":"{stream}","data":{payload}}}"#);
        assert_eq!(fault(&combined).reason(), "unknown_symbol", "{combined}");
        // The payload of one stream under the name of another.
        for name in ["bnbbtc@bookTicker", "bnbbtc@trade"] {
            let mixed = format!(r#"{{"stream":"{name}","data":{payload}}}"#);
            assert_eq!(fault(&mixed).reason(), "malformed", "{mixed}");
        }
    }
    // As sent without combined streams.
    for (_, payload) in OTHERS {
        let events = events_of(payload);
        assert!(
            matches!(
                events.as_slice(),
                [VenueEvent::Alive | VenueEvent::Unreadable(_)]
            ),
            "{payload}: {events:?}"
        );
    }
    // Answers to unused methods.
    for answer in [
        r#"{"result":["btcusdt@aggTrade"],"id":3}"#,
        r#"{"result":true,"id":5}"#,
    ] {
        assert_eq!(event_of(answer), VenueEvent::Accepted, "{answer}");
    }
}
