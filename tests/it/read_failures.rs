//! A separate gateway process whose database reads fail in the ways an administrator can cause: its sessions stay open,
//! it logs each outage once, and then it delivers the missed updates, each seq once.

use serde_json::{Value, json};
use sqlx::PgConnection;

use crate::{
    processes::wait_for_subscribers,
    support::{Redis, Server, World, WsClient, eventually},
};

const FAILS: &str = "cannot read updates";
const WORKS: &str = "reading updates again";

/// A world that writes, a separate gateway with its own database role, and a client of that gateway.
struct SeparateGateway {
    world: World,
    server: Server,
    admin: PgConnection,
    role: String,
    ws: WsClient,
    seen: u64,
    outages: usize,
}

impl SeparateGateway {
    async fn start(world: World, bus: &str) -> Self {
        let mut admin = world.database().await;
        let name: String = sqlx::query_scalar("SELECT current_database()::text")
            .fetch_one(&mut admin)
            .await
            .unwrap();
        let role = format!("reader_{name}");
        for statement in [
            format!("CREATE ROLE {role} LOGIN"),
            format!("GRANT pg_read_all_data, pg_write_all_data TO {role}"),
        ] {
            sqlx::raw_sql(&statement).execute(&mut admin).await.unwrap();
        }
        let text = std::fs::read_to_string(&world.config).unwrap();
        let text = text.replace("postgres@", &format!("{role}@"));
        let mut table: toml::Table = toml::from_str(&text).unwrap();
        let database = table["database"].as_table_mut().unwrap();
        database.insert("auto_migrate".into(), false.into());
        database.insert("acquire_timeout_ms".into(), 1_000.into());
        database.insert("statement_timeout_ms".into(), 1_000.into());
        let bus: toml::Table = toml::from_str(bus).unwrap();
        table.insert("bus".into(), bus.into());
        let file = world.dir.path().join("reader.toml");
        std::fs::write(&file, table.to_string()).unwrap();
        let file = file.to_str().unwrap();
        let server = Server::start(&["serve", "--role", "gateway", "--config", file]).await;
        let mut ws = WsClient::connect(&server.realtime()).await;
        let at = ws
            .subscribe(json!({ "channel": "new-block", "snapshot": false }))
            .await;
        Self {
            world,
            server,
            admin,
            role,
            ws,
            seen: at["seq"].as_u64().unwrap(),
            outages: 0,
        }
    }

    async fn run(&mut self, statement: &str) {
        let statement = statement.replace("READER", &self.role);
        sqlx::raw_sql(&statement)
            .execute(&mut self.admin)
            .await
            .unwrap();
    }

    async fn end_sessions(&mut self) {
        self.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'READER'")
            .await;
    }

    /// Expects the next blocks in commit order.
    async fn expect_blocks(&mut self, blocks: u64) {
        for _ in 0..blocks {
            self.seen += 1;
            assert_eq!(self.ws.event("new-block").await["seq"], self.seen);
        }
    }

    fn count_lines(&self, what: &str) -> usize {
        self.server.output().matches(what).count()
    }

    /// From `begin` to `end` the database rejects reads. With `reconnects` the change applies only to new database
    /// connections, so existing ones are ended.
    async fn survive_outage(&mut self, begin: &str, end: &str, reconnects: bool) {
        self.outages += 1;
        self.run(begin).await;
        if reconnects {
            self.end_sessions().await;
        }
        self.world.control.mine(2).await.unwrap();
        eventually(&format!("the effect of {begin} is logged"), async || {
            (self.count_lines(FAILS) == self.outages).then_some(())
        })
        .await;
        assert_eq!(self.ws.request("ping", Value::Null).await["event"], "pong");
        // New connections work from here on, so none is ended: that would be one more outage.
        self.run(end).await;
        self.expect_blocks(2).await;
        eventually("the end of the outage is logged", async || {
            (self.count_lines(WORKS) == self.outages).then_some(())
        })
        .await;
        assert_eq!(
            self.count_lines(FAILS),
            self.outages,
            "{}",
            self.server.output()
        );
    }

    /// One case for each SQLSTATE class: 28, 53, 42, 57 and 55.
    async fn survive_refused_connections(&mut self) {
        self.survive_outage("ALTER ROLE READER NOLOGIN", "ALTER ROLE READER LOGIN", true)
            .await;
        let no_room = "ALTER ROLE READER CONNECTION LIMIT 0";
        self.survive_outage(no_room, "ALTER ROLE READER CONNECTION LIMIT -1", true)
            .await;
        let revoked = "REVOKE pg_read_all_data FROM READER";
        self.survive_outage(revoked, "GRANT pg_read_all_data TO READER", false)
            .await;
    }

    /// A table is locked: reads end by their time limit, or immediately by `lock_timeout`.
    async fn survive_table_locks(&mut self) {
        let lock = "BEGIN; LOCK TABLE channels IN ACCESS EXCLUSIVE MODE";
        self.survive_table_lock(lock).await;
        self.run("ALTER ROLE READER SET lock_timeout = '100ms'")
            .await;
        self.end_sessions().await;
        self.survive_table_lock(lock).await;
        self.run("ALTER ROLE READER RESET lock_timeout").await;
    }

    async fn survive_table_lock(&mut self, lock: &str) {
        self.outages += 1;
        self.run(lock).await;
        self.world.control.mine(2).await.unwrap();
        eventually("the lock is logged", async || {
            (self.count_lines(FAILS) == self.outages).then_some(())
        })
        .await;
        self.run("ROLLBACK").await;
        self.expect_blocks(2).await;
        eventually("the end of the outage is logged", async || {
            (self.count_lines(WORKS) == self.outages).then_some(())
        })
        .await;
    }

    async fn stop(self) {
        self.server.stop().await;
        self.world.server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn polling_gateway_survives_refused_reads() {
    let bus = "kind = \"memory\"\npoll_interval_ms = 50";
    let mut gateway = SeparateGateway::start(World::start().await, bus).await;
    gateway.survive_refused_connections().await;
    gateway.survive_table_locks().await;
    // The gateway only reads.
    gateway
        .run("ALTER ROLE READER SET default_transaction_read_only = on")
        .await;
    gateway.end_sessions().await;
    gateway.world.control.mine(2).await.unwrap();
    gateway.expect_blocks(2).await;
    gateway.stop().await;
}

fn redis_bus(redis: &Redis, key: &str) -> String {
    format!(
        "kind = \"redis\"\nredis_url = {:?}\nredis_key = {key:?}\npoll_interval_ms = 60000",
        redis.url(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_hints_survive_refused_reads() {
    let redis = Redis::start().await;
    let bus = redis_bus(&redis, "");
    let world = World::with(&format!("[bus]\n{bus}")).await;
    let mut gateway = SeparateGateway::start(world, &bus).await;
    wait_for_subscribers(&redis, None, 2).await;
    let started = tokio::time::Instant::now();
    gateway.survive_refused_connections().await;
    // A hinted update is read as soon as reads work again, before the next poll.
    let took = started.elapsed();
    assert!(took < std::time::Duration::from_secs(55), "{took:?}");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn signed_updates_arrive_while_reads_fail() {
    let redis = Redis::start().await;
    let bus = redis_bus(&redis, "a key for the bus of these tests, long enough");
    let world = World::with(&format!("[bus]\n{bus}")).await;
    let mut gateway = SeparateGateway::start(world, &bus).await;
    wait_for_subscribers(&redis, None, 2).await;
    gateway.run("ALTER ROLE READER NOLOGIN").await;
    gateway.end_sessions().await;
    for _ in 0..3 {
        gateway.world.control.mine(1).await.unwrap();
        gateway.expect_blocks(1).await;
    }
    gateway.run("ALTER ROLE READER LOGIN").await;
    gateway.world.control.mine(1).await.unwrap();
    gateway.expect_blocks(1).await;
    gateway.stop().await;
}
