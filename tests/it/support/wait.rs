//! Waiting on a condition, with a deadline.

use std::{future::Future, time::Duration};

/// Far more than anything takes: what is not there by then does not come.
pub const PATIENCE: Duration = Duration::from_secs(120);
const BETWEEN: Duration = Duration::from_millis(20);

/// Polls until `probe` gives a value; panics with `what` when it does not in time.
pub async fn eventually<T, F, Fut>(what: &str, mut probe: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let wait = async {
        loop {
            if let Some(value) = probe().await {
                return value;
            }
            tokio::time::sleep(BETWEEN).await;
        }
    };
    match tokio::time::timeout(PATIENCE, wait).await {
        Ok(value) => value,
        Err(_) => panic!("not within {PATIENCE:?}: {what}"),
    }
}
