//! Supervises a Hermes stream: keeps one open, replaces it before the service ends it, and reopens it when it is lost.

use std::time::Duration;

use futures_util::future::{BoxFuture, pending};
use parking_lot::Mutex;
use reqwest::{
    Response,
    header::{ACCEPT, CONTENT_TYPE},
};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::{
    super::{
        ExchangeConfig, Feed, SourceKey, TickSink,
        disconnect::Disconnect,
        http_client::{self, FailedAttempt},
        lateness::LateWatch,
        sanitized::sanitized,
        stream::{StreamProgress, StreamTable, Streams, readers_of},
        supervisor::{Attempt, supervise},
    },
    codec::{self, PriceEvent},
    events::Events,
};
use chaincast_base::{Secret, retry::Backoff};
use chaincast_protocol::now_ms;

/// Reads price ids over one stream; briefly two during a replacement.
pub(super) struct HermesFeed {
    connector: Connector,
    streams: Streams,
}

/// Opens and reads a stream and its successors.
struct Connector {
    name: String,
    /// Includes the ids.
    url: Secret,
    key: Option<Secret>,
    config: ExchangeConfig,
    /// A stream without data for this long is closed; the service sends a comment if it has no price.
    silence: Duration,
}

/// An open stream.
struct OpenStream {
    response: Response,
    events: Events,
    progress: Vec<StreamProgress>,
    /// Detects prices that stay late.
    late: LateWatch,
    since: Instant,
    /// When the last data arrived.
    last: Instant,
    /// Whether silent ids were already reported.
    settled: bool,
}

impl HermesFeed {
    pub(super) fn new(
        name: String,
        base: &Secret,
        key: Option<Secret>,
        silence: Duration,
        streams: Streams,
        config: ExchangeConfig,
    ) -> Self {
        let connector = Connector {
            name,
            url: address(base, &streams),
            key,
            config,
            silence,
        };
        Self { connector, streams }
    }
}

/// The URL that streams the updates of these ids. Keeps the query of the base URL, which may contain a key.
fn address(base: &Secret, streams: &Streams) -> Secret {
    // The URL is validated; an invalid one fails with an error when opened.
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
        &self.connector.name
    }

    fn sources(&self) -> Vec<SourceKey> {
        readers_of(&self.streams)
    }

    fn run(self: Box<Self>, sink: TickSink, stop: CancellationToken) -> BoxFuture<'static, ()> {
        let Self { connector, streams } = *self;
        Box::pin(async move {
            let table = StreamTable::new(&connector.name, streams, sink)
                .with_lateness(connector.config.clock_off_ms);
            let backoff = connector.config.backoff();
            supervise(vec![connector], table, backoff, stop).await;
        })
    }
}

impl Attempt for Connector {
    async fn attempt(
        &mut self,
        table: &Mutex<StreamTable>,
        backoff: &mut Backoff,
    ) -> Result<Duration, FailedAttempt> {
        let ids = table.lock().names().len();
        let open = self.open(ids, self.config.late_watch()).await?;
        table.lock().connected();
        let reason = self.read_until_lost(open, ids, table, backoff).await;
        table.lock().disconnected();
        Err(reason.into())
    }

    fn log_failure(&self, table: &mut StreamTable, reason: &Disconnect, wait: Duration) {
        tracing::warn!(feed = %self.name, sources = table.sources(), %reason, ?wait, "price stream lost; reopening");
    }
}

impl Connector {
    /// Advice for a missing or invalid API key.
    fn unauthorized(&self) -> &'static str {
        match self.key {
            Some(_) => "is `key` of the source correct and still valid?",
            None => "set `key` of the source: the service requires an API key",
        }
    }

    async fn open(&self, ids: usize, late: LateWatch) -> Result<OpenStream, FailedAttempt> {
        let connect_timeout = Duration::from_millis(self.config.connect_timeout_ms);
        let client = http_client::client(connect_timeout, http_client::is_local(&self.url))?;
        let mut request = client
            .get(self.url.expose())
            .header(ACCEPT, "text/event-stream");
        if let Some(key) = &self.key {
            request = request.bearer_auth(key.expose());
        }
        let response = match timeout(connect_timeout, request.send()).await {
            Ok(Ok(response)) => http_client::check_status(response, self.unauthorized())?,
            Ok(Err(error)) => return Err(http_client::request_error(error).into()),
            Err(_) => {
                let reason = format!("no answer within {connect_timeout:?}");
                return Err(Disconnect::Unreachable(reason).into());
            }
        };
        let kind = response.headers().get(CONTENT_TYPE);
        let kind = kind
            .and_then(|kind| kind.to_str().ok())
            .unwrap_or("missing");
        if !kind.starts_with("text/event-stream") {
            let reason = format!(
                "content type {} instead of an event stream",
                sanitized(kind)
            );
            return Err(Disconnect::Rejected(reason).into());
        }
        let now = Instant::now();
        Ok(OpenStream {
            response,
            events: Events::new(self.config.message_bytes),
            progress: vec![StreamProgress::default(); ids],
            late,
            since: now,
            last: now,
            settled: false,
        })
    }

    /// Reads a stream and its successors until one ends before its successor is open.
    async fn read_until_lost(
        &self,
        mut current: OpenStream,
        ids: usize,
        table: &Mutex<StreamTable>,
        backoff: &mut Backoff,
    ) -> Disconnect {
        let first_tick = Duration::from_millis(self.config.first_tick_ms);
        let rotate_after = Duration::from_millis(self.config.rotate_after_ms);
        let stable = Duration::from_millis(self.config.stable_ms);
        let mut successor: Option<BoxFuture<'_, Result<OpenStream, FailedAttempt>>> = None;
        // Why the stream is being replaced.
        let mut replace_reason = Disconnect::Old;
        let mut retry = self.config.backoff();
        loop {
            let silent_at = current.last + self.silence;
            tokio::select! {
                read = timeout_at(silent_at, current.response.chunk()) => {
                    let disconnect = match read {
                        Ok(Ok(Some(bytes))) => match self.process(&bytes, &mut current, &mut table.lock()) {
                            Ok(false) => continue,
                            Ok(true) => {
                                if successor.is_none() {
                                    replace_reason = Disconnect::Late(self.config.late_ms);
                                    // A young late stream is replaced after a delay, since its successor may be late
                                    // too.
                                    let wait = match current.since.elapsed() >= stable {
                                        true => Duration::ZERO,
                                        false => retry.next_delay(),
                                    };
                                    successor = Some(self.successor(ids, &current, wait));
                                }
                                continue;
                            }
                            Err(disconnect) => disconnect,
                        },
                        Ok(Ok(None)) => Disconnect::Closed(String::new()),
                        Ok(Err(error)) => http_client::request_error(error),
                        Err(_) => Disconnect::Silent(self.silence),
                    };
                    if current.since.elapsed() >= stable {
                        backoff.reset();
                    }
                    return disconnect;
                }
                () = sleep_until(current.since + first_tick), if !current.settled => {
                    current.settled = true;
                    table.lock().mark_silent(&current.progress, current.since);
                }
                () = sleep_until(current.since + rotate_after), if successor.is_none() => {
                    replace_reason = Disconnect::Old;
                    successor = Some(self.successor(ids, &current, Duration::ZERO));
                }
                opened = progress(&mut successor) => match opened {
                    Ok(next) => {
                        // A stable stream resets the delay of its replacement.
                        if replace_reason == Disconnect::Old || current.since.elapsed() >= stable {
                            retry.reset();
                        }
                        current = next;
                        successor = None;
                        table.lock().metrics.reconnect(&replace_reason);
                        tracing::info!(feed = %self.name, reason = %replace_reason, "replaced the price stream");
                    }
                    Err(failed) => {
                        let (reason, wait) = (&failed.reason, failed.wait(&mut retry));
                        let table = table.lock();
                        tracing::warn!(feed = %self.name, sources = table.sources(), %reason, ?wait, "cannot replace the price stream; retrying");
                        table.metrics.reconnect(reason);
                        drop(table);
                        successor = Some(self.successor(ids, &current, wait));
                    }
                },
            }
        }
    }

    /// Opens the successor of a stream after a delay.
    fn successor(
        &self,
        ids: usize,
        current: &OpenStream,
        wait: Duration,
    ) -> BoxFuture<'_, Result<OpenStream, FailedAttempt>> {
        let late = current.late.clone();
        Box::pin(async move {
            sleep(wait).await;
            self.open(ids, late).await
        })
    }

    /// Processes bytes of a stream. True if its prices were late for too long and those of other venues are not, so
    /// that another stream may help.
    fn process(
        &self,
        bytes: &[u8],
        open: &mut OpenStream,
        table: &mut StreamTable,
    ) -> Result<bool, Disconnect> {
        let now = now_ms();
        open.last = Instant::now();
        let OpenStream {
            events,
            progress,
            late,
            ..
        } = open;
        let mut is_late = false;
        let read = events.read(bytes, |data| {
            table.metrics.message(now);
            codec::read(data, &mut |event| match event {
                PriceEvent::Quote(quote) => {
                    let late_ms = table.quote(quote, progress, now);
                    is_late |= late_ms.is_some_and(|late_ms| late.observe(late_ms, Instant::now()));
                }
                PriceEvent::Unusable { id, fault } => table.reject(&id, &fault),
            });
        });
        read.map_err(|_| Disconnect::TooLarge(self.config.message_bytes))?;
        if is_late {
            // Doubles the allowed time, since the successor may be late too, through no fault of the stream.
            late.double();
        }
        Ok(is_late && !table.is_late_everywhere(self.config.late_ms))
    }
}

/// The result of the successor; pending forever if there is none. Cancel safe.
async fn progress(
    successor: &mut Option<BoxFuture<'_, Result<OpenStream, FailedAttempt>>>,
) -> Result<OpenStream, FailedAttempt> {
    match successor {
        Some(opening) => opening.as_mut().await,
        None => pending().await,
    }
}
