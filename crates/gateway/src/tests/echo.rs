//! The echo server of the conformance suites.

use chaincast_base::shutdown::Tasks;
use chaincast_http::server::{self, ServerConfig};
use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{client_async, tungstenite::Message};

use super::support::TIMEOUT;
use crate::{GatewayConfig, echo_router};

#[tokio::test]
async fn echo_returns_each_message() {
    let (tasks, _failures) = Tasks::new();
    let router = echo_router(GatewayConfig::default(), tasks.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let config = ServerConfig::default();
    let serving = server::serve(listener, router, config, tasks.clone(), tasks.token());
    tasks.spawn_critical("http server", serving);

    let stream = TcpStream::connect(address).await.unwrap();
    let url = format!("ws://{address}/");
    let (mut client, _) = client_async(url, stream).await.unwrap();
    let messages = [
        Message::text("Grüße"),
        Message::binary(vec![0, 255]),
        Message::text("x".repeat(1_000)),
    ];
    for message in messages {
        client.send(message.clone()).await.unwrap();
        let answer = tokio::time::timeout(TIMEOUT, client.next()).await;
        assert_eq!(answer.unwrap().unwrap().unwrap(), message);
    }
    tasks.cancel();
}
