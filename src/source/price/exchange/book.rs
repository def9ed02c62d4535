//! What a feed knows of each stream that it reads, whichever connection it came by: from what a venue says to ticks
//! (here) and to states (`states`).

mod states;
mod stream;

use std::{borrow::Cow, sync::Arc};

use rustc_hash::FxHashMap;
use tokio::time::Instant;

use super::{
    super::{
        FeedState, TickSink, feed_name::all_shown, lateness::Lateness, seldom::Seldom,
        venue_time::recent,
    },
    ExchangeConfig, PriceFault, Quote,
    connection::words,
    group::Streams,
    metrics::FeedMetrics,
};
use crate::model::Tick;

pub(in super::super) use stream::Heard;
use stream::{Stream, in_units};

/// So many messages in a row that are older by the venue's numbers are none that came late: it numbers anew.
const MOST_BEHIND: u32 = 16;
/// Times further ahead than a day are no clock that is off, but another unit or a fault.
const MOST_BEHIND_MS: i64 = 86_400_000;

pub(in super::super) struct Book {
    feed: String,
    /// For log lines.
    sources: String,
    sink: TickSink,
    streams: Vec<Stream>,
    by_name: FxHashMap<Box<str>, usize>,
    /// Lines of faults by their kind, and of others.
    logged: Seldom,
    /// Why the venue does not trade as usual, in its words, while that is so.
    limited: Option<Arc<str>>,
    /// Connections that are open, and whether there may be several.
    open: usize,
    shared: bool,
    /// How late prices come, where venues tell their time.
    lateness: Option<Lateness>,
    clock_off_ms: i64,
    /// The notice that was logged last, and when the venue last said it.
    notice: Option<(String, Instant)>,
    pub(in super::super) metrics: FeedMetrics,
}

impl Book {
    /// Tells at once that every source is being connected to.
    pub(in super::super) fn new(feed: &str, streams: Streams, sink: TickSink) -> Self {
        let sources = all_shown(&streams);
        tracing::info!(feed, sources, "a price feed begins");
        let streams: Vec<Stream> = streams
            .into_iter()
            .map(|(name, readers)| Stream::new(name, readers))
            .collect();
        let names = streams.iter().map(|stream| stream.name.clone());
        let mut book = Self {
            by_name: names.zip(0..).collect(),
            feed: feed.to_owned(),
            sources,
            sink,
            streams,
            logged: Seldom::default(),
            limited: None,
            open: 0,
            shared: false,
            lateness: None,
            clock_off_ms: i64::MAX,
            notice: None,
            metrics: FeedMetrics::new(feed),
        };
        book.tell_all(&FeedState::Connecting { reason: None });
        book
    }

    /// Shows how late prices come, and takes what they say of this machine's clock.
    pub(in super::super) fn measuring(mut self, config: &ExchangeConfig) -> Self {
        self.lateness = Some(Lateness::new(&self.feed));
        self.clock_off_ms = config.clock_off_ms.cast_signed();
        self
    }

    /// Several connections tell the same: what comes first counts.
    pub(super) fn shared(mut self) -> Self {
        self.shared = true;
        self
    }

    /// A connection opens in a slot that another one may have had.
    pub(super) fn began(&mut self, slot: u8) {
        for stream in &mut self.streams {
            stream.copies.began(slot);
        }
    }

    /// One more connection is there to be read, or one is there no more.
    pub(in super::super) fn connected(&mut self) {
        self.open += 1;
        self.metrics.connections(self.open);
    }

    pub(in super::super) fn disconnected(&mut self) {
        self.open = self.open.saturating_sub(1);
        self.metrics.connections(self.open);
        if self.open == 0 {
            self.streams
                .iter_mut()
                .for_each(|stream| stream.copies.clear());
            if let Some(lateness) = &mut self.lateness {
                lateness.clear();
            }
        }
    }

    /// Whether this machine's clock, or the way of all venues to here, makes prices late.
    pub(in super::super) fn is_late_everywhere(&self, limit_ms: u64) -> bool {
        let clock = self.sink.clock();
        clock.is_late_everywhere(limit_ms.cast_signed(), Instant::now())
    }

    /// The sources that it gives the ticks of, for log lines.
    pub(in super::super) fn sources(&self) -> &str {
        &self.sources
    }

    /// The names of all streams, in the order in which a connection counts them.
    pub(in super::super) fn names(&self) -> Vec<Box<str>> {
        let names = self.streams.iter().map(|stream| stream.name.clone());
        names.collect()
    }

    /// Where a stream stands, when it was asked for.
    pub(in super::super) fn find(&self, stream: &str) -> Option<usize> {
        self.by_name.get(stream).copied()
    }

    /// The same, where the venue may write it in another case than it was asked for.
    pub(in super::super) fn find_in_any_case(&self, stream: &str) -> Option<usize> {
        self.find(stream).or_else(|| {
            let mut same = (0..self.streams.len())
                .filter(|at| self.streams[*at].name.eq_ignore_ascii_case(stream));
            // Of two that differ in their case alone either could be meant.
            same.next().filter(|_| same.next().is_none())
        })
    }

    /// The venue said that it tells a stream that was asked for under this name.
    pub(in super::super) fn named(&mut self, stream: &str) {
        if self.find(stream).is_some() {
            return;
        }
        if let Some(at) = self.find_in_any_case(stream)
            && !std::mem::replace(&mut self.streams[at].renamed, true)
        {
            self.by_name.insert(stream.into(), at);
        }
    }

    /// A price that was heard: a tick for each reader, or a refusal.
    ///
    /// Nothing was observed after it was heard, so a venue whose clock runs ahead by less than a minute counts as of
    /// now; one that is further ahead is refused. What is older than the newest of its stream is left out: by the venue's
    /// own order on one connection, by time in any case. One number that is far too high, or a venue that restarts its
    /// count, silences a stream for a few messages only.
    ///
    /// Returns how late it came, in ms, where that says something: the venue tells its time, and it is no snapshot.
    pub(in super::super) fn quote(
        &mut self,
        quote: Quote<'_>,
        heard: &mut [Heard],
        now_ms: i64,
    ) -> Option<i64> {
        let Some(at) = self.find(&quote.stream) else {
            let fault = PriceFault::UnknownSymbol(quote.stream.chars().take(64).collect());
            self.refuse(&quote.stream, &fault);
            return None;
        };
        let late = quote.observed_at.map(|at| now_ms.saturating_sub(at));
        // The first one may be a snapshot of long ago, but of no time to come. Those behind it count also where another
        // connection is ahead of this one, so that none is a tick.
        let is_first = !std::mem::replace(&mut heard[at].told, true);
        let measured = late.filter(|late_ms| !is_first || *late_ms < 0);
        let observed_at = match recent(quote.observed_at.unwrap_or(now_ms), now_ms) {
            Ok(at) => at.min(now_ms),
            Err(fault) => {
                // What is refused as of the future may be of now, and this clock behind.
                if late.is_some_and(|late_ms| (-MOST_BEHIND_MS..0).contains(&late_ms)) {
                    self.measure(late, measured);
                }
                self.refuse(&quote.stream, &fault);
                return None;
            }
        };
        match self.take(at, quote, observed_at, &mut heard[at]) {
            Ok(()) => self.measure(late, measured),
            Err((stream, fault)) => self.refuse(&stream, &fault),
        }
        measured
    }

    /// Takes in how late a price came that is a tick.
    fn measure(&mut self, late_ms: Option<i64>, measured: Option<i64>) {
        let (Some(lateness), Some(late_ms)) = (&mut self.lateness, late_ms) else {
            return;
        };
        let now = Instant::now();
        let median = measured.and_then(|late_ms| lateness.note(late_ms, now));
        if measured.is_some() && median.is_none() {
            return;
        }
        let mut clock = self.sink.clock();
        clock.saw(&self.feed, late_ms);
        if let Some(median) = median {
            clock.note(&self.feed, median, self.clock_off_ms, now);
        }
    }

    /// A price of a stream, as a tick for each reader; or where it was told, and why it is none.
    fn take<'q>(
        &mut self,
        at: usize,
        quote: Quote<'q>,
        observed_at: i64,
        heard: &mut Heard,
    ) -> Result<(), (Cow<'q, str>, PriceFault)> {
        let stream = &mut self.streams[at];
        let disordered = matches!((quote.order, heard.order), (Some(new), Some(old)) if new < old);
        heard.behind = if disordered {
            heard.behind.saturating_add(1)
        } else {
            0
        };
        // A time that is ours says nothing about order: our clock may be set back.
        let late = quote.observed_at.is_some() && observed_at < stream.newest;
        if late || (disordered && heard.behind < MOST_BEHIND) {
            return Err((quote.stream, PriceFault::Older));
        }
        heard.behind = 0;
        heard.order = quote.order;
        heard.ticked = true;
        if self.shared {
            let now = Instant::now();
            stream.told_at = Some(now);
            if !stream.copies.is_news(&mut heard.copies, &quote, disordered) {
                return Err((quote.stream, PriceFault::Duplicate));
            }
        }
        stream.newest = observed_at;
        let mut unusable = None;
        for (reader, counter) in &stream.readers {
            let told = in_units(reader, &quote.price, quote.confidence.as_ref());
            let (price, confidence) = match told {
                Ok(told) => told,
                Err(fault) => {
                    unusable = Some(fault);
                    continue;
                }
            };
            counter.increment(1);
            self.sink.send(Tick {
                token: reader.token.clone(),
                source: reader.source.clone(),
                quote: reader.quote.clone(),
                price,
                confidence,
                observed_at,
                origin: None,
            });
        }
        if let Some(fault) = unusable {
            self.refuse(&quote.stream, &fault);
        }
        let stream = &mut self.streams[at];
        // As seldom as the line that there is none, which each of these follows.
        if stream.logged_lack.take().is_some() {
            let sources = stream.sources();
            tracing::info!(feed = %self.feed, sources, stream = %stream.name, "a document has a price now");
        }
        if stream.state != FeedState::Live {
            self.tell(at, FeedState::Live);
        }
        Ok(())
    }

    /// Counts what gave no tick, and logs the first of its kind in a while.
    pub(in super::super) fn refuse(&mut self, stream: &str, fault: &PriceFault) {
        self.metrics.refused(fault.reason());
        // Late ones are a matter of course where two connections overlap.
        if matches!(fault, PriceFault::Older | PriceFault::Duplicate) {
            return;
        }
        if self.logged.due(fault.reason()) {
            let sources = self.find(stream).map(|at| self.streams[at].sources());
            tracing::warn!(
                feed = %self.feed, sources, stream = %words(stream), reason = %words(&fault.to_string()),
                "a venue sent a price that cannot be used"
            );
        }
    }

    /// Whether a line of this kind may be logged now; if so it counts as logged.
    pub(in super::super) fn may_log(&mut self, kind: &'static str) -> bool {
        self.logged.due(kind)
    }
}

#[cfg(test)]
#[path = "book_tests.rs"]
mod tests;
