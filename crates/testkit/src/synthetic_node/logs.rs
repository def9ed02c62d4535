//! The filter of `eth_getLogs`.

use serde_json::Value;

use super::render::RenderedLog;
use chaincast_protocol::{Address, B256};

/// The conditions of a filter; an empty list matches everything.
#[derive(Debug, Default)]
pub(super) struct LogFilter {
    addresses: Vec<Address>,
    /// By position.
    topics: Vec<Vec<B256>>,
}

impl LogFilter {
    /// Parses `address` and `topics` of a filter. The error names the invalid part.
    pub(super) fn read(filter: &Value) -> Result<Self, String> {
        let topics = match &filter["topics"] {
            Value::Null => Vec::new(),
            Value::Array(positions) if positions.len() <= 4 => {
                let read = positions.iter().map(one_or_many);
                read.collect::<Result<_, _>>()?
            }
            other => return Err(format!("topics {other} must be a list of at most four")),
        };
        Ok(Self {
            addresses: one_or_many(&filter["address"])?,
            topics,
        })
    }

    pub(super) fn matches(&self, log: &RenderedLog) -> bool {
        let address = self.addresses.is_empty() || self.addresses.contains(&log.address);
        let topic = |(position, allowed): (usize, &Vec<B256>)| {
            let has = log.topics.get(position);
            has.is_some_and(|topic| allowed.is_empty() || allowed.contains(topic))
        };
        address && self.topics.iter().enumerate().all(topic)
    }
}

/// Nothing, a value, or a list of values.
fn one_or_many<T: std::str::FromStr>(value: &Value) -> Result<Vec<T>, String> {
    let one = |value: &Value| {
        let text = value.as_str().and_then(|text| text.parse().ok());
        text.ok_or_else(|| format!("{value} is not hexadecimal or has the wrong length"))
    };
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Array(values) => values.iter().map(one).collect(),
        value => Ok(vec![one(value)?]),
    }
}
