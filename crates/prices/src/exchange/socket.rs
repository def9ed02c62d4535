//! Supervises the connections of a feed: keeps one open, replaces it in advance if possible, and reconnects otherwise.

use std::{ops::Deref, pin::Pin, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::CancellationToken;

use super::{
    super::{
        Feed, SourceKey, TickSink,
        disconnect::Disconnect,
        http_client::FailedAttempt,
        lateness::LateWatch,
        sanitized::sanitized,
        stream::{StreamTable, Streams, readers_of},
        supervisor::{Attempt, supervise},
    },
    Exchange, ExchangeConfig, PriceFault, VenueEvent,
    connection::{Connection, Step},
};
use chaincast_base::retry::Backoff;
use chaincast_protocol::now_ms;

/// Reads streams of one venue over the configured number of connections, each with a second one while it is replaced.
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
            let mut table =
                StreamTable::new(&name, streams, sink).with_lateness(config.clock_off_ms);
            if connections > 1 {
                table = table.deduplicated();
            }
            let names: Arc<[Box<str>]> = table.names().into();
            let sources: Arc<str> = table.sources().into();
            // Each has two slots: the current connection and its successor.
            let connectors = (0..connections).map(|number| Connector {
                name: name.clone(),
                sources: sources.clone(),
                names: names.clone(),
                exchange,
                url: url.clone(),
                config: config.clone(),
                first_slot: u8::try_from(number * 2).unwrap_or_default(),
            });
            supervise(connectors.collect(), table, config.backoff(), stop).await;
        })
    }
}

/// Opens and reads one connection of the feed, and its successors.
struct Connector {
    name: String,
    /// For log lines.
    sources: Arc<str>,
    names: Arc<[Box<str>]>,
    exchange: &'static dyn Exchange,
    url: String,
    config: ExchangeConfig,
    first_slot: u8,
}

/// The connection that will replace the current one.
enum Successor<'a> {
    None,
    /// Waiting for the next attempt.
    Waiting(Pin<Box<Sleep>>),
    Opening(BoxFuture<'a, Result<Box<Connection>, FailedAttempt>>),
    /// Connected, with unanswered requests.
    Warming(Box<Connection>),
}

/// An event of a successor.
enum Progress {
    RetryDue,
    Opened(Result<Box<Connection>, FailedAttempt>),
    Step(Step),
}

/// The consequence of a step for its connection.
enum Outcome {
    Fine,
    /// The connection should be replaced while it works.
    Replace(Disconnect),
    Disconnect(Disconnect),
}

impl Attempt for Connector {
    async fn attempt(
        &mut self,
        table: &Mutex<StreamTable>,
        backoff: &mut Backoff,
    ) -> Result<Duration, FailedAttempt> {
        let reading = Reading {
            connector: self,
            table,
        };
        let opened = reading.open(self.first_slot, self.config.late_watch());
        let connection = opened.await?;
        tracing::info!(feed = %self.name, sources = %self.sources, "connected to a venue");
        table.lock().connected();
        let reason = reading.read_until_lost(connection, backoff).await;
        table.lock().disconnected();
        Err(reason.into())
    }

    fn log_failure(&self, _: &mut StreamTable, reason: &Disconnect, wait: Duration) {
        tracing::warn!(feed = %self.name, sources = %self.sources, reason = %reason, ?wait, "connection to a venue lost; reconnecting");
    }
}

/// A connector that works on the feed's table.
struct Reading<'a> {
    connector: &'a Connector,
    table: &'a Mutex<StreamTable>,
}

impl Deref for Reading<'_> {
    type Target = Connector;

    fn deref(&self) -> &Connector {
        self.connector
    }
}

impl Reading<'_> {
    fn open(
        &self,
        slot: u8,
        late: LateWatch,
    ) -> BoxFuture<'_, Result<Box<Connection>, FailedAttempt>> {
        let names = self.names.clone();
        Box::pin(async move {
            let opened =
                Connection::open(self.exchange, &self.url, names, (slot, late), &self.config);
            let connection = opened.await?;
            self.table.lock().reset_slot(slot);
            Ok(Box::new(connection))
        })
    }

    /// Opens the successor of a connection, in the other of the two slots.
    fn replace(
        &self,
        current: &Connection,
    ) -> BoxFuture<'_, Result<Box<Connection>, FailedAttempt>> {
        let other = if current.slot == self.first_slot {
            1
        } else {
            0
        };
        self.open(self.first_slot + other, current.late.clone())
    }

    /// Reads a connection and its successors until one ends before its successor is open. Successors use the same
    /// backoff as new connections, so a venue cannot cause endless connecting.
    async fn read_until_lost(
        &self,
        mut current: Box<Connection>,
        backoff: &mut Backoff,
    ) -> Disconnect {
        let stable = Duration::from_millis(self.config.stable_ms);
        let mut successor = Successor::None;
        // Why the connection is being replaced.
        let mut replace_reason = Disconnect::Old;
        loop {
            let (step, progress) = tokio::select! {
                step = current.next() => (Some(step), None),
                progress = successor.progress() => (None, Some(progress)),
            };
            if let Some(step) = step {
                match self.handle_step(step, &mut current) {
                    Outcome::Fine => {}
                    Outcome::Replace(reason) if matches!(successor, Successor::None) => {
                        // A young connection is replaced after a delay, since its successor may behave the same. Its
                        // maximum age is our own decision.
                        let immediately = reason == Disconnect::Old || current.age() >= stable;
                        successor = if immediately {
                            Successor::Opening(self.replace(&current))
                        } else {
                            Successor::retry_after(backoff.next_delay())
                        };
                        replace_reason = reason;
                    }
                    Outcome::Replace(_) => {}
                    Outcome::Disconnect(reason) => {
                        if current.age() >= stable {
                            backoff.reset();
                        }
                        // An unfinished successor is better than none.
                        let Successor::Warming(next) = successor else {
                            return reason;
                        };
                        self.table.lock().metrics.reconnect(&reason);
                        current = next;
                        successor = Successor::None;
                    }
                }
            }
            match progress {
                None => {}
                Some(Progress::RetryDue) => successor = Successor::Opening(self.replace(&current)),
                Some(Progress::Opened(Ok(next))) => successor = Successor::Warming(next),
                Some(Progress::Opened(Err(failed))) => {
                    successor = self.schedule_retry(&failed, backoff);
                }
                Some(Progress::Step(Step::Settled)) => {
                    let reason = Disconnect::Rejected("not every request was answered".to_owned());
                    successor = self.schedule_retry(&reason.into(), backoff);
                }
                Some(Progress::Step(step)) => {
                    let Successor::Warming(next) = &mut successor else {
                        continue;
                    };
                    if let Outcome::Disconnect(reason) | Outcome::Replace(reason) =
                        self.handle_step(step, next)
                    {
                        successor = self.schedule_retry(&reason.into(), backoff);
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
                tracing::info!(feed = %self.name, reason = %replace_reason, "replaced the connection to a venue");
                self.table.lock().metrics.reconnect(&replace_reason);
                if current.age() >= stable {
                    backoff.reset();
                }
                current = next;
            }
        }
    }

    /// Schedules another attempt for a successor; the current connection still works.
    fn schedule_retry(&self, failed: &FailedAttempt, backoff: &mut Backoff) -> Successor<'static> {
        let (reason, wait) = (&failed.reason, failed.wait(backoff));
        tracing::warn!(feed = %self.name, sources = %self.sources, reason = %reason, ?wait, "cannot replace the connection to a venue; retrying");
        self.table.lock().metrics.reconnect(reason);
        Successor::retry_after(wait)
    }

    /// Processes a step of a connection.
    fn handle_step(&self, step: Step, connection: &mut Connection) -> Outcome {
        let mut table = self.table.lock();
        let text = match step {
            Step::Text(text) => text,
            Step::Binary => {
                let fault = PriceFault::Malformed("binary message".to_owned());
                table.reject("", &fault);
                return Outcome::Fine;
            }
            Step::Settled => {
                table.mark_silent(&connection.progress, connection.opened);
                return Outcome::Fine;
            }
            Step::Old => return Outcome::Replace(Disconnect::Old),
            Step::Disconnect(reason) => return Outcome::Disconnect(reason),
        };
        let now = now_ms();
        table.metrics.message(now);
        let mut outcome = Outcome::Fine;
        let mut is_late = false;
        self.exchange.read(text.as_str(), &mut |event| match event {
            VenueEvent::Quote(quote) => {
                let late_ms = table.quote(quote, &mut connection.progress, now);
                is_late |=
                    late_ms.is_some_and(|late_ms| connection.late.observe(late_ms, Instant::now()));
            }
            VenueEvent::Unusable { stream, fault } => table.reject(&stream, &fault),
            VenueEvent::Unreadable(error) => table.reject("", &PriceFault::Malformed(error)),
            VenueEvent::Alive => {}
            VenueEvent::Accepted => connection.answered(),
            VenueEvent::AcceptedAs { stream } => {
                connection.answered();
                table.add_alias(&stream);
            }
            VenueEvent::Refused { stream, reason } => match table.find_in_any_case(&stream) {
                Some(at) => {
                    if connection.stream_rejected(at) {
                        let hint = self.exchange.hint(&stream);
                        let hint = hint.map_or_else(String::new, |hint| format!("; {hint}"));
                        table.stream_rejected(at, &format!("{}{hint}", sanitized(&reason)));
                    }
                }
                None => outcome = Outcome::Disconnect(Disconnect::Rejected(sanitized(&reason))),
            },
            VenueEvent::Rejected { reason } => {
                outcome = Outcome::Disconnect(Disconnect::Rejected(sanitized(&reason)));
            }
            VenueEvent::Closing => outcome = Outcome::Replace(Disconnect::Closing),
            VenueEvent::Notice(notice) => table.notice(&notice),
            VenueEvent::Normal => table.clear_notice(),
        });
        if is_late && matches!(outcome, Outcome::Fine) {
            // Doubles the allowed time, since the successor may be late too, through no fault of the connection.
            connection.late.double();
            if !table.is_late_everywhere(self.config.late_ms) {
                outcome = Outcome::Replace(Disconnect::Late(self.config.late_ms));
            }
        }
        outcome
    }
}

impl Successor<'_> {
    fn retry_after(wait: Duration) -> Self {
        Self::Waiting(Box::pin(sleep(wait)))
    }

    /// The next event of the successor; pending forever if there is none. Cancel safe.
    async fn progress(&mut self) -> Progress {
        match self {
            Self::None => std::future::pending().await,
            Self::Waiting(until) => {
                until.as_mut().await;
                Progress::RetryDue
            }
            Self::Opening(opening) => Progress::Opened(opening.await),
            Self::Warming(next) => Progress::Step(next.next().await),
        }
    }
}
