//! The API's router over its own database, without a socket, and helpers that insert rows.

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Method, Request, StatusCode},
};
use chaincast_api::{ApiConfig, ApiState};
use chaincast_base::Secret;
use chaincast_http::client::{OriginPolicy, Site};
use chaincast_protocol::ChainLimits;
use chaincast_store::{Store, StoreConfig};
use serde_json::Value;
use tower::ServiceExt;
use utoipa::openapi::OpenApi;

use crate::support::{eventually, fresh_database};

pub const CHAIN: u64 = 31_337;
pub const OTHER_CHAIN: u64 = 10;

pub struct Api {
    pub store: Store,
    pub router: Router,
    pub openapi: OpenApi,
}

/// The router's response.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }
}

impl Api {
    pub async fn start() -> Self {
        Self::with_config(&fresh_database().await, ApiConfig::default()).await
    }

    pub async fn with_config(url: &str, config: ApiConfig) -> Self {
        Self::with_acquire_timeout(url, config, 10_000).await
    }

    /// An API that gives up on an unreachable database quickly.
    pub async fn with_short_timeout(url: &str) -> Self {
        Self::with_acquire_timeout(url, ApiConfig::default(), 1_000).await
    }

    async fn with_acquire_timeout(url: &str, config: ApiConfig, acquire_timeout_ms: u64) -> Self {
        let store = StoreConfig {
            url: Secret::new(url),
            acquire_timeout_ms,
            ..StoreConfig::default()
        };
        let store = eventually("a connection", async || Store::connect(&store).await.ok()).await;
        let limits = [CHAIN, OTHER_CHAIN].map(|chain_id| ChainLimits {
            chain_id,
            down_after_ms: 60_000,
            lagging_blocks: 10,
            head_age_ms: 0,
        });
        let origins = OriginPolicy::new(&config.allowed_origins, Site::default()).unwrap();
        let state = ApiState::new(store.clone(), config, vec![CHAIN, OTHER_CHAIN], origins)
            .with_chain_limits(limits.to_vec());
        let (router, openapi) = chaincast_api::router(state);
        Self {
            store,
            router,
            openapi,
        }
    }

    pub async fn send(&self, method: Method, path: &str) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("origin", "https://app.example")
            .body(Body::empty())
            .unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, 64 << 20).await.unwrap();
        Answer {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    }

    /// The response to a probe, once the database answers within a probe's time limit: on a busy machine it may not.
    pub async fn probe(&self, path: &str) -> Answer {
        eventually("the database answers a probe", async || {
            let answer = self.send(Method::GET, path).await;
            let in_time = !answer.text.contains("the database did not answer within");
            in_time.then_some(answer)
        })
        .await
    }

    /// GET of an existing resource.
    pub async fn get(&self, path: &str) -> Value {
        let answer = self.send(Method::GET, path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        answer.json()
    }

    /// GET that must be rejected with this status and code.
    pub async fn expect_problem(&self, path: &str, status: u16, code: &str) -> Value {
        let answer = self.send(Method::GET, path).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text);
        assert_eq!(answer.headers["content-type"], "application/problem+json");
        let problem = answer.json();
        assert_eq!(problem["status"], status);
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["type"], "about:blank");
        assert!(
            problem["title"].is_string() && problem["detail"].is_string(),
            "{problem}"
        );
        problem
    }

    /// All items of a list, page by page.
    pub async fn all(&self, path: &str) -> Vec<Value> {
        let mut items = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = self.get(&format!("{path}{cursor}")).await;
            items.extend(page["data"].as_array().unwrap().iter().cloned());
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return items,
            }
        }
    }

    pub async fn sql(&self, statements: &str) {
        sqlx::raw_sql(statements)
            .execute(self.store.pool())
            .await
            .unwrap();
    }

    /// Blocks `0..=head` of `CHAIN`, each with one transaction that sends a token from 0xaa… to 0xbb… and has two logs.
    /// The hash of every block is 0x01 followed by its number.
    pub async fn chain(&self, head: u64, finalized: u64) {
        self.sql(&format!(
            "INSERT INTO chains (chain_id, genesis_hash, start_block) VALUES ({CHAIN}, {}, 0)",
            hash("01", "0")
        ))
        .await;
        self.blocks(0, head).await;
        self.sql(&format!(
            "UPDATE chains SET safe_number = {finalized}, finalized_number = {finalized}, finalized_hash = {},
             node_head = {head}, node_seen_at = now() WHERE chain_id = {CHAIN}",
            hash("01", &finalized.to_string())
        ))
        .await;
    }

    /// Drops the blocks above a height with everything in them.
    pub async fn drop_above(&self, number: u64) {
        self.sql(&format!(
            "DELETE FROM transfers WHERE block_number > {number}; DELETE FROM logs WHERE block_number > {number};
             DELETE FROM transactions WHERE block_number > {number}; DELETE FROM blocks WHERE number > {number}"
        ))
        .await;
    }

    /// Appends more blocks.
    pub async fn blocks(&self, from: u64, to: u64) {
        let (block, parent, transaction) = (hash("01", "n"), hash("01", "n - 1"), hash("02", "n"));
        let (sender, receiver) = (address("aa"), address("bb"));
        self.sql(&format!(
            "INSERT INTO blocks (chain_id, number, hash, parent_hash, timestamp, miner, gas_used, gas_limit,
                 base_fee_per_gas, difficulty, state_root, transactions_root, receipts_root, extra_data,
                 transaction_count, log_count)
             SELECT {CHAIN}, n, {block}, {parent}, 1700000000 + n, {receiver}, 21000, 30000000, 7, 0,
                    {block}, {block}, {block}, '\\x', 1, 2 FROM generate_series({from}, {to}) n;
             INSERT INTO transactions (chain_id, block_number, transaction_index, hash, from_address, to_address, value,
                 nonce, input, type, gas_limit, status, gas_used, cumulative_gas_used, effective_gas_price)
             SELECT {CHAIN}, n, 0, {transaction}, {sender}, {receiver}, power(2::numeric, 256) - 1, n, '\\xa9059cbb', 2,
                    50000, n % 2, 21000, 21000, 1000000000 FROM generate_series({from}, {to}) n;
             INSERT INTO logs (chain_id, block_number, log_index, transaction_index, address, topic0, data)
             SELECT {CHAIN}, n, i, 0, {receiver}, {block}, '\\x01' FROM generate_series({from}, {to}) n, generate_series(0, 1) i;
             INSERT INTO transfers (chain_id, block_number, log_index, transaction_index, token_address, from_address,
                 to_address, amount)
             SELECT {CHAIN}, n, 0, 0, {receiver}, {sender}, CASE WHEN n % 2 = 0 THEN {receiver} ELSE {sender} END, n
             FROM generate_series({from}, {to}) n;
             UPDATE chains SET head_number = {to}, head_hash = {}, node_head = {to} WHERE chain_id = {CHAIN};",
            hash("01", &to.to_string())
        ))
        .await;
    }

    /// Tracks ETH and BTC; ETH has a feed and a pair as sources.
    pub async fn tokens(&self) {
        self.sql(
            "INSERT INTO tokens (symbol, name, position) VALUES ('ETH', 'Ether', 0), ('BTC', 'Bitcoin', 1);
             INSERT INTO tokens (symbol, name) VALUES ('OLD', 'No longer tracked');
             INSERT INTO price_sources (token, source, quote, max_age_ms) VALUES
                 ('ETH', 'chainlink', 'USD', 3600000), ('ETH', 'uniswap-v2', 'USD', 3600000);",
        )
        .await;
    }

    /// Stores updates of a channel, with seqs from 1.
    pub async fn updates(&self, channel: &str, event: &str, data: &[&str]) {
        for (at, data) in data.iter().enumerate() {
            sqlx::query(
                "WITH c AS (INSERT INTO channels AS c (name, seq) VALUES ($1, $2)
                            ON CONFLICT (name) DO UPDATE SET seq = excluded.seq RETURNING id)
                 INSERT INTO updates (channel_id, seq, event, data) SELECT id, $2, $3, $4::json FROM c",
            )
            .bind(channel)
            .bind(at as i64 + 1)
            .bind(event)
            .bind(data)
            .execute(self.store.pool())
            .await
            .unwrap();
        }
    }
}

/// SQL of a 32-byte value: one byte, then a number.
fn hash(first: &str, number: &str) -> String {
    format!("decode('{first}' || lpad(to_hex(({number})::bigint), 62, '0'), 'hex')")
}

/// SQL of an address of one byte repeated.
fn address(byte: &str) -> String {
    format!("decode(repeat('{byte}', 20), 'hex')")
}

/// The hash of block `number`.
pub fn block_hash(number: u64) -> String {
    format!("0x01{number:062x}")
}

/// The hash of the transaction in block `number`.
pub fn transaction_hash(number: u64) -> String {
    format!("0x02{number:062x}")
}
