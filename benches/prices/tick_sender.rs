//! One connection of a client to a venue: the ticks of its streams are sent in turn, at the venue's rate.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use chaincast_protocol::now_ms;
use chaincast_testkit::venue::VenueProtocol;
use chrono::{DateTime, SecondsFormat};
use futures_util::{SinkExt, StreamExt};
use tokio::{
    net::TcpStream,
    time::{MissedTickBehavior, interval},
};
use tokio_tungstenite::{
    WebSocketStream, accept_async,
    tungstenite::{Error, Message},
};

use crate::{template::Template, venues::Shared};

/// How often due ticks are sent: ticks of a venue arrive one by one, not in bursts.
const SEND_INTERVAL: Duration = Duration::from_millis(1);
/// Maximum sent in one interval: after a pause, a client does not get all ticks at once.
const MAX_PER_INTERVAL: u64 = 1_000;

struct TickSender<'a> {
    socket: WebSocketStream<TcpStream>,
    speaks: VenueProtocol,
    shared: &'a Shared,
    streams: Vec<String>,
    templates: Vec<Template>,
    next: usize,
    /// The current rate, in thousandths of a tick a second on all streams; when it was set, and how many ticks were
    /// sent since.
    rate: u64,
    since: Instant,
    sent: u64,
}

/// Serves a client until it disconnects.
pub async fn serve(stream: TcpStream, speaks: VenueProtocol, shared: &Shared) -> Result<(), Error> {
    stream.set_nodelay(true)?;
    let mut sender = TickSender {
        socket: accept_async(stream).await?,
        speaks,
        shared,
        streams: Vec::new(),
        templates: Vec::new(),
        next: 0,
        rate: 0,
        since: Instant::now(),
        sent: 0,
    };
    let ended = sender.run().await;
    let streams = sender.streams.len() as u64;
    shared.streams.fetch_sub(streams, Ordering::Relaxed);
    ended
}

impl TickSender<'_> {
    async fn run(&mut self) -> Result<(), Error> {
        if let Some(greeting) = self.speaks.greeting() {
            self.socket.send(Message::text(greeting)).await?;
        }
        let mut beat = interval(self.speaks.heartbeat_interval());
        let mut turn = interval(SEND_INTERVAL);
        turn.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                received = self.socket.next() => match received {
                    Some(Ok(Message::Text(text))) => self.answer(text.as_str()).await?,
                    Some(Ok(Message::Close(_))) | None => return Ok(()),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(error),
                },
                _ = beat.tick() => self.send_heartbeat().await?,
                _ = turn.tick() => self.send_due().await?,
            }
        }
    }

    async fn answer(&mut self, text: &str) -> Result<(), Error> {
        if let Some(pong) = self.speaks.pong(text) {
            return self.socket.send(Message::text(pong)).await;
        }
        let Some(request) = self.speaks.parse_subscribe(text) else {
            return Ok(());
        };
        let (answers, given) = self.speaks.answer(request, |_| false);
        for answer in answers {
            self.socket.feed(Message::text(answer)).await?;
        }
        self.socket.flush().await?;
        for stream in given {
            self.templates.push(Template::new(self.speaks, &stream));
            self.streams.push(stream);
            self.shared.streams.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    async fn send_heartbeat(&mut self) -> Result<(), Error> {
        let Some(stream) = self.streams.first() else {
            return Ok(());
        };
        let beat = match self.speaks.heartbeat(stream) {
            Some(text) => Message::text(text),
            None => Message::Ping("still there?".into()),
        };
        self.socket.send(beat).await
    }

    /// Sends the due ticks.
    async fn send_due(&mut self) -> Result<(), Error> {
        let pace = self.shared.pace.load(Ordering::Relaxed);
        let rate = pace * self.templates.len() as u64;
        if rate != self.rate {
            (self.rate, self.since, self.sent) = (rate, Instant::now(), 0);
        }
        let due = u128::from(rate) * self.since.elapsed().as_micros() / 1_000_000_000;
        let due = u64::try_from(due).unwrap_or(u64::MAX);
        let count = due.saturating_sub(self.sent).min(MAX_PER_INTERVAL);
        if count == 0 {
            return Ok(());
        }
        let now = DateTime::from_timestamp_millis(now_ms()).unwrap_or_default();
        let time = now.to_rfc3339_opts(SecondsFormat::Micros, true);
        for _ in 0..count {
            let text = self.templates[self.next].tick(&time);
            self.next = (self.next + 1) % self.templates.len();
            self.socket.feed(Message::text(text)).await?;
        }
        self.socket.flush().await?;
        self.sent += count;
        self.shared.sent.fetch_add(count, Ordering::Relaxed);
        Ok(())
    }
}
