//! Messages from Redis that are yet to be read, bounded in number and in bytes.
//!
//! The client library queues without a bound what nobody takes. So everything that has arrived is taken at once, and what is
//! too much is left out: then the hub looks in the store, which has all of it.

use std::collections::VecDeque;

use futures_util::{FutureExt, Stream, StreamExt};

use super::parcel::MESSAGE_BYTES;

/// Most messages that wait.
const MESSAGES: usize = 1_024;
/// Most bytes of all that wait.
const BYTES: usize = 4 * MESSAGE_BYTES;
/// Messages that are taken from the library before one of those that wait is handed out.
const AT_ONCE: usize = 64;

/// What is handed out.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrived {
    /// A message, cut after its first [`MESSAGE_BYTES`] and one more.
    Message(Vec<u8>),
    /// Messages were left out.
    LeftOut,
}

/// See the module's description.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    waiting: VecDeque<Vec<u8>>,
    bytes: usize,
    left_out: bool,
    /// That messages were left out is all that was handed out last: in a flood one that waits is next.
    noted: bool,
    ended: bool,
}

impl Inbox {
    /// The next message; `None` once `messages` has ended and all were handed out. May be dropped at any await.
    pub(super) async fn next(
        &mut self,
        messages: &mut (impl Stream<Item = impl AsRef<[u8]>> + Unpin),
    ) -> Option<Arrived> {
        // Reading a message takes a while, and there may be many.
        tokio::task::yield_now().await;
        loop {
            for _ in 0..AT_ONCE {
                match messages.next().now_or_never() {
                    Some(message) => self.take(message),
                    None => break,
                }
            }
            if self.left_out && (self.waiting.is_empty() || !self.noted) {
                (self.left_out, self.noted) = (false, true);
                return Some(Arrived::LeftOut);
            }
            self.noted = false;
            if let Some(message) = self.waiting.pop_front() {
                self.bytes -= message.len();
                return Some(Arrived::Message(message));
            }
            if self.ended {
                return None;
            }
            let message = messages.next().await;
            self.take(message);
        }
    }

    fn take(&mut self, message: Option<impl AsRef<[u8]>>) {
        let Some(message) = message else {
            self.ended = true;
            return;
        };
        let message = message.as_ref();
        let message = &message[..message.len().min(MESSAGE_BYTES + 1)];
        if self.waiting.len() >= MESSAGES || self.bytes + message.len() > BYTES {
            self.left_out = true;
            return;
        }
        self.bytes += message.len();
        self.waiting.push_back(message.to_vec());
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    async fn all(inbox: &mut Inbox, messages: Vec<Vec<u8>>) -> Vec<Arrived> {
        let (mut messages, mut all) = (stream::iter(messages), Vec::new());
        while let Some(arrived) = inbox.next(&mut messages).await {
            assert!(inbox.waiting.len() <= MESSAGES && inbox.bytes <= BYTES);
            all.push(arrived);
        }
        all
    }

    #[tokio::test]
    async fn messages_are_handed_out_in_order() {
        let sent: Vec<_> = (0..=255).map(|at| vec![at; 3]).collect();
        let mut inbox = Inbox::default();
        let arrived = all(&mut inbox, sent.clone()).await;
        let expected: Vec<_> = sent.into_iter().map(Arrived::Message).collect();
        assert_eq!(arrived, expected);
        assert_eq!(inbox.bytes, 0);
    }

    #[tokio::test]
    async fn a_flood_is_left_out_and_that_is_noted() {
        let short = vec![vec![b'x'; 10]; 40 * MESSAGES];
        let long = vec![vec![b'x'; MESSAGE_BYTES + 9]; 2 * BYTES / MESSAGE_BYTES];
        for (sent, length) in [(short, 10), (long, MESSAGE_BYTES + 1)] {
            let (count, mut inbox) = (sent.len(), Inbox::default());
            let arrived = all(&mut inbox, sent).await;
            assert!(arrived.contains(&Arrived::LeftOut));
            assert!(arrived.len() < count, "{}", arrived.len());
            // What waits is handed out in between.
            let twice = [Arrived::LeftOut, Arrived::LeftOut];
            assert!(!arrived.windows(2).any(|two| two == twice));
            let kept = arrived.iter().filter_map(|arrived| match arrived {
                Arrived::Message(message) => Some(message.len()),
                Arrived::LeftOut => None,
            });
            assert!(kept.into_iter().all(|kept| kept == length));
            assert_eq!(inbox.bytes, 0);
        }
    }
}
