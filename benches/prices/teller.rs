//! One connection of a client to a venue: its streams are told in turn, at the venue's pace.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use chaincast::{dev::venue::Speaks, model::now_ms};
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

/// How often what is due is told: ticks of a venue come one by one, and not in heaps.
const TURN: Duration = Duration::from_millis(1);
/// Told in one turn at most: a client that was away for long is not to get everything at once.
const MOST_A_TURN: u64 = 1_000;

struct Teller<'a> {
    socket: WebSocketStream<TcpStream>,
    speaks: Speaks,
    shared: &'a Shared,
    streams: Vec<String>,
    templates: Vec<Template>,
    next: usize,
    /// Of the pace that was found last, in thousandths of a tick a second on all streams; when that was, and what was
    /// told since.
    rate: u64,
    since: Instant,
    told: u64,
}

/// Serves a client until it goes.
pub async fn serve(stream: TcpStream, speaks: Speaks, shared: &Shared) -> Result<(), Error> {
    stream.set_nodelay(true)?;
    let mut teller = Teller {
        socket: accept_async(stream).await?,
        speaks,
        shared,
        streams: Vec::new(),
        templates: Vec::new(),
        next: 0,
        rate: 0,
        since: Instant::now(),
        told: 0,
    };
    let ended = teller.run().await;
    let streams = teller.streams.len() as u64;
    shared.streams.fetch_sub(streams, Ordering::Relaxed);
    ended
}

impl Teller<'_> {
    async fn run(&mut self) -> Result<(), Error> {
        if let Some(greeting) = self.speaks.greeting() {
            self.socket.send(Message::text(greeting)).await?;
        }
        let mut beat = interval(match self.speaks {
            Speaks::Binance => Duration::from_secs(20),
            Speaks::Coinbase | Speaks::Kraken => Duration::from_secs(1),
        });
        let mut turn = interval(TURN);
        turn.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                received = self.socket.next() => match received {
                    Some(Ok(Message::Text(text))) => self.answer(text.as_str()).await?,
                    Some(Ok(Message::Close(_))) | None => return Ok(()),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(error),
                },
                _ = beat.tick() => self.beat().await?,
                _ = turn.tick() => self.turn().await?,
            }
        }
    }

    async fn answer(&mut self, text: &str) -> Result<(), Error> {
        if let Some(pong) = self.speaks.pong(text) {
            return self.socket.send(Message::text(pong)).await;
        }
        let Some(asked) = self.speaks.asked(text) else {
            return Ok(());
        };
        let (answers, given) = self.speaks.answer(asked, |_| false);
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

    async fn beat(&mut self) -> Result<(), Error> {
        let Some(stream) = self.streams.first() else {
            return Ok(());
        };
        let beat = match self.speaks.heartbeat(stream) {
            Some(text) => Message::text(text),
            None => Message::Ping("still there?".into()),
        };
        self.socket.send(beat).await
    }

    /// Tells what is due.
    async fn turn(&mut self) -> Result<(), Error> {
        let pace = self.shared.pace.load(Ordering::Relaxed);
        let rate = pace * self.templates.len() as u64;
        if rate != self.rate {
            (self.rate, self.since, self.told) = (rate, Instant::now(), 0);
        }
        let due = u128::from(rate) * self.since.elapsed().as_micros() / 1_000_000_000;
        let due = u64::try_from(due).unwrap_or(u64::MAX);
        let count = due.saturating_sub(self.told).min(MOST_A_TURN);
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
        self.told += count;
        self.shared.told.fetch_add(count, Ordering::Relaxed);
        Ok(())
    }
}
