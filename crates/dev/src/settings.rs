//! The `[prices]` section for the demo contracts.

use toml::{Table, Value};

use super::Deployment;

/// `[prices]` with every demo token, feed and pair.
pub fn price_settings(deployment: &Deployment) -> Table {
    let chain_id = deployment.chain_id as i64;
    let tokens = deployment.tokens.iter().map(|token| {
        let mut table = Table::new();
        table.insert("symbol".into(), token.symbol.as_str().into());
        table.insert("name".into(), token.name.as_str().into());
        table.insert("chain_id".into(), chain_id.into());
        table.insert("address".into(), token.address.to_string().into());
        table.insert("decimals".into(), i64::from(token.decimals).into());
        Value::Table(table)
    });
    let feeds = deployment.feeds.iter().map(|feed| {
        let mut table = Table::new();
        table.insert("kind".into(), "chainlink".into());
        table.insert("token".into(), feed.token.as_str().into());
        table.insert("address".into(), feed.address.to_string().into());
        table.insert("decimals".into(), i64::from(feed.decimals).into());
        Value::Table(table)
    });
    let pairs = deployment.pairs.iter().map(|pair| {
        let mut table = Table::new();
        table.insert("kind".into(), "uniswap-v2".into());
        table.insert("token".into(), pair.token.as_str().into());
        table.insert("address".into(), pair.address.to_string().into());
        table.insert("base".into(), i64::from(!pair.base_is_token0).into());
        table.insert("base_decimals".into(), i64::from(pair.base_decimals).into());
        table.insert(
            "quote_decimals".into(),
            i64::from(pair.quote_decimals).into(),
        );
        table.insert("quote".into(), pair.quote_token.as_str().into());
        Value::Table(table)
    });
    let mut prices = Table::new();
    prices.insert("tokens".into(), Value::Array(tokens.collect()));
    prices.insert("sources".into(), Value::Array(feeds.chain(pairs).collect()));
    prices
}
