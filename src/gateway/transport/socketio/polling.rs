//! Engine.IO over HTTP requests: a `GET` that waits for packets, and `POST`s that bring them.
//!
//! Of each there is one at a time: two at once are a broken client, whose session ends, as in the reference.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    body::Body,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use futures_util::StreamExt;
use tokio::sync::{Mutex, watch};

use super::{
    answer::{Answer, UnderWay},
    client::Client,
    refused::Refused,
};
use crate::{
    gateway::{
        CloseReason,
        session::{Pulled, Session},
        socketio::engine,
    },
    shutdown::Takeover,
};

/// Most bytes of one answer to a `GET`, unless a single packet is longer.
const ANSWER_BYTES: usize = 262_144;
/// Most packets in the body of one `POST`.
const BODY_PACKETS: usize = 4_096;

/// A connection that is served by polling.
pub struct Polled {
    session: Arc<Session>,
    /// Gone once a websocket has taken over.
    client: Mutex<Option<Client>>,
    /// Held by the `GET` that waits; true once there are to be no more.
    reading: Mutex<bool>,
    /// The answer that is being sent.
    under_way: UnderWay,
    /// Whether a websocket is trying to take over; only one may.
    upgrading: AtomicBool,
    /// Whether its probe was answered: then a `GET` does not wait, so that the client can stop polling.
    probing: watch::Sender<bool>,
}

impl Polled {
    pub fn new(client: Client) -> Self {
        Self {
            session: client.session().clone(),
            client: Mutex::new(Some(client)),
            reading: Mutex::new(false),
            under_way: UnderWay::default(),
            upgrading: AtomicBool::new(false),
            probing: watch::Sender::new(false),
        }
    }

    pub fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// Answers a `GET`: waits until the answer before it was sent, so that a client cannot pile them up, and then for
    /// packets. `takeover` ends the connection of one that does not read its answer.
    pub async fn get(&self, takeover: Option<Takeover>) -> Response {
        let Ok(over) = self.reading.try_lock() else {
            return self.overlap();
        };
        if *over {
            return Refused::BadRequest.into_response();
        }
        self.session.heard();
        let abandoned = Abandoned(&self.session);
        let mut probing = self.probing.subscribe();
        let pull = async {
            let turn = self.under_way.turn().await;
            (turn, self.session.take(ANSWER_BYTES).await)
        };
        let body = tokio::select! {
            biased;
            (turn, pulled) = pull => match pulled {
                Pulled::Payloads(packets) => {
                    let payload = engine::write_payload(&packets);
                    let answer = Answer::new(payload, self.session.clone(), turn);
                    self.under_way.begins(&answer, takeover);
                    Ok(Body::new(answer))
                }
                // The goodbye was fetched before.
                Pulled::Ended => Err(Refused::UnknownSession),
            },
            // Only that it became so matters; the sender lives as long as this.
            _ = probing.wait_for(|probing| *probing) => Ok(engine::NOOP.into()),
        };
        #[allow(
            clippy::mem_forget,
            reason = "the request was answered, so its guard must not act"
        )]
        std::mem::forget(abandoned);
        body.map_or_else(IntoResponse::into_response, text)
    }

    /// Whether an answer is being sent.
    pub fn is_answering(&self) -> bool {
        self.under_way.is_any()
    }

    /// Ends the connection that an answer is being sent on.
    pub fn cut(&self) {
        self.under_way.cut(self.session.hub().tasks());
    }

    /// Takes the packets that a `POST` brings; its body is at most `most` bytes long.
    pub async fn post(&self, body: Body, most: usize, patience: Duration) -> Response {
        let Ok(mut client) = self.client.try_lock() else {
            return self.overlap();
        };
        let Some(client) = client.as_mut() else {
            return Refused::BadRequest.into_response();
        };
        // Its goodbye may still wait for a `GET`, but nothing is taken any more.
        if self.session.ended().is_some() {
            return Refused::UnknownSession.into_response();
        }
        self.session.heard();
        // Packets that were sent and not worked on are lost to a client that believes them taken.
        let abandoned = Abandoned(&self.session);
        let body = match tokio::time::timeout(patience, read(body, most)).await {
            Ok(body) => body,
            Err(_) => Err(CloseReason::Lost),
        };
        let body = match body {
            Ok(body) => body,
            Err(reason) => {
                let too_large = reason == CloseReason::TooBig;
                self.session.end(reason);
                return match too_large {
                    true => Refused::TooLarge.into_response(),
                    false => Refused::BadRequest.into_response(),
                };
            }
        };
        let transport = self.session.wire().transport();
        self.session.hub().metrics().read(transport, body.len());
        let packets = match engine::parse_payload(&body, BODY_PACKETS) {
            Ok(packets) => packets,
            Err(error) => {
                self.session.end(CloseReason::Protocol(error.what()));
                return Refused::BadRequest.into_response();
            }
        };
        for packet in packets {
            if self.session.ended().is_some() {
                break;
            }
            client.packet(packet).await;
        }
        #[allow(
            clippy::mem_forget,
            reason = "the request was answered, so its guard must not act"
        )]
        std::mem::forget(abandoned);
        text("ok")
    }

    /// Whether a websocket may try to take over: not when another one does, or the session has ended.
    pub fn begin_upgrade(&self) -> bool {
        self.session.ended().is_none() && !self.upgrading.swap(true, Ordering::SeqCst)
    }

    /// The probe was answered: no `GET` waits from now on.
    pub fn probed(&self) {
        self.probing.send_replace(true);
    }

    /// The websocket did not take over: polling goes on.
    pub fn give_up_upgrade(&self) {
        self.probing.send_replace(false);
        self.upgrading.store(false, Ordering::SeqCst);
    }

    /// Takes the client over to a websocket, once no request is being answered. From then on polling is refused. `None`
    /// when it was taken over before, and when an answer is not read within `patience`.
    pub async fn take_over(&self, patience: Duration) -> Option<Client> {
        let answered = tokio::time::timeout(patience, self.under_way.turn());
        drop(answered.await.ok()?);
        let client = self.client.lock().await.take()?;
        *self.reading.lock().await = true;
        Some(client)
    }

    fn overlap(&self) -> Response {
        self.session
            .end(CloseReason::Protocol("two polling requests at once"));
        Refused::BadRequest.into_response()
    }
}

/// Ends the session when the client hangs up on a request: it will not come back for the rest of a `GET`, and
/// cannot tell how much of a `POST` was worked on.
struct Abandoned<'a>(&'a Arc<Session>);

impl Drop for Abandoned<'_> {
    fn drop(&mut self) {
        self.0.end(CloseReason::Lost);
    }
}

/// Reads a body of at most `most` bytes.
async fn read(body: Body, most: usize) -> Result<String, CloseReason> {
    let mut stream = body.into_data_stream();
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|_| CloseReason::Lost)?;
        if bytes.len() + chunk.len() > most {
            return Err(CloseReason::TooBig);
        }
        bytes.extend_from_slice(&chunk);
    }
    String::from_utf8(bytes).map_err(|_| CloseReason::NotText)
}

/// An answer with packets, not to be kept by anybody.
pub fn text(body: impl Into<Body>) -> Response {
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=UTF-8"),
        ),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (headers, body.into()).into_response()
}
