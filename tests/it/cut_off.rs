//! A gateway of its own whose reads the database refuses, in the ways of an administrator: its sessions stay, it says so once
//! an outage, and then delivers what was committed meanwhile, each seq once.

use serde_json::{Value, json};
use sqlx::PgConnection;

use crate::{
    processes::listen,
    support::{Redis, Server, World, WsClient, eventually},
};

const FAILS: &str = "updates cannot be read";
const WORKS: &str = "the updates can be read again";

/// A world that writes, a gateway with a role of its own beside it, and a client of that gateway.
struct Beside {
    world: World,
    gateway: Server,
    admin: PgConnection,
    role: String,
    ws: WsClient,
    seen: u64,
    outages: usize,
}

impl Beside {
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
        let gateway = Server::start(&["serve", "--role", "gateway", "--config", file]).await;
        let mut ws = WsClient::connect(&gateway.realtime()).await;
        let at = ws
            .subscribe(json!({ "channel": "new-block", "snapshot": false }))
            .await;
        Self {
            world,
            gateway,
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

    /// The next blocks, as they were committed.
    async fn receives(&mut self, blocks: u64) {
        for _ in 0..blocks {
            self.seen += 1;
            assert_eq!(self.ws.event("new-block").await["seq"], self.seen);
        }
    }

    fn lines(&self, what: &str) -> usize {
        self.gateway.said().matches(what).count()
    }

    /// After `begin` the database refuses what it reads, until `end`. Sessions take it in as they begin if it `reconnects`.
    async fn waits_out(&mut self, begin: &str, end: &str, reconnects: bool) {
        self.outages += 1;
        self.run(begin).await;
        if reconnects {
            self.end_sessions().await;
        }
        self.world.control.mine(2).await.unwrap();
        eventually(&format!("{begin} is noticed"), async || {
            (self.lines(FAILS) == self.outages).then_some(())
        })
        .await;
        assert_eq!(self.ws.request("ping", Value::Null).await["event"], "pong");
        // Sessions that begin from here on work, so none of them is ended: that would be one more outage.
        self.run(end).await;
        self.receives(2).await;
        eventually("it says that it is over", async || {
            (self.lines(WORKS) == self.outages).then_some(())
        })
        .await;
        assert_eq!(self.lines(FAILS), self.outages, "{}", self.gateway.said());
    }

    /// Every kind of refusal: SQLSTATE classes 28, 53, 42, 57 and 55.
    async fn waits_out_all(&mut self) {
        self.waits_out("ALTER ROLE READER NOLOGIN", "ALTER ROLE READER LOGIN", true)
            .await;
        let no_room = "ALTER ROLE READER CONNECTION LIMIT 0";
        self.waits_out(no_room, "ALTER ROLE READER CONNECTION LIMIT -1", true)
            .await;
        let revoked = "REVOKE pg_read_all_data FROM READER";
        self.waits_out(revoked, "GRANT pg_read_all_data TO READER", false)
            .await;
    }

    /// A table is locked: reads end by their limit of time, or at once by `lock_timeout`.
    async fn waits_out_locks(&mut self) {
        let lock = "BEGIN; LOCK TABLE channels IN ACCESS EXCLUSIVE MODE";
        self.waits_out_lock(lock).await;
        self.run("ALTER ROLE READER SET lock_timeout = '100ms'")
            .await;
        self.end_sessions().await;
        self.waits_out_lock(lock).await;
        self.run("ALTER ROLE READER RESET lock_timeout").await;
    }

    async fn waits_out_lock(&mut self, lock: &str) {
        self.outages += 1;
        self.run(lock).await;
        self.world.control.mine(2).await.unwrap();
        eventually("the lock is noticed", async || {
            (self.lines(FAILS) == self.outages).then_some(())
        })
        .await;
        self.run("ROLLBACK").await;
        self.receives(2).await;
        eventually("it says that it is over", async || {
            (self.lines(WORKS) == self.outages).then_some(())
        })
        .await;
    }

    async fn stop(self) {
        self.gateway.stop().await;
        self.world.server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn polling_gateway_waits_out_what_refuses_its_reads() {
    let bus = "kind = \"memory\"\npoll_interval_ms = 50";
    let mut beside = Beside::start(World::start().await, bus).await;
    beside.waits_out_all().await;
    beside.waits_out_locks().await;
    // It only reads.
    beside
        .run("ALTER ROLE READER SET default_transaction_read_only = on")
        .await;
    beside.end_sessions().await;
    beside.world.control.mine(2).await.unwrap();
    beside.receives(2).await;
    beside.stop().await;
}

fn over(redis: &Redis, key: &str) -> String {
    format!(
        "kind = \"redis\"\nredis_url = {:?}\nredis_key = {key:?}\npoll_interval_ms = 60000",
        redis.url(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn hints_of_redis_survive_what_refuses_the_reads() {
    let redis = Redis::start().await;
    let bus = over(&redis, "");
    let world = World::with(&format!("[bus]\n{bus}")).await;
    let mut beside = Beside::start(world, &bus).await;
    listen(&redis, None, 2).await;
    let begun = tokio::time::Instant::now();
    beside.waits_out_all().await;
    // What was hinted at in vain is read as soon as that can be, and not by the poll.
    let took = begun.elapsed();
    assert!(took < std::time::Duration::from_secs(55), "{took:?}");
    beside.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn signed_updates_arrive_while_reads_are_refused() {
    let redis = Redis::start().await;
    let bus = over(&redis, "a key for the bus of these tests, long enough");
    let world = World::with(&format!("[bus]\n{bus}")).await;
    let mut beside = Beside::start(world, &bus).await;
    listen(&redis, None, 2).await;
    beside.run("ALTER ROLE READER NOLOGIN").await;
    beside.end_sessions().await;
    for _ in 0..3 {
        beside.world.control.mine(1).await.unwrap();
        beside.receives(1).await;
    }
    beside.run("ALTER ROLE READER LOGIN").await;
    beside.world.control.mine(1).await.unwrap();
    beside.receives(1).await;
    beside.stop().await;
}
