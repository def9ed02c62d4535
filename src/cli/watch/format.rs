//! Formats a message as one readable line.

use super::{super::terminal::Paint, price::rounded};
use chaincast_protocol::{
    AddressTransaction, AddressTransfer, CandleUpdate, Event, EventName, PriceAlert, PriceStatus,
    PriceUpdate, ServerMessage, TransactionResult, TransactionStatus, TransactionUpdate,
};

/// Renders `channel #seq  description`.
pub(super) fn render(message: &ServerMessage<'_>, paint: Paint) -> String {
    let channel = message.channel.as_deref().unwrap_or_default();
    let seq = message.seq.map(|seq| format!("#{seq}")).unwrap_or_default();
    let body = body(&message.event, message.data.get(), paint);
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

/// The description of an event. Unknown events, and data that cannot be parsed, are printed unchanged.
fn body(event: &str, data: &str, paint: Paint) -> String {
    match Event::parse(&EventName::from(event), data) {
        Ok(Some(event)) => {
            describe(&event, paint).unwrap_or_else(|| format!("{} {data}", event.name()))
        }
        Ok(None) | Err(_) => format!("{event} {data}"),
    }
}

/// `None` for an event that has no description.
fn describe(event: &Event, paint: Paint) -> Option<String> {
    Some(match event {
        Event::NewBlock(block) => format!(
            "block {} {}  {} tx, {} gas",
            block.number,
            paint.dim(block.hash),
            block.transactions,
            block.gas_used
        ),
        Event::Reorg(reorg) => paint.red(format!(
            "reorg: {} blocks dropped, back to {}",
            reorg.depth, reorg.common_ancestor.number
        )),
        Event::BlockFinalized(block) => {
            format!("finalized {} {}", block.number, paint.dim(block.hash))
        }
        Event::PriceUpdate(price) => price_line(price, paint),
        Event::PriceAlert(alert) => alert_line(alert, paint),
        Event::CandleUpdate(candle) => candle_line(candle, paint),
        Event::TransactionUpdate(update) => transaction_line(update, paint),
        Event::AddressTransaction(sent) => sent_line(sent, paint),
        Event::AddressTransfer(moved) => transfer_line(moved, paint),
        Event::AddressReorg(reorg) => {
            let dropped = reorg.dropped.iter().map(|block| block.number.to_string());
            paint.red(format!(
                "reorg: blocks {} dropped, back to {}",
                dropped.collect::<Vec<_>>().join(", "),
                reorg.common_ancestor.number
            ))
        }
        _ => return None,
    })
}

fn price_line(price: &PriceUpdate, paint: Paint) -> String {
    let value = format!("{} {}", rounded(&price.price.to_string()), price.quote);
    let value = match price.status {
        PriceStatus::Ok => paint.green(value),
        PriceStatus::Degraded | PriceStatus::Stale => paint.red(value),
    };
    let why = price
        .reason
        .map_or_else(String::new, |reason| format!(" ({})", reason.name()));
    format!(
        "{value}  {}{why} {}",
        price.status.name(),
        paint.dim(price.sources.join(", "))
    )
}

/// An alert, with the delivery id that acknowledges it.
fn alert_line(alert: &PriceAlert, paint: Paint) -> String {
    let price = rounded(&alert.price.to_string());
    let price = match alert.status {
        PriceStatus::Ok => paint.green(price),
        status => format!("{}  {}", paint.red(price), status.name()),
    };
    let note = alert.note.as_ref().map(|note| format!("  {note}"));
    format!(
        "{} {} {} at {price}{}  {}",
        alert.token,
        alert.condition,
        alert.threshold,
        note.unwrap_or_default(),
        paint.dim(format!("delivery {}", alert.id))
    )
}

fn candle_line(candle: &CandleUpdate, paint: Paint) -> String {
    let sides = [&candle.open, &candle.high, &candle.low, &candle.close];
    let [open, high, low, close] = sides.map(|side| rounded(&side.to_string()));
    let state = if candle.closed { "closed" } else { "open" };
    let rest = paint.dim(format!("{} prices, {state}", candle.count));
    format!("open {open} high {high} low {low} close {close}  {rest}")
}

fn transaction_line(update: &TransactionUpdate, paint: Paint) -> String {
    use TransactionStatus::*;
    let status = update.status.name();
    let mut text = match update.status {
        Included | Confirmed | Finalized => paint.green(status),
        Reorged | Replaced | Dropped => paint.red(status),
        Unknown | Pending => status.to_owned(),
    };
    if let Some(number) = update.block_number {
        text = format!("{text} block {number}");
    }
    match update.confirmations {
        Some(1) => text += "  1 confirmation",
        Some(count) => text = format!("{text}  {count} confirmations"),
        None => {}
    }
    if update.succeeded == Some(false) {
        text = format!("{text}  {}", paint.red("failed"));
    }
    if let Some(other) = &update.replaced_by {
        text = format!("{text}  by {other}");
    }
    text
}

fn sent_line(sent: &AddressTransaction, paint: Paint) -> String {
    let to = match (sent.to, sent.contract_address) {
        (Some(to), _) => to.to_string(),
        (None, Some(contract)) => format!("contract {contract}"),
        (None, None) => "contract ".to_owned(),
    };
    let failed = match sent.status {
        Some(TransactionResult::Failed) => paint.red(" failed"),
        Some(TransactionResult::Success) | None => String::new(),
    };
    format!(
        "block {}{failed}  {} wei from {} to {to}  {}",
        sent.block_number,
        sent.value,
        sent.from,
        paint.dim(sent.hash)
    )
}

fn transfer_line(moved: &AddressTransfer, paint: Paint) -> String {
    let token = moved.token.map(|token| format!(" {token}"));
    let id = moved.token_id.as_ref().map(|id| format!(" of token {id}"));
    let asset = format!("{}{}", moved.standard.name(), token.unwrap_or_default());
    format!(
        "block {}  {}{} from {} to {}  {}",
        moved.block_number,
        moved.amount,
        id.unwrap_or_default(),
        moved.from,
        moved.to,
        paint.dim(asset)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes out names of hashes and addresses.
    fn filled(text: &str) -> String {
        let hash = format!("0x{:064x}", 0xab);
        text.replace("HASH", &hash)
            .replace("ALICE", "0x70997970C51812dc3A010C7d01b50e0d17dc79C8")
            .replace("BOB", "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC")
            .replace("TOKEN", "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48")
    }

    #[test]
    fn rounds_price_update() {
        let text = r#"{"event":"price-update","channel":"price:ETH","seq":42,"data":{"token":"ETH","price":3456.120000000000000001,"timestamp":1,"quote":"USD","confidence":0,"sources":["chainlink"],"ageMs":1,"status":"ok","details":[]}}"#;
        let message: ServerMessage<'_> = serde_json::from_str(text).unwrap();
        let line = render(&message, Paint::plain());
        assert!(
            line.contains("3456.12 USD") && line.contains("#42"),
            "{line}"
        );
    }

    #[test]
    fn degraded_price_shows_reason() {
        let data = r#"{"token":"ETH","price":3456,"timestamp":1,"quote":"USD","confidence":0,"sources":["chainlink"],"ageMs":1,"status":"degraded","reason":"few_venues","details":[]}"#;
        let line = body("price-update", data, Paint::plain());
        assert_eq!(line, "3456 USD  degraded (few_venues) chainlink");
    }

    #[test]
    fn rounds_candle_update() {
        let text = r#"{"event":"candle-update","channel":"candle:ETH:1m","seq":7,"data":{"token":"ETH","interval":"1m","timestamp":1,"open":1.000000000000000001,"high":3,"low":0.5,"close":2,"count":4,"closed":true,"synthetic":false}}"#;
        let message: ServerMessage<'_> = serde_json::from_str(text).unwrap();
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
                r#"{"hash":"HASH","status":"pending","timestamp":1}"#,
                "pending",
            ),
            (
                r#"{"hash":"HASH","status":"included","blockNumber":7,"confirmations":1,"succeeded":false,"timestamp":1}"#,
                "included block 7  1 confirmation  failed",
            ),
            (
                r#"{"hash":"HASH","status":"confirmed","blockNumber":7,"confirmations":12,"succeeded":true,"timestamp":1}"#,
                "confirmed block 7  12 confirmations",
            ),
            (
                r#"{"hash":"HASH","status":"replaced","blockNumber":7,"replacedBy":"HASH","timestamp":1}"#,
                "replaced block 7  by HASH",
            ),
        ] {
            let line = body("transaction-update", &filled(data), Paint::plain());
            assert_eq!(line, filled(expected));
        }
    }

    #[test]
    fn transfer_shows_parties_and_amount() {
        let transfer = |more: &str| {
            filled(&format!(
                r#"{{"chainId":1,"blockNumber":7,"blockHash":"HASH","blockTimestamp":1,"transactionHash":"HASH","transactionIndex":0,"position":0,"from":"ALICE","to":"BOB","timestamp":1,{more}}}"#
            ))
        };
        let data = transfer(
            r#""source":"log","logIndex":0,"standard":"ERC-721","token":"TOKEN","tokenId":"5","amount":"1""#,
        );
        assert_eq!(
            body("address-transfer", &data, Paint::plain()),
            filled("block 7  1 of token 5 from ALICE to BOB  ERC-721 TOKEN")
        );
        let data = transfer(
            r#""source":"transaction","logIndex":null,"standard":"native","token":null,"tokenId":null,"amount":"9""#,
        );
        assert_eq!(
            body("address-transfer", &data, Paint::plain()),
            filled("block 7  9 from ALICE to BOB  native")
        );
    }

    #[test]
    fn transaction_of_address_shows_recipient_or_contract() {
        for (to, contract, status, expected) in [
            (
                r#""BOB""#,
                "null",
                r#""success""#,
                "block 7  9 wei from ALICE to BOB  HASH",
            ),
            (
                "null",
                r#""TOKEN""#,
                r#""failed""#,
                "block 7 failed  9 wei from ALICE to contract TOKEN  HASH",
            ),
        ] {
            let data = filled(&format!(
                r#"{{"chainId":1,"hash":"HASH","status":{status},"blockNumber":7,"blockHash":"HASH","blockTimestamp":1,"transactionIndex":0,"from":"ALICE","to":{to},"contractAddress":{contract},"value":"9","nonce":"0","type":0,"gasLimit":"1","gasPrice":"1","maxFeePerGas":null,"maxPriorityFeePerGas":null,"gasUsed":"1","cumulativeGasUsed":"1","effectiveGasPrice":"1","timestamp":1}}"#
            ));
            let line = body("address-transaction", &data, Paint::plain());
            assert_eq!(line, filled(expected));
        }
    }

    #[test]
    fn block_and_reorg_show_numbers() {
        let data = filled(
            r#"{"number":7,"hash":"HASH","parentHash":"HASH","timestamp":1,"blockTimestamp":1,"transactions":2,"gasUsed":"42000","gasLimit":"1","baseFeePerGas":null,"chainId":1}"#,
        );
        assert_eq!(
            body("new-block", &data, Paint::plain()),
            filled("block 7 HASH  2 tx, 42000 gas")
        );
        let data = filled(
            r#"{"chainId":1,"depth":2,"commonAncestor":{"number":5,"hash":"HASH"},"dropped":[],"timestamp":1}"#,
        );
        assert_eq!(
            body("reorg", &data, Paint::plain()),
            "reorg: 2 blocks dropped, back to 5"
        );
    }

    #[test]
    fn data_that_cannot_be_parsed_is_printed_unchanged() {
        for (event, data) in [
            ("new-block", r#"{"number":"7"}"#),
            ("contract-reorg", "{}"),
            ("heartbeat", r#"{"timestamp":1}"#),
        ] {
            let line = body(event, data, Paint::plain());
            assert_eq!(line, format!("{event} {data}"));
        }
    }

    #[test]
    fn unknown_event_is_printed_unchanged() {
        let text = r#"{"event":"novel","channel":"x","data":{"a":1}}"#;
        let line = render(&serde_json::from_str(text).unwrap(), Paint::plain());
        assert!(line.contains(r#"novel {"a":1}"#), "{line}");
    }
}
