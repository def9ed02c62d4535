//! Rejected requests with their problems, and the headers of every response.

use std::collections::BTreeSet;

use axum::{
    body::Body,
    http::{Method, Request},
};
use chaincast_api::ApiConfig;
use serde_json::Value;
use tower::ServiceExt;

use super::Api;
use crate::support::fresh_database;

#[tokio::test]
async fn unknown_paths_and_methods_are_problems() {
    let api = Api::start().await;
    for path in [
        "/api",
        "/api/",
        "/api/v1",
        "/api/v1/nope",
        "/api/v2/blocks",
        "/api/v1/blocks/1/nope",
    ] {
        api.expect_problem(path, 404, "NOT_FOUND").await;
    }
    let answer = api.send(Method::POST, "/api/v1/blocks").await;
    assert_eq!(answer.status, 405);
    assert_eq!(answer.headers["content-type"], "application/problem+json");
    assert!(answer.headers["allow"].to_str().unwrap().contains("GET"));
    assert_eq!(answer.json()["code"], "METHOD_NOT_ALLOWED");
    let head = api.send(Method::HEAD, "/api/v1/blocks").await;
    assert_eq!((head.status.as_u16(), head.text.as_str()), (200, ""));
}

#[tokio::test]
async fn names_invalid_parameter() {
    let api = Api::start().await;
    for limit in ["0", "1001", "-1", "many", "99999999999"] {
        let problem = api
            .expect_problem(&format!("/api/v1/blocks?limit={limit}"), 400, "BAD_REQUEST")
            .await;
        assert!(
            problem["detail"].as_str().unwrap().contains("limit"),
            "{problem}"
        );
        assert_eq!(problem["parameter"], "limit");
    }
    for (parameter, path) in [
        ("interval", "/api/v1/prices/ETH/candles?interval=2m"),
        ("limit", "/api/v1/blocks?limit=1&limit=2"),
        ("before", "/api/v1/blocks?before=x"),
        ("chain", "/api/v1/blocks?chain=mainnet"),
        ("since", "/api/v1/channels/new-block/updates?since=-1"),
        ("cursor", "/api/v1/blocks?cursor=AAAA"),
        ("cursor", "/api/v1/tokens?cursor=%00"),
    ] {
        let problem = api.expect_problem(path, 400, "BAD_REQUEST").await;
        assert!(
            problem["detail"].as_str().unwrap().contains(parameter),
            "{problem}"
        );
        assert_eq!(problem["parameter"], parameter);
    }
    api.expect_problem("/api/v1/prices/%ff", 400, "BAD_REQUEST")
        .await;
    let long = "9".repeat(5_000);
    let problem = api
        .expect_problem(&format!("/api/v1/blocks/{long}"), 400, "BAD_REQUEST")
        .await;
    assert!(
        problem["detail"].as_str().unwrap().len() < 300,
        "the sent value is quoted in short"
    );
}

/// Every path that can be read without a JWT, with its query parameters and values for its path parameters. The alert
/// tests cover the other paths.
fn paths(api: &Api) -> Vec<(String, Vec<String>)> {
    let description = serde_json::to_value(&api.openapi).unwrap();
    let paths = description["paths"].as_object().unwrap();
    let open = paths.iter().filter(|(_, methods)| {
        methods["get"].is_object() && !methods["get"]["security"].is_array()
    });
    let all = open.map(|(path, methods)| {
        let none = Vec::new();
        let parameters = methods["get"]["parameters"].as_array().unwrap_or(&none);
        let query = parameters.iter().filter(|one| one["in"] == "query");
        let names = query.map(|one| one["name"].as_str().unwrap().to_owned());
        let mut concrete = path.clone();
        for (name, value) in [
            ("{id}", "latest"),
            ("{hash}", &format!("0x{}", "1".repeat(64))),
            ("{address}", &format!("0x{}", "1".repeat(40))),
            ("{token}", "ETH"),
            ("{name}", "usdc"),
            ("{channel}", "new-block"),
        ] {
            concrete = concrete.replace(name, value);
        }
        assert!(!concrete.contains('{'), "{path}");
        (concrete, names.collect())
    });
    all.collect()
}

#[tokio::test]
async fn unknown_parameter_lists_the_known_ones() {
    let api = Api::start().await;
    let paths = paths(&api);
    let resources: Vec<_> = paths
        .iter()
        // Alerts are of users, tested with one, and have no chain parameter.
        .filter(|(path, _)| path.starts_with("/api/v1/") && !path.starts_with("/api/v1/alerts"))
        .collect();
    assert!(resources.len() >= 15, "{resources:?}");
    for (path, names) in resources {
        // `chain` is accepted whether or not the resource uses it.
        assert!(names.contains(&"chain".to_owned()), "{path}: {names:?}");
        let problem = api
            .expect_problem(&format!("{path}?limt=5"), 400, "BAD_REQUEST")
            .await;
        assert_eq!(problem["parameter"], "limt", "{path}");
        let detail = problem["detail"].as_str().unwrap();
        let listed = detail.split_once("known parameters: ").unwrap().1;
        assert_eq!(listed, names.join(", "), "{path}");
    }
    let known = |path: &str, wanted: &[&str]| {
        let (_, names) = paths.iter().find(|(one, _)| one == path).unwrap();
        for name in wanted {
            assert!(names.iter().any(|one| one == name), "{path}: {names:?}");
        }
    };
    known("/api/v1/blocks", &["limit", "before", "after", "cursor"]);
    known("/api/v1/prices/ETH/history", &["from", "to", "limit"]);
    known("/api/v1/prices/ETH/candles", &["interval", "from", "to"]);
    known(
        "/api/v1/contracts/usdc/events",
        &["event", "from_block", "to_block"],
    );
    known("/api/v1/channels/new-block/updates", &["since", "limit"]);
    // A long unknown name is quoted in short, and a valid parameter beside it changes nothing.
    let long = "x".repeat(5_000);
    let problem = api
        .expect_problem(
            &format!("/api/v1/blocks?limit=1&{long}=1"),
            400,
            "BAD_REQUEST",
        )
        .await;
    assert!(problem["detail"].as_str().unwrap().len() < 400, "{problem}");
    api.get("/api/v1/blocks?&limit=1&").await;
}

#[tokio::test]
async fn rejects_tampered_cursor() {
    let api = Api::start().await;
    api.chain(9, 0).await;
    let page = api.get("/api/v1/blocks?limit=3").await;
    let cursor = page["next"].as_str().unwrap();
    let mut tampered = cursor.to_owned().into_bytes();
    tampered[9] = if tampered[9] == b'A' { b'B' } else { b'A' };
    let tampered = String::from_utf8(tampered).unwrap();
    for (bad, rest) in [
        (tampered.as_str(), ""),
        (&cursor[1..], ""),
        (cursor, "&before=5"),
    ] {
        let problem = api
            .expect_problem(
                &format!("/api/v1/blocks?limit=3&cursor={bad}{rest}"),
                400,
                "BAD_REQUEST",
            )
            .await;
        assert_eq!(problem["parameter"], "cursor");
    }
    api.get(&format!("/api/v1/blocks?limit=5&cursor={cursor}"))
        .await;
}

#[tokio::test]
async fn cors_allows_only_configured_origins() {
    let url = fresh_database().await;
    let open = Api::with_config(&url, ApiConfig::default()).await;
    let answer = open.send(Method::GET, "/api/v1/nope").await;
    assert_eq!(
        answer.headers["access-control-allow-origin"], "*",
        "errors are readable too"
    );
    for (origin, allowed) in [
        ("https://app.example", true),
        ("https://other.example", false),
    ] {
        let config = ApiConfig {
            allowed_origins: vec![origin.to_owned()],
            ..ApiConfig::default()
        };
        let answer = Api::with_config(&url, config)
            .await
            .send(Method::GET, "/api/v1/tokens")
            .await;
        assert_eq!(
            answer.headers.contains_key("access-control-allow-origin"),
            allowed,
            "{origin}"
        );
    }
    let preflight = Request::builder()
        .method(Method::OPTIONS)
        .uri("/api/v1/blocks")
        .header("origin", "https://app.example")
        .header("access-control-request-method", "GET")
        .body(Body::empty())
        .unwrap();
    let answer = open.router.clone().oneshot(preflight).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(
        answer.headers()["access-control-allow-methods"]
            .to_str()
            .unwrap()
            .contains("GET")
    );
}

#[tokio::test]
async fn cors_allows_alert_changes_with_a_jwt() {
    let api = Api::start().await;
    for method in ["POST", "DELETE"] {
        let preflight = Request::builder()
            .method(Method::OPTIONS)
            .uri("/api/v1/alerts")
            .header("origin", "https://app.example")
            .header("access-control-request-method", method)
            .header(
                "access-control-request-headers",
                "authorization,idempotency-key",
            )
            .body(Body::empty())
            .unwrap();
        let answer = api.router.clone().oneshot(preflight).await.unwrap();
        let allowed = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        assert!(allowed("access-control-allow-methods").contains(method));
        let headers = allowed("access-control-allow-headers");
        assert!(headers.contains("authorization"), "{headers}");
        assert!(headers.contains("idempotency-key"), "{headers}");
    }
    // With auth off there are no alerts.
    api.expect_problem("/api/v1/alerts", 403, "FORBIDDEN").await;
}

#[tokio::test]
async fn openapi_has_every_path_and_resolves_references() {
    let api = Api::start().await;
    let text = api.openapi.to_json().unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    for path in [
        "/api/v1/status",
        "/api/v1/blocks",
        "/api/v1/blocks/{id}",
        "/api/v1/blocks/{id}/transactions",
        "/api/v1/transactions/{hash}",
        "/api/v1/addresses/{address}/transactions",
        "/api/v1/addresses/{address}/transfers",
        "/api/v1/contracts",
        "/api/v1/contracts/{name}/events",
        "/api/v1/tokens",
        "/api/v1/prices",
        "/api/v1/prices/{token}",
        "/api/v1/prices/{token}/history",
        "/api/v1/prices/{token}/candles",
        "/api/v1/alerts",
        "/api/v1/alerts/{id}",
        "/api/v1/alerts/deliveries",
        "/api/v1/channels/{channel}/updates",
        "/healthz",
        "/readyz",
    ] {
        let operation = &json["paths"][path]["get"];
        assert!(
            operation["summary"].is_string() && operation["responses"]["200"].is_object(),
            "{path}"
        );
    }
    let schemas = json["components"]["schemas"].as_object().unwrap();
    for reference in text.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(
            schemas.contains_key(name),
            "{name} is referenced but not defined"
        );
    }
}

#[tokio::test]
async fn openapi_schemas_are_consistent() {
    let api = Api::start().await;
    let json: Value = serde_json::from_str(&api.openapi.to_json().unwrap()).unwrap();
    let mut seen = 0;
    walk(&json, &json, "#", &mut seen);
    assert!(seen > 5, "defaults were checked");
    let interval = json["paths"]["/api/v1/prices/{token}/candles"]["get"]["parameters"]
        .as_array()
        .unwrap()
        .iter()
        .find(|parameter| parameter["name"] == "interval")
        .unwrap();
    assert_eq!(interval["schema"]["type"], "string");
    assert_eq!(interval["required"], false);
    for value in interval["schema"]["enum"].as_array().unwrap() {
        let path = format!(
            "/api/v1/prices/ETH/candles?interval={}",
            value.as_str().unwrap()
        );
        api.expect_problem(&path, 404, "NOT_FOUND").await;
    }
}

/// Checks that every `allOf` can be satisfied, and that every default is valid in its own schema.
fn walk(root: &Value, node: &Value, at: &str, seen: &mut usize) {
    if let Some(parts) = node["allOf"].as_array() {
        let types: BTreeSet<String> = parts
            .iter()
            .map(|part| resolved(root, part))
            .filter(|part| !part["type"].is_null())
            .map(|part| part["type"].to_string())
            .collect();
        assert!(types.len() < 2, "{at}: {node}");
    }
    // Within `properties` the keys are names, not keywords.
    if !at.ends_with("/properties")
        && let Some(default) = node.get("default")
    {
        *seen += 1;
        let kind = match default {
            Value::String(_) => "string",
            Value::Number(_) => "integer",
            Value::Bool(_) => "boolean",
            _ => panic!("{at}: {node}"),
        };
        let types = node["type"].to_string();
        assert!(types.contains(kind), "{at}: {node}");
        if let Some(values) = node["enum"].as_array() {
            assert!(values.contains(default), "{at}: {node}");
        }
    }
    match node {
        Value::Object(fields) => {
            for (name, value) in fields {
                walk(root, value, &format!("{at}/{name}"), seen);
            }
        }
        Value::Array(items) => {
            for item in items {
                walk(root, item, at, seen);
            }
        }
        _ => {}
    }
}

fn resolved<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(reference) => root.pointer(&reference[1..]).unwrap(),
        None => schema,
    }
}

#[tokio::test]
async fn interactive_page_uses_no_other_origin() {
    let api = Api::start().await;
    let docs = chaincast_api::docs_router(api.openapi.clone());
    let get = |path: &'static str| {
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        docs.clone().oneshot(request)
    };
    let redirect = get("/api-docs").await.unwrap();
    assert!(redirect.status().is_redirection());
    let text = |response: axum::response::Response| async {
        let bytes = axum::body::to_bytes(response.into_body(), 16 << 20)
            .await
            .unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    };
    let page = text(get("/api-docs/").await.unwrap()).await;
    assert!(!page.contains("://"), "{page}");
    assert!(page.contains("<title>chaincast</title>"), "{page}");
    let script = text(get("/api-docs/swagger-initializer.js").await.unwrap()).await;
    assert!(
        script.contains("/api-docs/openapi.json") && script.contains("\"validatorUrl\": \"none\""),
        "{script}"
    );
    assert!(!script.contains("://"), "{script}");
    let description = get("/api-docs/openapi.json").await.unwrap();
    assert_eq!(description.status(), 200);
    assert_eq!(api.get("/healthz").await["alive"], true);
}
