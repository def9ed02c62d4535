//! Time limits of the chain writer.

use std::time::Duration;

/// One step without blocks; see [`COMMIT_TIMEOUT`] for those with blocks.
pub(super) const STORE_TIMEOUT: Duration = Duration::from_secs(10);
/// One transaction of blocks.
pub(super) const COMMIT_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a writer whose node fails holds the lock while another process waits for it.
pub(super) const YIELD_AFTER: Duration = Duration::from_secs(60);
