//! How the streams of a book stand: what the venue says of itself and of a symbol, told to the writer and logged.

use std::sync::Arc;

use tokio::time::Instant;

use super::{
    super::{
        super::{FeedState, seldom::LOG_EVERY},
        PriceFault,
        connection::{Ended, words},
    },
    Book, Heard,
};

impl Book {
    /// The venue says that it does not trade as usual, in words for people: every source of it stands so. Logged when it
    /// is another notice than the last one, or was not said for a while, and seldom in any case.
    pub(in super::super::super) fn notice(&mut self, notice: &str) {
        let (notice, now) = (words(notice), Instant::now());
        self.limit(Some(notice.as_str().into()));
        if let Some((last, said)) = &mut self.notice
            && *last == notice
            && now.duration_since(std::mem::replace(said, now)) < LOG_EVERY
        {
            return;
        }
        if self.logged.due("notice") {
            tracing::info!(feed = %self.feed, %notice, "a venue sent a notice");
            self.notice = Some((notice, now));
        }
    }

    /// The venue says that it trades as usual.
    pub(in super::super::super) fn usual(&mut self) {
        if self.limited.is_some() {
            self.limit(None);
            if self.logged.due("usual") {
                tracing::info!(feed = %self.feed, "a venue trades as usual");
            }
        }
    }

    fn limit(&mut self, limited: Option<Arc<str>>) {
        if self.limited == limited {
            return;
        }
        self.metrics.limited(limited.is_some());
        self.limited = limited;
        for at in 0..self.streams.len() {
            self.show(at);
        }
    }

    /// The venue does not serve this stream.
    pub(in super::super::super) fn refused(&mut self, at: usize, reason: &str) {
        if self.streams[at].logged.due("refused") {
            let stream = &self.streams[at].name;
            let sources = self.streams[at].sources();
            tracing::warn!(feed = %self.feed, sources, %stream, reason, "a venue refuses a symbol");
        }
        self.tell(
            at,
            FeedState::Refused {
                reason: reason.into(),
            },
        );
    }

    /// A document has no price where a stream reads it. Counted each time; told and logged once, until there is a
    /// price or the trouble is of another kind: a document may change its words with each fetch.
    pub(in super::super::super) fn lacks(
        &mut self,
        at: usize,
        fault: &PriceFault,
        kind: &'static str,
        reason: &str,
    ) {
        self.metrics.refused(fault.reason());
        let stream = &mut self.streams[at];
        if stream.logged_lack != Some(kind) && stream.logged.due("lacks") {
            stream.logged_lack = Some(kind);
            let sources = stream.sources();
            tracing::warn!(feed = %self.feed, sources, stream = %stream.name, reason, "a document has no price");
        }
        if stream.lack != Some(kind) {
            self.tell(
                at,
                FeedState::Refused {
                    reason: reason.into(),
                },
            );
            self.streams[at].lack = Some(kind);
        }
    }

    /// Streams of which a connection heard nothing, though it had the time.
    /// Where there are several, another one may have heard of it since this one `began`.
    pub(in super::super::super) fn silent(&mut self, heard: &[Heard], began: Instant) {
        for (at, heard) in heard.iter().enumerate() {
            let stream = &self.streams[at];
            let elsewhere = stream.told_at.is_some_and(|told_at| told_at >= began);
            let is_silent = !heard.ticked && !heard.refused && !elsewhere;
            if is_silent && stream.state != FeedState::Silent {
                if self.streams[at].logged.due("silent") {
                    let stream = &self.streams[at].name;
                    let sources = self.streams[at].sources();
                    tracing::warn!(feed = %self.feed, sources, %stream, "a venue sends nothing for a symbol");
                }
                self.tell(at, FeedState::Silent);
            }
        }
    }

    /// A connection ended, or could not be made. While another one is read nothing is lost.
    pub(in super::super::super) fn lost(&mut self, ended: &Ended) {
        if self.open > 0 {
            return;
        }
        // The next connection begins with how the venue is then.
        self.limit(None);
        let reason: Arc<str> = ended.to_string().into();
        self.tell_all(&match ended {
            Ended::Rejected(_) => FeedState::Refused { reason },
            _ => FeedState::Connecting {
                reason: Some(reason),
            },
        });
    }

    pub(super) fn tell_all(&mut self, state: &FeedState) {
        for at in 0..self.streams.len() {
            self.tell(at, state.clone());
        }
    }

    pub(super) fn tell(&mut self, at: usize, state: FeedState) {
        let stream = &mut self.streams[at];
        stream.state = state;
        stream.lack = None;
        self.show(at);
    }

    /// Tells how a stream stands. What the venue says of itself comes before what was heard of the stream, but not
    /// before a refusal and what ended the connection.
    fn show(&self, at: usize) {
        let stream = &self.streams[at];
        let state = match (&self.limited, &stream.state) {
            (
                Some(reason),
                FeedState::Live | FeedState::Silent | FeedState::Connecting { reason: None },
            ) => FeedState::Limited {
                reason: reason.clone(),
            },
            (_, state) => state.clone(),
        };
        for (reader, _) in &stream.readers {
            self.sink.tell(&reader.token, &reader.source, state.clone());
        }
    }
}
