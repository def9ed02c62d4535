//! The state of the streams' writers, for `/readyz` and `/status`.

use serde::Serialize;
use utoipa::ToSchema;

use chaincast_store::{
    Store,
    writer::Stream,
    writers::{WriterRow, find_writer},
};

/// The writer of a stream, as stored in the database.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct WriterStatus {
    /// The process: its host, its process id and a random id.
    #[schema(examples("indexer-1, process 4242 (5f0e12ab)"))]
    holder: String,
    /// Increases by one each time a process takes over.
    term: u64,
    /// When it acquired its lease, in ms since the Unix epoch.
    since: i64,
    /// Whether it renewed its lease in time. Otherwise it hangs, has ended or is cut off from the database.
    alive: bool,
    /// When it last committed in this term, approximately, in ms since the Unix epoch; null before its first commit.
    #[schema(required)]
    written_at: Option<i64>,
    /// Why it cannot write now, human-readable; null while it can.
    #[schema(required)]
    failure: Option<String>,
}

impl WriterStatus {
    /// `None` if the stream has never had a writer.
    pub(super) fn of(writers: &[WriterRow], stream: Stream) -> Option<Self> {
        let row = find_writer(writers, stream)?;
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

/// Why no process can write a stream now, human-readable; `None` while one can, or if the stream has never had a
/// writer.
pub(super) fn write_failure(
    store: &Store,
    writers: &[WriterRow],
    stream: Stream,
) -> Option<String> {
    let row = find_writer(writers, stream);
    let describe =
        |reason: &str, for_ms: u64| format!("not written for {} s: {reason}", for_ms / 1_000);
    // This process's failure is reported unless another process writes.
    if row.is_none_or(|row| row.is_ours || !row.is_alive())
        && let Some((reason, for_ms)) = store.writer_failure(stream)
    {
        return Some(describe(&reason, for_ms));
    }
    let row = row?;
    if !row.is_alive() {
        return Some(format!(
            "no process writes it: the last writer, {}, renewed its lease {} s ago",
            row.holder,
            row.silent_ms / 1_000
        ));
    }
    let (reason, for_ms) = row.failure.as_ref()?;
    Some(format!("{} ({})", describe(reason, *for_ms), row.holder))
}
