//! One connection to a venue: what is sent, when, and what comes.

use std::{collections::VecDeque, future::poll_fn, pin::Pin, sync::Arc, time::Duration};

use futures_util::{FutureExt, Sink, SinkExt, StreamExt};
use rand::Rng;
use tokio::{
    net::TcpStream,
    time::{Instant, Sleep, sleep_until, timeout},
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async_tls_with_config,
    tungstenite::{
        Error, Message, Utf8Bytes,
        error::CapacityError,
        protocol::{CloseFrame, WebSocketConfig},
    },
};

use super::{
    super::{lateness::LateWatch, web::Failed},
    Exchange, ExchangeConfig, Limits, Request,
    book::Heard,
    handshake,
};

/// How long a message of ours may take to reach the kernel. It is small: a socket that takes longer is broken.
const WRITE_PATIENCE: Duration = Duration::from_secs(10);
/// Pings that are read over on a connection that was silent for too long.
const MOST_PINGS: usize = 64;
/// Shown of a venue's words, in characters.
const SHOWN: usize = 200;

/// Why a connection is no more, or never was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in super::super) enum Ended {
    #[error("it cannot be connected to: {0}")]
    Unreachable(String),
    /// It was reached, and its answer is none.
    #[error("it answers {0}")]
    Answered(String),
    #[error("its answer cannot be read: {0}")]
    Unreadable(String),
    #[error("it closed the connection{0}")]
    Closed(String),
    #[error("the connection broke: {0}")]
    Broken(String),
    #[error("it was silent for {0:?}")]
    Silent(Duration),
    #[error("it sent a message of more than {0} bytes")]
    TooLarge(usize),
    #[error("it refuses: {0}")]
    Rejected(String),
    #[error("it announced that it will close the connection")]
    Closing,
    #[error("the connection grew old")]
    Old,
    #[error("its prices came more than {0} ms late for too long")]
    Late(u64),
}

impl Ended {
    /// Stable label of the metric `chaincast_price_feed_reconnects_total`.
    pub(in super::super) fn reason(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "unreachable",
            Self::Answered(_) => "answered",
            Self::Unreadable(_) => "unreadable",
            Self::Closed(_) => "closed",
            Self::Broken(_) => "broken",
            Self::Silent(_) => "silent",
            Self::TooLarge(_) => "too_large",
            Self::Rejected(_) => "rejected",
            Self::Closing => "announced",
            Self::Old => "rotated",
            Self::Late(_) => "late",
        }
    }

    /// Every label there is.
    pub(in super::super) const REASONS: [&'static str; 11] = [
        "unreachable",
        "answered",
        "unreadable",
        "closed",
        "broken",
        "silent",
        "too_large",
        "rejected",
        "announced",
        "rotated",
        "late",
    ];
}

/// What happens next on a connection.
pub(super) enum Step {
    /// A text message.
    Text(Utf8Bytes),
    /// A binary message, which no venue has a reason for.
    Binary,
    /// The connection had time enough to hear of every stream.
    Settled,
    /// It is old enough to be replaced.
    Old,
    Ended(Ended),
}

pub(super) struct Connection {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    exchange: &'static dyn Exchange,
    limits: Limits,
    message_bytes: usize,
    names: Arc<[Box<str>]>,
    /// The streams of each request, as positions in `names`.
    requests: Vec<Vec<usize>>,
    outgoing: VecDeque<String>,
    unflushed: bool,
    /// Requests that were made, for their ids.
    asked: u64,
    /// Answers that the venue owes, and that it gave.
    expected: usize,
    answered: usize,
    pub(super) heard: Vec<Heard>,
    /// No two that are open at one time have the same.
    pub(super) slot: u8,
    pub(super) late: LateWatch,
    pub(super) opened: Instant,
    last_heard: Instant,
    patience: Duration,
    send_at: Instant,
    keepalive_at: Option<Instant>,
    settled_at: Option<Instant>,
    old_at: Option<Instant>,
    /// Rings at the earliest of the times above, or before.
    timer: Pin<Box<Sleep>>,
}

impl Connection {
    /// Connects, and asks for all streams; what the venue answers is heard by [`Self::next`].
    pub(super) async fn open(
        exchange: &'static dyn Exchange,
        url: &str,
        names: Arc<[Box<str>]>,
        (slot, late): (u8, LateWatch),
        config: &ExchangeConfig,
    ) -> Result<Self, Failed> {
        let socket = WebSocketConfig::default()
            .max_message_size(Some(config.message_bytes))
            .max_frame_size(Some(config.message_bytes));
        let patience = Duration::from_millis(config.connect_timeout_ms);
        let request = handshake::request(url)?;
        let connector = crate::tls::connector(url);
        let connecting = connect_async_tls_with_config(request, Some(socket), true, connector);
        let socket = match timeout(patience, connecting).await {
            Ok(Ok((socket, _))) => socket,
            Ok(Err(error)) => return Err(handshake::unopened(&error)),
            Err(_) => {
                return Err(Ended::Unreachable(format!("no answer within {patience:?}")).into());
            }
        };
        let (limits, now) = (exchange.limits(), Instant::now());
        // Between two heartbeats there may be a little more than their interval.
        let patience = limits.heartbeat * config.missed_heartbeats + limits.heartbeat / 2;
        // Connections that were made together are not all replaced together.
        let life = config.rotate_after_ms;
        let life = rand::rng().random_range(life - life / 20..=life);
        let mut connection = Self {
            socket,
            exchange,
            message_bytes: config.message_bytes,
            requests: Vec::new(),
            outgoing: VecDeque::new(),
            unflushed: false,
            asked: 0,
            expected: 0,
            answered: 0,
            heard: vec![Heard::on(slot); names.len()],
            names,
            slot,
            late,
            opened: now,
            last_heard: now,
            patience,
            send_at: now,
            keepalive_at: limits.keepalive.map(|(every, _)| now + every),
            settled_at: Some(now + Duration::from_millis(config.first_tick_ms)),
            old_at: Some(now + Duration::from_millis(life)),
            timer: Box::pin(sleep_until(now)),
            limits,
        };
        let all: Vec<usize> = (0..connection.names.len()).collect();
        for chunk in all.chunks(connection.limits.streams_a_request) {
            connection.ask(chunk.to_vec());
        }
        Ok(connection)
    }

    /// The next thing that happens. May be dropped while it waits: nothing is lost by it.
    pub(super) async fn next(&mut self) -> Step {
        loop {
            if self.unflushed
                && let Err(ended) = self.flush().await
            {
                return Step::Ended(ended);
            }
            tokio::select! {
                received = self.socket.next() => if let Some(step) = self.received(received) {
                    return step;
                },
                () = self.timer.as_mut() => if let Some(step) = self.due().await {
                    return step;
                },
            }
        }
    }

    /// Counts an answer to a request.
    pub(super) fn answered(&mut self) {
        self.answered += 1;
    }

    /// The venue refuses one stream; where it ignored the others of that request for it, they are asked for again.
    /// Says whether this is news.
    pub(super) fn refused(&mut self, at: usize) -> bool {
        if std::mem::replace(&mut self.heard[at].refused, true) {
            return false;
        }
        self.answered();
        if self.limits.refuses_whole_requests {
            let request = self.requests.iter().position(|asked| asked.contains(&at));
            if let Some(request) = request {
                let mut asked = self.requests.swap_remove(request);
                asked.retain(|stream| *stream != at);
                self.ask(asked);
            }
        }
        true
    }

    /// Whether every request was made and answered, so that it does what the one before it did.
    pub(super) fn is_live(&self) -> bool {
        self.outgoing.is_empty() && !self.unflushed && self.answered >= self.expected
    }

    pub(super) fn age(&self) -> Duration {
        self.opened.elapsed()
    }

    fn ask(&mut self, streams: Vec<usize>) {
        if streams.is_empty() {
            return;
        }
        let names: Vec<&str> = streams.iter().map(|at| &*self.names[*at]).collect();
        self.asked += 1;
        let Request { text, answers } = self.exchange.subscribe(&names, self.asked);
        self.expected += answers;
        self.requests.push(streams);
        self.outgoing.push_back(text);
        self.set_timer();
    }

    fn received(&mut self, received: Option<Result<Message, Error>>) -> Option<Step> {
        let message = match received {
            Some(Ok(message)) => message,
            Some(Err(error)) => return Some(Step::Ended(self.broken(error))),
            None => return Some(Step::Ended(Ended::Closed(String::new()))),
        };
        let alive = match message {
            // The pong is tungstenite's, which sends it with the next read.
            Message::Ping(_) | Message::Pong(_) => self.limits.pings_count,
            _ => true,
        };
        if alive {
            self.last_heard = Instant::now();
        }
        match message {
            Message::Text(text) => Some(Step::Text(text)),
            Message::Binary(_) => Some(Step::Binary),
            Message::Close(frame) => Some(Step::Ended(Ended::Closed(closed(frame)))),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => None,
        }
    }

    /// Does what is due, and sets the timer anew.
    async fn due(&mut self) -> Option<Step> {
        let now = Instant::now();
        if now >= self.last_heard + self.patience {
            return self.overdue();
        }
        if let (Some(at), Some((every, text))) = (self.keepalive_at, self.limits.keepalive)
            && now >= at
        {
            self.outgoing.push_back(text.to_owned());
            self.keepalive_at = Some(now + every);
        }
        if !self.outgoing.is_empty() && now >= self.send_at {
            if let Err(ended) = self.send().await {
                return Some(Step::Ended(ended));
            }
            self.send_at = now + self.limits.pace;
        }
        let step = if self.settled_at.take_if(|at| now >= *at).is_some() {
            Some(Step::Settled)
        } else if self.old_at.take_if(|at| now >= *at).is_some() {
            Some(Step::Old)
        } else {
            None
        };
        self.set_timer();
        step
    }

    /// Nothing was heard for too long. It may be this process that was asleep: what lies in the socket was said in time.
    /// A flood of pings where they are no sign of life is none.
    fn overdue(&mut self) -> Option<Step> {
        let last_heard = self.last_heard;
        for _ in 0..MOST_PINGS {
            let Some(received) = self.socket.next().now_or_never() else {
                break;
            };
            let step = self.received(received);
            if step.is_some() || self.last_heard > last_heard {
                self.set_timer();
                return step;
            }
        }
        Some(Step::Ended(Ended::Silent(self.patience)))
    }

    fn set_timer(&mut self) {
        let silent_at = self.last_heard + self.patience;
        let send_at = (!self.outgoing.is_empty()).then_some(self.send_at);
        let others = [send_at, self.keepalive_at, self.settled_at, self.old_at];
        let next = others.into_iter().flatten().fold(silent_at, Instant::min);
        self.timer.as_mut().reset(next);
    }

    async fn send(&mut self) -> Result<(), Ended> {
        let ready = poll_fn(|cx| Pin::new(&mut self.socket).poll_ready(cx));
        let sent = match timeout(WRITE_PATIENCE, ready).await {
            Ok(ready) => ready,
            Err(_) => return Err(stuck()),
        };
        // From here to the mark nothing waits, so that a message is neither lost nor sent twice.
        let sent = sent.and_then(|()| match self.outgoing.pop_front() {
            Some(text) => Pin::new(&mut self.socket).start_send(Message::text(text)),
            None => Ok(()),
        });
        self.unflushed = true;
        sent.map_err(|error| self.broken(error))?;
        self.flush().await
    }

    async fn flush(&mut self) -> Result<(), Ended> {
        match timeout(WRITE_PATIENCE, self.socket.flush()).await {
            Ok(Ok(())) => {
                self.unflushed = false;
                Ok(())
            }
            Ok(Err(error)) => Err(self.broken(error)),
            Err(_) => Err(stuck()),
        }
    }

    fn broken(&self, error: Error) -> Ended {
        match error {
            Error::ConnectionClosed | Error::AlreadyClosed => Ended::Closed(String::new()),
            Error::Capacity(CapacityError::MessageTooLong { .. }) => {
                Ended::TooLarge(self.message_bytes)
            }
            error => Ended::Broken(words(&error.to_string())),
        }
    }
}

fn stuck() -> Ended {
    Ended::Broken(format!("it took no message within {WRITE_PATIENCE:?}"))
}

fn closed(frame: Option<CloseFrame>) -> String {
    frame.map_or_else(String::new, |frame| {
        let code = u16::from(frame.code);
        match words(&frame.reason) {
            reason if reason.is_empty() => format!(" with code {code}"),
            reason => format!(" with code {code}: {reason}"),
        }
    })
}

/// A venue's words, short enough to be shown and without what would break a line.
pub(in super::super) fn words(text: &str) -> String {
    let shown = text.chars().take(SHOWN);
    shown
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
