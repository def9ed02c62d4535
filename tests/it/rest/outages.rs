//! An unreachable database or node, as REST reports it.

use chaincast_api::ApiConfig;
use chaincast_dev::PrivatePostgres;

use super::{Answer, Api};
use crate::support::TempDir;

#[tokio::test]
async fn unreachable_database_is_a_problem_without_details() {
    let dir = TempDir::new("rest-outage");
    let postgres = PrivatePostgres::start(dir.path()).await.unwrap();
    let filled = Api::with_config(postgres.url(), ApiConfig::default()).await;
    filled.chain(3, 1).await;
    filled.sql("INSERT INTO chains (chain_id, genesis_hash, start_block, head_number, head_hash, node_head, node_seen_at)
             SELECT 10, genesis_hash, 0, 5, head_hash, 5, now() FROM chains")
        .await;
    assert_eq!(filled.probe("/readyz").await.json()["ready"], true);
    let api = Api::with_short_timeout(postgres.url()).await;
    postgres.stop().await.unwrap();
    for path in [
        "/api/v1/status",
        "/api/v1/blocks",
        "/api/v1/blocks/latest",
        "/api/v1/tokens",
        "/api/v1/prices/ETH",
        "/api/v1/channels/new-block/updates",
    ] {
        let problem = api.expect_problem(path, 503, "UNAVAILABLE").await;
        assert!(!problem.to_string().contains("sqlx"), "{problem}");
    }
    let Answer { status, text, .. } = api.send(axum::http::Method::GET, "/readyz").await;
    assert_eq!(status, 503);
    assert!(
        text.contains("\"ready\":false") && text.contains("\"name\":\"database\",\"ok\":false"),
        "{text}"
    );
    assert_eq!(api.get("/healthz").await["alive"], true);
}

#[tokio::test]
async fn chain_without_head_or_lagging_is_not_ready() {
    let api = Api::start().await;
    let answer = api.probe("/readyz").await;
    assert_eq!(answer.status, 503);
    assert!(
        answer.text.contains("no block is indexed yet"),
        "{}",
        answer.text
    );
    api.chain(3, 1).await;
    api.sql("INSERT INTO chains (chain_id, genesis_hash, start_block, head_number, head_hash, node_head, node_seen_at)
             SELECT 10, genesis_hash, 0, 5, head_hash, 500, now() FROM chains")
        .await;
    // One chain is served, so the service is ready; the other chain's problem is reported.
    let answer = api.probe("/readyz").await.json();
    let checks = answer["checks"].clone();
    assert_eq!(answer["ready"], true, "{checks}");
    assert_eq!(checks[1]["ok"], true, "{checks}");
    assert_eq!(checks[2]["name"], "chain:10");
    assert_eq!(checks[2]["ok"], false, "{checks}");
    let detail = checks[2]["detail"].as_str().unwrap();
    assert!(detail.contains("495 blocks behind"), "{checks}");
    let answer = api.probe("/readyz?chain=10").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["checks"][1]["name"], "chain:10");
}

#[tokio::test]
async fn chain_with_silent_node_is_not_ready() {
    let api = Api::start().await;
    api.chain(3, 1).await;
    api.sql(
        "INSERT INTO chains (chain_id, genesis_hash, start_block, head_number, head_hash)
             SELECT 10, genesis_hash, 0, 3, head_hash FROM chains;
             UPDATE chains SET node_seen_at = now() - interval '4000 s' WHERE chain_id <> 10",
    )
    .await;
    let answer = api.probe("/readyz").await;
    assert_eq!(answer.status, 503);
    let checks = answer.json()["checks"].clone();
    for (at, reason) in [(1, "has not answered for 4"), (2, "has not answered yet")] {
        assert_eq!(checks[at]["ok"], false, "{checks}");
        let detail = checks[at]["detail"].as_str().unwrap();
        assert!(detail.contains(reason), "{checks}");
    }
    let status = api.get("/api/v1/status").await;
    assert!(status["chains"][0]["nodeSeenAt"].is_i64(), "{status}");
    assert_eq!(status["chains"][0]["lagBlocks"], 0);
    for unknown in ["nodeHead", "nodeSeenAt", "lagBlocks"] {
        assert_eq!(
            status["chains"][1].get(unknown),
            Some(&serde_json::Value::Null)
        );
    }
    api.sql("UPDATE chains SET node_head = 3, node_seen_at = now()")
        .await;
    assert_eq!(api.probe("/readyz").await.json()["ready"], true);
}

#[tokio::test]
async fn slow_request_times_out() {
    let url = crate::support::fresh_database().await;
    let config = ApiConfig {
        request_timeout_ms: 200,
        ..ApiConfig::default()
    };
    let api = Api::with_config(&url, config).await;
    let mut held = api.store.pool().begin().await.unwrap();
    sqlx::query("LOCK TABLE tokens")
        .execute(&mut *held)
        .await
        .unwrap();
    let problem = api
        .expect_problem("/api/v1/tokens", 503, "UNAVAILABLE")
        .await;
    assert!(
        problem["detail"].as_str().unwrap().contains("200 ms"),
        "{problem}"
    );
}
