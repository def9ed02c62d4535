//! Asking a node again that fails, or wants to rest.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use crate::source::chain::NodeError;

/// A node that fails is asked so often before the run ends; one that answers wrongly, before that is listed.
const ATTEMPTS: u32 = 5;
const WRONG_ATTEMPTS: u32 = 2;
/// One that asks to be asked less is waited for this long before that counts as a failure.
const RESTS: Duration = Duration::from_secs(120);
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Why there is no answer to compare.
#[derive(Debug)]
pub(super) enum Unfetched {
    /// The node answers wrongly or refuses; others may be compared.
    Wrong(String),
    /// Nothing can be asked now.
    Away(String),
}

/// Asks until there is an answer, as often as makes sense.
pub(super) async fn patiently<T, F>(mut ask: impl FnMut() -> F) -> Result<T, Unfetched>
where
    F: Future<Output = Result<T, NodeError>>,
{
    let (began, mut wait, mut attempt) = (Instant::now(), FIRST_WAIT, 1);
    loop {
        let error = match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let rest = error.rest();
        if rest.is_none() || began.elapsed() >= RESTS {
            if is_wrong(&error) && attempt >= WRONG_ATTEMPTS {
                return Err(Unfetched::Wrong(error.to_string()));
            }
            if attempt >= ATTEMPTS {
                return Err(Unfetched::Away(error.to_string()));
            }
            attempt += 1;
        }
        tokio::time::sleep(wait.max(rest.unwrap_or_default())).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// Whether an error is about what was asked for, not about the node.
fn is_wrong(error: &NodeError) -> bool {
    matches!(
        error.cause(),
        NodeError::Check { .. }
            | NodeError::BadAnswer { .. }
            | NodeError::Missing { .. }
            | NodeError::Refused { .. }
            | NodeError::TooLarge { .. }
    )
}
