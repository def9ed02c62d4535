//! One WebSocket connection to a venue: requests, keepalives, timeouts and received messages.

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
    super::{
        disconnect::Disconnect, http_client::FailedAttempt, lateness::LateWatch,
        sanitized::sanitized, stream::StreamProgress,
    },
    Exchange, ExchangeConfig, Limits, Request, handshake,
};

/// Timeout of writing a message to the socket. Messages are small: a socket that takes longer is broken.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum number of pings to skip when a connection is overdue.
const MAX_SKIPPED_PINGS: usize = 64;

/// The next event on a connection.
pub(super) enum Step {
    /// A text message.
    Text(Utf8Bytes),
    /// A binary message, which no venue should send.
    Binary,
    /// Every stream had time to deliver data.
    Settled,
    /// The connection reached its maximum age.
    Old,
    Disconnect(Disconnect),
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
    /// Number of requests, for their ids.
    request_count: u64,
    /// Expected and received answers.
    expected: usize,
    answered: usize,
    pub(super) progress: Vec<StreamProgress>,
    /// Unique among the open connections of a feed.
    pub(super) slot: u8,
    pub(super) late: LateWatch,
    pub(super) opened: Instant,
    last_received: Instant,
    max_silence: Duration,
    send_at: Instant,
    keepalive_at: Option<Instant>,
    settled_at: Option<Instant>,
    old_at: Option<Instant>,
    /// Fires at or before the earliest of the times above.
    timer: Pin<Box<Sleep>>,
}

impl Connection {
    /// Connects and subscribes to all streams; [`Self::next`] receives the answers.
    pub(super) async fn open(
        exchange: &'static dyn Exchange,
        url: &str,
        names: Arc<[Box<str>]>,
        (slot, late): (u8, LateWatch),
        config: &ExchangeConfig,
    ) -> Result<Self, FailedAttempt> {
        let socket = WebSocketConfig::default()
            .max_message_size(Some(config.message_bytes))
            .max_frame_size(Some(config.message_bytes));
        let connect_timeout = Duration::from_millis(config.connect_timeout_ms);
        let request = handshake::request(url)?;
        let connector = chaincast_base::tls::connector(url);
        let connecting = connect_async_tls_with_config(request, Some(socket), true, connector);
        let socket = match timeout(connect_timeout, connecting).await {
            Ok(Ok((socket, _))) => socket,
            Ok(Err(error)) => return Err(handshake::handshake_error(&error)),
            Err(_) => {
                return Err(Disconnect::Unreachable(format!(
                    "no answer within {connect_timeout:?}"
                ))
                .into());
            }
        };
        let (limits, now) = (exchange.limits(), Instant::now());
        // Heartbeats may be slightly later than their interval.
        let max_silence = limits.heartbeat * config.missed_heartbeats + limits.heartbeat / 2;
        // Jitter, so that connections made together are not replaced together.
        let life = config.rotate_after_ms;
        let life = rand::rng().random_range(life - life / 20..=life);
        let mut connection = Self {
            socket,
            exchange,
            message_bytes: config.message_bytes,
            requests: Vec::new(),
            outgoing: VecDeque::new(),
            unflushed: false,
            request_count: 0,
            expected: 0,
            answered: 0,
            progress: vec![StreamProgress::for_slot(slot); names.len()],
            names,
            slot,
            late,
            opened: now,
            last_received: now,
            max_silence,
            send_at: now,
            keepalive_at: limits.keepalive.map(|(every, _)| now + every),
            settled_at: Some(now + Duration::from_millis(config.first_tick_ms)),
            old_at: Some(now + Duration::from_millis(life)),
            timer: Box::pin(sleep_until(now)),
            limits,
        };
        let all: Vec<usize> = (0..connection.names.len()).collect();
        for chunk in all.chunks(connection.limits.streams_a_request) {
            connection.subscribe(chunk.to_vec());
        }
        Ok(connection)
    }

    /// The next event. Cancel safe.
    pub(super) async fn next(&mut self) -> Step {
        loop {
            if self.unflushed
                && let Err(ended) = self.flush().await
            {
                return Step::Disconnect(ended);
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

    /// The venue rejected one stream. If it rejects whole requests, the other streams of the request are subscribed
    /// again. False if the stream was rejected before.
    pub(super) fn stream_rejected(&mut self, at: usize) -> bool {
        if std::mem::replace(&mut self.progress[at].is_rejected, true) {
            return false;
        }
        self.answered();
        if self.limits.refuses_whole_requests {
            let request = self
                .requests
                .iter()
                .position(|streams| streams.contains(&at));
            if let Some(request) = request {
                let mut streams = self.requests.swap_remove(request);
                streams.retain(|stream| *stream != at);
                self.subscribe(streams);
            }
        }
        true
    }

    /// Whether every request was sent and answered, so that it can replace the previous connection.
    pub(super) fn is_live(&self) -> bool {
        self.outgoing.is_empty() && !self.unflushed && self.answered >= self.expected
    }

    pub(super) fn age(&self) -> Duration {
        self.opened.elapsed()
    }

    fn subscribe(&mut self, streams: Vec<usize>) {
        if streams.is_empty() {
            return;
        }
        let names: Vec<&str> = streams.iter().map(|at| &*self.names[*at]).collect();
        self.request_count += 1;
        let Request { text, answers } = self.exchange.subscribe(&names, self.request_count);
        self.expected += answers;
        self.requests.push(streams);
        self.outgoing.push_back(text);
        self.set_timer();
    }

    fn received(&mut self, received: Option<Result<Message, Error>>) -> Option<Step> {
        let message = match received {
            Some(Ok(message)) => message,
            Some(Err(error)) => return Some(Step::Disconnect(self.disconnect_reason(error))),
            None => return Some(Step::Disconnect(Disconnect::Closed(String::new()))),
        };
        let is_alive = match message {
            // tungstenite sends the pong with the next read.
            Message::Ping(_) | Message::Pong(_) => self.limits.pings_count,
            _ => true,
        };
        if is_alive {
            self.last_received = Instant::now();
        }
        match message {
            Message::Text(text) => Some(Step::Text(text)),
            Message::Binary(_) => Some(Step::Binary),
            Message::Close(frame) => {
                Some(Step::Disconnect(Disconnect::Closed(close_details(frame))))
            }
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => None,
        }
    }

    /// Performs due actions and resets the timer.
    async fn due(&mut self) -> Option<Step> {
        let now = Instant::now();
        if now >= self.last_received + self.max_silence {
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
                return Some(Step::Disconnect(ended));
            }
            self.send_at = now + self.limits.min_interval;
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

    /// No data for too long. This process may have been suspended, so data in the socket still counts as received in
    /// time. Pings do not, where they are not a sign of life.
    fn overdue(&mut self) -> Option<Step> {
        let last_received = self.last_received;
        for _ in 0..MAX_SKIPPED_PINGS {
            let Some(received) = self.socket.next().now_or_never() else {
                break;
            };
            let step = self.received(received);
            if step.is_some() || self.last_received > last_received {
                self.set_timer();
                return step;
            }
        }
        Some(Step::Disconnect(Disconnect::Silent(self.max_silence)))
    }

    fn set_timer(&mut self) {
        let silent_at = self.last_received + self.max_silence;
        let send_at = (!self.outgoing.is_empty()).then_some(self.send_at);
        let others = [send_at, self.keepalive_at, self.settled_at, self.old_at];
        let next = others.into_iter().flatten().fold(silent_at, Instant::min);
        self.timer.as_mut().reset(next);
    }

    async fn send(&mut self) -> Result<(), Disconnect> {
        let ready = poll_fn(|cx| Pin::new(&mut self.socket).poll_ready(cx));
        let sent = match timeout(WRITE_TIMEOUT, ready).await {
            Ok(ready) => ready,
            Err(_) => return Err(write_timeout()),
        };
        // No await until `unflushed` is set, so a message is neither lost nor sent twice.
        let sent = sent.and_then(|()| match self.outgoing.pop_front() {
            Some(text) => Pin::new(&mut self.socket).start_send(Message::text(text)),
            None => Ok(()),
        });
        self.unflushed = true;
        sent.map_err(|error| self.disconnect_reason(error))?;
        self.flush().await
    }

    async fn flush(&mut self) -> Result<(), Disconnect> {
        match timeout(WRITE_TIMEOUT, self.socket.flush()).await {
            Ok(Ok(())) => {
                self.unflushed = false;
                Ok(())
            }
            Ok(Err(error)) => Err(self.disconnect_reason(error)),
            Err(_) => Err(write_timeout()),
        }
    }

    fn disconnect_reason(&self, error: Error) -> Disconnect {
        match error {
            Error::ConnectionClosed | Error::AlreadyClosed => Disconnect::Closed(String::new()),
            Error::Capacity(CapacityError::MessageTooLong { .. }) => {
                Disconnect::TooLarge(self.message_bytes)
            }
            error => Disconnect::Broken(sanitized(&error.to_string())),
        }
    }
}

fn write_timeout() -> Disconnect {
    Disconnect::Broken(format!("no message was sent within {WRITE_TIMEOUT:?}"))
}

fn close_details(frame: Option<CloseFrame>) -> String {
    frame.map_or_else(String::new, |frame| {
        let code = u16::from(frame.code);
        match sanitized(&frame.reason) {
            reason if reason.is_empty() => format!(" with code {code}"),
            reason => format!(" with code {code}: {reason}"),
        }
    })
}
