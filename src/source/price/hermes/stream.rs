//! The one supervisor of a stream of Hermes: keeps one open, replaces it before the service ends it, and opens another
//! when it is lost.

use std::{convert::Infallible, time::Duration};

use futures_util::future::{BoxFuture, pending};
use reqwest::{
    Response,
    header::{ACCEPT, CONTENT_TYPE},
};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::{
    super::{
        ExchangeConfig, Feed, SourceKey, TickSink,
        exchange::{Backoff, Book, Ended, Heard, Streams, readers_of, words},
        lateness::LateWatch,
        web::{self, Failed},
    },
    codec::{self, Said},
    events::Events,
};
use crate::model::{Secret, now_ms};

/// Reads some ids over one stream at a time; two for a moment while one replaces the other.
pub(super) struct HermesFeed {
    line: Line,
    streams: Streams,
}

/// What is needed to open a stream, again and again.
struct Line {
    name: String,
    /// With the ids.
    url: Secret,
    key: Option<Secret>,
    rules: ExchangeConfig,
    /// A stream that says nothing for so long is given up; the service sends a comment where it has no price.
    silence: Duration,
}

/// An open stream.
struct Open {
    response: Response,
    events: Events,
    heard: Vec<Heard>,
    /// Whether its prices come late, and stay so.
    late: LateWatch,
    since: Instant,
    /// The last sign of life.
    last: Instant,
    /// It was looked at for what it says nothing of.
    settled: bool,
}

impl HermesFeed {
    pub(super) fn new(
        name: String,
        base: &Secret,
        key: Option<Secret>,
        silence: Duration,
        streams: Streams,
        rules: ExchangeConfig,
    ) -> Self {
        let line = Line {
            name,
            url: address(base, &streams),
            key,
            rules,
            silence,
        };
        Self { line, streams }
    }
}

/// Where the updates of these ids are streamed. What the base's query has is kept: it may be a key.
fn address(base: &Secret, streams: &Streams) -> Secret {
    // It was validated; one that is not fails when it is opened, and says so.
    let Ok(mut url) = reqwest::Url::parse(base.expose()) else {
        return base.clone();
    };
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty()
            .extend(["v2", "updates", "price", "stream"]);
    }
    url.query_pairs_mut()
        .append_pair("parsed", "true")
        .append_pair("ignore_invalid_price_ids", "true")
        .extend_pairs(streams.keys().map(|id| ("ids[]", id)));
    Secret::new(url.as_str())
}

impl Feed for HermesFeed {
    fn name(&self) -> &str {
        &self.line.name
    }

    fn sources(&self) -> Vec<SourceKey> {
        readers_of(&self.streams)
    }

    fn run(self: Box<Self>, sink: TickSink, stop: CancellationToken) -> BoxFuture<'static, ()> {
        let Self { line, streams } = *self;
        Box::pin(async move {
            let mut book = Book::new(&line.name, streams, sink).measuring(&line.rules);
            tokio::select! {
                () = stop.cancelled() => {}
                never = line.keep(&mut book) => match never {},
            }
            book.disconnected();
        })
    }
}

impl Line {
    async fn keep(&self, book: &mut Book) -> Infallible {
        let mut backoff = self.backoff();
        let ids = book.names().len();
        loop {
            let failed = match self.open(ids, self.watch()).await {
                Ok(open) => {
                    book.connected();
                    let failed = self.follow(open, ids, book, &mut backoff).await;
                    book.disconnected();
                    failed
                }
                Err(failed) => failed,
            };
            let wait = backoff.next_delay().max(failed.after.unwrap_or_default());
            let reason = &failed.ended;
            tracing::warn!(feed = %self.name, sources = book.sources(), %reason, ?wait, "a stream of prices is lost; opening another");
            book.metrics.reconnect(reason);
            book.lost(reason);
            sleep(wait).await;
        }
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(
            Duration::from_millis(self.rules.backoff_ms),
            Duration::from_millis(self.rules.backoff_max_ms),
        )
    }

    fn watch(&self) -> LateWatch {
        let patience = Duration::from_millis(self.rules.late_for_ms);
        LateWatch::new(self.rules.late_ms, patience)
    }

    /// What to do where the service wants another key, or one at all.
    fn unauthorized(&self) -> &'static str {
        match self.key {
            Some(_) => "is `key` of the source right, and does it still hold?",
            None => "set `key` of the source: the service wants an API key",
        }
    }

    async fn open(&self, ids: usize, late: LateWatch) -> Result<Open, Failed> {
        let patience = Duration::from_millis(self.rules.connect_timeout_ms);
        let client = web::client(patience, web::is_local(&self.url))?;
        let mut request = client
            .get(self.url.expose())
            .header(ACCEPT, "text/event-stream");
        if let Some(key) = &self.key {
            request = request.bearer_auth(key.expose());
        }
        let response = match timeout(patience, request.send()).await {
            Ok(Ok(response)) => web::accepted(response, self.unauthorized())?,
            Ok(Err(error)) => return Err(web::broken(error).into()),
            Err(_) => {
                let reason = format!("it did not answer within {patience:?}");
                return Err(Ended::Unreachable(reason).into());
            }
        };
        let kind = response.headers().get(CONTENT_TYPE);
        let kind = kind
            .and_then(|kind| kind.to_str().ok())
            .unwrap_or("nothing");
        if !kind.starts_with("text/event-stream") {
            let reason = format!("it answers with {}, not with events", words(kind));
            return Err(Ended::Rejected(reason).into());
        }
        let now = Instant::now();
        Ok(Open {
            response,
            events: Events::new(self.rules.message_bytes),
            heard: vec![Heard::default(); ids],
            late,
            since: now,
            last: now,
            settled: false,
        })
    }

    /// Reads a stream, and those that replace it, until one ends before its successor is there.
    async fn follow(
        &self,
        mut current: Open,
        ids: usize,
        book: &mut Book,
        backoff: &mut Backoff,
    ) -> Failed {
        let first_tick = Duration::from_millis(self.rules.first_tick_ms);
        let rotate_after = Duration::from_millis(self.rules.rotate_after_ms);
        let stable = Duration::from_millis(self.rules.stable_ms);
        let mut successor: Option<BoxFuture<'_, Result<Open, Failed>>> = None;
        // Why the successor is made.
        let mut leaving = Ended::Old;
        let mut retry = self.backoff();
        loop {
            let silent_at = current.last + self.silence;
            tokio::select! {
                read = timeout_at(silent_at, current.response.chunk()) => {
                    let ended = match read {
                        Ok(Ok(Some(bytes))) => match self.take(&bytes, &mut current, book) {
                            Ok(false) => continue,
                            Ok(true) => {
                                if successor.is_none() {
                                    leaving = Ended::Late(self.rules.late_ms);
                                    // A young one that is late may be followed by others that are.
                                    let wait = match current.since.elapsed() >= stable {
                                        true => Duration::ZERO,
                                        false => retry.next_delay(),
                                    };
                                    successor = Some(self.successor(ids, &current, wait));
                                }
                                continue;
                            }
                            Err(ended) => ended,
                        },
                        Ok(Ok(None)) => Ended::Closed(String::new()),
                        Ok(Err(error)) => web::broken(error),
                        Err(_) => Ended::Silent(self.silence),
                    };
                    if current.since.elapsed() >= stable {
                        backoff.reset();
                    }
                    return ended.into();
                }
                () = sleep_until(current.since + first_tick), if !current.settled => {
                    current.settled = true;
                    book.silent(&current.heard, current.since);
                }
                () = sleep_until(current.since + rotate_after), if successor.is_none() => {
                    leaving = Ended::Old;
                    successor = Some(self.successor(ids, &current, Duration::ZERO));
                }
                opened = progress(&mut successor) => match opened {
                    Ok(next) => {
                        // Attempts for a stream that lasted are no reason to wait for the next.
                        if leaving == Ended::Old || current.since.elapsed() >= stable {
                            retry.reset();
                        }
                        current = next;
                        successor = None;
                        book.metrics.reconnect(&leaving);
                        tracing::info!(feed = %self.name, reason = %leaving, "another stream of prices took over");
                    }
                    Err(failed) => {
                        let wait = retry.next_delay().max(failed.after.unwrap_or_default());
                        let reason = &failed.ended;
                        tracing::warn!(feed = %self.name, sources = book.sources(), %reason, ?wait, "no second stream of prices");
                        book.metrics.reconnect(reason);
                        successor = Some(self.successor(ids, &current, wait));
                    }
                },
            }
        }
    }

    /// A stream that is to replace another one, opened after a while.
    fn successor(
        &self,
        ids: usize,
        current: &Open,
        wait: Duration,
    ) -> BoxFuture<'_, Result<Open, Failed>> {
        let late = current.late.clone();
        Box::pin(async move {
            sleep(wait).await;
            self.open(ids, late).await
        })
    }

    /// Some bytes of a stream, told to the book. Returns whether its prices were late for too long, and those of
    /// other venues are not: then another stream may be in time.
    fn take(&self, bytes: &[u8], open: &mut Open, book: &mut Book) -> Result<bool, Ended> {
        let now = now_ms();
        open.last = Instant::now();
        let Open {
            events,
            heard,
            late,
            ..
        } = open;
        let mut is_late = false;
        let read = events.read(bytes, |data| {
            book.metrics.message(now);
            codec::read(data, &mut |said| match said {
                Said::Quote(quote) => {
                    let late_ms = book.quote(quote, heard, now);
                    is_late |= late_ms.is_some_and(|late_ms| late.heard(late_ms, Instant::now()));
                }
                Said::Unusable { id, fault } => book.refuse(&id, &fault),
            });
        });
        read.map_err(|_| Ended::TooLarge(self.rules.message_bytes))?;
        if is_late {
            // Twice as long the next time: what takes over may be as late, by no fault of a stream.
            late.double();
        }
        Ok(is_late && !book.is_late_everywhere(self.rules.late_ms))
    }
}

/// What comes of the successor; never, when there is none. May be dropped while it waits.
async fn progress(
    successor: &mut Option<BoxFuture<'_, Result<Open, Failed>>>,
) -> Result<Open, Failed> {
    match successor {
        Some(opening) => opening.as_mut().await,
        None => pending().await,
    }
}
