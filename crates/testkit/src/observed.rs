//! What a server of this crate observed of its clients.

use tokio::sync::watch;

/// Waits until the observed value satisfies a condition, and returns it.
pub(crate) async fn wait_until<T: Clone>(
    sender: &watch::Sender<T>,
    condition: impl FnMut(&T) -> bool,
) -> T {
    let mut observed = sender.subscribe();
    let found = observed
        .wait_for(condition)
        .await
        .map(|observed| observed.clone());
    match found {
        Ok(observed) => observed,
        // The caller keeps the sender alive.
        Err(_) => std::future::pending().await,
    }
}
