//! A proxy between the writer and anvil that answers some methods like a faulty node.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::post,
};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::Notify};
use tokio_util::task::AbortOnDropHandle;

#[derive(Clone)]
pub(super) enum Answer {
    Error(i64, &'static str),
    Result(Value),
    /// The node's own answer, changed.
    Tampered(fn(&mut Value)),
    /// HTTP status 429 for the whole request, with this `Retry-After`.
    Throttled(&'static str),
}

#[derive(Default)]
struct Behaviour {
    answers: HashMap<String, Answer>,
    requests: HashMap<String, usize>,
    /// Calls of a method are held from this one on.
    held: HashMap<String, usize>,
    /// The limit of calls in one request, if any.
    most_calls: Option<usize>,
    most_calls_seen: usize,
}

#[derive(Clone)]
struct ProxyState {
    node: String,
    client: reqwest::Client,
    behaviour: Arc<Mutex<Behaviour>>,
    released: Arc<Notify>,
}

pub(super) struct Proxy {
    url: String,
    behaviour: Arc<Mutex<Behaviour>>,
    released: Arc<Notify>,
    _serving: AbortOnDropHandle<()>,
}

impl Proxy {
    /// A proxy before the node on this local port.
    pub(super) async fn new(port: u16) -> Self {
        let behaviour = Arc::new(Mutex::new(Behaviour::default()));
        let state = ProxyState {
            node: format!("http://127.0.0.1:{port}"),
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            behaviour: behaviour.clone(),
            released: Arc::default(),
        };
        let released = state.released.clone();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/some-key", listener.local_addr().unwrap());
        let router = Router::new().fallback(post(answer)).with_state(state);
        let serving = tokio::spawn(async move { serve(listener, router).await });
        Self {
            url,
            behaviour,
            released,
            _serving: AbortOnDropHandle::new(serving),
        }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn set(&self, method: &str, answer: Answer) {
        self.behaviour
            .lock()
            .answers
            .insert(method.to_owned(), answer);
    }

    /// Forwards the method to the node again.
    pub(super) fn pass(&self, method: &str) {
        let mut behaviour = self.behaviour.lock();
        behaviour.answers.remove(method);
        behaviour.held.remove(method);
        self.released.notify_waiters();
    }

    /// Holds the method's calls after this many: no answer, and the connection stays open.
    pub(super) fn hold_after(&self, method: &str, calls: usize) {
        let mut behaviour = self.behaviour.lock();
        let requests = behaviour.requests.get(method).copied().unwrap_or(0);
        behaviour.held.insert(method.to_owned(), requests + calls);
    }

    /// Whether a call of a method is held.
    pub(super) fn holds(&self, method: &str) -> bool {
        let behaviour = self.behaviour.lock();
        let requests = behaviour.requests.get(method).copied().unwrap_or(0);
        behaviour
            .held
            .get(method)
            .is_some_and(|&most| requests > most)
    }

    /// Rejects requests with more calls: with 1 as a node without batch support, else as too large.
    pub(super) fn allow_calls(&self, most: usize) {
        self.behaviour.lock().most_calls = Some(most);
    }

    /// Calls of the largest request that was answered.
    pub(super) fn most_calls_seen(&self) -> usize {
        self.behaviour.lock().most_calls_seen
    }

    /// How often a method was called.
    pub(super) fn requests(&self, method: &str) -> usize {
        self.behaviour
            .lock()
            .requests
            .get(method)
            .copied()
            .unwrap_or(0)
    }
}

async fn answer(State(state): State<ProxyState>, Json(request): Json<Value>) -> Response {
    let Value::Array(calls) = request else {
        return match state.call(&request).await {
            Ok(answer) => Json(answer).into_response(),
            Err(rejected) => *rejected,
        };
    };
    let rejected = {
        let mut behaviour = state.behaviour.lock();
        let most = behaviour.most_calls.unwrap_or(usize::MAX);
        if calls.len() <= most {
            behaviour.most_calls_seen = behaviour.most_calls_seen.max(calls.len());
        }
        (calls.len() > most).then_some(most)
    };
    if let Some(most) = rejected {
        let (code, message) = match most {
            1 => (-32600, "invalid request: expected an object"),
            _ => (-32005, "the batch has more than the allowed calls"),
        };
        return Json(
            json!({ "jsonrpc": "2.0", "id": null, "error": { "code": code, "message": message } }),
        )
        .into_response();
    }
    let mut answers = Vec::new();
    for call in &calls {
        match state.call(call).await {
            Ok(answer) => answers.push(answer),
            Err(rejected) => return *rejected,
        }
    }
    // In any order, as the specification allows.
    answers.reverse();
    Json(answers).into_response()
}

impl ProxyState {
    async fn call(&self, request: &Value) -> Result<Value, Box<Response>> {
        let method = request["method"].as_str().unwrap().to_owned();
        let (turn, answer) = {
            let mut behaviour = self.behaviour.lock();
            let requests = behaviour.requests.entry(method.clone()).or_default();
            *requests += 1;
            (*requests, behaviour.answers.get(&method).cloned())
        };
        loop {
            let released = self.released.notified();
            tokio::pin!(released);
            released.as_mut().enable();
            let most = self.behaviour.lock().held.get(&method).copied();
            if most.is_none_or(|most| turn <= most) {
                break;
            }
            released.await;
        }
        let id = &request["id"];
        Ok(match answer {
            Some(Answer::Error(code, message)) => {
                json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } })
            }
            Some(Answer::Result(result)) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
            Some(Answer::Tampered(change)) => {
                let mut answer = self.forward(request).await;
                change(&mut answer["result"]);
                answer
            }
            Some(Answer::Throttled(retry_after)) => {
                let rejected = (
                    StatusCode::TOO_MANY_REQUESTS,
                    [("retry-after", retry_after)],
                    "slow down",
                );
                return Err(Box::new(rejected.into_response()));
            }
            None => self.forward(request).await,
        })
    }

    async fn forward(&self, request: &Value) -> Value {
        self.client
            .post(&self.node)
            .json(request)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap()
    }
}

async fn serve(listener: TcpListener, router: Router) {
    use hyper_util::{rt::TokioIo, service::TowerToHyperService};
    while let Ok((stream, _)) = listener.accept().await {
        let service = TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await
                .ok();
        });
    }
}
