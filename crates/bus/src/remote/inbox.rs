//! The queue of unread messages from Redis, bounded in number and in bytes.
//!
//! The client library queues unread messages without a bound. So all arrived messages are taken from it immediately, and
//! the excess is dropped: the hub then reads from the store, which has every update.

use std::collections::VecDeque;

use futures_util::{FutureExt, Stream, StreamExt};

use super::message::MAX_MESSAGE_BYTES;

/// Most queued messages.
const MAX_MESSAGES: usize = 1_024;
/// Most bytes of all queued messages.
const MAX_BYTES: usize = 4 * MAX_MESSAGE_BYTES;
/// Messages taken from the library before the next queued one is returned.
const BATCH: usize = 64;

/// An item of the inbox.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// A message, truncated to [`MAX_MESSAGE_BYTES`] and one byte more.
    Message(Vec<u8>),
    /// Messages were dropped.
    Dropped,
}

/// See the module's description.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    queue: VecDeque<Vec<u8>>,
    bytes: usize,
    dropped: bool,
    /// The last item was [`Item::Dropped`]: in a flood a queued message is next.
    reported_drop: bool,
    ended: bool,
}

impl Inbox {
    /// The next item; `None` once `messages` has ended and the queue is empty. Cancel safe.
    pub(super) async fn next(
        &mut self,
        messages: &mut (impl Stream<Item = impl AsRef<[u8]>> + Unpin),
    ) -> Option<Item> {
        // Handling a message takes time, and there may be many: yield to other tasks.
        tokio::task::yield_now().await;
        loop {
            for _ in 0..BATCH {
                match messages.next().now_or_never() {
                    Some(message) => self.push(message),
                    None => break,
                }
            }
            if self.dropped && (self.queue.is_empty() || !self.reported_drop) {
                (self.dropped, self.reported_drop) = (false, true);
                return Some(Item::Dropped);
            }
            self.reported_drop = false;
            if let Some(message) = self.queue.pop_front() {
                self.bytes -= message.len();
                return Some(Item::Message(message));
            }
            if self.ended {
                return None;
            }
            let message = messages.next().await;
            self.push(message);
        }
    }

    fn push(&mut self, message: Option<impl AsRef<[u8]>>) {
        let Some(message) = message else {
            self.ended = true;
            return;
        };
        let message = message.as_ref();
        let message = &message[..message.len().min(MAX_MESSAGE_BYTES + 1)];
        if self.queue.len() >= MAX_MESSAGES || self.bytes + message.len() > MAX_BYTES {
            self.dropped = true;
            return;
        }
        self.bytes += message.len();
        self.queue.push_back(message.to_vec());
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    async fn all(inbox: &mut Inbox, messages: Vec<Vec<u8>>) -> Vec<Item> {
        let (mut messages, mut all) = (stream::iter(messages), Vec::new());
        while let Some(item) = inbox.next(&mut messages).await {
            assert!(inbox.queue.len() <= MAX_MESSAGES && inbox.bytes <= MAX_BYTES);
            all.push(item);
        }
        all
    }

    #[tokio::test]
    async fn messages_keep_their_order() {
        let sent: Vec<_> = (0..=255).map(|at| vec![at; 3]).collect();
        let mut inbox = Inbox::default();
        let items = all(&mut inbox, sent.clone()).await;
        let expected: Vec<_> = sent.into_iter().map(Item::Message).collect();
        assert_eq!(items, expected);
        assert_eq!(inbox.bytes, 0);
    }

    #[tokio::test]
    async fn flood_is_dropped_and_reported() {
        let short = vec![vec![b'x'; 10]; 40 * MAX_MESSAGES];
        let long = vec![vec![b'x'; MAX_MESSAGE_BYTES + 9]; 2 * MAX_BYTES / MAX_MESSAGE_BYTES];
        for (sent, length) in [(short, 10), (long, MAX_MESSAGE_BYTES + 1)] {
            let (count, mut inbox) = (sent.len(), Inbox::default());
            let items = all(&mut inbox, sent).await;
            assert!(items.contains(&Item::Dropped));
            assert!(items.len() < count, "{}", items.len());
            // Queued messages are returned in between.
            let twice = [Item::Dropped, Item::Dropped];
            assert!(!items.windows(2).any(|two| two == twice));
            let kept = items.iter().filter_map(|item| match item {
                Item::Message(message) => Some(message.len()),
                Item::Dropped => None,
            });
            assert!(kept.into_iter().all(|kept| kept == length));
            assert_eq!(inbox.bytes, 0);
        }
    }
}
