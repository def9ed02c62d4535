//! The live messages of a process: sent to every process, itself included, and received by its hub.

use tokio::sync::broadcast::{self, error::RecvError};

use crate::{
    live_message::LiveMessage,
    remote::{Live, SendQueue},
    telemetry::{self, LiveDrop},
};

/// Live messages buffered for a slow hub; the excess is dropped.
pub(crate) const CAPACITY: usize = 1_024;

/// Sends live messages. Cheap to clone; never blocks. Other processes are reached through Redis alone, and only with
/// `bus.redis_key`.
#[derive(Clone)]
pub struct LiveMessages {
    local: broadcast::Sender<LiveMessage>,
    remote: Option<SendQueue<Live>>,
}

/// The live messages that arrive from now on.
pub struct LiveStream(broadcast::Receiver<LiveMessage>);

impl LiveMessages {
    pub(crate) fn new(
        local: broadcast::Sender<LiveMessage>,
        remote: Option<SendQueue<Live>>,
    ) -> Self {
        Self { local, remote }
    }

    /// Live messages of this process alone.
    pub fn local() -> Self {
        Self::new(broadcast::channel(CAPACITY).0, None)
    }

    /// Sends a message to the hubs of all processes, this one included.
    pub fn send(&self, message: LiveMessage) {
        if let Some(remote) = &self.remote {
            remote.send(message.clone());
        }
        // No receiver means no hub in this process.
        let _ = self.local.send(message);
    }

    /// The messages from now on.
    pub fn stream(&self) -> LiveStream {
        LiveStream(self.local.subscribe())
    }
}

impl LiveStream {
    /// The next message; `None` once nothing can send any more. Counts messages that arrived faster than they were read.
    pub async fn next(&mut self) -> Option<LiveMessage> {
        loop {
            match self.0.recv().await {
                Ok(message) => return Some(message),
                Err(RecvError::Lagged(count)) => telemetry::live_dropped(LiveDrop::Lagged, count),
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn slow_hub_misses_the_oldest_live_messages() {
        let live = LiveMessages::local();
        let mut stream = live.stream();
        let message = |number: usize| LiveMessage::Disconnect(number.to_string().into());
        for number in 1..=2 * CAPACITY {
            live.send(message(number));
        }
        for number in CAPACITY + 1..=2 * CAPACITY {
            assert_eq!(stream.next().await, Some(message(number)));
        }
        drop(live);
        assert_eq!(stream.next().await, None);
    }
}
