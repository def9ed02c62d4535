//! HTTP services of prices on this machine, which err on demand.
//!
//! - [`PricePage`]: a JSON document, or whatever else a test puts in its place.
//! - [`Hermes`]: streams events as Pyth's service does.
//!
//! Both answer one request a connection, and remember what was asked. Deterministic: nothing is said before somebody
//! says it. They assume that their clients are on this machine.

use std::{collections::VecDeque, io, sync::Arc};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    task::JoinSet,
};
use tokio_util::task::AbortOnDropHandle;

/// Longest head of a request, in bytes.
const LONGEST_HEAD: usize = 64 * 1_024;
/// Orders that wait for a stream; one that falls further behind is ended.
const MOST_ORDERS: usize = 65_536;

/// What a page answers.
#[derive(Debug, Clone)]
pub enum PageAnswer {
    /// 200, as JSON.
    Document(String),
    /// A status with header lines such as `Retry-After: 1`, and no body.
    Status(u16, Vec<String>),
    /// These bytes, and then the connection ends.
    Raw(Vec<u8>),
    /// Nothing, for as long as the client waits.
    Nothing,
}

/// A page on a free port of this machine. Serves until it is dropped.
pub struct PricePage {
    port: u16,
    answers: Arc<Mutex<(VecDeque<PageAnswer>, PageAnswer)>>,
    requests: watch::Sender<Vec<String>>,
    _serving: AbortOnDropHandle<()>,
}

impl PricePage {
    /// Listens on a free port, and answers with this document.
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

    /// From now on it answers like this.
    pub fn answer(&self, answer: PageAnswer) {
        self.answers.lock().1 = answer;
    }

    /// It answers the next request like this, and then as before.
    pub fn answer_once(&self, answer: PageAnswer) {
        self.answers.lock().0.push_back(answer);
    }

    /// The heads of all requests that came.
    pub fn requests(&self) -> Vec<String> {
        self.requests.borrow().clone()
    }

    /// Waits for so many requests in all.
    pub async fn asked(&self, times: usize) -> Vec<String> {
        wait(&self.requests, |requests| requests.len() >= times).await
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
                PageAnswer::Status(status, lines) => refusal(status, &lines).into_bytes(),
                PageAnswer::Raw(bytes) => bytes,
                PageAnswer::Nothing => {
                    ended(&mut stream).await;
                    return;
                }
            };
            stream.write_all(&bytes).await.ok();
            stream.shutdown().await.ok();
        });
        while connections.try_join_next().is_some() {}
    }
}

/// What a service of events saw of its clients.
#[derive(Debug, Clone, Default)]
pub struct Streams {
    /// The heads of all requests, in the order in which they came.
    pub requests: Vec<String>,
    /// Streams that were opened, and those that are open.
    pub opened: u64,
    pub open: u64,
}

/// A service of events on a free port of this machine. Serves until it is dropped.
pub struct Hermes {
    port: u16,
    shared: Arc<Shared>,
    _serving: AbortOnDropHandle<()>,
}

#[derive(Default)]
struct Shared {
    seen: watch::Sender<Streams>,
    streams: Mutex<Vec<mpsc::Sender<Order>>>,
    /// Requests that are refused first: the status, and header lines.
    refusals: Mutex<VecDeque<(u16, Vec<String>)>>,
}

#[derive(Clone)]
enum Order {
    Say(Vec<u8>),
    /// The end of the stream, as HTTP has it.
    Close,
    /// The end of the connection in the middle of it.
    Cut,
}

impl Hermes {
    /// Listens on a free port.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let shared = Arc::<Shared>::default();
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

    /// Sends an event with the price of an id to every open stream: an integer, its confidence, the exponent of both,
    /// and the second in which it was.
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
        self.say(format!("data:{data}\n\n").into_bytes());
    }

    /// Sends these bytes.
    pub fn say(&self, bytes: Vec<u8>) {
        self.order(&Order::Say(bytes));
    }

    /// Ends every stream, as after 24 hours.
    pub fn close(&self) {
        self.order(&Order::Close);
    }

    /// Breaks every connection off.
    pub fn cut(&self) {
        self.order(&Order::Cut);
    }

    /// Refuses the next request, with header lines such as `Retry-After: 1`.
    pub fn refuse_once(&self, status: u16, lines: &[&str]) {
        let lines = lines.iter().map(|line| (*line).to_owned()).collect();
        self.shared.refusals.lock().push_back((status, lines));
    }

    /// Waits for what it sees.
    pub async fn until(&self, wanted: impl FnMut(&Streams) -> bool) -> Streams {
        wait(&self.shared.seen, wanted).await
    }

    /// What it saw until now.
    pub fn seen(&self) -> Streams {
        self.shared.seen.borrow().clone()
    }

    fn order(&self, order: &Order) {
        let mut streams = self.shared.streams.lock();
        streams.retain(|stream| stream.try_send(order.clone()).is_ok());
    }
}

async fn serve_events(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((mut stream, _)) = listener.accept().await {
        stream.set_nodelay(true).ok();
        let shared = shared.clone();
        connections.spawn(async move {
            let Some(head) = read_head(&mut stream).await else {
                return;
            };
            let refused = shared.refusals.lock().pop_front();
            if let Some((status, lines)) = refused {
                shared.seen.send_modify(|seen| seen.requests.push(head));
                stream
                    .write_all(refusal(status, &lines).as_bytes())
                    .await
                    .ok();
                stream.shutdown().await.ok();
                return;
            }
            let (orders, received) = mpsc::channel(MOST_ORDERS);
            shared.streams.lock().push(orders);
            shared.seen.send_modify(|seen| {
                seen.requests.push(head);
                seen.opened += 1;
                seen.open += 1;
            });
            follow_orders(stream, received).await;
            shared.seen.send_modify(|seen| seen.open -= 1);
        });
        while connections.try_join_next().is_some() {}
    }
}

/// Until it is told to end, or the client is gone.
async fn follow_orders(mut stream: TcpStream, mut orders: mpsc::Receiver<Order>) {
    let head =
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    if stream.write_all(head).await.is_err() {
        return;
    }
    let mut byte = [0];
    loop {
        let order = tokio::select! {
            order = orders.recv() => order,
            read = stream.read(&mut byte) => match read {
                Ok(1..) => continue,
                _ => return,
            },
        };
        let bytes = match order {
            None | Some(Order::Cut) => return,
            Some(Order::Close) => b"0\r\n\r\n".to_vec(),
            Some(Order::Say(text)) => {
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

/// The head of a request; `None` when there is none.
async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut piece = [0; 4_096];
    loop {
        let read = stream.read(&mut piece).await.ok()?;
        if read == 0 || head.len() > LONGEST_HEAD {
            return None;
        }
        head.extend_from_slice(&piece[..read]);
        if head.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
            return Some(String::from_utf8_lossy(&head).into_owned());
        }
    }
}

fn refusal(status: u16, lines: &[String]) -> String {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    format!("HTTP/1.1 {status} Refused\r\n{lines}content-length: 0\r\nconnection: close\r\n\r\n")
}

/// Until the client is gone.
async fn ended(stream: &mut TcpStream) {
    let mut byte = [0];
    while matches!(stream.read(&mut byte).await, Ok(1..)) {}
}

async fn wait<T: Clone>(of: &watch::Sender<T>, wanted: impl FnMut(&T) -> bool) -> T {
    let mut seen = of.subscribe();
    let found = seen.wait_for(wanted).await.map(|seen| seen.clone());
    match found {
        Ok(seen) => seen,
        // The sender lives as long as who waits.
        Err(_) => std::future::pending().await,
    }
}
