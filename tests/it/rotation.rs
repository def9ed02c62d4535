//! A password of the database that is changed while indexer and gateway run: each waits, says so once, and goes on when the
//! old one is valid again.

use std::path::Path;

use chaincast::dev::PrivatePostgres;
use serde_json::json;
use sqlx::{Connection, PgConnection};

use crate::{
    processes::gateway_beside,
    support::{Server, Temporary, World, WsClient, eventually},
};

const REFUSAL: &str = "password authentication failed for user \"keeper\"";

async fn run(admin: &mut PgConnection, statement: &str) {
    sqlx::raw_sql(statement).execute(admin).await.unwrap();
}

/// A server that asks the role `keeper` for its password, in the database of that name; with a log in `DATA/log`.
async fn guarded(dir: &Path) -> (PrivatePostgres, PgConnection, String) {
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

/// How often the server refused the password, by its own log.
async fn refusals(postgres: &PrivatePostgres) -> Option<usize> {
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

/// A client that follows blocks, and the seq that it saw last.
async fn follower(server: &Server) -> (WsClient, u64) {
    let mut ws = WsClient::connect(&server.realtime()).await;
    let at = ws
        .subscribe(json!({ "channel": "new-block", "snapshot": false }))
        .await;
    (ws, at["seq"].as_u64().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn indexer_and_gateway_wait_out_a_rotated_password() {
    let dir = Temporary::new("rotated");
    let (postgres, mut admin, url) = guarded(dir.path()).await;
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
        (&world.server, "indexing waits for the database"),
        (&world.server, "the price writer waits for the database"),
        (&gateway, "updates cannot be read"),
    ];
    for (server, line) in waits {
        eventually(line, async || server.said().contains(line).then_some(())).await;
    }
    let before = refusals(&postgres).await.unwrap();
    eventually("each tried again several times", async || {
        (refusals(&postgres).await? > before + 20).then_some(())
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
    // A line for each; another one, of the sessions that were ended, may be before it.
    for (server, line) in waits {
        let said = server.said();
        let of_password = |one: &&str| one.contains(line) && one.contains("password");
        let lines: Vec<&str> = said.lines().filter(of_password).collect();
        assert_eq!(lines.len(), 1, "{said}");
        assert!(lines[0].contains("user \"keeper\""), "{}", lines[0]);
    }
    for server in [&world.server, &gateway] {
        let said = server.said();
        let unready = said
            .matches("not ready: the database cannot be read")
            .count();
        assert_eq!(unready, 1, "{said}");
    }
    let said = world.server.said();
    assert_eq!(
        said.matches("as the chain's only writer").count(),
        1,
        "{said}"
    );
    gateway.stop().await;
    world.server.stop().await;
    postgres.stop().await.unwrap();
}
