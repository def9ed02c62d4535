//! Clients that disconnect at any moment of a request, thousands of them on every endpoint: concurrent requests still
//! read the current state, and nothing of the disconnected clients remains.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::Instant,
};

use crate::support::{World, eventually, mint};

/// Clients that disconnect at one moment; more than the pool has connections.
const CLIENTS: usize = 32;
/// Storms of each kind of request.
const ROUNDS: usize = 4;
/// The maximum duration of a storm.
const MAX_STORM_US: u64 = 20_000;
/// Marks a poll within a session, which has to be opened first.
const POLL: &str = "poll";
/// Concurrent requests that read the current state: they use every connection of the pool.
const OBSERVERS: usize = 16;

/// Every request that a client can send, as its bytes.
async fn requests(world: &World, token: &str, hash: &str) -> Vec<String> {
    let block = world.get("/api/v1/blocks?limit=5").await["data"][0]["hash"]
        .as_str()
        .unwrap()
        .to_owned();
    let token_address = format!("{:#x}", world.deployment.tokens[0].address);
    let described = world.get("/api-docs/openapi.json").await;
    let mut requests = Vec::new();
    for (path, methods) in described["paths"].as_object().unwrap() {
        let of_blocks = path.starts_with("/api/v1/blocks");
        let of_alerts = path.starts_with("/api/v1/alerts");
        for method in methods.as_object().unwrap().keys() {
            let mut concrete = path.clone();
            for (name, value) in [
                (
                    "{id}",
                    if of_alerts {
                        "1"
                    } else if of_blocks {
                        &block
                    } else {
                        "latest"
                    },
                ),
                ("{hash}", hash),
                ("{address}", &token_address),
                ("{token}", "USDC"),
                ("{name}", "usdc"),
                ("{channel}", "new-block"),
                ("{interval}", "1m"),
                ("{seq}", "1"),
                ("{sub}", "nobody"),
            ] {
                concrete = concrete.replace(name, value);
            }
            assert!(
                !concrete.contains('{'),
                "{path}: give the parameter a value"
            );
            let method = method.to_ascii_uppercase();
            let body = match (method.as_str(), path.as_str()) {
                ("POST", "/api/v1/publish") => r#"{"channel":"announcements","type":"a"}"#,
                ("POST", _) => r#"{"token":"USDC","condition":"above","threshold":"100000"}"#,
                _ => "",
            };
            requests.push(format!(
                "{method} {concrete} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\
                 content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            ));
        }
    }
    assert!(requests.len() > 20, "{requests:#?}");
    let watched = format!("tx:{hash},address:{token_address},price:USDC,new-block");
    for path in [
        format!("/realtime/sse?channels={watched}"),
        format!("/realtime/sse?channels=new-block,user:alice&token={token}&since=new-block@0"),
        "/socket.io/?EIO=4&transport=polling".to_owned(),
    ] {
        requests.push(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n"));
    }
    requests.push(POLL.to_owned());
    for path in [
        format!("/realtime?token={token}"),
        "/socket.io/?EIO=4&transport=websocket".to_owned(),
    ] {
        requests.push(format!(
            "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        ));
    }
    requests
}

async fn sent_transaction(world: &World) -> String {
    world.transfer("USDC", 1).await;
    world.caught_up().await;
    let page = world.get("/api/v1/blocks/latest/transactions").await;
    page["data"][0]["hash"].as_str().unwrap().to_owned()
}

/// Sends a request, repeats it when it is answered, and disconnects at the given moment, with FIN or RST: nearly always
/// a request is in progress then.
async fn disconnect_at(address: &str, request: &str, at: Instant, random: &mut StdRng) {
    let Ok(mut stream) = TcpStream::connect(address).await else {
        return;
    };
    let mut answer = vec![0; 1 << 16];
    let asking = async {
        while stream.write_all(request.as_bytes()).await.is_ok() {
            match stream.read(&mut answer).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    };
    let _ = tokio::time::timeout_at(at, asking).await;
    if random.random_bool(0.1) {
        // The last request is sent only in part.
        let part = &request.as_bytes()[..random.random_range(0..request.len())];
        let _ = stream.write_all(part).await;
    }
    if random.random_bool(0.5) {
        socket2::SockRef::from(&stream)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    }
}

/// Many concurrent clients that all disconnect at one moment.
async fn storm(address: &str, request: &Arc<String>, random: &mut StdRng) {
    let at = Instant::now() + Duration::from_micros(random.random_range(1_000..MAX_STORM_US));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (address, request) = (address.to_owned(), request.clone());
        let mut random = StdRng::seed_from_u64(random.random());
        clients.spawn(async move {
            match request.as_str() {
                POLL => drop(disconnect_during_poll(&address, at, &mut random).await),
                request => disconnect_at(&address, request, at, &mut random).await,
            }
        });
    }
    clients.join_all().await;
}

/// A polling session whose client disconnects during the pending `GET`.
async fn disconnect_during_poll(address: &str, at: Instant, random: &mut StdRng) -> Option<()> {
    let open = format!("http://{address}/socket.io/?EIO=4&transport=polling");
    let text = reqwest::get(&open).await.ok()?.text().await.ok()?;
    let sid = text.split("\"sid\":\"").nth(1)?.split('"').next()?;
    let poll =
        format!("GET /socket.io/?EIO=4&transport=polling&sid={sid} HTTP/1.1\r\nhost: x\r\n\r\n");
    disconnect_at(address, &poll, at, random).await;
    Some(())
}

/// Reads the current state over every connection of the pool at once.
async fn observe(world: &World, client: &reqwest::Client, hash: &str) {
    let committed: i64 = sqlx::query_scalar("SELECT head_number FROM chains")
        .fetch_one(&mut world.database().await)
        .await
        .unwrap();
    // Most requests start no transaction, which would remove a connection from one.
    let mut paths = vec!["/api/v1/blocks?limit=1".to_owned(); OBSERVERS - 3];
    paths.push("/api/v1/status".to_owned());
    paths.push("/api/v1/blocks/latest".to_owned());
    paths.push(format!("/api/v1/transactions/{hash}"));
    let pending = paths.iter().map(async |path| {
        let response = client.get(world.url(path)).send().await.unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        assert_eq!(status, 200, "{path}: {text}");
        let answer: Value = serde_json::from_str(&text).unwrap();
        let head = match path.as_str() {
            "/api/v1/blocks?limit=1" => answer["data"][0]["number"].as_i64(),
            "/api/v1/status" => answer["chains"][0]["head"]["number"].as_i64(),
            "/api/v1/blocks/latest" => answer["number"].as_i64(),
            _ => answer["confirmations"]
                .as_i64()
                .zip(answer["blockNumber"].as_i64())
                .map(|(confirmations, block)| block + confirmations - 1),
        };
        let head = head.unwrap_or_else(|| panic!("{path} has no head: {answer}"));
        assert!(
            head >= committed,
            "{path} returns head {head}, but {committed} was committed"
        );
    });
    futures_util::future::join_all(pending).await;
}

/// The sum of a metric over its labels.
async fn total(world: &World, name: &str) -> Option<f64> {
    let returned = reqwest::get(world.url("/metrics"))
        .await
        .ok()?
        .text()
        .await
        .ok()?;
    let of_name = |line: &&str| {
        line.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with([' ', '{']))
    };
    let values = returned.lines().filter(of_name);
    Some(
        values
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn disconnecting_clients_leave_nothing_behind() {
    let world = World::with(
        "[gateway.limits]\nconnections_per_address = 10000\nhandshake_timeout_ms = 2000",
    )
    .await;
    let token = mint("alice", None, None, Duration::from_secs(3_600));
    let hash = sent_transaction(&world).await;
    let mut requests: Vec<_> = requests(&world, &token, &hash)
        .await
        .into_iter()
        .map(Arc::new)
        .collect();
    let (client, stop) = (reqwest::Client::new(), AtomicBool::new(false));
    let storms = async {
        let mut random = StdRng::seed_from_u64(7);
        for _ in 0..ROUNDS {
            requests.shuffle(&mut random);
            for request in &requests {
                storm(world.server.address(), request, &mut random).await;
                observe(&world, &client, &hash).await;
            }
        }
        stop.store(true, Ordering::SeqCst);
    };
    let mining = async {
        while !stop.load(Ordering::SeqCst) {
            world.control.mine(1).await.unwrap();
        }
    };
    tokio::join!(storms, mining);

    let database = sqlx::PgPool::connect(&world.database).await.unwrap();
    eventually("no database connection is in a transaction", async || {
        // Twice: a block's commit is a short transaction, and no other transaction may exist.
        let old: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
             AND (state LIKE 'idle in transaction%' OR xact_start < now() - interval '20 seconds')",
        )
        .fetch_one(&database)
        .await
        .unwrap();
        (old == 0).then_some(())
    })
    .await;
    for gone in [
        "chaincast_gateway_sessions",
        "chaincast_gateway_subscriptions",
    ] {
        eventually(gone, async || {
            (total(&world, gone).await? == 0.0).then_some(())
        })
        .await;
    }
    // No transaction had to be rolled back by the pool: none was left open.
    let left = total(&world, "chaincast_store_left_transactions_total").await;
    assert_eq!(left, Some(0.0));
    // Readers, permits and the writer keep working.
    world.control.mine(1).await.unwrap();
    world.caught_up().await;
    let mut ws = world.ws().await;
    assert_eq!(ws.request("ping", Value::Null).await["event"], "pong");
    world.server.stop().await;
}
