//! The loop of every feed: attempt, report why it ended, wait, attempt again.

use std::{convert::Infallible, future::Future, time::Duration};

use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{disconnect::Disconnect, http_client::FailedAttempt, stream::StreamTable};
use chaincast_base::retry::Backoff;

/// One way to prices of a venue: a connection with its successors, or repeated fetches.
pub(super) trait Attempt: Send {
    /// Connects and reads until the connection is lost, or fetches once. Resets the backoff after a success that lasted.
    /// `Ok` has the time until the next attempt. Locks the table only while it processes data, never across an await.
    fn attempt(
        &mut self,
        table: &Mutex<StreamTable>,
        backoff: &mut Backoff,
    ) -> impl Future<Output = Result<Duration, FailedAttempt>> + Send;

    /// Logs a failed attempt, and the delay before the next one.
    fn log_failure(&self, table: &mut StreamTable, reason: &Disconnect, wait: Duration);
}

/// Repeats the attempts until `stop`, each with a backoff of its own.
pub(super) async fn supervise(
    attempts: Vec<impl Attempt>,
    table: StreamTable,
    backoff: Backoff,
    stop: CancellationToken,
) {
    let table = Mutex::new(table);
    let running = attempts
        .into_iter()
        .map(|attempt| repeat(attempt, &table, backoff.clone()));
    tokio::select! {
        () = stop.cancelled() => {}
        _ = join_all(running) => {}
    }
}

async fn repeat(
    mut attempt: impl Attempt,
    table: &Mutex<StreamTable>,
    mut backoff: Backoff,
) -> Infallible {
    loop {
        let wait = match attempt.attempt(table, &mut backoff).await {
            Ok(wait) => wait,
            Err(failed) => {
                let wait = failed.wait(&mut backoff);
                let mut table = table.lock();
                attempt.log_failure(&mut table, &failed.reason, wait);
                table.metrics.reconnect(&failed.reason);
                table.connection_lost(&failed.reason);
                wait
            }
        };
        sleep(wait).await;
    }
}
