//! Stands between the writer and anvil, and answers some methods as bad nodes do.

use std::{collections::HashMap, sync::Arc};

use axum::{Json, Router, extract::State, routing::post};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

#[derive(Clone)]
pub(super) enum Answer {
    Error(i64, &'static str),
    Result(Value),
    /// The node's own answer, changed.
    Tampered(fn(&mut Value)),
}

#[derive(Default)]
struct Behaviour {
    answers: HashMap<String, Answer>,
    asked: HashMap<String, usize>,
}

#[derive(Clone)]
struct Behind {
    node: String,
    client: reqwest::Client,
    behaviour: Arc<Mutex<Behaviour>>,
}

pub(super) struct Proxy {
    url: String,
    behaviour: Arc<Mutex<Behaviour>>,
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
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/some-key", listener.local_addr().unwrap());
        let router = Router::new().fallback(post(answer)).with_state(behind);
        let serving = tokio::spawn(async move { serve(listener, router).await });
        Self {
            url,
            behaviour,
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
        self.behaviour.lock().answers.remove(method);
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

async fn answer(State(behind): State<Behind>, Json(request): Json<Value>) -> Json<Value> {
    let method = request["method"].as_str().unwrap().to_owned();
    let answer = {
        let mut behaviour = behind.behaviour.lock();
        *behaviour.asked.entry(method.clone()).or_default() += 1;
        behaviour.answers.get(&method).cloned()
    };
    let id = &request["id"];
    Json(match answer {
        Some(Answer::Error(code, message)) => {
            json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } })
        }
        Some(Answer::Result(result)) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Some(Answer::Tampered(change)) => {
            let mut answer = behind.forward(&request).await;
            change(&mut answer["result"]);
            answer
        }
        None => behind.forward(&request).await,
    })
}

impl Behind {
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
