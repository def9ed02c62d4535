//! One connection of a client.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    sync::mpsc::Receiver,
    time::{Instant, MissedTickBehavior, interval, sleep},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

use super::{
    VenueProtocol,
    shared::{Command, VenueShared},
};

/// The header of a text frame of 256 bytes, and the first two of them.
const HALF_A_FRAME: [u8; 6] = [0x81, 126, 1, 0, b'{', b'"'];

type Socket = WebSocketStream<TcpStream>;

/// The times of a client's messages in the last second.
#[derive(Default)]
struct RecentMessages(VecDeque<Instant>);

impl RecentMessages {
    /// Counts a message; returns whether the venue's limit is exceeded.
    fn exceeds_limit(&mut self, protocol: VenueProtocol) -> bool {
        let now = Instant::now();
        self.0.push_back(now);
        while let Some(first) = self.0.front()
            && now.duration_since(*first) >= Duration::from_secs(1)
        {
            self.0.pop_front();
        }
        self.0.len() > protocol.max_per_second()
    }
}

/// Serves until the client disconnects or an action ends the connection. `number` counts the connections of the venue.
pub(super) async fn serve(
    mut socket: Socket,
    mut commands: Receiver<Command>,
    shared: &VenueShared,
    number: u64,
) {
    let protocol = shared.protocol;
    let mut held = shared.held.subscribe();
    let mut queued = Vec::new();
    let mut streams = BTreeSet::new();
    let mut sent = RecentMessages::default();
    let mut subscribed = false;
    let limit = protocol.subscribe_timeout();
    let mut subscribe_timeout = Box::pin(sleep(limit.unwrap_or_default()));
    let mut beat = interval(protocol.heartbeat_interval());
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    if let Some(greeting) = protocol.greeting()
        && send(&mut socket, greeting).await.is_err()
    {
        return;
    }
    loop {
        let done = tokio::select! {
            received = socket.next() => match received {
                Some(Ok(Message::Text(text))) => {
                    record_message(shared, text.as_str());
                    if sent.exceeds_limit(protocol) {
                        return close(socket, CloseCode::Policy, "too many messages").await;
                    }
                    subscribed = true;
                    queued.push(text.as_str().to_owned());
                    Ok(())
                }
                Some(Ok(Message::Pong(_))) => {
                    shared.observed.send_modify(|observed| observed.pongs += 1);
                    if sent.exceeds_limit(protocol) {
                        return close(socket, CloseCode::Policy, "too many messages").await;
                    }
                    Ok(())
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => Ok(()),
            },
            command = commands.recv() => match command {
                Some(Command::Tick(tick, order)) => {
                    let has_symbol = |stream: &&String| protocol.symbol_of(stream) == tick.symbol;
                    let texts: Vec<String> = streams
                        .iter()
                        .filter(has_symbol)
                        .map(|stream| protocol.tick(stream, &tick, order, false))
                        .collect();
                    send_all(&mut socket, texts).await
                }
                Some(Command::Send(text)) => send(&mut socket, text).await,
                Some(Command::Ping) => socket.send(Message::Ping("still there?".into())).await,
                Some(Command::Cut) => {
                    socket.get_mut().write_all(&HALF_A_FRAME).await.ok();
                    return;
                }
                Some(Command::Close) => {
                    return close(socket, CloseCode::Away, "going away").await;
                }
                Some(Command::Stall) => {
                    // Still detect that the client disconnects.
                    while let Some(Ok(_)) = socket.next().await {}
                    return;
                }
                None => return,
            },
            () = &mut subscribe_timeout, if limit.is_some() && !subscribed => {
                return close(socket, CloseCode::Policy, "no subscription in time").await;
            }
            _ = held.changed() => Ok(()),
            _ = beat.tick() => match streams.first() {
                None => Ok(()),
                Some(stream) => match protocol.heartbeat(stream) {
                    Some(text) => send(&mut socket, text).await,
                    None => socket.send(Message::Ping("still there?".into())).await,
                },
            },
        };
        if done.is_err() {
            return;
        }
        if *held.borrow_and_update() {
            continue;
        }
        for text in queued.drain(..) {
            if answer(&mut socket, shared, &mut streams, &text, number)
                .await
                .is_err()
            {
                return;
            }
        }
    }
}

/// Answers a client's message, with snapshots if the venue has them.
async fn answer(
    socket: &mut Socket,
    shared: &VenueShared,
    streams: &mut BTreeSet<String>,
    text: &str,
    number: u64,
) -> Result<(), Error> {
    let protocol = shared.protocol;
    if let Some(pong) = protocol.pong(text) {
        return send(socket, pong).await;
    }
    let Some(request) = protocol.parse_subscribe(text) else {
        return Ok(());
    };
    let ((mut texts, given), farewell) = {
        let mut state = shared.state.lock();
        let answer = protocol.answer(request, |symbol| state.refused.contains(symbol));
        (answer, state.take_farewell())
    };
    if protocol.has_snapshots() {
        let state = shared.state.lock();
        texts.extend(given.iter().filter_map(|stream| {
            let (tick, order) = state.last.get(&protocol.symbol_of(stream))?;
            Some(protocol.tick(stream, tick, *order, true))
        }));
    }
    if farewell {
        texts.extend(protocol.announcement());
    }
    let symbols: Vec<String> = given
        .iter()
        .map(|stream| protocol.symbol_of(stream))
        .collect();
    streams.extend(given);
    send_all(socket, texts).await?;
    shared.observed.send_modify(|observed| {
        observed.answered += 1;
        if observed.connections == number {
            observed.newest.extend(symbols);
        }
    });
    Ok(())
}

async fn close(mut socket: Socket, code: CloseCode, reason: &'static str) {
    let reason = reason.into();
    socket.close(Some(CloseFrame { code, reason })).await.ok();
}

fn record_message(shared: &VenueShared, text: &str) {
    let at = std::time::Instant::now();
    shared
        .observed
        .send_modify(|observed| observed.messages.push((at, text.to_owned())));
}

async fn send(socket: &mut Socket, text: String) -> Result<(), Error> {
    socket.send(Message::text(text)).await
}

async fn send_all(socket: &mut Socket, texts: Vec<String>) -> Result<(), Error> {
    for text in texts {
        socket.feed(Message::text(text)).await?;
    }
    socket.flush().await
}
