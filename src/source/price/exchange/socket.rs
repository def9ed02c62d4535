//! The one supervisor of connections to venues: keeps one open, replaces it before it is lost where it can, and
//! connects again where it could not.

use std::{convert::Infallible, pin::Pin, time::Duration};

use futures_util::future::BoxFuture;
use tokio::time::{Sleep, sleep};
use tokio_util::sync::CancellationToken;

use super::{
    super::{Feed, SourceKey, TickSink, web::Failed},
    Exchange, ExchangeConfig, PriceFault, Said,
    backoff::Backoff,
    book::Book,
    connection::{Connection, Ended, Step, words},
    group::{Streams, readers_of},
};
use crate::model::now_ms;

/// Reads some streams of one venue over one connection at a time; two while one replaces the other.
pub(super) struct ExchangeFeed {
    name: String,
    exchange: &'static dyn Exchange,
    url: String,
    streams: Streams,
    config: ExchangeConfig,
}

impl ExchangeFeed {
    pub(super) fn new(
        name: String,
        exchange: &'static dyn Exchange,
        url: String,
        streams: Streams,
        config: ExchangeConfig,
    ) -> Self {
        Self {
            name,
            exchange,
            url,
            streams,
            config,
        }
    }
}

impl Feed for ExchangeFeed {
    fn name(&self) -> &str {
        &self.name
    }

    fn sources(&self) -> Vec<SourceKey> {
        readers_of(&self.streams)
    }

    fn run(self: Box<Self>, sink: TickSink, stop: CancellationToken) -> BoxFuture<'static, ()> {
        let Self {
            name,
            exchange,
            url,
            streams,
            config,
        } = *self;
        Box::pin(async move {
            let mut book = Book::new(&name, streams, sink);
            let line = Line {
                name,
                exchange,
                url,
                config,
            };
            tokio::select! {
                () = stop.cancelled() => {}
                never = line.keep(&mut book) => match never {},
            }
            book.metrics.connected(false);
        })
    }
}

/// What is needed to connect, again and again.
struct Line {
    name: String,
    exchange: &'static dyn Exchange,
    url: String,
    config: ExchangeConfig,
}

/// The connection that is to take over.
enum Successor<'a> {
    None,
    /// The last attempt failed, or came to nothing that lasts; the next is made after a while.
    Waiting(Pin<Box<Sleep>>),
    Opening(BoxFuture<'a, Result<Box<Connection>, Failed>>),
    /// Connected, and not every request is answered yet.
    Warming(Box<Connection>),
}

/// What a successor comes to.
enum Progress {
    Due,
    Opened(Result<Box<Connection>, Failed>),
    Step(Step),
}

/// What a step means for its connection.
enum Outcome {
    Fine,
    /// It should be replaced while it works.
    Leave(Ended),
    Ended(Ended),
}

impl Line {
    async fn keep(&self, book: &mut Book) -> Infallible {
        let mut backoff = self.backoff();
        loop {
            let Failed { ended, after } = match self.open(book).await {
                Ok(connection) => {
                    tracing::info!(feed = %self.name, sources = book.sources(), "connected to a venue");
                    book.metrics.connected(true);
                    self.follow(connection, book, &mut backoff).await.into()
                }
                Err(failed) => failed,
            };
            // `Retry-After` of a venue that refuses is obeyed, as it may shut out who comes earlier.
            let wait = backoff.next_delay().max(after.unwrap_or_default());
            tracing::warn!(feed = %self.name, sources = book.sources(), reason = %ended, ?wait, "a venue is lost; connecting again");
            book.metrics.reconnect(&ended);
            book.lost(&ended);
            sleep(wait).await;
        }
    }

    fn open(&self, book: &Book) -> BoxFuture<'_, Result<Box<Connection>, Failed>> {
        let names = book.names();
        Box::pin(async move {
            Connection::open(self.exchange, &self.url, names, &self.config)
                .await
                .map(Box::new)
        })
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(
            Duration::from_millis(self.config.backoff_ms),
            Duration::from_millis(self.config.backoff_max_ms),
        )
    }

    /// Reads a connection, and those that replace it, until one ends before its successor is there. Successors wait
    /// by the same backoff as new connections do, so that no venue can make us connect without end.
    async fn follow(
        &self,
        mut current: Box<Connection>,
        book: &mut Book,
        backoff: &mut Backoff,
    ) -> Ended {
        let stable = Duration::from_millis(self.config.stable_ms);
        let mut successor = Successor::None;
        // Why the successor is made.
        let mut leaving = Ended::Old;
        loop {
            let (step, progress) = tokio::select! {
                step = current.next() => (Some(step), None),
                progress = successor.progress() => (None, Some(progress)),
            };
            if let Some(step) = step {
                match self.take(step, &mut current, book) {
                    Outcome::Fine => {}
                    Outcome::Leave(why) if matches!(successor, Successor::None) => {
                        // What a venue says on a young connection it may say on every one. When one is old is ours.
                        let at_once = why == Ended::Old || current.age() >= stable;
                        successor = if at_once {
                            Successor::Opening(self.open(book))
                        } else {
                            Successor::after(backoff.next_delay())
                        };
                        leaving = why;
                    }
                    Outcome::Leave(_) => {}
                    Outcome::Ended(ended) => {
                        if current.age() >= stable {
                            backoff.reset();
                        }
                        // The one that warms up is better than none.
                        let Successor::Warming(next) = successor else {
                            return ended;
                        };
                        book.metrics.reconnect(&ended);
                        current = next;
                        successor = Successor::None;
                    }
                }
            }
            match progress {
                None => {}
                Some(Progress::Due) => successor = Successor::Opening(self.open(book)),
                Some(Progress::Opened(Ok(next))) => successor = Successor::Warming(next),
                Some(Progress::Opened(Err(failed))) => {
                    successor = self.later(&failed, backoff, book);
                }
                Some(Progress::Step(Step::Settled)) => {
                    let ended = Ended::Rejected("it did not answer every request".to_owned());
                    successor = self.later(&ended.into(), backoff, book);
                }
                Some(Progress::Step(step)) => {
                    let Successor::Warming(next) = &mut successor else {
                        continue;
                    };
                    if let Outcome::Ended(ended) | Outcome::Leave(ended) =
                        self.take(step, next, book)
                    {
                        successor = self.later(&ended.into(), backoff, book);
                    }
                }
            }
            if let Successor::Warming(next) = &successor
                && next.is_live()
            {
                let Successor::Warming(next) = std::mem::replace(&mut successor, Successor::None)
                else {
                    continue;
                };
                tracing::info!(feed = %self.name, reason = %leaving, "another connection took over");
                book.metrics.reconnect(&leaving);
                if current.age() >= stable {
                    backoff.reset();
                }
                current = next;
            }
        }
    }

    /// Tries for a successor again after a while: the connection that there is still works.
    fn later(&self, failed: &Failed, backoff: &mut Backoff, book: &Book) -> Successor<'static> {
        let Failed { ended, after } = failed;
        let wait = backoff.next_delay().max(after.unwrap_or_default());
        tracing::warn!(feed = %self.name, sources = book.sources(), reason = %ended, ?wait, "no second connection to a venue");
        book.metrics.reconnect(ended);
        Successor::after(wait)
    }

    /// What happened on a connection, told to the book.
    fn take(&self, step: Step, connection: &mut Connection, book: &mut Book) -> Outcome {
        let text = match step {
            Step::Text(text) => text,
            Step::Binary => {
                let fault = PriceFault::Malformed("a binary message".to_owned());
                book.refuse("", &fault);
                return Outcome::Fine;
            }
            Step::Settled => {
                book.silent(&connection.heard);
                return Outcome::Fine;
            }
            Step::Old => return Outcome::Leave(Ended::Old),
            Step::Ended(ended) => return Outcome::Ended(ended),
        };
        let now = now_ms();
        book.metrics.message(now);
        let mut outcome = Outcome::Fine;
        self.exchange.read(text.as_str(), &mut |said| match said {
            Said::Quote(quote) => book.quote(quote, &mut connection.heard, now),
            Said::Unusable { stream, fault } => book.refuse(&stream, &fault),
            Said::Unreadable(error) => book.refuse("", &PriceFault::Malformed(error)),
            Said::Alive => {}
            Said::Accepted => connection.answered(),
            Said::AcceptedAs { stream } => {
                connection.answered();
                book.named(&stream);
            }
            Said::Refused { stream, reason } => match book.find_in_any_case(&stream) {
                Some(at) => {
                    if connection.refused(at) {
                        let hint = self.exchange.hint(&stream);
                        let hint = hint.map_or_else(String::new, |hint| format!("; {hint}"));
                        book.refused(at, &format!("{}{hint}", words(&reason)));
                    }
                }
                None => outcome = Outcome::Ended(Ended::Rejected(words(&reason))),
            },
            Said::Rejected { reason } => {
                outcome = Outcome::Ended(Ended::Rejected(words(&reason)));
            }
            Said::Closing => outcome = Outcome::Leave(Ended::Closing),
            Said::Notice(notice) => book.notice(&notice),
            Said::Usual => book.usual(),
        });
        outcome
    }
}

impl Successor<'_> {
    fn after(wait: Duration) -> Self {
        Self::Waiting(Box::pin(sleep(wait)))
    }

    /// What comes next of it; never, when there is none. May be dropped while it waits.
    async fn progress(&mut self) -> Progress {
        match self {
            Self::None => std::future::pending().await,
            Self::Waiting(until) => {
                until.as_mut().await;
                Progress::Due
            }
            Self::Opening(opening) => Progress::Opened(opening.await),
            Self::Warming(next) => Progress::Step(next.next().await),
        }
    }
}
