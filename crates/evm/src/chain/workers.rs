//! Worker threads for CPU-bound work.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::Semaphore;

/// As many threads as processors; further work waits.
#[derive(Clone)]
pub(super) struct Workers(Arc<Semaphore>);

impl Workers {
    /// One per processor.
    pub(super) fn new() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self(Arc::new(Semaphore::new(processors)))
    }

    /// Runs `work` on a thread; also returns the time spent waiting for one.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> (T, Duration) {
        let queued_at = Instant::now();
        // The semaphore is never closed.
        let _permit = self.0.acquire().await;
        let queue_time = queued_at.elapsed();
        match tokio::task::spawn_blocking(work).await {
            Ok(done) => (done, queue_time),
            Err(failed) => match failed.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // Canceled only at runtime shutdown, when no one awaits it.
                Err(_) => std::future::pending().await,
            },
        }
    }
}
