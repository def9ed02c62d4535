//! The one supervisor of connections to venues: keeps one open, replaces it before it is lost where it can, and
//! connects again where it could not.

use std::{convert::Infallible, pin::Pin, sync::Arc, time::Duration};

use futures_util::future::{BoxFuture, join_all};
use parking_lot::Mutex;
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::CancellationToken;

use super::{
    super::{Feed, SourceKey, TickSink, lateness::LateWatch, web::Failed},
    Exchange, ExchangeConfig, PriceFault, Said,
    backoff::Backoff,
    book::Book,
    connection::{Connection, Ended, Step, words},
    group::{Streams, readers_of},
};
use crate::model::now_ms;

/// Reads some streams of one venue over one connection at a time, or as many as are configured; each has another one
/// beside it while it is replaced.
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
            let connections = config.connections_to(exchange.name()).max(1);
            let mut book = Book::new(&name, streams, sink).measuring(&config);
            if connections > 1 {
                book = book.shared();
            }
            let names: Arc<[Box<str>]> = book.names().into();
            let sources: Arc<str> = book.sources().into();
            let book = Mutex::new(book);
            // Each has two slots: one for what it reads, and one for what is to replace that.
            let lines = (0..connections).map(|number| Line {
                name: name.clone(),
                sources: sources.clone(),
                names: names.clone(),
                exchange,
                url: url.clone(),
                config: config.clone(),
                first_slot: u8::try_from(number * 2).unwrap_or_default(),
                book: &book,
            });
            let lines: Vec<Line<'_>> = lines.collect();
            tokio::select! {
                () = stop.cancelled() => {}
                _ = join_all(lines.iter().map(Line::keep)) => {}
            }
            book.lock().metrics.connections(0);
        })
    }
}

/// What is needed to connect, again and again.
struct Line<'b> {
    name: String,
    /// For log lines.
    sources: Arc<str>,
    names: Arc<[Box<str>]>,
    exchange: &'static dyn Exchange,
    url: String,
    config: ExchangeConfig,
    first_slot: u8,
    /// Locked while a message is read, and never while anything is waited for.
    book: &'b Mutex<Book>,
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

impl Line<'_> {
    async fn keep(&self) -> Infallible {
        let mut backoff = self.backoff();
        loop {
            let Failed { ended, after } = match self.open(self.first_slot, self.watch()).await {
                Ok(connection) => {
                    tracing::info!(feed = %self.name, sources = %self.sources, "connected to a venue");
                    self.book.lock().connected();
                    let ended = self.follow(connection, &mut backoff).await;
                    self.book.lock().disconnected();
                    ended.into()
                }
                Err(failed) => failed,
            };
            // `Retry-After` of a venue that refuses is obeyed, as it may shut out who comes earlier.
            let wait = backoff.next_delay().max(after.unwrap_or_default());
            tracing::warn!(feed = %self.name, sources = %self.sources, reason = %ended, ?wait, "a venue is lost; connecting again");
            {
                let mut book = self.book.lock();
                book.metrics.reconnect(&ended);
                book.lost(&ended);
            }
            sleep(wait).await;
        }
    }

    fn open(&self, slot: u8, late: LateWatch) -> BoxFuture<'_, Result<Box<Connection>, Failed>> {
        let names = self.names.clone();
        Box::pin(async move {
            let opened =
                Connection::open(self.exchange, &self.url, names, (slot, late), &self.config);
            let connection = opened.await?;
            self.book.lock().began(slot);
            Ok(Box::new(connection))
        })
    }

    /// What is to replace a connection: in the other slot of both.
    fn replace(&self, current: &Connection) -> BoxFuture<'_, Result<Box<Connection>, Failed>> {
        let other = if current.slot == self.first_slot {
            1
        } else {
            0
        };
        self.open(self.first_slot + other, current.late.clone())
    }

    fn watch(&self) -> LateWatch {
        let patience = Duration::from_millis(self.config.late_for_ms);
        LateWatch::new(self.config.late_ms, patience)
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(
            Duration::from_millis(self.config.backoff_ms),
            Duration::from_millis(self.config.backoff_max_ms),
        )
    }

    /// Reads a connection, and those that replace it, until one ends before its successor is there. Successors wait
    /// by the same backoff as new connections do, so that no venue can make us connect without end.
    async fn follow(&self, mut current: Box<Connection>, backoff: &mut Backoff) -> Ended {
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
                match self.take(step, &mut current) {
                    Outcome::Fine => {}
                    Outcome::Leave(why) if matches!(successor, Successor::None) => {
                        // What a venue says on a young connection it may say on every one. When one is old is ours.
                        let at_once = why == Ended::Old || current.age() >= stable;
                        successor = if at_once {
                            Successor::Opening(self.replace(&current))
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
                        self.book.lock().metrics.reconnect(&ended);
                        current = next;
                        successor = Successor::None;
                    }
                }
            }
            match progress {
                None => {}
                Some(Progress::Due) => successor = Successor::Opening(self.replace(&current)),
                Some(Progress::Opened(Ok(next))) => successor = Successor::Warming(next),
                Some(Progress::Opened(Err(failed))) => {
                    successor = self.later(&failed, backoff);
                }
                Some(Progress::Step(Step::Settled)) => {
                    let ended = Ended::Rejected("it did not answer every request".to_owned());
                    successor = self.later(&ended.into(), backoff);
                }
                Some(Progress::Step(step)) => {
                    let Successor::Warming(next) = &mut successor else {
                        continue;
                    };
                    if let Outcome::Ended(ended) | Outcome::Leave(ended) = self.take(step, next) {
                        successor = self.later(&ended.into(), backoff);
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
                self.book.lock().metrics.reconnect(&leaving);
                if current.age() >= stable {
                    backoff.reset();
                }
                current = next;
            }
        }
    }

    /// Tries for a successor again after a while: the connection that there is still works.
    fn later(&self, failed: &Failed, backoff: &mut Backoff) -> Successor<'static> {
        let Failed { ended, after } = failed;
        let wait = backoff.next_delay().max(after.unwrap_or_default());
        tracing::warn!(feed = %self.name, sources = %self.sources, reason = %ended, ?wait, "no second connection to a venue");
        self.book.lock().metrics.reconnect(ended);
        Successor::after(wait)
    }

    /// What happened on a connection, told to the book.
    fn take(&self, step: Step, connection: &mut Connection) -> Outcome {
        let mut book = self.book.lock();
        let text = match step {
            Step::Text(text) => text,
            Step::Binary => {
                let fault = PriceFault::Malformed("a binary message".to_owned());
                book.refuse("", &fault);
                return Outcome::Fine;
            }
            Step::Settled => {
                book.silent(&connection.heard, connection.opened);
                return Outcome::Fine;
            }
            Step::Old => return Outcome::Leave(Ended::Old),
            Step::Ended(ended) => return Outcome::Ended(ended),
        };
        let now = now_ms();
        book.metrics.message(now);
        let mut outcome = Outcome::Fine;
        let mut is_late = false;
        self.exchange.read(text.as_str(), &mut |said| match said {
            Said::Quote(quote) => {
                let late_ms = book.quote(quote, &mut connection.heard, now);
                is_late |=
                    late_ms.is_some_and(|late_ms| connection.late.heard(late_ms, Instant::now()));
            }
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
        if is_late && matches!(outcome, Outcome::Fine) {
            // Twice as long the next time: what takes over may be as late, by no fault of a connection.
            connection.late.double();
            if !book.is_late_everywhere(self.config.late_ms) {
                outcome = Outcome::Leave(Ended::Late(self.config.late_ms));
            }
        }
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
