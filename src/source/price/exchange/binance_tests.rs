//! The messages of "WebSocket Streams for Binance", as that document shows them.

use super::*;

fn said(text: &str) -> Vec<Said<'_>> {
    let mut heard = Vec::new();
    Binance.read(text, &mut |said| heard.push(said));
    heard
}

fn only(text: &str) -> Said<'_> {
    let mut heard = said(text);
    assert_eq!(heard.len(), 1, "{text}");
    heard.remove(0)
}

fn fault(text: &str) -> PriceFault {
    match only(text) {
        Said::Unusable { fault, .. } => fault,
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
fn a_book_ticker_is_the_middle_of_bid_and_ask_with_half_the_spread() {
    let Said::Quote(quote) = only(BOOK) else {
        panic!("{BOOK}")
    };
    assert_eq!(quote.stream, "bnbusdt@bookTicker");
    assert_eq!(quote.price.normalized().to_plain_string(), "25.35855");
    assert_eq!(quote.confidence, Some("0.00665".parse().unwrap()));
    assert_eq!((quote.observed_at, quote.order), (None, Some(400_900_217)));
}

#[test]
fn a_trade_is_its_price_at_its_time() {
    let Said::Quote(quote) = only(TRADED) else {
        panic!("{TRADED}")
    };
    assert_eq!(quote.stream, "bnbbtc@trade");
    assert_eq!(quote.price.to_plain_string(), "0.001");
    assert_eq!(quote.confidence, None);
    assert_eq!(
        (quote.observed_at, quote.order),
        (Some(1_672_515_782_136), Some(12_345))
    );
    // Older documents show the orders of buyer and seller in `b` and `a`.
    let older = TRADED.replace(r#""T":"#, r#""b": 88, "a": 50, "T":"#);
    assert!(matches!(only(&older), Said::Quote(_)));
}

#[test]
fn requests_name_streams_and_their_answers_are_told_apart_from_refusals() {
    let request = Binance.subscribe(&["btcusdt@bookTicker", "ethusdt@trade"], 7);
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&request.text).unwrap(),
        json!({ "method": "SUBSCRIBE", "params": ["btcusdt@bookTicker", "ethusdt@trade"], "id": 7 })
    );
    assert_eq!(request.answers, 1);
    assert_eq!(only(r#"{ "result": null, "id": 1 }"#), Said::Accepted);
    for refusal in [
        r#"{"code": 2, "msg": "Invalid request: unknown variant X", "id": 1}"#,
        r#"{"code":3,"msg":"Invalid JSON: expected value at line 1 column 1"}"#,
        r#"{"error":{"code":2,"msg":"Invalid request: too many parameters"},"id":1}"#,
    ] {
        let Said::Rejected { reason } = only(refusal) else {
            panic!("{refusal}")
        };
        assert!(reason.starts_with("Invalid"), "{reason}");
    }
}

#[test]
fn the_end_of_a_server_is_heard_however_it_is_wrapped() {
    for text in [
        r#"{"e":"serverShutdown","E":1770123456789}"#,
        r#"{"event":{"e":"serverShutdown","E":1770123456789}}"#,
        r#"{"stream":"!server","data":{"e":"serverShutdown","E":1770123456789}}"#,
    ] {
        assert_eq!(only(text), Said::Closing, "{text}");
    }
}

#[test]
fn what_is_wrong_with_a_price_is_told_by_its_kind() {
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
fn numbers_are_read_as_strings_are() {
    let text = BOOK.replace(r#""25.36520000""#, "25.36520000");
    let Said::Quote(quote) = only(&text) else {
        panic!("{text}")
    };
    assert_eq!(quote.price.normalized().to_plain_string(), "25.35855");
}

#[test]
fn what_is_no_message_is_told_and_nothing_more() {
    for text in [
        "",
        "[]",
        "{",
        "null",
        "7",
        r#"{"stream":7,"data":{}}"#,
        "NaN",
    ] {
        assert!(matches!(only(text), Said::Unreadable(_)), "{text}");
    }
    for text in [
        "{}",
        r#"{"id":null,"result":null}"#,
        r#"{"e":"something new"}"#,
    ] {
        assert_eq!(only(text), Said::Alive, "{text}");
    }
}
