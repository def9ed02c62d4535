//! The database password is changed while indexer and gateway run: each retries, logs it once, and continues when the
//! old password is valid again.

use std::path::Path;

use chaincast_dev::PrivatePostgres;
use serde_json::json;
use sqlx::{Connection, PgConnection};

use crate::{
    processes::gateway_beside,
    support::{Server, TempDir, World, WsClient, eventually},
};

const REFUSAL: &str = "password authentication failed for user \"keeper\"";

async fn run(admin: &mut PgConnection, statement: &str) {
    sqlx::raw_sql(statement).execute(admin).await.unwrap();
}

/// A server that requires a password of the role `keeper`, with a database of that name and its log in `DATA/log`.
async fn start_with_password(dir: &Path) -> (PrivatePostgres, PgConnection, String) {
    let settings = ["logging_collector=on", "log_directory=log"];
    let postgres = PrivatePostgres::start_with(dir, &settings).await.unwrap();
    let database = postgres.create_database("keeper").await.unwrap();
    let mut admin = PgConnection::connect(postgres.url()).await.unwrap();
    run(&mut admin, "CREATE ROLE keeper LOGIN PASSWORD 'first'").await;
    run(&mut admin, "ALTER DATABASE keeper OWNER TO keeper").await;
    let hba: String = sqlx::query_scalar("SELECT current_setting('hba_file')")
        .fetch_one(&mut admin)
        .await
        .unwrap();
    let rules = std::fs::read_to_string(&hba).unwrap();
    std::fs::write(&hba, format!("local keeper keeper scram-sha-256\n{rules}")).unwrap();
    run(&mut admin, "SELECT pg_reload_conf()").await;
    let url = database.replacen("postgres@", "keeper:first@", 1);
    eventually("a password is needed", async || {
        let without = url.replace(":first", "");
        PgConnection::connect(&without).await.err().map(|_| ())
    })
    .await;
    (postgres, admin, url)
}

/// The number of rejected passwords, from the server's own log.
async fn count_rejections(postgres: &PrivatePostgres) -> Option<usize> {
    let mut admin = PgConnection::connect(postgres.url()).await.ok()?;
    let file: String = sqlx::query_scalar(
        "SELECT current_setting('data_directory') || '/' || pg_current_logfile()",
    )
    .fetch_one(&mut admin)
    .await
    .ok()?;
    Some(std::fs::read_to_string(file).ok()?.matches(REFUSAL).count())
}

async fn readiness(server: &Server) -> Option<u16> {
    let answer = reqwest::get(format!("{}/readyz", server.url()))
        .await
        .ok()?;
    Some(answer.status().as_u16())
}

/// A client that follows blocks, and the last seq it received.
async fn follower(server: &Server) -> (WsClient, u64) {
    let mut ws = WsClient::connect(&server.realtime()).await;
    let at = ws
        .subscribe(json!({ "channel": "new-block", "snapshot": false }))
        .await;
    (ws, at["seq"].as_u64().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn indexer_and_gateway_survive_a_rotated_password() {
    let dir = TempDir::new("rotated");
    let (postgres, mut admin, url) = start_with_password(dir.path()).await;
    let world = World::on(&url).await;
    let gateway = gateway_beside(&world, "kind = \"memory\"\npoll_interval_ms = 50").await;
    let mut followers = Vec::new();
    for server in [&world.server, &gateway] {
        eventually("it is ready", async || {
            (readiness(server).await? == 200).then_some(())
        })
        .await;
        followers.push(follower(server).await);
    }

    run(&mut admin, "ALTER ROLE keeper PASSWORD 'second'").await;
    run(
        &mut admin,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'keeper'",
    )
    .await;
    world.control.mine(2).await.unwrap();
    for server in [&world.server, &gateway] {
        eventually("it is not ready", async || {
            (readiness(server).await? == 503).then_some(())
        })
        .await;
    }
    let waits = [
        (&world.server, "indexing is paused by a database failure"),
        (
            &world.server,
            "the price writer is paused by a database failure",
        ),
        (&gateway, "cannot read updates"),
    ];
    for (server, line) in waits {
        eventually(line, async || server.output().contains(line).then_some(())).await;
    }
    let before = count_rejections(&postgres).await.unwrap();
    eventually("each retried several times", async || {
        (count_rejections(&postgres).await? > before + 20).then_some(())
    })
    .await;

    run(&mut admin, "ALTER ROLE keeper PASSWORD 'first'").await;
    for ((ws, seen), server) in followers.iter_mut().zip([&world.server, &gateway]) {
        for _ in 0..2 {
            *seen += 1;
            assert_eq!(ws.event("new-block").await["seq"], *seen);
        }
        eventually("it is ready again", async || {
            (readiness(server).await? == 200).then_some(())
        })
        .await;
    }
    world.caught_up().await;
    // One line for each process; another, for the ended connections, may precede it.
    for (server, line) in waits {
        let output = server.output();
        let of_password = |one: &&str| one.contains(line) && one.contains("password");
        let lines: Vec<&str> = output.lines().filter(of_password).collect();
        assert_eq!(lines.len(), 1, "{output}");
        assert!(lines[0].contains("user \"keeper\""), "{}", lines[0]);
    }
    for server in [&world.server, &gateway] {
        let output = server.output();
        let unready = output
            .matches("not ready: cannot read the database")
            .count();
        assert_eq!(unready, 1, "{output}");
    }
    let output = world.server.output();
    assert_eq!(
        output.matches("as the chain's only writer").count(),
        1,
        "{output}"
    );
    gateway.stop().await;
    world.server.stop().await;
    postgres.stop().await.unwrap();
}
