//! A client that checks every message of every channel it listens to: no gap, no duplicate, in order, and as fresh
//! as the heartbeat says. It panics, with its name, at the first that is wrong.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use super::{
    PATIENCE,
    line::{Heard, Line, Message, Over, Query},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    All,
    Latest,
    Every(u32),
}

/// One channel that is listened to.
#[derive(Debug, Clone, Copy)]
struct Stream {
    mode: Mode,
    /// Seq of the last message, or where the stream began.
    last: u64,
    /// The snapshot is still to come.
    fresh: bool,
}

/// What is asked for of one channel.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    pub mode: Mode,
    pub since: Option<u64>,
}

pub struct Follower {
    pub name: String,
    pub over: Over,
    /// Where it connects, and where it comes back to when it is sent away.
    bases: Vec<String>,
    line: Option<Line>,
    streams: BTreeMap<String, Stream>,
    /// Where it stood in every channel it ever listened to.
    pub places: BTreeMap<String, (Mode, u64)>,
    /// Most updates that the server replays.
    replays: u64,
    epoch: String,
    query: Query,
    pub messages: u64,
    /// How often it resumed, and how often the server could not.
    pub resumed: u64,
    pub restarted: u64,
    /// `retryAfterMs` of each time that it was sent away.
    pub sent_away: Vec<u64>,
}

impl Follower {
    pub fn new(name: String, over: Over, bases: Vec<String>, replays: u64) -> Self {
        Self {
            name,
            over,
            bases,
            line: None,
            streams: BTreeMap::new(),
            places: BTreeMap::new(),
            replays,
            epoch: String::new(),
            query: Query::default(),
            messages: 0,
            resumed: 0,
            restarted: 0,
            sent_away: Vec::new(),
        }
    }

    pub fn takes_requests(&self) -> bool {
        self.over != Over::EventStream
    }

    /// Leaves without a word, if it is connected, and connects anew; listens to nothing but the heartbeat then.
    async fn connect(&mut self) {
        self.line = None;
        self.streams.clear();
        while self.line.is_none() {
            let base = &self.bases[0];
            self.line = Line::open(self.over, base, &self.query).await;
            if self.line.is_none() {
                assert!(self.bases.len() > 1, "{}: {base} takes nobody", self.name);
                self.bases.remove(0);
            }
        }
        match self.hear().await {
            Heard::Connected(data) => self.epoch = data["epoch"].as_str().unwrap().to_owned(),
            // Let in, and sent away at once.
            Heard::Closed(..) => return Box::pin(self.connect()).await,
            other => panic!("{}: {other:?} before connected", self.name),
        }
    }

    /// Connects and listens as wished. Event streams have one mode for all.
    pub async fn begin(&mut self, wishes: &BTreeMap<String, Wish>) {
        self.begin_in(wishes, None).await;
    }

    /// Breaks the connection off and resumes every channel where it stood; with another `epoch` than the server's it
    /// is to be told that nothing was recovered.
    pub async fn come_back(&mut self, epoch: Option<&str>) {
        let wish = |channel: &String| {
            let (mode, last) = self.places[channel];
            let since = Some(last);
            (channel.clone(), Wish { mode, since })
        };
        let wishes = self.streams.keys().map(wish).collect();
        self.begin_in(&wishes, epoch).await;
    }

    async fn begin_in(&mut self, wishes: &BTreeMap<String, Wish>, epoch: Option<&str>) {
        if self.over == Over::EventStream {
            return self.stream(wishes, epoch).await;
        }
        loop {
            self.connect().await;
            let heartbeat = json!({ "channel": "heartbeat" });
            if self.request("subscribe", heartbeat).await.is_some()
                && self.subscribe(wishes, epoch).await
            {
                return;
            }
        }
    }

    async fn stream(&mut self, wishes: &BTreeMap<String, Wish>, epoch: Option<&str>) {
        loop {
            let mode = wishes.values().next().unwrap().mode;
            let places: Vec<String> = wishes
                .iter()
                .filter_map(|(channel, wish)| Some(format!("{channel}@{}", wish.since?)))
                .collect();
            self.query = Query {
                channels: wishes
                    .keys()
                    .cloned()
                    .chain(["heartbeat".to_owned()])
                    .collect(),
                mode: match mode {
                    Mode::All => Some("all"),
                    Mode::Latest | Mode::Every(_) => Some("latest"),
                },
                interval: interval(mode),
                last_event_id: (!places.is_empty()).then(|| places.join(",")),
                epoch: epoch.map(str::to_owned),
                token: None,
            };
            self.connect().await;
            if let Some(answer) = self.answer().await {
                return self.joined(wishes, &answer, epoch.is_some());
            }
        }
    }

    /// `false` when the connection ended instead.
    pub async fn subscribe(
        &mut self,
        wishes: &BTreeMap<String, Wish>,
        epoch: Option<&str>,
    ) -> bool {
        // One request for each mode.
        let mut by_mode = HashMap::<String, BTreeMap<String, Wish>>::new();
        for (channel, wish) in wishes {
            let group = by_mode.entry(format!("{:?}", wish.mode)).or_default();
            group.insert(channel.clone(), *wish);
        }
        for group in by_mode.values() {
            let mode = group.values().next().unwrap().mode;
            let since: BTreeMap<&String, u64> = group
                .iter()
                .filter_map(|(channel, wish)| Some((channel, wish.since?)))
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
            self.joined(group, &answer, epoch.is_some());
        }
        true
    }

    pub async fn unsubscribe(&mut self, channel: &str) -> bool {
        let asked = self
            .request("unsubscribe", json!({ "channel": channel }))
            .await;
        self.streams.remove(channel);
        asked.is_some()
    }

    /// Checks an answer to `subscribe` against what was wished; the streams begin.
    fn joined(&mut self, wishes: &BTreeMap<String, Wish>, answer: &Value, foreign: bool) {
        for joined in answer["channels"].as_array().unwrap() {
            let channel = joined["channel"].as_str().unwrap();
            assert_eq!(joined["success"], true, "{}: {joined}", self.name);
            let Some(wish) = wishes.get(channel) else {
                continue;
            };
            let (seq, recovered) = (joined["seq"].as_u64().unwrap(), joined["recovered"] == true);
            let wanted = wish
                .since
                .is_some_and(|since| !foreign && seq - since <= self.replays);
            assert_eq!(recovered, wanted, "{}: {wish:?} got {joined}", self.name);
            match (wish.since, recovered) {
                (Some(_), true) => self.resumed += 1,
                (Some(_), false) => self.restarted += 1,
                (None, _) => {}
            }
            let last = wish.since.filter(|_| recovered).unwrap_or(seq);
            let stream = Stream {
                mode: wish.mode,
                last,
                fresh: !recovered,
            };
            self.streams.insert(channel.to_owned(), stream);
            self.places.insert(channel.to_owned(), (wish.mode, last));
        }
    }

    async fn request(&mut self, event: &str, data: Value) -> Option<Value> {
        self.line.as_mut().unwrap().ask(event, &data).await;
        self.answer().await
    }

    /// Hears up to the answer; `None` when the connection ended.
    async fn answer(&mut self) -> Option<Value> {
        loop {
            match self.hear().await {
                Heard::Ack(answer) => return Some(answer),
                Heard::Closed(..) => return None,
                _ => {}
            }
        }
    }

    /// Hears one thing and checks it. When it is sent away, or was too slow, it comes back and resumes.
    pub async fn follow(&mut self) {
        if let Heard::Closed(..) = self.hear().await {
            self.come_back(None).await;
        }
    }

    /// Follows for so many messages, or as long as `enough` does not say so.
    pub async fn read(&mut self, messages: u64, enough: impl Fn() -> bool) {
        let until = self.messages + messages;
        while self.messages < until && !enough() {
            self.follow().await;
        }
    }

    async fn hear(&mut self) -> Heard {
        let hearing = self.line.as_mut().unwrap().hear();
        let heard = match tokio::time::timeout(PATIENCE, hearing).await {
            Ok(heard) => heard,
            Err(_) => panic!(
                "{}: nothing was heard within {PATIENCE:?}, not even a heartbeat; {:?}",
                self.name, self.streams
            ),
        };
        match &heard {
            Heard::Message(message) => self.check(message),
            Heard::Closed(1001, reason) => {
                let reason: Value = serde_json::from_str(reason).unwrap();
                self.sent_away
                    .push(reason["retryAfterMs"].as_u64().unwrap());
                self.next_base();
            }
            // Polling says no code: it was too slow, or it was sent away.
            Heard::Closed(1006, _) if self.over == Over::Polling => {
                if self.bases.len() > 1 {
                    self.next_base();
                }
            }
            Heard::Closed(4008, _) => {}
            Heard::Closed(code, reason) => panic!("{}: closed with {code} {reason}", self.name),
            Heard::Other(other) => panic!("{}: {other}", self.name),
            Heard::Connected(_) | Heard::Ack(_) => {}
        }
        heard
    }

    fn next_base(&mut self) {
        assert!(self.bases.len() > 1, "{}: sent away", self.name);
        self.bases.remove(0);
    }

    fn check(&mut self, message: &Message) {
        self.messages += 1;
        let name = &self.name;
        if message.event == "heartbeat" {
            return self.beat(message);
        }
        let Some(stream) = self.streams.get_mut(&message.channel) else {
            panic!("{name}: {message:?} of a channel that it does not listen to");
        };
        let seq = message.seq.unwrap();
        let wrong = || panic!("{name}: {message:?} in {stream:?}");
        let told = if message.channel == "new-block" {
            &message.data["number"]
        } else {
            &message.data["price"]
        };
        if message.snapshot {
            let begins = stream.fresh && seq == stream.last;
            let prev = (stream.mode != Mode::All).then_some(0);
            if !begins || message.prev != prev || *told != seq {
                wrong();
            }
        } else {
            let prev = (stream.mode != Mode::All).then_some(stream.last);
            let next = match stream.mode {
                Mode::All => seq == stream.last + 1,
                Mode::Latest | Mode::Every(_) => seq > stream.last,
            };
            if !next || message.prev != prev || *told != seq {
                wrong();
            }
        }
        (stream.last, stream.fresh) = (seq, false);
        self.places
            .insert(message.channel.clone(), (stream.mode, seq));
        if self.over == Over::EventStream {
            let places = message.places.as_ref().unwrap();
            for (channel, stream) in &self.streams {
                let place = places.get(channel);
                // A channel whose snapshot is still to come has no place yet.
                let right = place == Some(&stream.last) || (place.is_none() && stream.fresh);
                assert!(right, "{}: {channel} of {message:?}", self.name);
            }
        }
    }

    /// What the heartbeat says of a channel was heard before it, unless it waits for an interval.
    fn beat(&self, message: &Message) {
        for (channel, seq) in message.data["seqs"].as_object().unwrap() {
            let stream = self.streams.get(channel);
            if let Some(stream) = stream.filter(|stream| !matches!(stream.mode, Mode::Every(_))) {
                let seq = seq.as_u64().unwrap();
                assert!(
                    stream.last >= seq,
                    "{}: the heartbeat has {channel} at {seq}, this stream is at {stream:?}",
                    self.name
                );
            }
        }
    }

    /// Whether it has everything.
    pub fn is_at(&self, newest: &HashMap<String, u64>) -> bool {
        let at = |channel: &String| newest.get(channel).copied().unwrap_or(0);
        self.streams
            .iter()
            .all(|(channel, stream)| stream.last == at(channel))
    }

    /// Hears until it has everything.
    pub async fn catch_up(&mut self, newest: &HashMap<String, u64>) {
        while !self.is_at(newest) {
            self.follow().await;
        }
    }

    pub fn listening(&self) -> Vec<String> {
        self.streams.keys().cloned().collect()
    }
}

fn interval(mode: Mode) -> u32 {
    match mode {
        Mode::All | Mode::Latest => 0,
        Mode::Every(ms) => ms,
    }
}
