//! `/socket.io/`: Socket.IO 4 clients, spoken to natively: Engine.IO 4 over polling and websockets.
//!
//! A connection is named by a secret `sid`, which is not the public `clientId`. Behind it is one session of the
//! hub; by polling it is pulled, over a websocket it owns the socket (see [`Session`](super::super::session)).

mod answer;
mod arrivals;
mod client;
mod directory;
mod polling;
mod refused;
mod reply;
mod websocket;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{ConnectInfo, Query, Request, State},
    http::Method,
    response::{IntoResponse, Response},
    routing::any,
};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use self::{
    arrivals::Arrivals, client::Client, directory::Directory, polling::Polled, refused::Refused,
};
use super::{cors, handshake::Upgrade};
use crate::{
    gateway::{
        auth::bearer_token,
        context::Context,
        encode::Wire,
        session::{Session, random_id},
        socketio::engine::Open,
    },
    shutdown::Takeover,
};

/// How often ended connections are forgotten, and those that join nothing looked for.
const SWEEP_INTERVAL: Duration = Duration::from_millis(250);
/// The version of the Engine.IO protocol that is spoken.
const VERSION: &str = "4";
/// The methods that are served.
const METHODS: &str = "GET, POST, OPTIONS";

/// What all Socket.IO connections share. Cheap to clone.
#[derive(Clone)]
pub struct SocketIo(Arc<Inner>);

struct Inner {
    context: Context,
    directory: Directory,
    arrivals: Arrivals,
}

/// The query of every request.
#[derive(Debug, Default, Deserialize)]
struct Parameters {
    #[serde(rename = "EIO")]
    version: Option<String>,
    transport: Option<String>,
    sid: Option<String>,
    token: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transport {
    Polling,
    Websocket,
}

/// The routes, and the task that forgets ended connections and sends away who does not join, spawned on the context's tasks.
pub fn router(context: Context) -> Router {
    let io = SocketIo(Arc::new(Inner {
        context,
        directory: Directory::default(),
        arrivals: Arrivals::default(),
    }));
    let (swept, stop) = (io.clone(), io.context().tasks().token());
    io.context()
        .tasks()
        .spawn(async move { swept.sweep(stop).await });
    Router::new()
        .route("/socket.io", any(handle))
        .route("/socket.io/", any(handle))
        .with_state(io)
}

impl SocketIo {
    fn context(&self) -> &Context {
        &self.0.context
    }

    /// How long a client may take to join a namespace, or to finish an upgrade.
    fn patience(&self) -> Duration {
        Duration::from_millis(self.context().config().limits.handshake_timeout_ms)
    }

    fn directory(&self) -> &Directory {
        &self.0.directory
    }

    /// Looks at all connections now and then, until it is stopped and none is left to forget.
    async fn sweep(&self, stop: CancellationToken) {
        let mut sweep = tokio::time::interval(SWEEP_INTERVAL);
        sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let now = sweep.tick().await;
            self.0.arrivals.sweep(now);
            self.directory().sweep(now);
            if stop.is_cancelled() && self.directory().is_empty() {
                return;
            }
        }
    }

    /// A session for a client that shakes hands, and the packet that tells it so.
    fn open(
        &self,
        peer: SocketAddr,
        request: &Request,
        token: Option<&str>,
        upgrades: &[&str],
    ) -> Result<(Box<str>, Client, String), Refused> {
        let context = self.context();
        let hold = context
            .admit(peer, request.headers())
            .map_err(Refused::TooMany)?;
        let session: Arc<Session> = context
            .hub()
            .open(Wire::SocketIo, None, Some(hold))
            .ok_or_else(|| Refused::Closing(context.hub().retry_after_ms()))?;
        let token = bearer_token(request.headers()).or(token);
        let client = Client::new(session, token);
        self.0.arrivals.expect(&client, self.patience());
        let (sid, config) = (random_id(), context.config());
        let open = Open {
            sid: &sid,
            upgrades,
            ping_interval: config.ping_interval_ms,
            ping_timeout: config.ping_timeout_ms,
            max_payload: config.limits.message_bytes,
        };
        let text = open.text();
        Ok((sid, client, text))
    }
}

async fn handle(
    State(io): State<SocketIo>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    query: Result<Query<Parameters>, axum::extract::rejection::QueryRejection>,
    request: Request,
) -> Response {
    let cors = match cors::headers(io.context(), peer, request.headers()) {
        Ok(cors) => cors,
        Err(refused) => return Refused::Forbidden(refused).into_response(),
    };
    let mut response = match (request.method(), query) {
        (&Method::OPTIONS, _) => cors::preflight(request.headers(), METHODS),
        (_, Ok(Query(parameters))) => serve(&io, peer, parameters, request)
            .await
            .unwrap_or_else(IntoResponse::into_response),
        (_, Err(_)) => Refused::BadRequest.into_response(),
    };
    response.headers_mut().extend(cors);
    response
}

async fn serve(
    io: &SocketIo,
    peer: SocketAddr,
    parameters: Parameters,
    request: Request,
) -> Result<Response, Refused> {
    let transport = match parameters.transport.as_deref() {
        Some("polling") => Transport::Polling,
        Some("websocket") => Transport::Websocket,
        _ => return Err(Refused::Transport),
    };
    let Some(sid) = parameters.sid else {
        if request.method() != Method::GET {
            return Err(Refused::Method);
        }
        if parameters.version.as_deref() != Some(VERSION) {
            return Err(Refused::ProtocolVersion);
        }
        return handshake(io, peer, transport, parameters.token.as_deref(), request);
    };
    let polled = io.directory().find(&sid).ok_or(Refused::UnknownSession)?;
    match (transport, request.method()) {
        (Transport::Websocket, _) => upgrade(io, sid.into(), polled, request),
        (Transport::Polling, &Method::GET) => {
            let takeover = request.extensions().get::<Takeover>().cloned();
            Ok(polled.get(takeover).await)
        }
        (Transport::Polling, &Method::POST) => {
            let most = io.context().config().limits.message_bytes;
            let patience = io.patience();
            Ok(polled.post(request.into_body(), most, patience).await)
        }
        (Transport::Polling, _) => Err(Refused::BadRequest),
    }
}

fn handshake(
    io: &SocketIo,
    peer: SocketAddr,
    transport: Transport,
    token: Option<&str>,
    mut request: Request,
) -> Result<Response, Refused> {
    match transport {
        Transport::Polling => {
            let (sid, client, open) = io.open(peer, &request, token, &["websocket"])?;
            io.directory().insert(sid, Arc::new(Polled::new(client)));
            Ok(polling::text(open))
        }
        Transport::Websocket => {
            let upgrade =
                Upgrade::check(&mut request, &[], false).map_err(|_| Refused::BadRequest)?;
            let (_, client, open) = io.open(peer, &request, token, &[])?;
            let socket = io.context().socket();
            let (response, on) = upgrade.accept();
            let served = websocket::serve(io.clone(), (on, socket), client, open);
            io.context().tasks().spawn(served);
            Ok(response)
        }
    }
}

fn upgrade(
    io: &SocketIo,
    sid: Box<str>,
    polled: Arc<Polled>,
    mut request: Request,
) -> Result<Response, Refused> {
    let upgrade = Upgrade::check(&mut request, &[], false).map_err(|_| Refused::BadRequest)?;
    if !polled.begin_upgrade() {
        return Err(Refused::BadRequest);
    }
    let socket = io.context().socket();
    let (response, on) = upgrade.accept();
    let upgraded = websocket::upgrade(io.clone(), (on, socket), sid, Arc::downgrade(&polled));
    io.context().tasks().spawn(upgraded);
    Ok(response)
}
