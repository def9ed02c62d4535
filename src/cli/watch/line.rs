//! One message as one line for people.

use serde_json::value::RawValue;

use super::super::terminal::Paint;

/// A message from the server, with its numbers' text untouched.
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
struct Ancestor {
    number: u64,
}

/// `channel #seq  what happened`
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

/// What is not understood is shown as it came.
fn body(event: &str, data: &str, paint: Paint) -> String {
    match event {
        "price-update" => serde_json::from_str::<PriceData<'_>>(data).map(|price| {
            let value = format!("{} {}", price.price.get(), price.quote);
            let value = if price.status == "ok" {
                paint.green(value)
            } else {
                paint.red(value)
            };
            format!(
                "{value}  {} {}",
                price.status,
                paint.dim(price.sources.join(", "))
            )
        }),
        "new-block" => serde_json::from_str::<BlockData>(data).map(|block| {
            let transactions = block.transactions.unwrap_or_default();
            let gas = block.gas_used.unwrap_or_default();
            format!(
                "block {} {}  {transactions} tx, {gas} gas",
                block.number,
                paint.dim(block.hash)
            )
        }),
        "reorg" => serde_json::from_str::<ReorgData>(data).map(|reorg| {
            paint.red(format!(
                "reorg: {} blocks dropped, back to {}",
                reorg.depth, reorg.common_ancestor.number
            ))
        }),
        "block-finalized" => serde_json::from_str::<BlockData>(data)
            .map(|block| format!("finalized {} {}", block.number, paint.dim(block.hash))),
        _ => Ok(format!("{event} {data}")),
    }
    .unwrap_or_else(|_| format!("{event} {data}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_shown_with_all_its_digits() {
        let text = r#"{"event":"price-update","channel":"price:ETH","seq":42,"data":{"token":"ETH","price":3456.120000000000000001,"quote":"USD","sources":["chainlink"],"status":"ok"}}"#;
        let message: Message<'_> = serde_json::from_str(text).unwrap();
        let line = render(&message, Paint::plain());
        assert!(
            line.contains("3456.120000000000000001 USD") && line.contains("#42"),
            "{line}"
        );
    }

    #[test]
    fn an_event_that_is_not_known_is_shown_as_it_came() {
        let text = r#"{"event":"novel","channel":"x","data":{"a":1}}"#;
        let line = render(&serde_json::from_str(text).unwrap(), Paint::plain());
        assert!(line.contains(r#"novel {"a":1}"#), "{line}");
    }
}
