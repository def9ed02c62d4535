//! Fetches a document again and again, and tells what is in it.

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
        exchange::{Backoff, Book, Ended, Heard, Streams, readers_of, words},
        web::{self, Failed},
    },
    Rules,
    page::Place,
};
use crate::model::now_ms;

/// Every wait is this part of it shorter or longer at most, so that many who poll do not poll at once.
const JITTER: u32 = 10;

/// What to do where a document is not given.
const UNAUTHORIZED: &str = "is the key right? It stands in `headers` or in `url`";

/// Reads what is at some places of one document.
pub(super) struct PageFeed {
    name: String,
    rules: Rules,
    longest: Duration,
    streams: Streams,
    /// In the order of the streams.
    places: Vec<Place>,
}

impl PageFeed {
    /// After failures it waits up to `longest`, or its interval when that is longer.
    pub(super) fn new(
        name: String,
        rules: Rules,
        longest: Duration,
        streams: Streams,
        places: Vec<Place>,
    ) -> Self {
        Self {
            name,
            rules,
            longest,
            streams,
            places,
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
            longest,
            streams,
            places,
        } = *self;
        Box::pin(async move {
            let mut book = Book::new(&name, streams, sink);
            let poll = Poll {
                name,
                rules,
                longest,
                places,
            };
            tokio::select! {
                () = stop.cancelled() => {}
                never = poll.keep(&mut book) => match never {},
            }
            book.metrics.connections(0);
        })
    }
}

struct Poll {
    name: String,
    rules: Rules,
    longest: Duration,
    places: Vec<Place>,
}

impl Poll {
    async fn keep(&self, book: &mut Book) -> Infallible {
        let interval = self.rules.interval;
        let mut backoff = Backoff::new(interval, self.longest.max(interval));
        let mut heard = vec![Heard::default(); self.places.len()];
        let mut client = None;
        loop {
            let wait = match self.fetch(&mut client).await {
                Ok(document) => {
                    backoff.reset();
                    book.metrics.connections(1);
                    self.tell(&document, book, &mut heard);
                    jittered(interval)
                }
                Err(Failed { ended, after }) => {
                    let wait = backoff.next_delay().max(after.unwrap_or_default());
                    // A page may fail every other time, which the backoff does not pace.
                    if book.may_log("unfetched") {
                        tracing::warn!(feed = %self.name, sources = book.sources(), reason = %ended, ?wait, "a document of prices cannot be fetched");
                    }
                    book.metrics.connections(0);
                    book.metrics.reconnect(&ended);
                    book.lost(&ended);
                    wait
                }
            };
            sleep(wait).await;
        }
    }

    /// The document, whole and in time.
    async fn fetch(&self, client: &mut Option<Client>) -> Result<Box<RawValue>, Failed> {
        let limit = self.rules.timeout;
        let http = match client.clone() {
            Some(http) => http,
            None => {
                let made = web::client(limit, web::is_local(&self.rules.url))?;
                client.insert(made).clone()
            }
        };
        let fetched = timeout(limit, async {
            let request = http
                .get(self.rules.url.expose())
                .header(ACCEPT, "application/json")
                .headers(self.rules.headers.clone());
            let response = request.send().await.map_err(web::broken)?;
            let mut response = web::accepted(response, UNAUTHORIZED)?;
            let mut body = Vec::new();
            while let Some(piece) = response.chunk().await.map_err(web::broken)? {
                if (body.len() + piece.len()) as u64 > self.rules.max_bytes {
                    let limit = usize::try_from(self.rules.max_bytes).unwrap_or(usize::MAX);
                    return Err(Ended::TooLarge(limit).into());
                }
                body.extend_from_slice(&piece);
            }
            Ok::<_, Failed>(body)
        });
        let body = fetched.await.map_err(|_| Ended::Silent(limit))??;
        serde_json::from_slice(&body)
            .map_err(|error| Ended::Unreadable(format!("it is no JSON: {error}")).into())
    }

    fn tell(&self, document: &RawValue, book: &mut Book, heard: &mut [Heard]) {
        let now = now_ms();
        book.metrics.message(now);
        for (at, place) in self.places.iter().enumerate() {
            match place.read(document, now) {
                Ok(quote) => {
                    book.quote(quote, heard, now);
                }
                Err(error) => {
                    let reason = words(&error.to_string());
                    book.lacks(at, &error.fault(), error.reason(), &reason);
                }
            }
        }
    }
}

fn jittered(interval: Duration) -> Duration {
    let slack = interval / JITTER;
    rand::rng().random_range(interval - slack..=interval + slack)
}
