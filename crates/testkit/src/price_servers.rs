//! Local HTTP price services with scripted faults.
//!
//! - [`PricePage`]: a JSON document, or any other answer that a test sets.
//! - [`Hermes`]: an event stream like that of Pyth's service.
//!
//! Both serve one request per connection, and record the requests. Deterministic: nothing is sent until a test sends
//! it. Assume local clients.

use std::{collections::VecDeque, io, sync::Arc};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    task::JoinSet,
};
use tokio_util::task::AbortOnDropHandle;

use crate::observed::wait_until;

/// Limit of a request's head, in bytes.
const MAX_HEAD: usize = 64 * 1_024;
/// Most queued commands of a stream; beyond it the stream is dropped.
const MAX_COMMANDS: usize = 65_536;

/// The answer of a page.
#[derive(Debug, Clone)]
pub enum PageAnswer {
    /// 200, as JSON.
    Document(String),
    /// A status with header lines such as `Retry-After: 1`, and no body.
    Status(u16, Vec<String>),
    /// These bytes, then the end of the connection.
    Raw(Vec<u8>),
    /// No answer while the client waits.
    Nothing,
}

/// A page on a free local port. Serves until it is dropped.
pub struct PricePage {
    port: u16,
    answers: Arc<Mutex<(VecDeque<PageAnswer>, PageAnswer)>>,
    requests: watch::Sender<Vec<String>>,
    _serving: AbortOnDropHandle<()>,
}

impl PricePage {
    /// Listens on a free port and serves this document.
    pub async fn start(document: &str) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let always = PageAnswer::Document(document.to_owned());
        let answers = Arc::new(Mutex::new((VecDeque::new(), always)));
        let requests = watch::Sender::default();
        let serving = tokio::spawn(serve_pages(listener, answers.clone(), requests.clone()));
        Ok(Self {
            port,
            answers,
            requests,
            _serving: AbortOnDropHandle::new(serving),
        })
    }

    /// Where it listens, with something in it that must never be shown: `a-secret-key`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/price?key=a-secret-key", self.port)
    }

    /// Sets the answer from now on.
    pub fn answer(&self, answer: PageAnswer) {
        self.answers.lock().1 = answer;
    }

    /// Sets the answer to the next request only.
    pub fn answer_once(&self, answer: PageAnswer) {
        self.answers.lock().0.push_back(answer);
    }

    /// The heads of all requests so far.
    pub fn requests(&self) -> Vec<String> {
        self.requests.borrow().clone()
    }

    /// Waits until this many requests have arrived in total.
    pub async fn wait_for_requests(&self, count: usize) -> Vec<String> {
        wait_until(&self.requests, |requests| requests.len() >= count).await
    }
}

async fn serve_pages(
    listener: TcpListener,
    answers: Arc<Mutex<(VecDeque<PageAnswer>, PageAnswer)>>,
    requests: watch::Sender<Vec<String>>,
) {
    let mut connections = JoinSet::new();
    while let Ok((mut stream, _)) = listener.accept().await {
        let (answers, requests) = (answers.clone(), requests.clone());
        connections.spawn(async move {
            let Some(head) = read_head(&mut stream).await else {
                return;
            };
            let answer = {
                let mut answers = answers.lock();
                let next = answers.0.pop_front();
                next.unwrap_or_else(|| answers.1.clone())
            };
            requests.send_modify(|requests| requests.push(head));
            let bytes = match answer {
                PageAnswer::Document(text) => format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
                     connection: close\r\n\r\n{text}",
                    text.len()
                )
                .into_bytes(),
                PageAnswer::Status(status, lines) => rejection(status, &lines).into_bytes(),
                PageAnswer::Raw(bytes) => bytes,
                PageAnswer::Nothing => {
                    client_closed(&mut stream).await;
                    return;
                }
            };
            stream.write_all(&bytes).await.ok();
            stream.shutdown().await.ok();
        });
        while connections.try_join_next().is_some() {}
    }
}

/// What an event service observed of its clients.
#[derive(Debug, Clone, Default)]
pub struct Streams {
    /// The heads of all requests, in order of arrival.
    pub requests: Vec<String>,
    /// Streams so far, the ended ones included.
    pub opened: u64,
    /// Streams that are open now.
    pub open: u64,
}

/// An event service on a free local port. Serves until it is dropped.
pub struct Hermes {
    port: u16,
    shared: Arc<HermesState>,
    _serving: AbortOnDropHandle<()>,
}

#[derive(Default)]
struct HermesState {
    observed: watch::Sender<Streams>,
    streams: Mutex<Vec<mpsc::Sender<Command>>>,
    /// Rejections of the next requests: status and header lines.
    rejections: Mutex<VecDeque<(u16, Vec<String>)>>,
}

#[derive(Clone)]
enum Command {
    Send(Vec<u8>),
    /// Ends the stream properly.
    Close,
    /// Breaks the connection within the stream.
    Cut,
}

impl Hermes {
    /// Listens on a free port.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let shared = Arc::<HermesState>::default();
        let serving = tokio::spawn(serve_events(listener, shared.clone()));
        Ok(Self {
            port,
            shared,
            _serving: AbortOnDropHandle::new(serving),
        })
    }

    /// Where it listens, with something in it that must never be shown: `a-secret-key`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/a-secret-key", self.port)
    }

    /// Sends a price event to every open stream: an integer price, its confidence, the exponent of both, and the
    /// publish time in seconds.
    pub fn price(&self, id: &str, price: &str, conf: &str, expo: i32, publish_time: i64) {
        let price = format!(
            r#"{{"price":"{price}","conf":"{conf}","expo":{expo},"publish_time":{publish_time}}}"#
        );
        self.event(&format!(
            r#"{{"binary":{{"encoding":"hex","data":["504e4155"]}},"parsed":[{{"id":"{id}","price":{price},"ema_price":{price},"metadata":{{"slot":138881186,"proof_available_time":{publish_time},"prev_publish_time":{publish_time}}}}}]}}"#
        ));
    }

    /// Sends an event with this data.
    pub fn event(&self, data: &str) {
        self.send_bytes(format!("data:{data}\n\n").into_bytes());
    }

    /// Sends these bytes to every open stream.
    pub fn send_bytes(&self, bytes: Vec<u8>) {
        self.command(&Command::Send(bytes));
    }

    /// Ends every stream, as Pyth does after 24 hours.
    pub fn close(&self) {
        self.command(&Command::Close);
    }

    /// Breaks every connection.
    pub fn cut(&self) {
        self.command(&Command::Cut);
    }

    /// Rejects the next request, with header lines such as `Retry-After: 1`.
    pub fn refuse_once(&self, status: u16, lines: &[&str]) {
        let lines = lines.iter().map(|line| (*line).to_owned()).collect();
        self.shared.rejections.lock().push_back((status, lines));
    }

    /// Waits until the observed state satisfies a condition.
    pub async fn wait_until(&self, condition: impl FnMut(&Streams) -> bool) -> Streams {
        wait_until(&self.shared.observed, condition).await
    }

    /// What it observed until now.
    pub fn observed(&self) -> Streams {
        self.shared.observed.borrow().clone()
    }

    fn command(&self, command: &Command) {
        let mut streams = self.shared.streams.lock();
        streams.retain(|stream| stream.try_send(command.clone()).is_ok());
    }
}

async fn serve_events(listener: TcpListener, shared: Arc<HermesState>) {
    let mut connections = JoinSet::new();
    while let Ok((mut stream, _)) = listener.accept().await {
        stream.set_nodelay(true).ok();
        let shared = shared.clone();
        connections.spawn(async move {
            let Some(head) = read_head(&mut stream).await else {
                return;
            };
            let refused = shared.rejections.lock().pop_front();
            if let Some((status, lines)) = refused {
                shared
                    .observed
                    .send_modify(|observed| observed.requests.push(head));
                stream
                    .write_all(rejection(status, &lines).as_bytes())
                    .await
                    .ok();
                stream.shutdown().await.ok();
                return;
            }
            let (commands, received) = mpsc::channel(MAX_COMMANDS);
            shared.streams.lock().push(commands);
            shared.observed.send_modify(|observed| {
                observed.requests.push(head);
                observed.opened += 1;
                observed.open += 1;
            });
            serve_stream(stream, received).await;
            shared.observed.send_modify(|observed| observed.open -= 1);
        });
        while connections.try_join_next().is_some() {}
    }
}

/// Serves a stream until a command ends it or the client disconnects.
async fn serve_stream(mut stream: TcpStream, mut commands: mpsc::Receiver<Command>) {
    let head =
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    if stream.write_all(head).await.is_err() {
        return;
    }
    let mut byte = [0];
    loop {
        let command = tokio::select! {
            command = commands.recv() => command,
            read = stream.read(&mut byte) => match read {
                Ok(1..) => continue,
                _ => return,
            },
        };
        let bytes = match command {
            None | Some(Command::Cut) => return,
            Some(Command::Close) => b"0\r\n\r\n".to_vec(),
            Some(Command::Send(text)) => {
                let mut chunk = format!("{:x}\r\n", text.len()).into_bytes();
                chunk.extend(text);
                chunk.extend(b"\r\n");
                chunk
            }
        };
        let ends = bytes == b"0\r\n\r\n";
        if stream.write_all(&bytes).await.is_err() || ends {
            stream.shutdown().await.ok();
            return;
        }
    }
}

/// The head of a request; `None` without one.
async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut piece = [0; 4_096];
    loop {
        let read = stream.read(&mut piece).await.ok()?;
        if read == 0 || head.len() > MAX_HEAD {
            return None;
        }
        head.extend_from_slice(&piece[..read]);
        if head.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
            return Some(String::from_utf8_lossy(&head).into_owned());
        }
    }
}

fn rejection(status: u16, lines: &[String]) -> String {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    format!("HTTP/1.1 {status} Refused\r\n{lines}content-length: 0\r\nconnection: close\r\n\r\n")
}

/// Waits until the client disconnects.
async fn client_closed(stream: &mut TcpStream) {
    let mut byte = [0];
    while matches!(stream.read(&mut byte).await, Ok(1..)) {}
}
