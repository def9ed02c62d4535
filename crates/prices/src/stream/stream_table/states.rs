//! The states of the streams: notices and rejections of the venue, reported to the writer and logged.

use std::sync::Arc;

use tokio::time::Instant;

use super::{
    super::super::{FeedState, PriceFault, disconnect::Disconnect, sanitized::sanitized},
    StreamProgress, StreamTable,
};
use chaincast_base::telemetry::log_limit::LOG_INTERVAL;

impl StreamTable {
    /// The venue reports restricted trading: all its sources become limited. Logged if the notice differs from the last
    /// one or was not sent for a while, at most once per interval.
    pub(in super::super::super) fn notice(&mut self, notice: &str) {
        let (notice, now) = (sanitized(notice), Instant::now());
        self.set_restriction(Some(notice.as_str().into()));
        if let Some((last, last_sent)) = &mut self.notice
            && *last == notice
            && now.duration_since(std::mem::replace(last_sent, now)) < LOG_INTERVAL
        {
            return;
        }
        if self.logged.is_due("notice") {
            tracing::info!(feed = %self.feed, %notice, "notice from a venue");
            self.notice = Some((notice, now));
        }
    }

    /// The venue reports normal trading.
    pub(in super::super::super) fn clear_notice(&mut self) {
        if self.restriction.is_some() {
            self.set_restriction(None);
            if self.logged.is_due("normal") {
                tracing::info!(feed = %self.feed, "venue trades normally");
            }
        }
    }

    fn set_restriction(&mut self, restriction: Option<Arc<str>>) {
        if self.restriction == restriction {
            return;
        }
        self.metrics.limited(restriction.is_some());
        self.restriction = restriction;
        for at in 0..self.streams.len() {
            self.publish_state(at);
        }
    }

    /// The venue rejected this stream.
    pub(in super::super::super) fn stream_rejected(&mut self, at: usize, reason: &str) {
        if self.streams[at].logged.is_due("refused") {
            let stream = &self.streams[at].name;
            let sources = self.streams[at].sources();
            tracing::warn!(feed = %self.feed, sources, %stream, reason, "venue rejected a symbol");
        }
        self.set_state(
            at,
            FeedState::Refused {
                reason: reason.into(),
            },
        );
    }

    /// A document has no price for this stream. Counted every time; reported and logged once, until there is a price or
    /// another kind of fault: the text may differ with each fetch.
    pub(in super::super::super) fn missing_price(
        &mut self,
        at: usize,
        fault: &PriceFault,
        kind: &'static str,
        reason: &str,
    ) {
        self.metrics.refused(fault.reason());
        let stream = &mut self.streams[at];
        if stream.logged_missing != Some(kind) && stream.logged.is_due("missing") {
            stream.logged_missing = Some(kind);
            let sources = stream.sources();
            tracing::warn!(feed = %self.feed, sources, stream = %stream.name, reason, "no price in the document");
        }
        if stream.missing != Some(kind) {
            self.set_state(
                at,
                FeedState::Refused {
                    reason: reason.into(),
                },
            );
            self.streams[at].missing = Some(kind);
        }
    }

    /// Marks the streams without data on a connection as silent, unless another connection has delivered a price since
    /// this one `opened`.
    pub(in super::super::super) fn mark_silent(
        &mut self,
        progress: &[StreamProgress],
        opened: Instant,
    ) {
        for (at, progress) in progress.iter().enumerate() {
            let stream = &self.streams[at];
            let on_other_connection = stream
                .last_price_at
                .is_some_and(|last_price_at| last_price_at >= opened);
            let is_silent = !progress.has_tick && !progress.is_rejected && !on_other_connection;
            if is_silent && stream.state != FeedState::Silent {
                if self.streams[at].logged.is_due("silent") {
                    let stream = &self.streams[at].name;
                    let sources = self.streams[at].sources();
                    tracing::warn!(feed = %self.feed, sources, %stream, "no data received for symbol");
                }
                self.set_state(at, FeedState::Silent);
            }
        }
    }

    /// A connection ended or failed. Ignored while another connection is open.
    pub(in super::super::super) fn connection_lost(&mut self, disconnect: &Disconnect) {
        if self.open > 0 {
            return;
        }
        // The next connection starts with the venue's current state.
        self.set_restriction(None);
        let reason: Arc<str> = disconnect.to_string().into();
        self.set_all(&match disconnect {
            Disconnect::Rejected(_) => FeedState::Refused { reason },
            _ => FeedState::Connecting {
                reason: Some(reason),
            },
        });
    }

    pub(super) fn set_all(&mut self, state: &FeedState) {
        for at in 0..self.streams.len() {
            self.set_state(at, state.clone());
        }
    }

    pub(super) fn set_state(&mut self, at: usize, state: FeedState) {
        let stream = &mut self.streams[at];
        stream.state = state;
        stream.missing = None;
        self.publish_state(at);
    }

    /// Publishes the state of a stream. Restricted trading overrides other states, but not a rejection or the reason of
    /// a lost connection.
    fn publish_state(&self, at: usize) {
        let stream = &self.streams[at];
        let state = match (&self.restriction, &stream.state) {
            (
                Some(reason),
                FeedState::Live | FeedState::Silent | FeedState::Connecting { reason: None },
            ) => FeedState::Limited {
                reason: reason.clone(),
            },
            (_, state) => state.clone(),
        };
        for (reader, _) in &stream.readers {
            self.sink
                .set_state(&reader.token, &reader.source, state.clone());
        }
    }
}
