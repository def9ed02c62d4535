//! The streams of a feed, and the sources that read them.

use std::{collections::BTreeMap, sync::Arc};

use super::super::{SourceKey, Unit};
use chaincast_protocol::Token;

/// Maximum number of source names in a log line; the rest is counted.
const MAX_SHOWN: usize = 8;

/// A source of one token that reads a stream.
#[derive(Debug, Clone)]
pub(in super::super) struct StreamReader {
    pub(in super::super) token: Token,
    /// Name of the source.
    pub(in super::super) source: Arc<str>,
    pub(in super::super) quote: Arc<str>,
    /// Converts the venue's price to the price of one token.
    pub(in super::super) unit: Unit,
}

/// Readers by stream name.
pub(in super::super) type Streams = BTreeMap<String, Vec<StreamReader>>;

/// The sources that read these streams.
pub(in super::super) fn readers_of(streams: &Streams) -> Vec<SourceKey> {
    let readers = streams.values().flatten();
    readers
        .map(|reader| (reader.token.clone(), reader.source.clone()))
        .collect()
}

/// A source of a token in log lines.
pub(in super::super) fn source_label(token: &Token, source: &str) -> String {
    format!("{token}/{source}")
}

/// All sources of a feed in log lines.
pub(in super::super) fn source_labels(streams: &Streams) -> String {
    let readers = || streams.values().flatten();
    let labels = readers().take(MAX_SHOWN);
    let labels: Vec<String> = labels
        .map(|reader| source_label(&reader.token, &reader.source))
        .collect();
    let labels = labels.join(", ");
    match readers().count().saturating_sub(MAX_SHOWN) {
        0 => labels,
        more => format!("{labels} and {more} more"),
    }
}
