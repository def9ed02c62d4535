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
    Speaks,
    serve::{Order, Shared},
};

/// The header of a text frame of 256 bytes, and the first two of them.
const HALF_A_FRAME: [u8; 6] = [0x81, 126, 1, 0, b'{', b'"'];

/// Coinbase closes a connection that asked for nothing within this time.
const ASK_WITHIN: Duration = Duration::from_secs(5);
/// Messages that Binance takes in a second, pongs included; it closes a connection that sends more.
const MOST_A_SECOND: usize = 5;

type Socket = WebSocketStream<TcpStream>;

/// What a client sent in the last second.
#[derive(Default)]
struct Sent(VecDeque<Instant>);

impl Sent {
    /// One more; whether it is too many for this venue.
    fn is_too_much(&mut self, speaks: Speaks) -> bool {
        let now = Instant::now();
        self.0.push_back(now);
        while let Some(first) = self.0.front()
            && now.duration_since(*first) >= Duration::from_secs(1)
        {
            self.0.pop_front();
        }
        speaks == Speaks::Binance && self.0.len() > MOST_A_SECOND
    }
}

/// Serves until the client goes, or an act ends it. `number` counts the connections of the venue.
pub(super) async fn serve(
    mut socket: Socket,
    mut orders: Receiver<Order>,
    shared: &Shared,
    number: u64,
) {
    let speaks = shared.speaks;
    let mut held = shared.held.subscribe();
    let mut waiting = Vec::new();
    let mut streams = BTreeSet::new();
    let mut sent = Sent::default();
    let mut asked = false;
    let mut patience = Box::pin(sleep(ASK_WITHIN));
    let mut beat = interval(match speaks {
        Speaks::Binance => Duration::from_secs(20),
        Speaks::Coinbase | Speaks::Kraken => Duration::from_secs(1),
    });
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    if let Some(greeting) = speaks.greeting()
        && say(&mut socket, greeting).await.is_err()
    {
        return;
    }
    loop {
        let done = tokio::select! {
            received = socket.next() => match received {
                Some(Ok(Message::Text(text))) => {
                    note(shared, text.as_str());
                    if sent.is_too_much(speaks) {
                        return close(socket, CloseCode::Policy, "too many messages").await;
                    }
                    asked = true;
                    waiting.push(text.as_str().to_owned());
                    Ok(())
                }
                Some(Ok(Message::Pong(_))) => {
                    shared.seen.send_modify(|seen| seen.pongs += 1);
                    if sent.is_too_much(speaks) {
                        return close(socket, CloseCode::Policy, "too many messages").await;
                    }
                    Ok(())
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => Ok(()),
            },
            order = orders.recv() => match order {
                Some(Order::Tick(told, order)) => {
                    let told_of = |stream: &&String| speaks.symbol_of(stream) == told.symbol;
                    let texts: Vec<String> = streams
                        .iter()
                        .filter(told_of)
                        .map(|stream| speaks.tick(stream, &told, order, false))
                        .collect();
                    all(&mut socket, texts).await
                }
                Some(Order::Say(text)) => say(&mut socket, text).await,
                Some(Order::Ping) => socket.send(Message::Ping("still there?".into())).await,
                Some(Order::Cut) => {
                    socket.get_mut().write_all(&HALF_A_FRAME).await.ok();
                    return;
                }
                Some(Order::Close) => {
                    return close(socket, CloseCode::Away, "going away").await;
                }
                Some(Order::Stall) => {
                    // It still notices when the client goes.
                    while let Some(Ok(_)) = socket.next().await {}
                    return;
                }
                None => return,
            },
            () = &mut patience, if speaks == Speaks::Coinbase && !asked => {
                return close(socket, CloseCode::Policy, "nothing was asked for").await;
            }
            _ = held.changed() => Ok(()),
            _ = beat.tick() => match streams.first() {
                None => Ok(()),
                Some(stream) => match speaks.heartbeat(stream) {
                    Some(text) => say(&mut socket, text).await,
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
        for text in waiting.drain(..) {
            if answer(&mut socket, shared, &mut streams, &text, number)
                .await
                .is_err()
            {
                return;
            }
        }
    }
}

/// Answers a message of the client, with snapshots where the venue gives them.
async fn answer(
    socket: &mut Socket,
    shared: &Shared,
    streams: &mut BTreeSet<String>,
    text: &str,
    number: u64,
) -> Result<(), Error> {
    let speaks = shared.speaks;
    if let Some(pong) = speaks.pong(text) {
        return say(socket, pong).await;
    }
    let Some(asked) = speaks.asked(text) else {
        return Ok(());
    };
    let ((mut texts, given), farewell) = {
        let mut state = shared.state.lock();
        let answer = speaks.answer(asked, |symbol| state.refused.contains(symbol));
        (answer, state.says_farewell())
    };
    if speaks.has_snapshots() {
        let state = shared.state.lock();
        texts.extend(given.iter().filter_map(|stream| {
            let (told, order) = state.last.get(&speaks.symbol_of(stream))?;
            Some(speaks.tick(stream, told, *order, true))
        }));
    }
    if farewell {
        texts.extend(speaks.announcement());
    }
    let symbols: Vec<String> = given
        .iter()
        .map(|stream| speaks.symbol_of(stream))
        .collect();
    streams.extend(given);
    all(socket, texts).await?;
    shared.seen.send_modify(|seen| {
        seen.answered += 1;
        if seen.connections == number {
            seen.newest.extend(symbols);
        }
    });
    Ok(())
}

async fn close(mut socket: Socket, code: CloseCode, reason: &'static str) {
    let reason = reason.into();
    socket.close(Some(CloseFrame { code, reason })).await.ok();
}

fn note(shared: &Shared, text: &str) {
    let at = std::time::Instant::now();
    shared
        .seen
        .send_modify(|seen| seen.messages.push((at, text.to_owned())));
}

async fn say(socket: &mut Socket, text: String) -> Result<(), Error> {
    socket.send(Message::text(text)).await
}

async fn all(socket: &mut Socket, texts: Vec<String>) -> Result<(), Error> {
    for text in texts {
        socket.feed(Message::text(text)).await?;
    }
    socket.flush().await
}
