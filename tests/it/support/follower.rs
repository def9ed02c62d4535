//! A client that checks every message of every subscribed channel: no gap, no duplicate, in order, and as fresh as the
//! heartbeat states. It panics, with its name, at the first wrong message.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use super::{
    TIMEOUT,
    connection::{Connection, Message, Query, Received, Transport},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    All,
    Latest,
    Every(u32),
}

/// One subscribed channel.
#[derive(Debug, Clone, Copy)]
struct Stream {
    mode: Mode,
    /// Seq of the last message, or the seq at which the subscription began.
    last: u64,
    /// The snapshot has not arrived yet.
    awaits_snapshot: bool,
}

/// A subscription to request.
#[derive(Debug, Clone, Copy)]
pub struct Subscription {
    pub mode: Mode,
    pub since: Option<u64>,
}

pub struct Follower {
    pub name: String,
    pub transport: Transport,
    /// URLs to connect to: the next one is used when the server ends.
    bases: Vec<String>,
    connection: Option<Connection>,
    streams: BTreeMap<String, Stream>,
    /// The position in every channel that was ever subscribed.
    pub positions: BTreeMap<String, (Mode, u64)>,
    /// Maximum number of updates that the server replays.
    replays: u64,
    epoch: String,
    query: Query,
    pub messages: u64,
    /// How often a channel resumed, and how often the server could not resume it.
    pub resumed: u64,
    pub restarted: u64,
    /// `retryAfterMs` of each close with 1001.
    pub retry_delays: Vec<u64>,
}

impl Follower {
    pub fn new(name: String, transport: Transport, bases: Vec<String>, replays: u64) -> Self {
        Self {
            name,
            transport,
            bases,
            connection: None,
            streams: BTreeMap::new(),
            positions: BTreeMap::new(),
            replays,
            epoch: String::new(),
            query: Query::default(),
            messages: 0,
            resumed: 0,
            restarted: 0,
            retry_delays: Vec::new(),
        }
    }

    pub fn accepts_requests(&self) -> bool {
        self.transport != Transport::EventStream
    }

    /// Drops the connection, if there is one, without a close, and opens a new one, which is subscribed to the
    /// heartbeat only.
    async fn connect(&mut self) {
        self.connection = None;
        self.streams.clear();
        while self.connection.is_none() {
            let base = &self.bases[0];
            self.connection = Connection::open(self.transport, base, &self.query).await;
            if self.connection.is_none() {
                assert!(
                    self.bases.len() > 1,
                    "{}: {base} accepts no connection",
                    self.name
                );
                self.bases.remove(0);
            }
        }
        match self.receive().await {
            Received::Connected(data) => self.epoch = data["epoch"].as_str().unwrap().to_owned(),
            // Accepted, and closed immediately.
            Received::Closed(..) => return Box::pin(self.connect()).await,
            other => panic!("{}: {other:?} before connected", self.name),
        }
    }

    /// Connects and subscribes. Event streams have one mode for all channels.
    pub async fn begin(&mut self, subscriptions: &BTreeMap<String, Subscription>) {
        self.begin_with_epoch(subscriptions, None).await;
    }

    /// Drops the connection and resumes every channel at its position. With an `epoch` other than the server's, nothing
    /// must be recovered.
    pub async fn reconnect(&mut self, epoch: Option<&str>) {
        let subscription = |channel: &String| {
            let (mode, last) = self.positions[channel];
            let since = Some(last);
            (channel.clone(), Subscription { mode, since })
        };
        let subscriptions = self.streams.keys().map(subscription).collect();
        self.begin_with_epoch(&subscriptions, epoch).await;
    }

    async fn begin_with_epoch(
        &mut self,
        subscriptions: &BTreeMap<String, Subscription>,
        epoch: Option<&str>,
    ) {
        if self.transport == Transport::EventStream {
            return self.open_event_stream(subscriptions, epoch).await;
        }
        loop {
            self.connect().await;
            let heartbeat = json!({ "channel": "heartbeat" });
            if self.request("subscribe", heartbeat).await.is_some()
                && self.subscribe(subscriptions, epoch).await
            {
                return;
            }
        }
    }

    async fn open_event_stream(
        &mut self,
        subscriptions: &BTreeMap<String, Subscription>,
        epoch: Option<&str>,
    ) {
        loop {
            let mode = subscriptions.values().next().unwrap().mode;
            let positions: Vec<String> = subscriptions
                .iter()
                .filter_map(|(channel, subscription)| {
                    Some(format!("{channel}@{}", subscription.since?))
                })
                .collect();
            self.query = Query {
                channels: subscriptions
                    .keys()
                    .cloned()
                    .chain(["heartbeat".to_owned()])
                    .collect(),
                mode: match mode {
                    Mode::All => Some("all"),
                    Mode::Latest | Mode::Every(_) => Some("latest"),
                },
                interval: interval(mode),
                last_event_id: (!positions.is_empty()).then(|| positions.join(",")),
                epoch: epoch.map(str::to_owned),
                token: None,
            };
            self.connect().await;
            if let Some(answer) = self.receive_response().await {
                return self.check_joined(subscriptions, &answer, epoch.is_some());
            }
        }
    }

    /// Returns `false` when the connection ended instead.
    pub async fn subscribe(
        &mut self,
        subscriptions: &BTreeMap<String, Subscription>,
        epoch: Option<&str>,
    ) -> bool {
        // One request for each mode.
        let mut by_mode = HashMap::<String, BTreeMap<String, Subscription>>::new();
        for (channel, subscription) in subscriptions {
            let group = by_mode
                .entry(format!("{:?}", subscription.mode))
                .or_default();
            group.insert(channel.clone(), *subscription);
        }
        for group in by_mode.values() {
            let mode = group.values().next().unwrap().mode;
            let since: BTreeMap<&String, u64> = group
                .iter()
                .filter_map(|(channel, subscription)| Some((channel, subscription.since?)))
                .collect();
            let mut data = json!({
                "channels": group.keys().collect::<Vec<_>>(),
                "mode": if mode == Mode::All { "all" } else { "latest" },
                "interval": interval(mode),
                "epoch": epoch.unwrap_or(&self.epoch),
            });
            if !since.is_empty() {
                data["since"] = json!(since);
            }
            let Some(answer) = self.request("subscribe", data).await else {
                return false;
            };
            self.check_joined(group, &answer, epoch.is_some());
        }
        true
    }

    pub async fn unsubscribe(&mut self, channel: &str) -> bool {
        let response = self
            .request("unsubscribe", json!({ "channel": channel }))
            .await;
        self.streams.remove(channel);
        response.is_some()
    }

    /// Checks a response to `subscribe` against the requested subscriptions, and starts the streams.
    fn check_joined(
        &mut self,
        subscriptions: &BTreeMap<String, Subscription>,
        answer: &Value,
        foreign: bool,
    ) {
        for joined in answer["channels"].as_array().unwrap() {
            let channel = joined["channel"].as_str().unwrap();
            assert_eq!(joined["success"], true, "{}: {joined}", self.name);
            let Some(subscription) = subscriptions.get(channel) else {
                continue;
            };
            let (seq, recovered) = (joined["seq"].as_u64().unwrap(), joined["recovered"] == true);
            let wanted = subscription
                .since
                .is_some_and(|since| !foreign && seq - since <= self.replays);
            assert_eq!(
                recovered, wanted,
                "{}: {subscription:?} got {joined}",
                self.name
            );
            match (subscription.since, recovered) {
                (Some(_), true) => self.resumed += 1,
                (Some(_), false) => self.restarted += 1,
                (None, _) => {}
            }
            let last = subscription.since.filter(|_| recovered).unwrap_or(seq);
            let stream = Stream {
                mode: subscription.mode,
                last,
                awaits_snapshot: !recovered,
            };
            self.streams.insert(channel.to_owned(), stream);
            self.positions
                .insert(channel.to_owned(), (subscription.mode, last));
        }
    }

    async fn request(&mut self, event: &str, data: Value) -> Option<Value> {
        self.connection
            .as_mut()
            .unwrap()
            .send_request(event, &data)
            .await;
        self.receive_response().await
    }

    /// Receives up to the response; `None` when the connection ended.
    async fn receive_response(&mut self) -> Option<Value> {
        loop {
            match self.receive().await {
                Received::Ack(answer) => return Some(answer),
                Received::Closed(..) => return None,
                _ => {}
            }
        }
    }

    /// Receives and checks one message. When the connection is closed, reconnects and resumes.
    pub async fn receive_or_reconnect(&mut self) {
        if let Received::Closed(..) = self.receive().await {
            self.reconnect(None).await;
        }
    }

    /// Follows for this many messages, or until `enough` returns true.
    pub async fn read(&mut self, messages: u64, enough: impl Fn() -> bool) {
        let until = self.messages + messages;
        while self.messages < until && !enough() {
            self.receive_or_reconnect().await;
        }
    }

    async fn receive(&mut self) -> Received {
        let next_message = self.connection.as_mut().unwrap().receive();
        let received = match tokio::time::timeout(TIMEOUT, next_message).await {
            Ok(received) => received,
            Err(_) => panic!(
                "{}: nothing was received within {TIMEOUT:?}, not even a heartbeat; {:?}",
                self.name, self.streams
            ),
        };
        match &received {
            Received::Message(message) => self.check(message),
            Received::Closed(1001, reason) => {
                let reason: Value = serde_json::from_str(reason).unwrap();
                self.retry_delays
                    .push(reason["retryAfterMs"].as_u64().unwrap());
                self.use_next_base();
            }
            // Polling has no close codes: the client was too slow, or the server is shutting down.
            Received::Closed(1006, _) if self.transport == Transport::Polling => {
                if self.bases.len() > 1 {
                    self.use_next_base();
                }
            }
            Received::Closed(4008, _) => {}
            Received::Closed(code, reason) => panic!("{}: closed with {code} {reason}", self.name),
            Received::Other(other) => panic!("{}: {other}", self.name),
            Received::Connected(_) | Received::Ack(_) => {}
        }
        received
    }

    fn use_next_base(&mut self) {
        assert!(self.bases.len() > 1, "{}: closed with 1001", self.name);
        self.bases.remove(0);
    }

    fn check(&mut self, message: &Message) {
        self.messages += 1;
        let name = &self.name;
        if message.event == "heartbeat" {
            return self.check_heartbeat(message);
        }
        let Some(stream) = self.streams.get_mut(&message.channel) else {
            panic!("{name}: {message:?} of a channel that is not subscribed");
        };
        let seq = message.seq.unwrap();
        let wrong = || panic!("{name}: {message:?} in {stream:?}");
        let payload_seq = if message.channel == "new-block" {
            &message.data["number"]
        } else {
            &message.data["price"]
        };
        if message.snapshot {
            let is_first = stream.awaits_snapshot && seq == stream.last;
            let prev = (stream.mode != Mode::All).then_some(0);
            if !is_first || message.prev != prev || *payload_seq != seq {
                wrong();
            }
        } else {
            let prev = (stream.mode != Mode::All).then_some(stream.last);
            let next = match stream.mode {
                Mode::All => seq == stream.last + 1,
                Mode::Latest | Mode::Every(_) => seq > stream.last,
            };
            if !next || message.prev != prev || *payload_seq != seq {
                wrong();
            }
        }
        (stream.last, stream.awaits_snapshot) = (seq, false);
        self.positions
            .insert(message.channel.clone(), (stream.mode, seq));
        if self.transport == Transport::EventStream {
            let positions = message.positions.as_ref().unwrap();
            for (channel, stream) in &self.streams {
                let position = positions.get(channel);
                // A channel that awaits its snapshot has no position yet.
                let is_correct = position == Some(&stream.last)
                    || (position.is_none() && stream.awaits_snapshot);
                assert!(is_correct, "{}: {channel} of {message:?}", self.name);
            }
        }
    }

    /// Every seq in the heartbeat was received before it, unless its update is held back for an interval.
    fn check_heartbeat(&self, message: &Message) {
        for (channel, seq) in message.data["seqs"].as_object().unwrap() {
            let stream = self.streams.get(channel);
            if let Some(stream) = stream.filter(|stream| !matches!(stream.mode, Mode::Every(_))) {
                let seq = seq.as_u64().unwrap();
                assert!(
                    stream.last >= seq,
                    "{}: the heartbeat states {seq} for {channel}, this stream is at {stream:?}",
                    self.name
                );
            }
        }
    }

    /// Whether it has received everything.
    pub fn is_caught_up(&self, newest: &HashMap<String, u64>) -> bool {
        let at = |channel: &String| newest.get(channel).copied().unwrap_or(0);
        self.streams
            .iter()
            .all(|(channel, stream)| stream.last == at(channel))
    }

    /// Receives until it has everything.
    pub async fn catch_up(&mut self, newest: &HashMap<String, u64>) {
        while !self.is_caught_up(newest) {
            self.receive_or_reconnect().await;
        }
    }

    pub fn subscribed_channels(&self) -> Vec<String> {
        self.streams.keys().cloned().collect()
    }
}

fn interval(mode: Mode) -> u32 {
    match mode {
        Mode::All | Mode::Latest => 0,
        Mode::Every(ms) => ms,
    }
}
