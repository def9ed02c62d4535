//! Polls a document and reads its prices.

use std::time::Duration;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use rand::Rng;
use reqwest::{
    Client,
    header::{ACCEPT, HeaderMap},
};
use serde_json::value::RawValue;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{
    super::{
        Feed, SourceKey, TickSink,
        disconnect::Disconnect,
        http_client::{self, FailedAttempt},
        sanitized::sanitized,
        stream::{StreamProgress, StreamTable, Streams, readers_of},
        supervisor::{Attempt, supervise},
    },
    page::PriceLocation,
};
use chaincast_base::{Secret, retry::Backoff};
use chaincast_protocol::now_ms;

/// Jitter: every interval varies by up to this fraction, so that clients do not poll together.
const JITTER: u32 = 10;

/// Advice for a rejected request.
const UNAUTHORIZED: &str = "is the key in `headers` or `url` correct?";

/// How a document is fetched.
pub(super) struct FetchRules {
    pub(super) url: Secret,
    pub(super) headers: HeaderMap,
    pub(super) interval: Duration,
    pub(super) timeout: Duration,
    pub(super) max_bytes: u64,
}

/// Reads prices at several pointers of one document.
pub(super) struct PageFeed {
    name: String,
    rules: FetchRules,
    max_delay: Duration,
    streams: Streams,
    /// In the order of the streams.
    locations: Vec<PriceLocation>,
}

impl PageFeed {
    /// After failures the delay grows up to `max_delay`, or to the interval if that is longer.
    pub(super) fn new(
        name: String,
        rules: FetchRules,
        max_delay: Duration,
        streams: Streams,
        locations: Vec<PriceLocation>,
    ) -> Self {
        Self {
            name,
            rules,
            max_delay,
            streams,
            locations,
        }
    }
}

impl Feed for PageFeed {
    fn name(&self) -> &str {
        &self.name
    }

    fn sources(&self) -> Vec<SourceKey> {
        readers_of(&self.streams)
    }

    fn run(self: Box<Self>, sink: TickSink, stop: CancellationToken) -> BoxFuture<'static, ()> {
        let Self {
            name,
            rules,
            max_delay,
            streams,
            locations,
        } = *self;
        Box::pin(async move {
            let table = StreamTable::new(&name, streams, sink);
            let interval = rules.interval;
            let poll = Poll {
                name,
                rules,
                progress: vec![StreamProgress::default(); locations.len()],
                locations,
                client: None,
            };
            let backoff = Backoff::new(interval, max_delay.max(interval));
            supervise(vec![poll], table, backoff, stop).await;
        })
    }
}

struct Poll {
    name: String,
    rules: FetchRules,
    locations: Vec<PriceLocation>,
    progress: Vec<StreamProgress>,
    client: Option<Client>,
}

impl Attempt for Poll {
    async fn attempt(
        &mut self,
        table: &Mutex<StreamTable>,
        backoff: &mut Backoff,
    ) -> Result<Duration, FailedAttempt> {
        let fetched = self.fetch().await;
        let mut table = table.lock();
        table.metrics.connections(usize::from(fetched.is_ok()));
        self.publish(&fetched?, &mut table);
        backoff.reset();
        Ok(jittered(self.rules.interval))
    }

    fn log_failure(&self, table: &mut StreamTable, reason: &Disconnect, wait: Duration) {
        // A page may fail every other time, which the backoff does not limit.
        if table.is_log_due("unfetched") {
            tracing::warn!(feed = %self.name, sources = table.sources(), %reason, ?wait, "cannot fetch a document of prices");
        }
    }
}

impl Poll {
    /// Fetches the document within the limits of time and size.
    async fn fetch(&mut self) -> Result<Box<RawValue>, FailedAttempt> {
        let limit = self.rules.timeout;
        let http = match self.client.clone() {
            Some(http) => http,
            None => {
                let made = http_client::client(limit, http_client::is_local(&self.rules.url))?;
                self.client.insert(made).clone()
            }
        };
        let fetched = timeout(limit, async {
            let request = http
                .get(self.rules.url.expose())
                .header(ACCEPT, "application/json")
                .headers(self.rules.headers.clone());
            let response = request.send().await.map_err(http_client::request_error)?;
            let mut response = http_client::check_status(response, UNAUTHORIZED)?;
            let mut body = Vec::new();
            while let Some(piece) = response.chunk().await.map_err(http_client::request_error)? {
                if (body.len() + piece.len()) as u64 > self.rules.max_bytes {
                    let limit = usize::try_from(self.rules.max_bytes).unwrap_or(usize::MAX);
                    return Err(Disconnect::TooLarge(limit).into());
                }
                body.extend_from_slice(&piece);
            }
            Ok::<_, FailedAttempt>(body)
        });
        let body = fetched.await.map_err(|_| Disconnect::Silent(limit))??;
        serde_json::from_slice(&body)
            .map_err(|error| Disconnect::Unreadable(format!("not JSON: {error}")).into())
    }

    fn publish(&mut self, document: &RawValue, table: &mut StreamTable) {
        let now = now_ms();
        table.metrics.message(now);
        for (at, location) in self.locations.iter().enumerate() {
            match location.read(document, now) {
                Ok(quote) => {
                    table.quote(quote, &mut self.progress, now);
                }
                Err(error) => {
                    let reason = sanitized(&error.to_string());
                    table.missing_price(at, &error.fault(), error.reason(), &reason);
                }
            }
        }
    }
}

fn jittered(interval: Duration) -> Duration {
    let slack = interval / JITTER;
    rand::rng().random_range(interval - slack..=interval + slack)
}
