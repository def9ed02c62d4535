use std::time::Instant;

use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// More than the buffers between client and server hold.
const LONG: usize = 16 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn connection_is_not_evicted_while_its_client_reads() {
    let config = ServerConfig {
        port: 0,
        ..ServerConfig::default()
    };
    let listener = bind(&config).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (tasks, _failures) = Tasks::new();
    let router = Router::new().route("/", get(async || vec![b'x'; LONG]));
    let (capacity, stop) = (ConnectionCapacity::new(1, || 0), tasks.token());
    let serving = serve_within(capacity, listener, router, config, tasks.clone(), stop);
    let serving = tokio::spawn(serving);

    let mut slow = TcpStream::connect(address).await.unwrap();
    let request = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    slow.write_all(request).await.unwrap();
    let mut answer = vec![0; 1];
    slow.read_exact(&mut answer).await.unwrap();
    // Others connect for longer than the idle time after which a connection is evicted.
    let begun = Instant::now();
    while begun.elapsed() < http_connections::MIN_IDLE * 2 {
        let mut other = TcpStream::connect(address).await.unwrap();
        let mut refused = String::new();
        // A reset may overtake the response.
        let _ = other.read_to_string(&mut refused).await;
        assert!(refused.is_empty() || refused.contains(" 503 "), "{refused}");
    }
    slow.read_to_end(&mut answer).await.unwrap();
    let head = answer.windows(4).position(|end| end == b"\r\n\r\n");
    assert_eq!(answer.len() - head.unwrap() - 4, LONG);
    drop(slow);
    assert!(tasks.drain(Duration::from_secs(10)).await);
    serving.await.unwrap().unwrap();
}
