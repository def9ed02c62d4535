//! Tokens, prices, ticks and candles.

use serde_json::Value;

use super::Api;

/// 2026-01-31T12:00:00Z
const NOON: i64 = 1_769_860_800_000;

impl Api {
    /// A price of ETH, announced `seconds` after noon.
    async fn announced(&self, seq: u32, seconds: i64, price: &str, status: &str) {
        self.sql(&format!(
            "INSERT INTO prices SELECT 'ETH', {seq}, {price}, 0.5, '{status}', '{{chainlink}}', at, at
             FROM (SELECT to_timestamp({} + {seconds}) AS at) t",
            NOON / 1_000
        ))
        .await;
    }
}

#[tokio::test]
async fn tokens_are_listed_in_the_order_of_the_configuration_with_their_sources() {
    let api = Api::start().await;
    api.tokens().await;
    let tokens = api.all("/api/v1/tokens?limit=1").await;
    let symbols: Vec<&str> = tokens
        .iter()
        .map(|token| token["symbol"].as_str().unwrap())
        .collect();
    assert_eq!(symbols, ["ETH", "BTC"], "and not what is no longer tracked");
    assert_eq!(tokens[0]["name"], "Ether");
    assert_eq!(tokens[0]["channel"], "price:ETH");
    assert_eq!(tokens[0]["sources"][1]["source"], "uniswap-v2");
    assert_eq!(tokens[1]["sources"], serde_json::json!([]));
}

#[tokio::test]
async fn the_newest_price_has_every_digit_and_its_age() {
    let api = Api::start().await;
    api.tokens().await;
    let problem = api.refused("/api/v1/prices/ETH", 404, "NOT_FOUND").await;
    assert!(
        problem["detail"].as_str().unwrap().contains("no price yet"),
        "{problem}"
    );
    api.sql("INSERT INTO prices VALUES ('ETH', 41, 3400, 0, 'ok', '{chainlink}', now(), now())")
        .await;
    api.sql(
        "INSERT INTO prices VALUES ('ETH', 42, 3456.120000000000000001, 0.42, 'ok', '{chainlink,uniswap-v2}',
             now() - interval '2 s', now())",
    )
    .await;
    api.sql(
        "UPDATE prices SET details = jsonb_build_array(
             jsonb_build_object('source', 'chainlink', 'at', 1000, 'chain', 10, 'block', 7),
             jsonb_build_object('source', 'liar', 'at', 2000, 'outlier', true)) WHERE seq = 42",
    )
    .await;
    let answer = api.ask(axum::http::Method::GET, "/api/v1/prices/eth").await;
    assert!(
        answer.text.contains("\"price\":3456.120000000000000001,"),
        "{}",
        answer.text
    );
    let price = answer.json();
    assert_eq!(price["token"], "ETH");
    assert_eq!(price["seq"], 42);
    assert_eq!(price["channel"], "price:ETH");
    assert_eq!(price["quote"], "USD");
    assert_eq!(price["status"], "ok");
    assert_eq!(
        price["sources"],
        serde_json::json!(["chainlink", "uniswap-v2"])
    );
    assert!(price["ageMs"].as_i64().unwrap() >= 2_000, "{price}");
    let details = &price["details"];
    assert_eq!(details[0]["source"], "chainlink");
    assert_eq!(
        details[0]["block"],
        serde_json::json!({"chainId": 10, "number": 7})
    );
    assert!(details[0]["ageMs"].as_i64().unwrap() > 1_000_000_000_000);
    assert_eq!(details[0]["outlier"], false);
    assert!(details[1]["block"].is_null() && details[1]["outlier"] == true);
    let all = api.all("/api/v1/prices?limit=1").await;
    assert_eq!(all.len(), 1, "BTC has none yet");
    assert_eq!(all[0]["seq"], 42);
    let problem = api.refused("/api/v1/prices/OLD", 404, "NOT_FOUND").await;
    assert!(
        problem["detail"].as_str().unwrap().contains("not tracked"),
        "{problem}"
    );
    assert_eq!(
        api.refused("/api/v1/prices/a%20b", 400, "BAD_REQUEST")
            .await["parameter"],
        "token"
    );
}

#[tokio::test]
async fn a_price_that_nobody_renews_is_stale_even_if_nobody_said_so() {
    let api = Api::start().await;
    api.tokens().await;
    api.sql("INSERT INTO prices VALUES ('ETH', 1, 3400, 0, 'ok', '{chainlink}', now() - interval '2 h', now())").await;
    assert_eq!(api.get("/api/v1/prices/ETH").await["status"], "stale");
}

#[tokio::test]
async fn the_status_tells_how_every_price_source_is() {
    let api = Api::start().await;
    api.tokens().await;
    api.sql("INSERT INTO ticks (token, source, quote, price, observed_at) VALUES ('ETH', 'chainlink', 'USD', 3400.000000000000000001, now())")
        .await;
    api.sql("INSERT INTO price_sources (token, source, quote, max_age_ms) VALUES ('BTC', 'chainlink', 'USD', 1000)").await;
    api.sql("INSERT INTO ticks (token, source, quote, price, observed_at) VALUES ('BTC', 'chainlink', 'USD', 1, now() - interval '1 min')")
        .await;
    let answer = api.ask(axum::http::Method::GET, "/api/v1/status").await;
    assert!(
        answer
            .text
            .contains("\"lastPrice\":3400.000000000000000001"),
        "{}",
        answer.text
    );
    let sources = answer.json()["prices"]["sources"].clone();
    let health: Vec<(&str, &str, &str)> = sources
        .as_array()
        .unwrap()
        .iter()
        .map(|source| {
            let text = |key: &str| source[key].as_str().unwrap();
            (text("token"), text("source"), text("health"))
        })
        .collect();
    assert_eq!(
        health,
        [
            ("ETH", "chainlink", "ok"),
            ("ETH", "uniswap-v2", "silent"),
            ("BTC", "chainlink", "stale")
        ]
    );
    assert!(sources[1]["lastTickAt"].is_null() && sources[1]["lastPrice"].is_null());
    assert!(sources[0]["feed"].is_null());

    // A venue may refuse a source that gave a tick a moment ago.
    api.sql(
        "UPDATE price_sources SET state = 'refused', state_reason = 'delisted', state_since = to_timestamp(1)
         WHERE token = 'ETH' AND source = 'chainlink'",
    )
    .await;
    let status = api.get("/api/v1/status").await;
    let source = &status["prices"]["sources"][0];
    assert_eq!(source["health"], "refused");
    let feed = serde_json::json!({"state": "refused", "reason": "delisted", "since": 1_000});
    assert_eq!(source["feed"], feed);
}

#[tokio::test]
async fn history_pages_ticks_newest_first_within_its_range() {
    let api = Api::start().await;
    api.tokens().await;
    // Two ticks share each second: the place between them must not be lost.
    api.sql(&format!(
        "INSERT INTO ticks (token, source, quote, price, observed_at)
         SELECT 'ETH', 'chainlink', 'USD', n + 1, to_timestamp({} + n / 2) FROM generate_series(0, 9) n",
        NOON / 1_000
    ))
    .await;
    let prices = |ticks: &[Value]| {
        ticks
            .iter()
            .map(|tick| tick["price"].as_u64().unwrap())
            .collect::<Vec<_>>()
    };
    let all = api.all("/api/v1/prices/ETH/history?limit=3").await;
    assert_eq!(prices(&all), (1..=10).rev().collect::<Vec<_>>());
    assert_eq!(all[9]["timestamp"], NOON);
    assert!(all[0]["origin"].is_null());
    let path = format!(
        "/api/v1/prices/ETH/history?limit=1&from=2026-01-31T12:00:01Z&to={}",
        NOON + 3_000
    );
    assert_eq!(
        prices(&api.all(&path).await),
        [6, 5, 4, 3],
        "from is included, to is not"
    );
    let bad = api
        .refused("/api/v1/prices/ETH/history?from=noon", 400, "BAD_REQUEST")
        .await;
    assert_eq!(bad["parameter"], "from");
    api.refused("/api/v1/prices/NOPE/history", 404, "NOT_FOUND")
        .await;
}

#[tokio::test]
async fn candles_are_aligned_exact_and_without_stale_prices() {
    let api = Api::start().await;
    api.tokens().await;
    api.announced(1, 0, "100.000000000000000001", "ok").await;
    api.announced(2, 30, "105", "degraded").await;
    api.announced(3, 40, "999", "stale").await;
    api.announced(4, 59, "99.5", "ok").await;
    api.announced(5, 60, "101", "ok").await;
    api.announced(6, 3_600, "102", "ok").await;
    let range = "from=2026-01-31T12:00:30Z&to=2026-01-31T13:00:30Z";
    let answer = api
        .ask(
            axum::http::Method::GET,
            &format!("/api/v1/prices/ETH/candles?interval=1m&{range}"),
        )
        .await;
    let first = format!(
        "{{\"timestamp\":{NOON},\"open\":100.000000000000000001,\"high\":105,\"low\":99.5,\"close\":99.5,\"count\":3}}"
    );
    assert!(answer.text.contains(&first), "{}", answer.text);
    let starts = |candles: &[Value]| {
        candles
            .iter()
            .map(|c| c["timestamp"].as_i64().unwrap() - NOON)
            .collect::<Vec<_>>()
    };
    // An hour lies between the second and the third: a page spans less, and the next begins where there is something.
    let candles = api
        .all(&format!(
            "/api/v1/prices/ETH/candles?interval=1m&limit=2&{range}"
        ))
        .await;
    assert_eq!(starts(&candles), [0, 60_000, 3_600_000]);
    let hours = api
        .all(&format!("/api/v1/prices/ETH/candles?interval=1h&{range}"))
        .await;
    assert_eq!(starts(&hours), [0, 3_600_000]);
    assert_eq!(hours[0]["count"], 4);
    let four = api
        .all(&format!("/api/v1/prices/ETH/candles?interval=4h&{range}"))
        .await;
    assert_eq!(starts(&four), [0]);
    let days = api
        .all(&format!("/api/v1/prices/ETH/candles?interval=1d&{range}"))
        .await;
    assert_eq!(
        starts(&days),
        [-12 * 3_600_000],
        "days begin at midnight UTC"
    );
    assert_eq!(days[0]["open"].as_f64(), Some(100.0));
    assert_eq!(days[0]["close"], 102);

    let bad = api
        .refused("/api/v1/prices/ETH/candles?interval=2m", 400, "BAD_REQUEST")
        .await;
    assert!(
        bad["detail"].as_str().unwrap().contains("interval"),
        "{bad}"
    );
    let now = api.get("/api/v1/prices/ETH/candles").await;
    assert_eq!(
        now["data"],
        serde_json::json!([]),
        "by default the newest minutes"
    );
}
