//! Formats a message as one readable line.

use serde_json::value::RawValue;

use super::{super::terminal::Paint, price::rounded};
use chaincast_protocol::EventName;

/// A message from the server; numbers keep their JSON text.
#[derive(Debug, serde::Deserialize)]
pub(super) struct Message<'a> {
    pub event: String,
    pub channel: Option<String>,
    pub seq: Option<u64>,
    pub prev: Option<u64>,
    #[serde(default)]
    pub snapshot: bool,
    #[serde(borrow)]
    pub data: Option<&'a RawValue>,
}

#[derive(serde::Deserialize)]
struct PriceData<'a> {
    #[serde(borrow)]
    price: &'a RawValue,
    quote: String,
    sources: Vec<String>,
    status: String,
    reason: Option<String>,
}

#[derive(serde::Deserialize)]
struct AlertData<'a> {
    id: i64,
    token: String,
    condition: String,
    #[serde(borrow)]
    threshold: &'a RawValue,
    #[serde(borrow)]
    price: &'a RawValue,
    status: String,
    note: Option<String>,
}

#[derive(serde::Deserialize)]
struct CandleData<'a> {
    #[serde(borrow)]
    open: &'a RawValue,
    #[serde(borrow)]
    high: &'a RawValue,
    #[serde(borrow)]
    low: &'a RawValue,
    #[serde(borrow)]
    close: &'a RawValue,
    count: u64,
    closed: bool,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct BlockData {
    number: u64,
    hash: String,
    transactions: Option<u64>,
    gas_used: Option<String>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReorgData {
    depth: u64,
    common_ancestor: Ancestor,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct TransactionStateData {
    status: String,
    block_number: Option<u64>,
    confirmations: Option<u64>,
    succeeded: Option<bool>,
    replaced_by: Option<String>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct AddressTransactionData {
    block_number: u64,
    hash: String,
    status: Option<String>,
    from: String,
    to: Option<String>,
    contract_address: Option<String>,
    value: String,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct AddressTransferData {
    block_number: u64,
    standard: String,
    token: Option<String>,
    from: String,
    to: String,
    token_id: Option<String>,
    amount: String,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct AddressReorgData {
    dropped: Vec<Ancestor>,
    common_ancestor: Ancestor,
}

#[derive(serde::Deserialize)]
struct Ancestor {
    number: u64,
}

/// Renders `channel #seq  description`.
pub(super) fn render(message: &Message<'_>, paint: Paint) -> String {
    let data = message.data.map_or("{}", RawValue::get);
    let channel = message.channel.as_deref().unwrap_or_default();
    let seq = message.seq.map(|seq| format!("#{seq}")).unwrap_or_default();
    let body = body(&message.event, data, paint);
    let mark = if message.snapshot {
        paint.dim(" (snapshot)")
    } else {
        String::new()
    };
    format!(
        "{} {} {body}{mark}",
        paint.bold(format!("{channel:<14}")),
        paint.dim(format!("{seq:<7}"))
    )
}

/// The description of an event. Data that cannot be parsed is printed unchanged.
fn body(event: &str, data: &str, paint: Paint) -> String {
    match EventName::from(event) {
        EventName::PriceUpdate => serde_json::from_str::<PriceData<'_>>(data).map(|price| {
            let value = format!("{} {}", rounded(price.price.get()), price.quote);
            let value = if price.status == "ok" {
                paint.green(value)
            } else {
                paint.red(value)
            };
            let why = price
                .reason
                .map_or_else(String::new, |reason| format!(" ({reason})"));
            format!(
                "{value}  {}{why} {}",
                price.status,
                paint.dim(price.sources.join(", "))
            )
        }),
        EventName::PriceAlert => {
            serde_json::from_str::<AlertData<'_>>(data).map(|alert| alert_line(&alert, paint))
        }
        EventName::CandleUpdate => serde_json::from_str::<CandleData<'_>>(data).map(|candle| {
            let sides = [candle.open, candle.high, candle.low, candle.close];
            let [open, high, low, close] = sides.map(|side| rounded(side.get()));
            let state = if candle.closed { "closed" } else { "open" };
            let rest = paint.dim(format!("{} prices, {state}", candle.count));
            format!("open {open} high {high} low {low} close {close}  {rest}")
        }),
        EventName::NewBlock => serde_json::from_str::<BlockData>(data).map(|block| {
            let transactions = block.transactions.unwrap_or_default();
            let gas = block.gas_used.unwrap_or_default();
            format!(
                "block {} {}  {transactions} tx, {gas} gas",
                block.number,
                paint.dim(block.hash)
            )
        }),
        EventName::Reorg => serde_json::from_str::<ReorgData>(data).map(|reorg| {
            paint.red(format!(
                "reorg: {} blocks dropped, back to {}",
                reorg.depth, reorg.common_ancestor.number
            ))
        }),
        EventName::BlockFinalized => serde_json::from_str::<BlockData>(data)
            .map(|block| format!("finalized {} {}", block.number, paint.dim(block.hash))),
        EventName::TransactionUpdate => serde_json::from_str::<TransactionStateData>(data)
            .map(|state| transaction_line(&state, paint)),
        EventName::AddressTransaction => {
            serde_json::from_str::<AddressTransactionData>(data).map(|sent| {
                let to = match (sent.to, sent.contract_address) {
                    (Some(to), _) => to,
                    (None, contract) => format!("contract {}", contract.unwrap_or_default()),
                };
                let failed = match sent.status.as_deref() {
                    Some("failed") => paint.red(" failed"),
                    _ => String::new(),
                };
                format!(
                    "block {}{failed}  {} wei from {} to {to}  {}",
                    sent.block_number,
                    sent.value,
                    sent.from,
                    paint.dim(sent.hash)
                )
            })
        }
        EventName::AddressTransfer => {
            serde_json::from_str::<AddressTransferData>(data).map(|moved| {
                let token = moved.token.map(|token| format!(" {token}"));
                let id = moved.token_id.map(|id| format!(" of token {id}"));
                format!(
                    "block {}  {}{} from {} to {}  {}",
                    moved.block_number,
                    moved.amount,
                    id.unwrap_or_default(),
                    moved.from,
                    moved.to,
                    paint.dim(format!("{}{}", moved.standard, token.unwrap_or_default()))
                )
            })
        }
        EventName::AddressReorg => serde_json::from_str::<AddressReorgData>(data).map(|reorg| {
            let dropped: Vec<_> = reorg
                .dropped
                .iter()
                .map(|block| block.number.to_string())
                .collect();
            paint.red(format!(
                "reorg: blocks {} dropped, back to {}",
                dropped.join(", "),
                reorg.common_ancestor.number
            ))
        }),
        _ => Ok(format!("{event} {data}")),
    }
    .unwrap_or_else(|_| format!("{event} {data}"))
}

/// An alert, with the delivery id that acknowledges it.
fn alert_line(alert: &AlertData<'_>, paint: Paint) -> String {
    let price = rounded(alert.price.get());
    let price = match alert.status.as_str() {
        "ok" => paint.green(price),
        status => format!("{}  {status}", paint.red(price)),
    };
    let note = alert.note.as_ref().map(|note| format!("  {note}"));
    format!(
        "{} {} {} at {price}{}  {}",
        alert.token,
        alert.condition,
        alert.threshold.get(),
        note.unwrap_or_default(),
        paint.dim(format!("delivery {}", alert.id))
    )
}

fn transaction_line(state: &TransactionStateData, paint: Paint) -> String {
    let status = match state.status.as_str() {
        good @ ("included" | "confirmed" | "finalized") => paint.green(good),
        bad @ ("reorged" | "replaced" | "dropped") => paint.red(bad),
        other => other.to_owned(),
    };
    let mut text = status;
    if let Some(number) = state.block_number {
        text = format!("{text} block {number}");
    }
    match state.confirmations {
        Some(1) => text += "  1 confirmation",
        Some(count) => text = format!("{text}  {count} confirmations"),
        None => {}
    }
    if state.succeeded == Some(false) {
        text = format!("{text}  {}", paint.red("failed"));
    }
    if let Some(other) = &state.replaced_by {
        text = format!("{text}  by {other}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_price_update() {
        let text = r#"{"event":"price-update","channel":"price:ETH","seq":42,"data":{"token":"ETH","price":3456.120000000000000001,"quote":"USD","sources":["chainlink"],"status":"ok"}}"#;
        let message: Message<'_> = serde_json::from_str(text).unwrap();
        let line = render(&message, Paint::plain());
        assert!(
            line.contains("3456.12 USD") && line.contains("#42"),
            "{line}"
        );
    }

    #[test]
    fn degraded_price_shows_reason() {
        let data = r#"{"token":"ETH","price":3456,"quote":"USD","sources":["chainlink"],"status":"degraded","reason":"few_venues"}"#;
        let line = body("price-update", data, Paint::plain());
        assert_eq!(line, "3456 USD  degraded (few_venues) chainlink");
    }

    #[test]
    fn rounds_candle_update() {
        let text = r#"{"event":"candle-update","channel":"candle:ETH:1m","seq":7,"data":{"token":"ETH","interval":"1m","timestamp":1,"open":1.000000000000000001,"high":3,"low":0.5,"close":2,"count":4,"closed":true,"synthetic":false}}"#;
        let message: Message<'_> = serde_json::from_str(text).unwrap();
        let line = render(&message, Paint::plain());
        assert!(
            line.contains("open 1 high 3 low 0.5 close 2") && line.contains("4 prices, closed"),
            "{line}"
        );
    }

    #[test]
    fn alert_shows_price_note_and_delivery_id() {
        let data = r#"{"id":7,"alertId":3,"token":"ETH","condition":"above","threshold":4000.000000000000000001,"price":4000.5,"status":"degraded","note":"sell","timestamp":5}"#;
        assert_eq!(
            body("price-alert", data, Paint::plain()),
            "ETH above 4000.000000000000000001 at 4000.5  degraded  sell  delivery 7"
        );
        let data = r#"{"id":8,"alertId":3,"token":"ETH","condition":"below","threshold":1,"price":0.5,"status":"ok","timestamp":5}"#;
        assert_eq!(
            body("price-alert", data, Paint::plain()),
            "ETH below 1 at 0.5  delivery 8"
        );
    }

    #[test]
    fn transaction_shows_block_and_outcome() {
        for (data, expected) in [
            (
                r#"{"hash":"0x1","status":"pending","timestamp":1}"#,
                "pending",
            ),
            (
                r#"{"hash":"0x1","status":"included","blockNumber":7,"confirmations":1,"succeeded":false}"#,
                "included block 7  1 confirmation  failed",
            ),
            (
                r#"{"hash":"0x1","status":"confirmed","blockNumber":7,"confirmations":12,"succeeded":true}"#,
                "confirmed block 7  12 confirmations",
            ),
            (
                r#"{"hash":"0x1","status":"replaced","blockNumber":7,"replacedBy":"0x2"}"#,
                "replaced block 7  by 0x2",
            ),
        ] {
            assert_eq!(body("transaction-update", data, Paint::plain()), expected);
        }
    }

    #[test]
    fn transfer_shows_parties_and_amount() {
        let data = r#"{"blockNumber":7,"standard":"ERC-721","token":"0xT","from":"0xA","to":"0xB","tokenId":"5","amount":"1"}"#;
        assert_eq!(
            body("address-transfer", data, Paint::plain()),
            "block 7  1 of token 5 from 0xA to 0xB  ERC-721 0xT"
        );
        let data = r#"{"blockNumber":7,"standard":"native","token":null,"from":"0xA","to":"0xB","tokenId":null,"amount":"9"}"#;
        assert_eq!(
            body("address-transfer", data, Paint::plain()),
            "block 7  9 from 0xA to 0xB  native"
        );
    }

    #[test]
    fn unknown_event_is_printed_unchanged() {
        let text = r#"{"event":"novel","channel":"x","data":{"a":1}}"#;
        let line = render(&serde_json::from_str(text).unwrap(), Paint::plain());
        assert!(line.contains(r#"novel {"a":1}"#), "{line}");
    }
}
