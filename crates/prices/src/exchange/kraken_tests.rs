//! Messages of Kraken's "Spot WebSocket v2" reference, as on its pages.

use super::*;

fn events_of(text: &str) -> Vec<VenueEvent<'_>> {
    let mut events = Vec::new();
    Kraken.read(text, &mut |event| events.push(event));
    events
}

fn event_of(text: &str) -> VenueEvent<'_> {
    let mut events = events_of(text);
    assert_eq!(events.len(), 1, "{text}");
    events.remove(0)
}

const SNAPSHOT: &str = r#"{
    "channel": "ticker",
    "type": "snapshot",
    "data": [
        {
            "symbol": "ALGO/USD",
            "bid": 0.10025,
            "bid_qty": 740.0,
            "ask": 0.10036,
            "ask_qty": 1361.44813783,
            "last": 0.10035,
            "volume": 997038.98383185,
            "vwap": 0.10148,
            "low": 0.09979,
            "high": 0.10285,
            "change": -0.00017,
            "change_pct": -0.17,
            "timestamp": "2023-09-25T09:04:31.742648Z"
        }
    ]
}"#;

#[test]
fn ticker_gives_mid_price_and_half_spread() {
    for text in [SNAPSHOT.to_owned(), SNAPSHOT.replace("snapshot", "update")] {
        let VenueEvent::Quote(quote) = event_of(&text) else {
            panic!("{text}")
        };
        assert_eq!(quote.stream, "ALGO/USD");
        assert_eq!(quote.price.normalized().to_plain_string(), "0.100305");
        assert_eq!(quote.confidence, Some("0.000055".parse().unwrap()));
        assert_eq!(quote.observed_at, Some(1_695_632_671_742));
        assert_eq!(quote.order, None);
    }
    let without_time = SNAPSHOT.replace("timestamp", "time");
    let VenueEvent::Quote(quote) = event_of(&without_time) else {
        panic!("{without_time}")
    };
    assert_eq!(quote.observed_at, None);
}

#[test]
fn number_keeps_every_digit() {
    let digits = "66123.12345678901234567890";
    let text = SNAPSHOT
        .replace("0.10025", digits)
        .replace("0.10036", digits);
    let VenueEvent::Quote(quote) = event_of(&text) else {
        panic!("{text}")
    };
    let exact = quote.price.normalized().to_plain_string();
    assert_eq!(exact, digits.trim_end_matches('0'));
}

#[test]
fn invalid_item_does_not_affect_others() {
    let good = r#"{"symbol":"A/USD","bid":1,"ask":1}"#;
    let bad = r#"{"symbol":"B/USD","bid":-1,"ask":1}"#;
    let worse = r#"{"symbol":7}"#;
    let text = format!(r#"{{"channel":"ticker","type":"update","data":[{worse},{bad},{good}]}}"#);
    let events = events_of(&text);
    assert!(matches!(events[0], VenueEvent::Unreadable(_)), "{events:?}");
    assert!(
        matches!(events[1], VenueEvent::Unusable { .. }),
        "{events:?}"
    );
    assert!(matches!(events[2], VenueEvent::Quote(_)), "{events:?}");
}

#[test]
fn each_symbol_is_answered_separately() {
    let request = Kraken.subscribe(&["BTC/USD", "ETH/USD"], 3);
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&request.text).unwrap(),
        json!({ "method": "subscribe", "req_id": 3, "params": {
            "channel": "ticker", "symbol": ["BTC/USD", "ETH/USD"], "event_trigger": "bbo" } })
    );
    assert_eq!(request.answers, 2);
    let accepted = r#"{"method":"subscribe","result":{"channel":"ticker","snapshot":true,"symbol":"ALGO/USD"},
        "success":true,"time_in":"2023-09-25T09:04:31.742599Z","time_out":"2023-09-25T09:04:31.742648Z"}"#;
    let stream = "ALGO/USD".into();
    assert_eq!(event_of(accepted), VenueEvent::AcceptedAs { stream });
    let nameless = r#"{"method":"subscribe","result":{},"success":true}"#;
    assert_eq!(event_of(nameless), VenueEvent::Accepted);
    let refused = r#"{"error":"Currency pair not supported XBT/EUR","method":"subscribe","success":false,
        "symbol":"XBT/EUR","time_in":"2023-09-25T09:04:31.742599Z","time_out":"2023-09-25T09:04:31.742648Z"}"#;
    let VenueEvent::Refused { stream, reason } = event_of(refused) else {
        panic!("{refused}")
    };
    assert_eq!(stream, "XBT/EUR");
    assert_eq!(reason, "Currency pair not supported XBT/EUR");
}

#[test]
fn error_without_symbol_rejects_connection() {
    for text in [
        r#"{"error":"Malformed request","method":"subscribe","success":false}"#,
        r#"{"Error":"Exceeded msg rate"}"#,
        r#"{"method":"subscribe","success":false}"#,
        r#"{"error":"Event(s) not found","success":false}"#,
    ] {
        assert!(
            matches!(event_of(text), VenueEvent::Rejected { .. }),
            "{text}"
        );
    }
}

#[test]
fn reports_trading_status() {
    let status = r#"{"channel":"status","data":[{"api_version":"v2","connection_id":13834774380200032777,
        "system":"online","version":"2.0.0"}],"type":"update"}"#;
    for text in [
        r#"{"channel":"heartbeat"}"#,
        r#"{"method":"pong","req_id":101,"time_in":"2023-09-24T14:10:23.799685Z","time_out":"2023-09-24T14:10:23.799703Z"}"#,
        r#"{"channel":"instrument","type":"snapshot","data":{"assets":[{"id":"USD","status":"enabled","precision":4}],"pairs":[{"symbol":"EUR/USD","base":"EUR","quote":"USD","status":"online","price_increment":0.00001}]}}"#,
        r#"{"channel":"book","type":"snapshot","data":[{"symbol":"MATIC/USD","bids":[{"price":0.5666,"qty":4831.75496356}],"asks":[{"price":0.5668,"qty":4410.79769741}],"checksum":2439117997}]}"#,
        r#"{"channel":"trade","type":"update","data":[{"symbol":"MATIC/USD","side":"sell","price":0.5117,"qty":40.0,"ord_type":"market","trade_id":4665906,"timestamp":"2023-09-25T07:49:37.708706Z"}]}"#,
        r#"{"channel":"ohlc","type":"update","timestamp":"2023-10-04T16:26:30.524394914Z","data":[{"symbol":"MATIC/USD","open":0.5624,"high":0.5628,"low":0.5622,"close":0.5627,"trades":12,"volume":30927.68066226,"vwap":0.5626,"interval_begin":"2023-10-04T16:25:00.000000000Z","interval":5,"timestamp":"2023-10-04T16:30:00.000000Z"}]}"#,
        r#"{"channel":"level3","type":"snapshot","data":[{"symbol":"MATIC/USD","checksum":281817320,"bids":[{"order_id":"O6ZQNQ-BXL4E-5WGINO","limit_price":0.5629,"order_qty":111.56125344,"timestamp":"2023-10-06T17:35:00.279389650Z"}],"asks":[]}]}"#,
        r#"{"method":"unsubscribe","result":{"channel":"ticker","symbol":"ALGO/USD"},"success":true,"time_in":"2023-09-25T09:04:31.742599Z","time_out":"2023-09-25T09:04:31.742648Z"}"#,
    ] {
        assert_eq!(event_of(text), VenueEvent::Alive, "{text}");
    }
    assert_eq!(event_of(status), VenueEvent::Normal);
    for system in [
        "upcoming_maintenance",
        "maintenance",
        "cancel_only",
        "post_only",
        "limit_only",
        "emergency",
        "unknown_state",
    ] {
        let text = status.replace("online", system);
        let VenueEvent::Notice(notice) = event_of(&text) else {
            panic!("{text}")
        };
        let begin = format!("trading engine is {system:?}");
        assert!(notice.starts_with(&begin), "{notice}");
    }
}

#[test]
fn hints_at_venue_name() {
    for (given, hint) in [
        ("XBT/USD", Some("the venue's name is BTC/USD")),
        ("xbt/usd", Some("the venue's name is BTC/USD")),
        ("ETH/XBT", Some("the venue's name is ETH/BTC")),
        ("XDG/EUR", Some("the venue's name is DOGE/EUR")),
        ("XXBT/ZUSD", Some("the venue's name is BTC/USD")),
        (
            "eth/usd",
            Some("symbols are case-sensitive; did you mean ETH/USD?"),
        ),
        ("NONE/USD", None),
    ] {
        assert_eq!(Kraken.hint(given).as_deref(), hint, "{given}");
    }
}

#[test]
fn rejects_invalid_price_with_reason() {
    for (from, to, reason) in [
        ("0.10025", "0", "not_positive"),
        ("0.10025", "-0.1", "not_positive"),
        ("0.10025", "1e-300", "absurd"),
        ("0.10036", "1e300", "absurd"),
        ("0.10025", "null", "malformed"),
        ("0.10025", "\"NaN\"", "malformed"),
        ("0.10025", "[0.1]", "malformed"),
        ("0.10025", "0.2", "crossed"),
        ("0.10036", "0.3", "wide"),
        ("2023-09-25T", "2023-13-25T", "malformed"),
    ] {
        let text = SNAPSHOT.replace(from, to);
        let VenueEvent::Unusable { stream, fault } = event_of(&text) else {
            panic!("{text}")
        };
        assert_eq!((&*stream, fault.reason()), ("ALGO/USD", reason), "{text}");
    }
    for text in ["", "[]", "\"\"", r#"{"channel":"ticker","data":7}"#] {
        assert!(
            matches!(event_of(text), VenueEvent::Unreadable(_)),
            "{text}"
        );
    }
    // Not valid JSON: the message is unreadable.
    assert!(matches!(
        event_of(&SNAPSHOT.replace("0.10025", "NaN")),
        VenueEvent::Unreadable(_)
    ));
}
