//! Every type of the protocol, parsed from what the server sends and serialized to the same bytes.

use std::fmt::Debug;

use chaincast_protocol::{
    Event, EventName, Heartbeat, LiveEvent, Refusal, ServerMessage,
    control::{
        Ack, Closed, ConnectError, Connected, Pong, RefusedChannel, RetryAfter, TokenExpiring,
    },
};
use serde::{Serialize, de::DeserializeOwned};

const HASH: &str = "0x00000000000000000000000000000000000000000000000000000000000000ab";
const ADDRESS: &str = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48";

/// Sample data of every event. `H` stands for a hash and `A` for an address.
const EVENTS: &[(&str, &str)] = &[
    (
        "new-block",
        r#"{"number":123,"hash":"H","parentHash":"H","timestamp":1790000000000,"blockTimestamp":1789999999,"transactions":12,"gasUsed":"210000","gasLimit":"30000000","baseFeePerGas":"7","chainId":31337}"#,
    ),
    (
        "new-block",
        r#"{"number":0,"hash":"H","parentHash":"H","timestamp":1,"blockTimestamp":0,"transactions":0,"gasUsed":"0","gasLimit":"18446744073709551615","baseFeePerGas":null,"chainId":1}"#,
    ),
    (
        "reorg",
        r#"{"chainId":1,"depth":2,"commonAncestor":{"number":121,"hash":"H"},"dropped":[{"number":123,"hash":"H"},{"number":122,"hash":"H"}],"timestamp":1}"#,
    ),
    (
        "block-finalized",
        r#"{"number":100,"hash":"H","chainId":31337,"timestamp":1790000000000}"#,
    ),
    (
        "price-update",
        r#"{"token":"ETH","price":3456.120000000000000001,"timestamp":1,"quote":"USD","confidence":0.42,"sources":["chainlink","kraken"],"ageMs":120,"status":"ok","details":[{"source":"chainlink","ageMs":14120,"block":{"chainId":1,"number":21000000},"outlier":false},{"source":"kraken","ageMs":120,"block":null,"outlier":true}]}"#,
    ),
    (
        "price-update",
        r#"{"token":"BTC","price":123456789012345678901234567890.000000000000000000000000000001,"timestamp":1,"quote":"USD","confidence":0,"sources":[],"ageMs":-3,"status":"degraded","reason":"few_venues","details":[]}"#,
    ),
    (
        "price-alert",
        r#"{"id":7,"alertId":3,"token":"ETH","condition":"above","threshold":4000.000000000000000001,"price":4000.5,"status":"degraded","note":"s\"ell","timestamp":5}"#,
    ),
    (
        "price-alert",
        r#"{"id":8,"alertId":3,"token":"ETH","condition":"below","threshold":1,"price":0.5,"status":"ok","timestamp":5}"#,
    ),
    (
        "candle-update",
        r#"{"token":"ETH","interval":"15m","timestamp":1790000040000,"open":3456.1,"high":3457.25,"low":0.000000000000000000000001,"close":3456,"count":37,"closed":false,"synthetic":false}"#,
    ),
    (
        "contract-event",
        r#"{"contract":"usdc","event":"Transfer","address":"A","args":{"to":"A","from":"A","value":"1000000","0":{"hash":"H"},"rate":1.000000000000000001},"blockNumber":123,"blockHash":"H","blockTimestamp":1789999999,"transactionHash":"H","logIndex":4,"chainId":1,"timestamp":1}"#,
    ),
    (
        "contract-event",
        r#"{"contract":"usdc","event":"Transfer","address":"A","args":null,"blockNumber":123,"blockHash":"H","blockTimestamp":1,"transactionHash":null,"logIndex":4,"chainId":1,"timestamp":1}"#,
    ),
    (
        "contract-reorg",
        r#"{"chainId":1,"commonAncestor":{"number":122,"hash":"H"},"dropped":[{"number":123,"hash":"H"}],"timestamp":1}"#,
    ),
    (
        "transaction-update",
        r#"{"hash":"H","status":"included","chainId":1,"blockNumber":123,"blockHash":"H","transactionIndex":0,"confirmations":1,"succeeded":true,"timestamp":1}"#,
    ),
    (
        "transaction-update",
        r#"{"hash":"H","status":"replaced","chainId":1,"blockNumber":1,"blockHash":"H","replacedBy":"H","timestamp":1}"#,
    ),
    (
        "transaction-update",
        r#"{"hash":"H","status":"unknown","timestamp":1}"#,
    ),
    (
        "address-transaction",
        r#"{"chainId":1,"hash":"H","status":"success","blockNumber":7,"blockHash":"H","blockTimestamp":1,"transactionIndex":0,"from":"A","to":"A","contractAddress":null,"value":"115792089237316195423570985008687907853269984665640564039457584007913129639935","nonce":"0","type":2,"gasLimit":"21000","gasPrice":null,"maxFeePerGas":"340282366920938463463374607431768211455","maxPriorityFeePerGas":"1","gasUsed":"21000","cumulativeGasUsed":"21000","effectiveGasPrice":"7","timestamp":1}"#,
    ),
    (
        "address-transaction",
        r#"{"chainId":1,"hash":"H","status":null,"blockNumber":7,"blockHash":"H","blockTimestamp":1,"transactionIndex":0,"from":"A","to":null,"contractAddress":"A","value":"0","nonce":"0","type":0,"gasLimit":"21000","gasPrice":"1","maxFeePerGas":null,"maxPriorityFeePerGas":null,"gasUsed":"21000","cumulativeGasUsed":"21000","effectiveGasPrice":"7","timestamp":1}"#,
    ),
    (
        "address-transfer",
        r#"{"chainId":1,"blockNumber":7,"blockHash":"H","blockTimestamp":1,"transactionHash":"H","transactionIndex":0,"source":"log","logIndex":3,"position":1,"standard":"ERC-1155","token":"A","from":"A","to":"A","tokenId":"5","amount":"77","timestamp":1}"#,
    ),
    (
        "address-transfer",
        r#"{"chainId":1,"blockNumber":7,"blockHash":"H","blockTimestamp":1,"transactionHash":null,"transactionIndex":0,"source":"transaction","logIndex":null,"position":0,"standard":"native","token":null,"from":"A","to":"A","tokenId":null,"amount":"77","timestamp":1}"#,
    ),
    (
        "address-reorg",
        r#"{"chainId":1,"commonAncestor":{"number":122,"hash":"H"},"dropped":[],"timestamp":1}"#,
    ),
    (
        "room-message",
        r#"{"from":"alice","type":"chat","payload":{"text":"\u00e9","n":[1.50,1E+2,null]},"key":"c1-17","timestamp":1790000000000}"#,
    ),
    (
        "room-message",
        r#"{"from":"alice","type":"chat","payload":null,"timestamp":1,"redacted":true}"#,
    ),
    (
        "room-redacted",
        r#"{"redactedSeq":12,"by":"mod","timestamp":1}"#,
    ),
    (
        "user-message",
        r#"{"id":7,"from":"alice","type":"order-shipped","payload":"x","key":"k","timestamp":1}"#,
    ),
    (
        "user-message",
        r#"{"id":8,"from":"alice","type":"order-shipped","payload":[],"timestamp":1}"#,
    ),
    (
        "announcement",
        r#"{"type":"maintenance","payload":{},"timestamp":1}"#,
    ),
    (
        "announcement",
        r#"{"type":"maintenance","payload":{},"key":"k","timestamp":1}"#,
    ),
];

/// Sample data of events that are not stored, besides the heartbeat.
const LIVE_EVENTS: &[(&str, &str)] = &[
    (
        "room-signal",
        r#"{"from":"alice","type":"typing","payload":{"isTyping":true},"timestamp":1}"#,
    ),
    (
        "member-joined",
        r#"{"member":{"sub":"bob","info":{"name":"B\u00f6b","n":1.50}},"count":2,"timestamp":1}"#,
    ),
    (
        "member-left",
        r#"{"member":{"sub":"bob","info":{}},"count":1,"timestamp":1}"#,
    ),
    (
        "members-changed",
        r#"{"joined":[{"sub":"bob","info":{}}],"left":[{"sub":"al","info":{"a":1}}],"count":2,"timestamp":1}"#,
    ),
];

const HEARTBEATS: &[&str] = &[
    r#"{"timestamp":1,"head":123,"chains":[{"chainId":1,"head":123,"headAgeMs":4000,"nodeAgeMs":900,"status":"ok"},{"chainId":2,"head":null,"headAgeMs":null,"nodeAgeMs":null,"status":"down"}],"seqs":{"new-block":7,"price:ETH":42},"staleSources":[{"ageMs":90000,"source":"chainlink","token":"ETH"},{"ageMs":null,"source":"kraken","token":"BTC"}],"moreStaleSources":3}"#,
    r#"{"timestamp":1,"head":null,"chains":null,"seqs":{},"staleSources":null}"#,
];

const CONNECTED: &[&str] = &[
    r#"{"clientId":"c","epoch":"k3f9x2","pingInterval":10000,"pingTimeout":5000,"serverTime":1790000000000,"user":null}"#,
    r#"{"clientId":"c","epoch":"k3f9x2","pingInterval":10000,"pingTimeout":5000,"serverTime":1,"user":{"channels":["price:*"],"expiresAt":1790003600000,"role":null,"sub":"alice"}}"#,
];

/// Acks with the variant that they must parse as.
const ACKS: &[(&str, &str)] = &[
    (
        "Subscribed",
        r#"{"channel":"price:ETH","success":true,"seq":41,"recovered":false}"#,
    ),
    ("Unsubscribed", r#"{"channel":"price:ETH","success":true}"#),
    (
        "Subscriptions",
        r#"{"channels":[{"channel":"price:ETH","interval":250,"mode":"latest","seq":42}],"success":true}"#,
    ),
    (
        "Published",
        r#"{"channel":"room:lobby","success":true,"seq":12}"#,
    ),
    (
        "Presence",
        r#"{"channel":"room:lobby","success":true,"members":[{"sub":"alice","info":{"n":1.50},"sessions":2,"since":1790000000000}],"count":1}"#,
    ),
    (
        "Channels",
        r#"{"channels":[{"channel":"price:ETH","recovered":false,"seq":41,"success":true},{"channel":"nope","error":{"code":"UNKNOWN_CHANNEL","message":"…"},"success":false}],"success":false}"#,
    ),
    (
        "Channels",
        r#"{"channels":[{"channel":"price:ETH","success":true}],"success":true}"#,
    ),
    ("Acknowledged", r#"{"acknowledged":2,"success":true}"#),
    (
        "Failed",
        r#"{"error":{"code":"RATE_LIMITED","message":"no","retryAfterMs":1200},"success":false}"#,
    ),
    ("Authenticated", r#"{"success":true,"user":null}"#),
    (
        "Authenticated",
        r#"{"success":true,"unsubscribed":["price:ETH"],"user":{"channels":null,"expiresAt":1,"role":"admin","sub":"a"}}"#,
    ),
];

const MESSAGES: &[&str] = &[
    r#"{"event":"ack","id":"a\"b","data":{"success":true,"user":null}}"#,
    r#"{"event":"pong","id":-1.5,"data":{"timestamp":5}}"#,
    r#"{"event":"error","data":{"code":"BAD_REQUEST","message":"no"}}"#,
    r#"{"event":"price-update","channel":"price:ETH","seq":42,"prev":41,"data":{"price":1.000000000000000001}}"#,
    r#"{"event":"new-block","channel":"new-block","seq":18446744073709551615,"snapshot":true,"data":{}}"#,
    r#"{"event":"novel","channel":"x","data":[1]}"#,
];

fn filled(text: &str) -> String {
    text.replace("\"H\"", &format!("{HASH:?}"))
        .replace("\"A\"", &format!("{ADDRESS:?}"))
}

fn assert_round_trips<T: Serialize + DeserializeOwned + Debug>(text: &str) {
    let text = filled(text);
    let parsed: T = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(serde_json::to_string(&parsed).unwrap(), text);
}

#[test]
fn events_round_trip_exactly() {
    for (name, text) in EVENTS {
        let (name, text) = (EventName::from(*name), filled(text));
        let event = Event::parse(&name, &text);
        let event = event.unwrap_or_else(|error| panic!("{error}: {text}"));
        let event = event.unwrap_or_else(|| panic!("{name} is not parsed"));
        assert_eq!(event.name(), name);
        assert_eq!(serde_json::to_string(&event).unwrap(), text);
    }
    for name in EventName::ALL {
        let sampled = EVENTS.iter().any(|(sample, _)| name == sample);
        assert_eq!(sampled, name.is_stored(), "{name}");
    }
}

#[test]
fn live_events_round_trip_exactly() {
    for (name, text) in LIVE_EVENTS {
        let name = EventName::from(*name);
        let event = LiveEvent::parse(&name, text);
        let event = event.unwrap_or_else(|error| panic!("{error}: {text}"));
        let event = event.unwrap_or_else(|| panic!("{name} is not parsed"));
        assert_eq!(event.name(), name);
        assert_eq!(serde_json::to_string(&event).unwrap(), *text);
        assert!(Event::parse(&name, text).unwrap().is_none(), "it is stored");
    }
    for name in EventName::ALL.iter().filter(|name| !name.is_stored()) {
        let sampled = LIVE_EVENTS.iter().any(|(sample, _)| name == sample);
        assert_eq!(sampled, *name != EventName::Heartbeat, "{name}");
    }
    assert!(LiveEvent::parse(&"novel".into(), "{}").unwrap().is_none());
    assert!(LiveEvent::parse(&EventName::Reorg, "{}").unwrap().is_none());
}

#[test]
fn heartbeats_round_trip_exactly() {
    for text in HEARTBEATS {
        assert_round_trips::<Heartbeat>(text);
    }
    let parsed = Event::parse(&EventName::Heartbeat, HEARTBEATS[0]);
    assert!(parsed.unwrap().is_none(), "it is not stored");
    assert!(Event::parse(&"novel".into(), "{}").unwrap().is_none());
}

#[test]
fn control_messages_round_trip_exactly() {
    for text in CONNECTED {
        assert_round_trips::<Connected>(text);
    }
    for (variant, text) in ACKS {
        assert_round_trips::<Ack>(text);
        let parsed: Ack = serde_json::from_str(text).unwrap();
        assert!(format!("{parsed:?}").starts_with(variant), "{parsed:?}");
    }
    assert_round_trips::<Pong>(r#"{"timestamp":1790000000000}"#);
    assert_round_trips::<TokenExpiring>(r#"{"expiresAt":1790003600000,"expiresInMs":30000}"#);
    assert_round_trips::<Closed>(
        r#"{"code":1001,"reason":"{\"retryAfterMs\":5}","reconnect":true}"#,
    );
    assert_round_trips::<RefusedChannel>(
        r#"{"channel":"nope","code":"UNKNOWN_CHANNEL","message":"what?","retryAfterMs":1}"#,
    );
    for text in [
        r#"{"message":"Invalid namespace"}"#,
        r#"{"data":{"code":"RATE_LIMITED","retryAfterMs":1200},"message":"no"}"#,
    ] {
        assert_round_trips::<ConnectError>(text);
    }
    assert_round_trips::<RetryAfter>(r#"{"retryAfterMs":5}"#);
    assert_round_trips::<Refusal>(r#"{"code":"INTERNAL","message":"no"}"#);
}

#[test]
fn server_messages_round_trip_exactly() {
    for text in MESSAGES {
        let parsed: ServerMessage<'_> = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&parsed).unwrap(), *text);
    }
}

#[test]
fn clients_ignore_unknown_fields() {
    for (name, text) in EVENTS {
        let text = filled(&text.replacen('{', r#"{"novel":[1],"#, 1));
        assert!(
            Event::parse(&EventName::from(*name), &text).is_ok(),
            "{text}"
        );
    }
}

#[cfg(feature = "schema")]
#[test]
fn schemas_describe_what_is_sent() {
    use chaincast_protocol::schema::Schemas;

    let schemas = Schemas::new();
    let check = |event: &str, text: &str| {
        let data = schemas.message(event).unwrap().data.as_ref().unwrap();
        let value = serde_json::from_str(&filled(text)).unwrap();
        schemas
            .check_as(data, &value)
            .unwrap_or_else(|mismatch| panic!("{mismatch} in {text}"));
    };
    let events = EVENTS.iter().chain(LIVE_EVENTS);
    events.for_each(|(name, text)| check(name, text));
    HEARTBEATS.iter().for_each(|text| check("heartbeat", text));
    CONNECTED.iter().for_each(|text| check("connected", text));
    ACKS.iter().for_each(|(_, text)| check("ack", text));
}
