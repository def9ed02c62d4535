//! Stands between the writer and anvil, and answers some methods as bad nodes do.

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
    /// HTTP status 429 for the whole request, with what `Retry-After` says.
    Throttled(&'static str),
}

#[derive(Default)]
struct Behaviour {
    answers: HashMap<String, Answer>,
    asked: HashMap<String, usize>,
    /// Calls of a method are not answered from this one on.
    held: HashMap<String, usize>,
    /// Most calls of one request, if not all are allowed.
    most_calls: Option<usize>,
    most_calls_seen: usize,
}

#[derive(Clone)]
struct Behind {
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
    /// Of the node on this port of this machine.
    pub(super) async fn before(port: u16) -> Self {
        let behaviour = Arc::new(Mutex::new(Behaviour::default()));
        let behind = Behind {
            node: format!("http://127.0.0.1:{port}"),
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            behaviour: behaviour.clone(),
            released: Arc::default(),
        };
        let released = behind.released.clone();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/some-key", listener.local_addr().unwrap());
        let router = Router::new().fallback(post(answer)).with_state(behind);
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

    /// The node answers again.
    pub(super) fn pass(&self, method: &str) {
        let mut behaviour = self.behaviour.lock();
        behaviour.answers.remove(method);
        behaviour.held.remove(method);
        self.released.notify_waiters();
    }

    /// After so many calls from now on the node answers no more, and does not hang up either.
    pub(super) fn hold_after(&self, method: &str, calls: usize) {
        let mut behaviour = self.behaviour.lock();
        let asked = behaviour.asked.get(method).copied().unwrap_or(0);
        behaviour.held.insert(method.to_owned(), asked + calls);
    }

    /// Whether a call of a method waits for its answer.
    pub(super) fn holds(&self, method: &str) -> bool {
        let behaviour = self.behaviour.lock();
        let asked = behaviour.asked.get(method).copied().unwrap_or(0);
        behaviour.held.get(method).is_some_and(|&most| asked > most)
    }

    /// Requests with more calls are refused: with 1 as by a node that knows no batches, else as too large.
    pub(super) fn allow_calls(&self, most: usize) {
        self.behaviour.lock().most_calls = Some(most);
    }

    /// Calls of the largest request that was answered.
    pub(super) fn most_calls_seen(&self) -> usize {
        self.behaviour.lock().most_calls_seen
    }

    /// How often a method was asked for.
    pub(super) fn asked(&self, method: &str) -> usize {
        self.behaviour
            .lock()
            .asked
            .get(method)
            .copied()
            .unwrap_or(0)
    }
}

async fn answer(State(behind): State<Behind>, Json(request): Json<Value>) -> Response {
    let Value::Array(calls) = request else {
        return match behind.call(&request).await {
            Ok(answer) => Json(answer).into_response(),
            Err(refused) => *refused,
        };
    };
    let refused = {
        let mut behaviour = behind.behaviour.lock();
        let most = behaviour.most_calls.unwrap_or(usize::MAX);
        if calls.len() <= most {
            behaviour.most_calls_seen = behaviour.most_calls_seen.max(calls.len());
        }
        (calls.len() > most).then_some(most)
    };
    if let Some(most) = refused {
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
        match behind.call(call).await {
            Ok(answer) => answers.push(answer),
            Err(refused) => return *refused,
        }
    }
    // In any order, as the specification allows.
    answers.reverse();
    Json(answers).into_response()
}

impl Behind {
    async fn call(&self, request: &Value) -> Result<Value, Box<Response>> {
        let method = request["method"].as_str().unwrap().to_owned();
        let (turn, answer) = {
            let mut behaviour = self.behaviour.lock();
            let asked = behaviour.asked.entry(method.clone()).or_default();
            *asked += 1;
            (*asked, behaviour.answers.get(&method).cloned())
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
                let refused = (
                    StatusCode::TOO_MANY_REQUESTS,
                    [("retry-after", retry_after)],
                    "slow down",
                );
                return Err(Box::new(refused.into_response()));
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
