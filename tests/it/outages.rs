//! Dependencies that become unreachable during operation, and recover.

use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use chaincast_dev::Anvil;

use crate::support::{World, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn catches_up_after_a_node_outage() {
    let mut world = World::with_persistent_chain("[api]\nready_silence_ms = 5000").await;
    let url = world.url("/readyz");
    let ready = async || {
        let response = reqwest::get(&url).await.ok()?;
        Some((response.status().as_u16(), response.text().await.ok()?))
    };
    eventually("it is ready", || async {
        ready().await.filter(|(status, _)| *status == 200)
    })
    .await;
    let port = world.anvil.port();
    world.control.mine(1).await.unwrap();
    world.anvil.stop().await.unwrap();
    eventually("the outage is logged", || async {
        world.server.output().contains("127.0.0.1").then_some(())
    })
    .await;
    let not_ready = eventually("it is not ready", || async {
        ready().await.filter(|(status, _)| *status == 503)
    })
    .await;
    assert!(
        not_ready.1.contains("the node has not answered for"),
        "{not_ready:?}"
    );
    world.anvil = Anvil::start(&World::persistent_anvil(&world.dir, port))
        .await
        .unwrap();
    world.control.mine(3).await.unwrap();
    world.caught_up().await;
    eventually("it is ready again", || async {
        ready().await.filter(|(status, _)| *status == 200)
    })
    .await;
    world.server.stop().await;
    world.anvil.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_database_connections_lose_nothing() {
    let world = World::start().await;
    let mut ws = world.ws().await;
    let at = ws
        .subscribe(json!({ "channel": "new-block", "snapshot": false }))
        .await;
    let mut last = at["seq"].as_u64().unwrap();
    for _ in 0..3 {
        let mut database = world.database().await;
        sqlx::query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .execute(&mut database)
        .await
        .unwrap();
        world.control.mine(2).await.unwrap();
        for _ in 0..2 {
            let block = ws.event("new-block").await;
            assert_eq!(block["seq"].as_u64().unwrap(), last + 1);
            last += 1;
        }
    }
    world.caught_up().await;
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_reports_unreachable_database() {
    let world = World::start().await;
    assert_eq!(
        reqwest::get(world.url("/healthz")).await.unwrap().status(),
        200
    );
    eventually("it is ready", || async {
        (reqwest::get(world.url("/readyz")).await.ok()?.status() == 200).then_some(())
    })
    .await;
    // From another database: connections to a database cannot be disallowed from within it.
    let name = world
        .database
        .rsplit('/')
        .next()
        .unwrap()
        .split('?')
        .next()
        .unwrap()
        .to_owned();
    let mut admin = PgConnection::connect(&world.database.replace(&name, "postgres"))
        .await
        .unwrap();
    allow_connections(&mut admin, &name, false).await;
    sqlx::query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1")
        .bind(&name)
        .execute(&mut admin)
        .await
        .unwrap();
    let body: Value = eventually("it is not ready", || async {
        let response = reqwest::get(world.url("/readyz")).await.ok()?;
        (response.status() == 503)
            .then_some(response)?
            .json()
            .await
            .ok()
    })
    .await;
    assert!(body.to_string().contains("database"), "{body}");
    let response = reqwest::get(world.url("/api/v1/blocks")).await.unwrap();
    assert_eq!(response.status(), 503);
    assert_eq!(
        response.headers()["content-type"],
        "application/problem+json"
    );
    sqlx::query(&format!(
        "ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true"
    ))
    .execute(&mut admin)
    .await
    .unwrap();
    eventually("it is ready again", || async {
        (reqwest::get(world.url("/readyz")).await.ok()?.status() == 200).then_some(())
    })
    .await;
    world.control.mine(1).await.unwrap();
    world.caught_up().await;
    world.server.stop().await;
}

async fn allow_connections(admin: &mut PgConnection, name: &str, allow: bool) {
    let statement = format!("ALTER DATABASE {name} WITH ALLOW_CONNECTIONS {allow}");
    sqlx::query(&statement).execute(admin).await.unwrap();
}
