use std::{
    collections::HashMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    Gateway, GatewayConfig, KnownChannels,
    auth::Authenticator,
    channel_log::{ChannelLog, ChannelLogError, LogFuture, Span},
    gateway::Stores,
    hub::Hub,
    message_sink::{MessageSink, PublishFuture},
};
use chaincast_base::shutdown::{Failures, Tasks};
use chaincast_bus::{Disconnect, LiveMessages, Unacknowledged};
use chaincast_http::server::{self, ServerConfig};
use chaincast_protocol::{ChainHealth, ChainId, Channel, MessageKey, StaleSource, Update};
use chaincast_rooms::{MessageQuota, NewMessage, Outgoing, PublishError, Published};
use futures_util::{SinkExt, StreamExt};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, protocol::CloseFrame},
};

/// Longer than any operation takes, on a loaded machine too.
pub const TIMEOUT: Duration = Duration::from_secs(120);

/// An update log in memory. Clones share it.
#[derive(Clone, Default)]
pub struct Log(Arc<LogInner>);

#[derive(Default)]
struct LogInner {
    channels: Mutex<HashMap<Channel, Vec<Update>>>,
    /// Updates with a seq up to this are pruned.
    pruned: Mutex<u64>,
    down: AtomicBool,
    /// The stale price sources.
    stale: Mutex<Vec<StaleSource>>,
    /// The health of the chains.
    chains: Mutex<Vec<ChainHealth>>,
    /// Unacknowledged deliveries with their ids; returned for every subject.
    unacknowledged: Mutex<Vec<(i64, Update)>>,
    /// Reads never return.
    stalled: AtomicBool,
    /// Watches that were released.
    released_watches: Mutex<Vec<Channel>>,
    /// Subjects whose sessions must end, and since when.
    disconnects: Mutex<Vec<(String, Instant)>>,
    /// Runs once, right after the next read.
    after_read: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Log {
    /// Commits the next update of a channel.
    pub fn append(&self, channel: &str, event: &str, data: &Value) -> Update {
        let channel: Channel = channel.parse().unwrap();
        let mut channels = self.0.channels.lock();
        let updates = channels.entry(channel.clone()).or_default();
        let update = Update {
            channel,
            seq: updates.len() as u64 + 1,
            event: event.into(),
            data: data.to_string().into(),
        };
        updates.push(update.clone());
        update
    }

    /// Replaces the data of a stored update.
    pub fn replace(&self, channel: &str, seq: u64, data: &Value) {
        let mut channels = self.0.channels.lock();
        let updates = channels.get_mut(&channel.parse().unwrap()).unwrap();
        updates[seq as usize - 1].data = data.to_string().into();
    }

    pub fn prune(&self, through: u64) {
        *self.0.pruned.lock() = through;
    }

    pub fn set_down(&self, down: bool) {
        self.0.down.store(down, Ordering::SeqCst);
    }

    /// Commits the next update of a user's channel, as a delivery of this id.
    pub fn deliver(&self, id: i64, user: &str) -> Update {
        let data = json!({"id": id});
        let update = self.append(&format!("user:{user}"), "price-alert", &data);
        self.0.unacknowledged.lock().push((id, update.clone()));
        update
    }

    /// Requests that the present sessions of a subject end.
    pub fn disconnect(&self, subject: &str) {
        let request = (subject.to_owned(), Instant::now());
        self.0.disconnects.lock().push(request);
    }

    pub fn set_chains(&self, chains: Vec<ChainHealth>) {
        *self.0.chains.lock() = chains;
    }

    pub fn set_stale(&self, stale: Vec<StaleSource>) {
        *self.0.stale.lock() = stale;
    }

    /// Takes the watches released since the last call.
    pub fn take_released_watches(&self) -> Vec<Channel> {
        std::mem::take(&mut self.0.released_watches.lock())
    }

    pub fn stall(&self) {
        self.0.stalled.store(true, Ordering::SeqCst);
    }

    /// Runs `action` right after the next read.
    pub fn after_next_read(&self, action: impl FnOnce() + Send + 'static) {
        *self.0.after_read.lock() = Some(Box::new(action));
    }

    fn read<T>(
        &self,
        channel: &Channel,
        read: impl FnOnce(&[Update]) -> T,
    ) -> Result<T, ChannelLogError> {
        if self.0.down.load(Ordering::SeqCst) {
            return Err(ChannelLogError("the log is down".to_owned()));
        }
        let (channels, pruned) = (self.0.channels.lock(), *self.0.pruned.lock());
        let all = channels.get(channel).map_or(&[][..], Vec::as_slice);
        let result = read(&all[all.len().min(pruned as usize)..]);
        drop(channels);
        let action = self.0.after_read.lock().take();
        if let Some(action) = action {
            action();
        }
        Ok(result)
    }
}

impl ChannelLog for Log {
    fn epoch(&self) -> &str {
        "epoch1"
    }

    fn span<'a>(&'a self, channel: &'a Channel) -> LogFuture<'a, Span> {
        let newest = self.0.channels.lock().get(channel).map_or(0, Vec::len) as u64;
        Box::pin(async move {
            if self.0.stalled.load(Ordering::SeqCst) {
                return std::future::pending().await;
            }
            self.read(channel, |kept| Span {
                newest,
                oldest: kept.first().map_or(newest + 1, |update| update.seq),
            })
        })
    }

    fn between<'a>(
        &'a self,
        channel: &'a Channel,
        since: u64,
        through: u64,
        limit: u32,
    ) -> LogFuture<'a, Vec<Update>> {
        Box::pin(async move {
            self.read(channel, |kept| {
                let wanted = kept.iter().filter(|u| u.seq > since && u.seq <= through);
                wanted.take(limit as usize).cloned().collect()
            })
        })
    }

    fn watch<'a>(
        &'a self,
        channels: &'a [Channel],
        _seconds: u64,
        _most: u64,
    ) -> LogFuture<'a, Vec<Option<u64>>> {
        // This log keeps all updates.
        Box::pin(async move { Ok(vec![Some(0); channels.len()]) })
    }

    fn release_watches<'a>(
        &'a self,
        channels: &'a [Channel],
        _rest: Duration,
    ) -> LogFuture<'a, Vec<bool>> {
        self.0.released_watches.lock().extend_from_slice(channels);
        Box::pin(async move { Ok(vec![true; channels.len()]) })
    }

    fn snapshot<'a>(&'a self, channel: &'a Channel) -> LogFuture<'a, Option<Update>> {
        Box::pin(async move {
            self.read(channel, |kept| {
                let mut newest = kept.iter().rev();
                newest.find(|u| u.event != "block-finalized").cloned()
            })
        })
    }

    fn unacknowledged<'a>(&'a self, subject: &'a str, most: u32) -> LogFuture<'a, Unacknowledged> {
        Box::pin(async move {
            let channel = Channel::User(subject.into());
            let last = |stored: &[Update]| stored.last().map_or(0, |update| update.seq);
            let through = self.read(&channel, last)?;
            let all = self.0.unacknowledged.lock();
            let then = all.iter().map(|(_, update)| update);
            let mut updates: Vec<Update> = then.filter(|u| u.seq <= through).cloned().collect();
            let skipped = updates.len().saturating_sub(most as usize);
            updates.drain(..skipped);
            Ok(Unacknowledged { through, updates })
        })
    }

    fn acknowledge<'a>(&'a self, _subject: &'a str, ids: &'a [i64]) -> LogFuture<'a, u64> {
        Box::pin(async move {
            if self.0.down.load(Ordering::SeqCst) {
                return Err(ChannelLogError("the log is down".to_owned()));
            }
            let mut all = self.0.unacknowledged.lock();
            let before = all.len();
            all.retain(|(id, _)| !ids.contains(id));
            Ok((before - all.len()) as u64)
        })
    }

    fn disconnects(&self, _within: Duration) -> LogFuture<'_, Vec<Disconnect>> {
        Box::pin(async move {
            if self.0.down.load(Ordering::SeqCst) {
                return Err(ChannelLogError("the log is down".to_owned()));
            }
            let requested = self.0.disconnects.lock();
            let disconnect = |(id, (subject, at)): (usize, &(String, Instant))| Disconnect {
                id: id as i64,
                subject: subject.clone(),
                age: at.elapsed(),
            };
            Ok(requested.iter().enumerate().map(disconnect).rev().collect())
        })
    }

    fn chains(&self) -> LogFuture<'_, Vec<ChainHealth>> {
        Box::pin(async move {
            if self.0.down.load(Ordering::SeqCst) {
                return Err(ChannelLogError("the log is down".to_owned()));
            }
            Ok(self.0.chains.lock().clone())
        })
    }

    fn stale_sources<'a>(&'a self, down: &'a [ChainId]) -> LogFuture<'a, Vec<StaleSource>> {
        Box::pin(async move {
            if self.0.down.load(Ordering::SeqCst) {
                return Err(ChannelLogError("the log is down".to_owned()));
            }
            // Each chain that is down adds one stale source.
            let mut stale = self.0.stale.lock().clone();
            stale.extend(down.iter().map(|chain| StaleSource {
                token: "ETH".parse().unwrap(),
                source: format!("chain {chain}"),
                age_ms: Some(1),
            }));
            Ok(stale)
        })
    }
}

/// Stores the messages of clients in the log, and publishes them.
#[derive(Clone)]
pub struct Sink(Arc<SinkInner>);

/// A message's channel, sender and key.
type MessageIdentity = (Channel, Arc<str>, MessageKey);

struct SinkInner {
    log: Log,
    hub: OnceLock<Hub>,
    /// The seqs of messages with keys.
    keys: Mutex<HashMap<MessageIdentity, u64>>,
    /// What happens to messages instead.
    failure: Mutex<Option<PublishError>>,
}

impl Sink {
    /// Refuses messages from now on.
    pub fn fail(&self, error: PublishError) {
        *self.0.failure.lock() = Some(error);
    }

    fn store(&self, outgoing: Outgoing) -> Result<Published, PublishError> {
        let Outgoing { message, numbered } = outgoing;
        if let Some(error) = self.0.failure.lock().clone() {
            // As when the commit fails.
            if let Some(numbered) = numbered {
                numbered.numbered(1);
                numbered.failed();
            }
            return Err(error);
        }
        let NewMessage {
            channel,
            from,
            message_type,
            payload,
            key,
        } = message;
        let identity = key.clone().map(|key| (channel.clone(), from.clone(), key));
        let mut keys = self.0.keys.lock();
        if let Some(seq) = identity.as_ref().and_then(|identity| keys.get(identity)) {
            return Ok(Published {
                seq: *seq,
                is_repeated: true,
            });
        }
        let event = channel.kind().published_as.as_ref().unwrap();
        let payload: Value = serde_json::from_str(payload.as_json()).unwrap();
        let mut data = json!({"from": &*from, "type": message_type, "payload": payload});
        if let Some(key) = &key {
            data["key"] = key.as_str().into();
        }
        let update = self
            .0
            .log
            .append(&channel.to_string(), event.as_str(), &data);
        let seq = update.seq;
        if let Some(numbered) = numbered {
            numbered.numbered(seq);
        }
        keys.extend(identity.map(|identity| (identity, seq)));
        drop(keys);
        let hub = self.0.hub.get().unwrap();
        hub.publish(&[update], Instant::now());
        Ok(Published {
            seq,
            is_repeated: false,
        })
    }
}

impl MessageSink for Sink {
    fn publish(&self, message: Outgoing) -> PublishFuture<'_> {
        Box::pin(async move { self.store(message) })
    }
}

/// A gateway on its own port.
pub struct World {
    pub log: Log,
    pub sink: Sink,
    pub gateway: Gateway,
    pub port: u16,
    pub tasks: Tasks,
    _failures: Failures,
}

impl World {
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// Disables pings and the handshake timeout unless `change` sets them.
    pub async fn with(change: impl FnOnce(&mut GatewayConfig)) -> Self {
        let mut config = GatewayConfig {
            ping_interval_ms: 600_000,
            ..GatewayConfig::default()
        };
        config.limits.handshake_timeout_ms = 600_000;
        change(&mut config);
        let known = KnownChannels {
            first_chain: 31_337,
            chain_ids: vec![31_337, 10],
            tokens: vec!["ETH".parse().unwrap(), "BTC".parse().unwrap()],
            transactions: true,
            contracts: Default::default(),
        };
        let (tasks, failures) = Tasks::new();
        let log = Log::default();
        let sink = Sink(Arc::new(SinkInner {
            log: log.clone(),
            hub: OnceLock::new(),
            keys: Mutex::default(),
            failure: Mutex::default(),
        }));
        let stores = Stores {
            log: Arc::new(log.clone()),
            messages: Arc::new(sink.clone()),
            quota: MessageQuota::new(&config.messages),
            live: LiveMessages::local(),
        };
        let authenticator = Authenticator::new(&config.auth).unwrap();
        let gateway = Gateway::assemble(config, known, stores, authenticator, &tasks).unwrap();
        sink.0.hub.set(gateway.hub.clone()).ok().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (router, stop) = (gateway.router(), tasks.token());
        let serving = server::serve(
            listener,
            router,
            ServerConfig {
                send_buffer_bytes: gateway.context.config().send_buffer_bytes,
                ..ServerConfig::default()
            },
            tasks.clone(),
            stop,
        );
        tasks.spawn_critical("http server", serving);
        Self {
            log,
            sink,
            gateway,
            port,
            tasks,
            _failures: failures,
        }
    }

    /// Commits and publishes an update.
    pub fn publish(&self, channel: &str, event: &str, data: &Value) -> u64 {
        let update = self.log.append(channel, event, data);
        let seq = update.seq;
        self.gateway.hub.publish(&[update], Instant::now());
        seq
    }

    pub fn price(&self, token: &str, price: u64) -> u64 {
        let data = json!({"token": token, "price": price});
        self.publish(&format!("price:{token}"), "price-update", &data)
    }

    pub fn block(&self, number: u64) -> u64 {
        self.publish("new-block", "new-block", &json!({"number": number}))
    }

    pub async fn socket(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).await.unwrap()
    }

    pub async fn ws(&self) -> Client {
        let mut client = self.ws_on(self.socket().await).await;
        let connected = client.next().await;
        assert_eq!(connected["event"], "connected");
        client
    }

    pub async fn ws_on(&self, socket: TcpStream) -> Client {
        let url = format!("ws://127.0.0.1:{}/realtime", self.port);
        let (stream, _) = client_async(url, socket).await.unwrap();
        Client { stream, last_id: 0 }
    }

    /// Opens an event stream; returns its head and a reader of its lines.
    pub async fn sse(&self, target: &str, headers: &str) -> Sse {
        self.sse_on(self.socket().await, target, headers).await
    }

    pub async fn sse_on(&self, mut socket: TcpStream, target: &str, headers: &str) -> Sse {
        let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut reader = BufReader::new(socket);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(reader.read_line(&mut head).await.unwrap(), 0, "{head}");
        }
        Sse { head, reader }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.tasks.cancel();
    }
}

/// A world with small buffers, whose sessions soon become slow.
pub async fn narrow_world() -> World {
    World::with(|config| {
        config.limits.backlog_bytes = 16_384;
        config.send_buffer_bytes = 4_096;
    })
    .await
}

/// A connection with a small receive buffer.
pub async fn narrow_socket(world: &World) -> TcpStream {
    let socket = world.socket().await;
    socket2::SockRef::from(&socket)
        .set_recv_buffer_size(4_096)
        .unwrap();
    socket
}

/// A client on a connection with a small receive buffer.
pub async fn narrow(world: &World) -> Client {
    let mut client = world.ws_on(narrow_socket(world).await).await;
    assert_eq!(client.next().await["event"], "connected");
    client
}

/// A WebSocket client that panics on errors and timeouts.
pub struct Client {
    pub stream: WebSocketStream<TcpStream>,
    last_id: u64,
}

impl Client {
    /// The next message; panics when the session ends instead.
    pub async fn next(&mut self) -> Value {
        match self.message().await {
            Ok(value) => value,
            Err(close) => panic!("closed: {close:?}"),
        }
    }

    /// The next message, or how the session ended.
    pub async fn message(&mut self) -> Result<Value, Option<CloseFrame>> {
        loop {
            let next = tokio::time::timeout(TIMEOUT, self.stream.next()).await;
            match next.expect("no message within the timeout") {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(frame))) => return Err(frame),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(None),
            }
        }
    }

    /// Waits for the end of the session and returns its close code.
    pub async fn closed(&mut self) -> (u16, String) {
        loop {
            match self.message().await {
                Ok(_) => {}
                Err(Some(frame)) => return (frame.code.into(), frame.reason.to_string()),
                Err(None) => panic!("closed without a close frame"),
            }
        }
    }

    pub async fn send(&mut self, event: &str, data: Value) -> u64 {
        self.last_id += 1;
        let text = json!({"id": self.last_id, "event": event, "data": data}).to_string();
        self.stream.send(Message::text(text)).await.unwrap();
        self.last_id
    }

    /// Makes a request whose answer is the next message.
    pub async fn request(&mut self, event: &str, data: Value) -> Value {
        let id = self.send(event, data).await;
        let answer = self.next().await;
        assert_eq!(answer["id"], id, "{answer}");
        answer
    }

    pub async fn subscribe(&mut self, data: Value) -> Value {
        let answer = self.request("subscribe", data).await;
        assert_eq!(answer["event"], "ack", "{answer}");
        answer["data"].clone()
    }
}

/// A reader of an event stream.
pub struct Sse {
    pub head: String,
    reader: BufReader<TcpStream>,
}

impl Sse {
    /// The reader of the remaining lines.
    pub fn into_reader(self) -> BufReader<TcpStream> {
        self.reader
    }

    /// Lines up to and including the first one that contains `text`.
    pub async fn until(&mut self, text: &str) -> String {
        let mut lines = String::new();
        let read = async {
            loop {
                let start = lines.len();
                assert_ne!(
                    self.reader.read_line(&mut lines).await.unwrap(),
                    0,
                    "{lines}"
                );
                if lines[start..].contains(text) {
                    return;
                }
            }
        };
        if tokio::time::timeout(TIMEOUT, read).await.is_err() {
            panic!("no {text:?} in {lines}");
        }
        lines
    }
}

pub fn seq(message: &Value) -> u64 {
    message["seq"]
        .as_u64()
        .unwrap_or_else(|| panic!("no seq in {message}"))
}
