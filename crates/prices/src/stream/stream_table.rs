//! The streams of a feed and their state, shared by all its connections: turns venue events into ticks (here) and into
//! states (`states`).

mod states;
mod stream;

use std::{borrow::Cow, sync::Arc};

use rustc_hash::FxHashMap;
use tokio::time::Instant;

use super::{
    super::{
        FeedState, PriceFault, TickSink, lateness::Lateness, sanitized::sanitized,
        venue_time::check_recent,
    },
    Quote,
    metrics::FeedMetrics,
    readers::{Streams, source_labels},
};
use chaincast_base::telemetry::log_limit::LogLimit;
use chaincast_model::Tick;

pub(in super::super) use stream::StreamProgress;
use stream::{Stream, in_price_unit};

/// After this many consecutive messages with an older number, the venue has restarted its numbering.
const MAX_OUT_OF_ORDER: u32 = 16;
/// A time further ahead than a day is a wrong unit or a fault, not a clock offset.
const MAX_CLOCK_LAG_MS: i64 = 86_400_000;

pub(in super::super) struct StreamTable {
    feed: String,
    /// Names of the sources, for logs.
    sources: String,
    sink: TickSink,
    streams: Vec<Stream>,
    by_name: FxHashMap<Box<str>, usize>,
    /// Limits log lines by kind.
    logged: LogLimit,
    /// The venue's reason for restricted trading, while it lasts.
    restriction: Option<Arc<str>>,
    /// Number of open connections, and whether several are configured.
    open: usize,
    deduplicated: bool,
    /// Lateness of the prices, for venues that report the time.
    lateness: Option<Lateness>,
    clock_off_ms: i64,
    /// The last logged notice, and when the venue last sent it.
    notice: Option<(String, Instant)>,
    pub(in super::super) metrics: FeedMetrics,
}

impl StreamTable {
    /// Sets the state of every source to connecting.
    pub(in super::super) fn new(feed: &str, streams: Streams, sink: TickSink) -> Self {
        let sources = source_labels(&streams);
        tracing::info!(feed, sources, "price feed started");
        let streams: Vec<Stream> = streams
            .into_iter()
            .map(|(name, readers)| Stream::new(name, readers))
            .collect();
        let names = streams.iter().map(|stream| stream.name.clone());
        let mut table = Self {
            by_name: names.zip(0..).collect(),
            feed: feed.to_owned(),
            sources,
            sink,
            streams,
            logged: LogLimit::default(),
            restriction: None,
            open: 0,
            deduplicated: false,
            lateness: None,
            clock_off_ms: i64::MAX,
            notice: None,
            metrics: FeedMetrics::new(feed),
        };
        table.set_all(&FeedState::Connecting { reason: None });
        table
    }

    /// Measures the lateness of prices and reports it to the venue clock.
    pub(in super::super) fn with_lateness(mut self, clock_off_ms: u64) -> Self {
        self.lateness = Some(Lateness::new(&self.feed));
        self.clock_off_ms = clock_off_ms.cast_signed();
        self
    }

    /// Several connections deliver the same prices: the first copy counts.
    pub(in super::super) fn deduplicated(mut self) -> Self {
        self.deduplicated = true;
        self
    }

    /// A new connection uses this slot.
    pub(in super::super) fn reset_slot(&mut self, slot: u8) {
        for stream in &mut self.streams {
            stream.dedup.reset_slot(slot);
        }
    }

    /// Counts an opened connection; [`Self::disconnected`] counts a closed one.
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
                .for_each(|stream| stream.dedup.clear());
            if let Some(lateness) = &mut self.lateness {
                lateness.clear();
            }
        }
    }

    /// Whether prices are late at all venues, because of this machine's clock or its network.
    pub(in super::super) fn is_late_everywhere(&self, limit_ms: u64) -> bool {
        let clock = self.sink.clock();
        clock.is_late_everywhere(limit_ms.cast_signed(), Instant::now())
    }

    /// The names of the sources, for logs.
    pub(in super::super) fn sources(&self) -> &str {
        &self.sources
    }

    /// The names of all streams, in the order of their positions.
    pub(in super::super) fn names(&self) -> Vec<Box<str>> {
        let names = self.streams.iter().map(|stream| stream.name.clone());
        names.collect()
    }

    /// The position of a requested stream.
    pub(in super::super) fn find(&self, stream: &str) -> Option<usize> {
        self.by_name.get(stream).copied()
    }

    /// The position of a requested stream, ignoring case.
    pub(in super::super) fn find_in_any_case(&self, stream: &str) -> Option<usize> {
        self.find(stream).or_else(|| {
            let mut same = (0..self.streams.len())
                .filter(|at| self.streams[*at].name.eq_ignore_ascii_case(stream));
            // Ambiguous if two streams differ in case only.
            same.next().filter(|_| same.next().is_none())
        })
    }

    /// The venue confirmed a stream under this name, which may differ in case from the requested one.
    pub(in super::super) fn add_alias(&mut self, stream: &str) {
        if self.find(stream).is_some() {
            return;
        }
        if let Some(at) = self.find_in_any_case(stream)
            && !std::mem::replace(&mut self.streams[at].has_alias, true)
        {
            self.by_name.insert(stream.into(), at);
        }
    }

    /// Handles a received price: sends a tick for each reader, or rejects it.
    ///
    /// A time less than a minute ahead of this clock counts as now; a later one is rejected. A price older than the
    /// newest of its stream is dropped: by the venue's order number within a connection, and by time. A number that is
    /// far too high, or a restarted count, blocks a stream for a few messages only.
    ///
    /// Returns the lateness in ms, if the venue reports the time and the price is not a snapshot.
    pub(in super::super) fn quote(
        &mut self,
        quote: Quote<'_>,
        progress: &mut [StreamProgress],
        now_ms: i64,
    ) -> Option<i64> {
        let Some(at) = self.find(&quote.stream) else {
            let fault = PriceFault::UnknownSymbol(quote.stream.chars().take(64).collect());
            self.reject(&quote.stream, &fault);
            return None;
        };
        let late = quote.observed_at.map(|at| now_ms.saturating_sub(at));
        // The first price may be an old snapshot, but never one of the future. Later ones are measured even if another
        // connection was faster, so that none becomes a tick.
        let is_first = !std::mem::replace(&mut progress[at].has_price, true);
        let measured = late.filter(|late_ms| !is_first || *late_ms < 0);
        let observed_at = match check_recent(quote.observed_at.unwrap_or(now_ms), now_ms) {
            Ok(at) => at.min(now_ms),
            Err(fault) => {
                // A time in the future may also mean that this clock is behind.
                if late.is_some_and(|late_ms| (-MAX_CLOCK_LAG_MS..0).contains(&late_ms)) {
                    self.record_lateness(late, measured);
                }
                self.reject(&quote.stream, &fault);
                return None;
            }
        };
        match self.accept(at, quote, observed_at, &mut progress[at]) {
            Ok(()) => self.record_lateness(late, measured),
            Err((stream, fault)) => self.reject(&stream, &fault),
        }
        measured
    }

    /// Records the lateness of a price that became a tick.
    fn record_lateness(&mut self, late_ms: Option<i64>, measured: Option<i64>) {
        let (Some(lateness), Some(late_ms)) = (&mut self.lateness, late_ms) else {
            return;
        };
        let now = Instant::now();
        let median = measured.and_then(|late_ms| lateness.record(late_ms, now));
        if measured.is_some() && median.is_none() {
            return;
        }
        let mut clock = self.sink.clock();
        clock.record(&self.feed, late_ms);
        if let Some(median) = median {
            clock.record_median(&self.feed, median, self.clock_off_ms, now);
        }
    }

    /// Sends a tick for each reader of the stream; the error names the stream.
    fn accept<'q>(
        &mut self,
        at: usize,
        quote: Quote<'q>,
        observed_at: i64,
        progress: &mut StreamProgress,
    ) -> Result<(), (Cow<'q, str>, PriceFault)> {
        let stream = &mut self.streams[at];
        let is_out_of_order =
            matches!((quote.order, progress.order), (Some(new), Some(old)) if new < old);
        progress.out_of_order = if is_out_of_order {
            progress.out_of_order.saturating_add(1)
        } else {
            0
        };
        // A time of our own gives no order: this clock may be set back.
        let late = quote.observed_at.is_some() && observed_at < stream.newest;
        if late || (is_out_of_order && progress.out_of_order < MAX_OUT_OF_ORDER) {
            return Err((quote.stream, PriceFault::Older));
        }
        progress.out_of_order = 0;
        progress.order = quote.order;
        progress.has_tick = true;
        if self.deduplicated {
            let now = Instant::now();
            stream.last_price_at = Some(now);
            if !stream
                .dedup
                .is_new(&mut progress.dedup, &quote, is_out_of_order)
            {
                return Err((quote.stream, PriceFault::Duplicate));
            }
        }
        stream.newest = observed_at;
        let mut unusable = None;
        for (reader, counter) in &stream.readers {
            let converted = in_price_unit(reader, &quote.price, quote.confidence.as_ref());
            let (price, confidence) = match converted {
                Ok(converted) => converted,
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
            self.reject(&quote.stream, &fault);
        }
        let stream = &mut self.streams[at];
        // Follows a logged missing price, so it is as rare.
        if stream.logged_missing.take().is_some() {
            let sources = stream.sources();
            tracing::info!(feed = %self.feed, sources, stream = %stream.name, "document has a price again");
        }
        if stream.state != FeedState::Live {
            self.set_state(at, FeedState::Live);
        }
        Ok(())
    }

    /// Counts a rejected price, and logs one of each kind per interval.
    pub(in super::super) fn reject(&mut self, stream: &str, fault: &PriceFault) {
        self.metrics.refused(fault.reason());
        // Expected where connections overlap.
        if matches!(fault, PriceFault::Older | PriceFault::Duplicate) {
            return;
        }
        if self.logged.is_due(fault.reason()) {
            let sources = self.find(stream).map(|at| self.streams[at].sources());
            tracing::warn!(
                feed = %self.feed, sources, stream = %sanitized(stream), reason = %sanitized(&fault.to_string()),
                "unusable price from a venue"
            );
        }
    }

    /// Whether a line of this kind may be logged now; it then counts as logged.
    pub(in super::super) fn is_log_due(&mut self, kind: &'static str) -> bool {
        self.logged.is_due(kind)
    }
}

#[cfg(test)]
#[path = "stream_table_tests.rs"]
mod tests;
