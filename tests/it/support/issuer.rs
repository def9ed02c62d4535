//! A JWT issuer: serves a JWK set, which can change, and holds one JWT that its key signed.

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::watch,
};

pub struct Issuer {
    url: String,
    served: watch::Sender<Value>,
    vector: Value,
}

impl Issuer {
    /// The first response is not a JWK set.
    pub async fn start() -> Self {
        let vectors = include_str!("../../../crates/gateway/src/auth/testdata/vectors.json");
        let mut vectors: Value = serde_json::from_str(vectors).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (served, keys) = watch::channel(Value::Null);
        let url = format!("http://{}/jwks", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 4_096];
                // The response is the same for every request.
                let _ = stream.read(&mut request).await;
                let body = keys.borrow().to_string();
                let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length";
                let answer = format!("{head}: {}\r\n\r\n{body}", body.len());
                stream.write_all(answer.as_bytes()).await.ok();
            }
        });
        Self {
            url,
            served,
            vector: vectors["ES256"].take(),
        }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn serve(&self, keys: Value) {
        self.served.send_replace(keys);
    }

    /// A JWT of `alice`, valid until 2100, signed with the key `es256-1`.
    pub fn token(&self) -> &str {
        self.vector["token"].as_str().unwrap()
    }

    /// The public key under another key id.
    pub fn key(&self, kid: &str) -> Value {
        let mut key = self.vector["jwk"].clone();
        key["kid"] = kid.into();
        key
    }
}
