//! The connection of `chaincast watch`, with its positions and reconnects.

use std::{collections::BTreeMap, io::Write, time::Duration};

use futures_util::{SinkExt, StreamExt};
use serde::de::DeserializeOwned;
use tokio::time::timeout;
use tokio_tungstenite::{
    connect_async_with_config,
    tungstenite::{
        Error as WsError, Message as Frame,
        client::IntoClientRequest,
        error::ProtocolError,
        http::header::AUTHORIZATION,
        protocol::{CloseFrame, WebSocketConfig},
    },
};

use super::{super::terminal::Paint, format};
use chaincast_base::{is_web_page, retry::Backoff, tls};
use chaincast_protocol::{
    Refusal, ServerMessage,
    control::{Ack, ChannelResults, Connected, RetryAfter},
    request::{Interval, Names, Request, RequestId, Since, Subscribe},
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const FIRST_RETRY: Duration = Duration::from_millis(500);
const LAST_RETRY: Duration = Duration::from_secs(15);
/// The server pings every 10 s by default: after three missed pings, the connection is dead.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Why watching ended.
pub(super) enum End {
    /// Standard output is closed, for example by `| head`.
    OutputClosed,
    /// The server rejects this client; retrying without a change does not help.
    Refused(String),
}

enum Disconnect {
    End(End),
    Retry {
        reason: String,
        after: Option<Duration>,
    },
}

pub(super) struct Watcher {
    url: String,
    channels: Vec<String>,
    token: Option<String>,
    /// Last seq seen, by channel.
    positions: BTreeMap<String, u64>,
    epoch: Option<String>,
    json: bool,
    paint: Paint,
}

/// `http://host:port` → `ws://host:port/realtime`
pub(super) fn realtime_url(url: &str) -> Result<String, String> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let scheme = match scheme {
        "http" | "ws" => "ws",
        "https" | "wss" => "wss",
        other => {
            return Err(format!(
                "--url: {other}:// is not supported; use http:// or https://"
            ));
        }
    };
    let rest = rest.trim_end_matches('/');
    if rest.is_empty() {
        return Err("--url names no host; use something like http://127.0.0.1:3000".to_owned());
    }
    let path = if rest.ends_with("/realtime") {
        ""
    } else {
        "/realtime"
    };
    Ok(format!("{scheme}://{rest}{path}"))
}

/// Quotes a word for a shell.
pub(super) fn shell_quote(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

impl Watcher {
    pub(super) fn new(
        url: String,
        channels: Vec<String>,
        token: Option<String>,
        positions: BTreeMap<String, u64>,
        json: bool,
    ) -> Self {
        Self {
            url,
            channels,
            token,
            positions,
            epoch: None,
            json,
            paint: Paint::stdout(),
        }
    }

    /// Watches until the output closes or the server rejects the client.
    pub(super) async fn run(&mut self) -> End {
        let mut backoff = Backoff::new(FIRST_RETRY, LAST_RETRY);
        loop {
            let mut served = false;
            match self.connection(&mut served).await {
                Disconnect::End(end) => return end,
                Disconnect::Retry { reason, after } => {
                    if served {
                        backoff.reset();
                    }
                    let own = backoff.next_delay();
                    let wait = after.unwrap_or(own);
                    eprintln!("{reason}; retrying in {:.1} s", wait.as_secs_f64());
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }

    async fn connection(&mut self, served: &mut bool) -> Disconnect {
        let retry = |reason: String| Disconnect::Retry {
            reason,
            after: None,
        };
        let mut request = match self.url.as_str().into_client_request() {
            Ok(request) => request,
            Err(error) => {
                return Disconnect::End(End::Refused(format!("--url {}: {error}", self.url)));
            }
        };
        if let Some(token) = &self.token {
            let Ok(value) = format!("Bearer {token}").parse() else {
                return Disconnect::End(End::Refused(
                    "--token is not a JWT: it contains invalid characters".to_owned(),
                ));
            };
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        let limits = WebSocketConfig::default().read_buffer_size(16 * 1024);
        let mut socket = match timeout(
            CONNECT_TIMEOUT,
            connect_async_with_config(request, Some(limits), true),
        )
        .await
        {
            Err(_) => {
                return retry(format!(
                    "no answer from {} within {CONNECT_TIMEOUT:?}",
                    self.url
                ));
            }
            Ok(Ok((socket, _))) => socket,
            Ok(Err(WsError::Http(response))) if matches!(response.status().as_u16(), 400..=499) => {
                let status = response.status();
                if status.as_u16() == 429 {
                    return retry(format!("{} answered {status}", self.url));
                }
                let body = response
                    .body()
                    .as_deref()
                    .map(String::from_utf8_lossy)
                    .unwrap_or_default();
                if is_web_page(&body) {
                    let answer = format!("{status} with a web page (HTML)");
                    return Disconnect::End(End::Refused(self.not_a_chaincast_server(&answer)));
                }
                return Disconnect::End(End::Refused(format!(
                    "{} answered {status}: {body}",
                    self.url
                )));
            }
            // chaincast never answers a handshake like this, so retrying does not help.
            Ok(Err(WsError::Protocol(ProtocolError::WrongHttpVersion))) => {
                return Disconnect::End(End::Refused(self.not_a_chaincast_server("in HTTP/1.0")));
            }
            Ok(Err(WsError::Http(response))) if response.status().as_u16() < 400 => {
                let status = response.status();
                return Disconnect::End(End::Refused(
                    self.not_a_chaincast_server(&format!("with {status}")),
                ));
            }
            Ok(Err(error)) => return retry(self.unreachable(&error)),
        };
        let subscribe = Request::Subscribe(self.request());
        let subscribe = subscribe.text(Some(&RequestId::from(1)));
        if let Err(error) = socket.send(Frame::text(subscribe)).await {
            return retry(format!("connection lost: {error}"));
        }
        loop {
            let frame = match timeout(IDLE_TIMEOUT, socket.next()).await {
                Err(_) => return retry("no data received from the server in time".to_owned()),
                Ok(None) => return retry("the server closed the connection".to_owned()),
                Ok(Some(Err(error))) => return retry(format!("connection lost: {error}")),
                Ok(Some(Ok(frame))) => frame,
            };
            match frame {
                Frame::Text(text) => {
                    *served = true;
                    if let Err(end) = self.message(text.as_str()) {
                        return Disconnect::End(end);
                    }
                }
                Frame::Close(close) => return on_close(close),
                // The library answers pings at the next read or write.
                _ => {}
            }
        }
    }

    /// Subscribes to every channel, from its position if it has one.
    fn request(&self) -> Subscribe {
        let since = Some(&self.positions).filter(|positions| !positions.is_empty());
        Subscribe {
            names: Names::Many(self.channels.clone()),
            since: since.cloned().map(Since::Each),
            epoch: self.epoch.clone(),
            snapshot: true,
            mode: None,
            interval: Interval::NONE,
            presence: false,
            info: None,
        }
    }

    /// The arguments that make `chaincast watch` continue where this run stopped; `None` before the first position.
    pub(super) fn arguments(&self) -> Option<String> {
        let positions = self.positions.iter();
        let since: Vec<String> = positions
            .map(|(channel, seq)| format!("{channel}@{seq}"))
            .collect();
        if since.is_empty() {
            return None;
        }
        let channels = self.channels.iter().map(|channel| shell_quote(channel));
        let mut words: Vec<String> = channels.collect();
        words.extend(["--since".to_owned(), shell_quote(&since.join(","))]);
        Some(words.join(" "))
    }

    /// The error for a server that is not chaincast.
    fn not_a_chaincast_server(&self, answer: &str) -> String {
        format!(
            "{} answered {answer} instead of opening a WebSocket: is this the URL of a chaincast server? set --url",
            self.url
        )
    }

    /// The error for a failed connection, with a hint how to start a server if none runs there.
    fn unreachable(&self, error: &WsError) -> String {
        let refused = matches!(error, WsError::Io(error) if error.kind() == std::io::ErrorKind::ConnectionRefused);
        let hint = match refused {
            true => "; is the server running? `chaincast dev` starts one, --url selects another",
            false => "",
        };
        let reason = tls::with_advice(error.to_string(), tls::CA_FILE_VARIABLE);
        format!("cannot reach {}: {reason}{hint}", self.url)
    }

    fn message(&mut self, text: &str) -> Result<(), End> {
        let Ok(message) = serde_json::from_str::<ServerMessage<'_>>(text) else {
            eprintln!("cannot parse message: {text}");
            return Ok(());
        };
        let data = message.data.get();
        match message.event.as_str() {
            Connected::EVENT => self.handle_connected(data),
            Ack::EVENT => self.handle_ack(data)?,
            Refusal::EVENT => eprintln!("{}", self.paint.red(data)),
            _ => self.track(&message),
        }
        let shown = match message.event.as_str() {
            _ if self.json => text.to_owned(),
            Connected::EVENT | Ack::EVENT | Refusal::EVENT => return Ok(()),
            _ => format::render(&message, self.paint),
        };
        writeln!(std::io::stdout().lock(), "{shown}").map_err(|_| End::OutputClosed)
    }

    fn handle_connected(&mut self, data: &str) {
        let connected: Option<Connected> = parse(data);
        let epoch = connected.map(|connected| connected.epoch);
        if self.epoch.is_some() && self.epoch != epoch {
            eprintln!(
                "the server now uses a different database (epoch {})",
                epoch.as_deref().unwrap_or("unknown")
            );
        }
        // `subscribe` already sent the old epoch with `since`; from here on the new one applies.
        self.epoch = epoch;
    }

    fn handle_ack(&mut self, data: &str) -> Result<(), End> {
        // The only request that is acknowledged here is `subscribe` with `channels`.
        let Some(ChannelResults {
            channels: answers, ..
        }) = parse(data)
        else {
            return Ok(());
        };
        let mut rejected = 0;
        for (at, answer) in answers.iter().enumerate() {
            let channel = answer.channel.as_str();
            if answer.success {
                // Answers are in the order of the request: from now on the channel has its canonical name.
                if let Some(named) = self.channels.get_mut(at).filter(|named| *named != channel) {
                    if let Some(seq) = self.positions.remove(named.as_str()) {
                        self.positions.insert(channel.to_owned(), seq);
                    }
                    *named = channel.to_owned();
                }
                let seq = answer.seq.unwrap_or_default();
                let known = self.positions.get(channel).copied();
                if let Some(known) = known.filter(|_| answer.recovered != Some(true)) {
                    eprintln!(
                        "{channel}: {}; continuing at #{seq}",
                        lost_reason(known, seq)
                    );
                    self.positions.insert(channel.to_owned(), seq);
                } else if known.is_none() && seq > 0 {
                    self.positions.insert(channel.to_owned(), seq);
                }
            } else {
                rejected += 1;
                let refusal = answer.error.as_ref();
                let reason = refusal.map_or("rejected", |refusal| &refusal.message);
                eprintln!("{channel}: {reason}");
            }
        }
        if !answers.is_empty() && rejected == answers.len() {
            return Err(End::Refused("the server rejected every channel".to_owned()));
        }
        Ok(())
    }

    /// Advances the position of the channel, and reports missing updates before this one.
    fn track(&mut self, message: &ServerMessage<'_>) {
        let (Some(channel), Some(seq)) = (&message.channel, message.seq) else {
            return;
        };
        let last = self.positions.get(channel).copied();
        if let Some(last) = last.filter(|_| !message.snapshot) {
            let before = message.prev.unwrap_or(seq.saturating_sub(1));
            if before > last {
                eprintln!(
                    "{}",
                    self.paint
                        .red(format!("{channel}: missing #{} to #{before}", last + 1))
                );
            }
        }
        self.positions
            .insert(channel.clone(), last.unwrap_or(0).max(seq));
    }
}

/// The data of a message, or `None` and a line about it.
fn parse<T: DeserializeOwned>(data: &str) -> Option<T> {
    let parsed = serde_json::from_str(data);
    parsed
        .inspect_err(|error| eprintln!("cannot parse the data of a message: {error}: {data}"))
        .ok()
}

/// Why the server replayed nothing to a client at seq `known` of a channel that is at `seq`.
fn lost_reason(known: u64, seq: u64) -> String {
    match known > seq {
        true => format!(
            "the channel is at #{seq}, before #{known}, which belongs to a different database"
        ),
        false => format!("the updates after #{known} are no longer stored"),
    }
}

/// Decides by the close code whether to reconnect (docs/protocol.md).
fn on_close(close: Option<CloseFrame>) -> Disconnect {
    let Some(close) = close else {
        return Disconnect::Retry {
            reason: "the server closed the connection".to_owned(),
            after: None,
        };
    };
    let code = u16::from(close.code);
    let reason = format!(
        "the server closed the connection: {code} {}",
        close.reason.as_str()
    );
    if matches!(code, 4401 | 4403) {
        return Disconnect::End(End::Refused(reason));
    }
    let after = serde_json::from_str::<RetryAfter>(close.reason.as_str())
        .ok()
        .map(|reason| Duration::from_millis(reason.retry_after_ms));
    Disconnect::Retry { reason, after }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn realtime_url_derives_from_server_url() {
        assert_eq!(
            realtime_url("http://h:3000/").unwrap(),
            "ws://h:3000/realtime"
        );
        assert_eq!(realtime_url("https://h").unwrap(), "wss://h/realtime");
        assert_eq!(realtime_url("h:3000").unwrap(), "ws://h:3000/realtime");
        assert!(realtime_url("ftp://h").is_err());
        assert!(realtime_url("http://").is_err());
    }

    #[test]
    fn seq_beyond_channel_means_other_database() {
        let text = lost_reason(99_999, 12);
        assert!(
            text.contains("is at #12") && text.contains("#99999"),
            "{text}"
        );
        assert!(text.contains("different database"), "{text}");
        assert_eq!(
            lost_reason(12, 40),
            "the updates after #12 are no longer stored"
        );
    }

    #[test]
    fn auth_close_code_ends_watching() {
        let close = |code: u16, reason: &str| CloseFrame {
            code: code.into(),
            reason: reason.to_owned().into(),
        };
        assert!(matches!(
            on_close(Some(close(4401, "token expired"))),
            Disconnect::End(_)
        ));
        let Disconnect::Retry { after, .. } =
            on_close(Some(close(1001, r#"{"retryAfterMs":1200}"#)))
        else {
            panic!("1001 means reconnect");
        };
        assert_eq!(after, Some(Duration::from_millis(1200)));
    }
}
