//! Retries of failed and rate-limited requests to a node.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use chaincast_base::retry::Backoff;
use chaincast_evm::chain::NodeError;

/// Attempts before an unavailable node ends the run, and before an incorrect answer is reported.
const ATTEMPTS: u32 = 5;
const INVALID_ATTEMPTS: u32 = 2;
/// A node may ask for fewer requests for this long before that counts as a failure.
const RATE_LIMIT_PATIENCE: Duration = Duration::from_secs(120);
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Why there is no data to compare.
#[derive(Debug)]
pub(super) enum FetchError {
    /// The node returned an incorrect answer or refused the request; other blocks may be compared.
    Invalid(String),
    /// No node is available now.
    Unavailable(String),
}

/// Repeats a request until it succeeds or its attempts are used up.
pub(super) async fn with_retries<T, F>(mut request: impl FnMut() -> F) -> Result<T, FetchError>
where
    F: Future<Output = Result<T, NodeError>>,
{
    let (began, mut attempt) = (Instant::now(), 1);
    let mut backoff = Backoff::exact(FIRST_WAIT, LONGEST_WAIT);
    loop {
        let error = match request().await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let rest = error.retry_delay();
        if rest.is_none() || began.elapsed() >= RATE_LIMIT_PATIENCE {
            if is_invalid(&error) && attempt >= INVALID_ATTEMPTS {
                return Err(FetchError::Invalid(error.to_string()));
            }
            if attempt >= ATTEMPTS {
                return Err(FetchError::Unavailable(error.to_string()));
            }
            attempt += 1;
        }
        tokio::time::sleep(backoff.next_delay().max(rest.unwrap_or_default())).await;
    }
}

/// Whether an error concerns the requested data, not the node as a whole.
fn is_invalid(error: &NodeError) -> bool {
    matches!(
        error.cause(),
        NodeError::Check { .. }
            | NodeError::BadAnswer { .. }
            | NodeError::Missing { .. }
            | NodeError::Refused { .. }
            | NodeError::TooLarge { .. }
    )
}
