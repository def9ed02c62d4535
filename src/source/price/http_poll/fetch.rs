//! Polls a document and reads its prices.

use std::{convert::Infallible, time::Duration};

use futures_util::future::BoxFuture;
use rand::Rng;
use reqwest::{Client, header::ACCEPT};
use serde_json::value::RawValue;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    super::{
        Feed, SourceKey, TickSink,
        exchange::{Disconnect, StreamProgress, StreamTable, Streams, readers_of, sanitized},
        http_client::{self, FailedAttempt},
    },
    FetchRules,
    page::PriceLocation,
};
use crate::{model::now_ms, retry::Backoff};

/// Jitter: every interval varies by up to this fraction, so that clients do not poll together.
const JITTER: u32 = 10;

/// Advice for a rejected request.
const UNAUTHORIZED: &str = "is the key in `headers` or `url` correct?";

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
            let mut table = StreamTable::new(&name, streams, sink);
            let poll = Poll {
                name,
                rules,
                max_delay,
                locations,
            };
            tokio::select! {
                () = stop.cancelled() => {}
                never = poll.run(&mut table) => match never {},
            }
            table.metrics.connections(0);
        })
    }
}

struct Poll {
    name: String,
    rules: FetchRules,
    max_delay: Duration,
    locations: Vec<PriceLocation>,
}

impl Poll {
    async fn run(&self, table: &mut StreamTable) -> Infallible {
        let interval = self.rules.interval;
        let mut backoff = Backoff::new(interval, self.max_delay.max(interval));
        let mut progress = vec![StreamProgress::default(); self.locations.len()];
        let mut client = None;
        loop {
            let wait = match self.fetch(&mut client).await {
                Ok(document) => {
                    backoff.reset();
                    table.metrics.connections(1);
                    self.publish(&document, table, &mut progress);
                    jittered(interval)
                }
                Err(FailedAttempt {
                    reason,
                    retry_after,
                }) => {
                    let wait = backoff.next_delay().max(retry_after.unwrap_or_default());
                    // A page may fail every other time, which the backoff does not limit.
                    if table.is_log_due("unfetched") {
                        tracing::warn!(feed = %self.name, sources = table.sources(), reason = %reason, ?wait, "cannot fetch a document of prices");
                    }
                    table.metrics.connections(0);
                    table.metrics.reconnect(&reason);
                    table.connection_lost(&reason);
                    wait
                }
            };
            sleep(wait).await;
        }
    }

    /// Fetches the document within the limits of time and size.
    async fn fetch(&self, client: &mut Option<Client>) -> Result<Box<RawValue>, FailedAttempt> {
        let limit = self.rules.timeout;
        let http = match client.clone() {
            Some(http) => http,
            None => {
                let made = http_client::client(limit, http_client::is_local(&self.rules.url))?;
                client.insert(made).clone()
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

    fn publish(
        &self,
        document: &RawValue,
        table: &mut StreamTable,
        progress: &mut [StreamProgress],
    ) {
        let now = now_ms();
        table.metrics.message(now);
        for (at, location) in self.locations.iter().enumerate() {
            match location.read(document, now) {
                Ok(quote) => {
                    table.quote(quote, progress, now);
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
