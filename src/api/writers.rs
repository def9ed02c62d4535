//! Whether the streams are written, and by whom: for `/readyz` and `/status`.

use serde::Serialize;
use utoipa::ToSchema;

use crate::store::{
    Store,
    writer::Stream,
    writers::{WriterRow, found},
};

/// Who writes a stream, as the database knows it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct WriterStatus {
    /// The process: its host, its id and a number of its own.
    #[schema(examples("indexer-1, process 4242 (5f0e12ab)"))]
    holder: String,
    /// Rises by one with each process that takes over.
    term: u64,
    /// Since when it has the right to write, in ms since the Unix epoch.
    since: i64,
    /// Whether it renewed its lease in time. One that did not hangs, is cut off from the database or ended.
    alive: bool,
    /// About when it last committed in this term, in ms since the Unix epoch; null before that.
    #[schema(required)]
    written_at: Option<i64>,
    /// Why it cannot write now, for people; null while it can.
    #[schema(required)]
    failure: Option<String>,
}

impl WriterStatus {
    /// `None` when the stream never had a writer.
    pub(super) fn of(writers: &[WriterRow], stream: Stream) -> Option<Self> {
        let row = found(writers, stream)?;
        Some(Self {
            holder: row.holder.clone(),
            term: row.term,
            since: row.since,
            alive: row.is_alive(),
            written_at: row.written_at,
            failure: row.failure.as_ref().map(|(reason, _)| reason.clone()),
        })
    }
}

/// Why a stream is not written now, in whatever process, for people; `None` while it is, or when it never was.
pub(super) fn unwritten(store: &Store, writers: &[WriterRow], stream: Stream) -> Option<String> {
    let row = found(writers, stream);
    let told =
        |reason: &str, for_ms: u64| format!("not written for {} s: {reason}", for_ms / 1_000);
    // What this process fails with counts unless another one writes meanwhile.
    if row.is_none_or(|row| row.is_ours || !row.is_alive())
        && let Some((reason, for_ms)) = store.writer_failure(stream)
    {
        return Some(told(&reason, for_ms));
    }
    let row = row?;
    if !row.is_alive() {
        return Some(format!(
            "no process writes it: the last one, {}, renewed its lease {} s ago",
            row.holder,
            row.silent_ms / 1_000
        ));
    }
    let (reason, for_ms) = row.failure.as_ref()?;
    Some(format!("{} ({})", told(reason, *for_ms), row.holder))
}
