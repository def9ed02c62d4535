//! Failures that an administrator, a disk or a server causes for writers: each is retried until it ends, logged once
//! and reported by `/readyz`.

use serde_json::Value;
use sqlx::{Connection, PgConnection};

use chaincast_dev::PrivatePostgres;

use crate::support::{Server, TIMEOUT, TempDir, World, eventually, spawn};

/// Transfers the ownership of all tables, with their sequences and functions, to the role, as if it had created them.
const TRANSFER_OWNERSHIP: &str = "DO $$ DECLARE one regclass; done oid; BEGIN
    FOR one IN SELECT c.oid FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') LOOP
        EXECUTE format('ALTER TABLE %s OWNER TO %I', one, current_setting('test.role'));
    END LOOP;
    FOR done IN SELECT p.oid FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace LOOP
        EXECUTE format('ALTER FUNCTION %s OWNER TO %I', done::regprocedure, current_setting('test.role'));
    END LOOP;
    EXECUTE format('GRANT ALL ON SCHEMA public TO %I', current_setting('test.role'));
END $$";

/// A world whose chaincast uses its own role, which is not a superuser.
struct Setup {
    world: World,
    admin: PgConnection,
    role: String,
    name: String,
    dollars: i64,
}

/// A failure, and how it is ended.
struct Failure {
    /// The `kind` in the log.
    kind: &'static str,
    /// A part of the reason in `/readyz`.
    reason: &'static str,
    begin: Vec<String>,
    end: Vec<String>,
    /// The change applies only to new database connections.
    needs_reconnect: bool,
    /// A lock on the table is held for the duration: writers of this table wait.
    locks: bool,
}

impl Setup {
    async fn start() -> Self {
        Self::from_world(World::start().await).await
    }

    async fn from_world(mut world: World) -> Self {
        let name = world
            .database
            .split('?')
            .next()
            .unwrap()
            .rsplit('/')
            .next()
            .unwrap()
            .to_owned();
        let role = format!("writer_{name}");
        let mut admin = world.database().await;
        for statement in [
            format!("CREATE ROLE {role} LOGIN"),
            format!("SET test.role = '{role}'"),
            TRANSFER_OWNERSHIP.to_owned(),
        ] {
            sqlx::raw_sql(&statement).execute(&mut admin).await.unwrap();
        }
        let text = std::fs::read_to_string(&world.config).unwrap();
        std::fs::write(
            &world.config,
            text.replace("postgres@", &format!("{role}@")),
        )
        .unwrap();
        let server = Server::serve(&world.config).await;
        std::mem::replace(&mut world.server, server).stop().await;
        let fixture = Self {
            world,
            admin,
            role,
            name,
            dollars: 3_000,
        };
        fixture.wait_until_ready().await;
        fixture
    }

    async fn readiness(&self) -> Option<(u16, Value)> {
        let answer = reqwest::get(self.world.url("/readyz")).await.ok()?;
        Some((
            answer.status().as_u16(),
            serde_json::from_str(&answer.text().await.ok()?).ok()?,
        ))
    }

    async fn wait_until_ready(&self) {
        let output = || self.world.server.output();
        eventually(&format!("it is ready; {}", output()), async || {
            (self.readiness().await?.0 == 200).then_some(())
        })
        .await;
    }

    /// Ends the database connections of the role.
    async fn end_connections(&mut self) {
        sqlx::query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1")
            .bind(&self.role)
            .execute(&mut self.admin)
            .await
            .unwrap();
    }

    async fn set_feed(&mut self) {
        self.dollars += 1;
        let token = self.world.deployment.feeds[0].token.clone();
        self.world.set_feed(&token, self.dollars).await;
    }

    async fn price_is_stored(&self) -> Option<()> {
        let token = &self.world.deployment.feeds[0].token;
        let path = format!("/api/v1/prices/{token}/history?limit=100");
        let answer = reqwest::get(self.world.url(&path))
            .await
            .ok()?
            .text()
            .await
            .ok()?;
        answer.contains(&self.dollars.to_string()).then_some(())
    }

    /// Begins the failure, expects it in the log and in `/readyz` for `check`, ends it, and expects everything to
    /// continue.
    async fn survive(&mut self, outage: Failure, table: Option<&str>, check: &str) {
        for statement in &outage.begin {
            sqlx::query(statement)
                .execute(&mut self.admin)
                .await
                .unwrap();
        }
        let mut holder = PgConnection::connect(&self.world.database).await.unwrap();
        let mut held = holder.begin().await.unwrap();
        if let (true, Some(table)) = (outage.locks, table) {
            let lock = format!("LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE");
            sqlx::query(&lock).execute(&mut *held).await.unwrap();
        }
        if outage.needs_reconnect {
            self.end_connections().await;
        }
        self.set_feed().await;
        let what = format!("{}: {check} is not written", outage.kind);
        eventually(&what, async || {
            let (status, body) = self.readiness().await?;
            let checks = body["checks"].as_array()?;
            let wrong = checks
                .iter()
                .find(|one| one["name"] == check || one["name"] == "database")?;
            let wrong = checks
                .iter()
                .find(|one| one["name"] == check)
                .unwrap_or(wrong);
            let detail = wrong["detail"].as_str().unwrap();
            let reported = table.is_none()
                || (detail.starts_with("not written for ") && detail.contains(outage.reason));
            (status == 503 && wrong["ok"] == false && reported).then_some(())
        })
        .await;
        eventually(&format!("{} is logged", outage.kind), async || {
            let output = self.world.server.output();
            output
                .contains(&format!("kind=\"{}\"", outage.kind))
                .then_some(())
        })
        .await;
        held.rollback().await.unwrap();
        for statement in &outage.end {
            sqlx::query(statement)
                .execute(&mut self.admin)
                .await
                .unwrap();
        }
        if outage.needs_reconnect {
            self.end_connections().await;
        }
        eventually("the price is stored", || self.price_is_stored()).await;
        self.world.caught_up().await;
        self.wait_until_ready().await;
    }

    /// A trigger that fails as the server does when a disk is full or broken.
    fn disk_failure(code: &str, message: &'static str, kind: &'static str, table: &str) -> Failure {
        Failure {
            kind,
            reason: message,
            begin: vec![
                format!(
                    "CREATE FUNCTION no_disk() RETURNS trigger LANGUAGE plpgsql AS
                     $$ BEGIN RAISE EXCEPTION '{message}' USING ERRCODE = '{code}'; END $$"
                ),
                format!(
                    "CREATE TRIGGER no_disk BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION no_disk()"
                ),
            ],
            end: vec![
                format!("DROP TRIGGER no_disk ON {table}"),
                "DROP FUNCTION no_disk".to_owned(),
            ],
            needs_reconnect: false,
            locks: false,
        }
    }

    fn setting_failure(
        &self,
        setting: &str,
        kind: &'static str,
        reason: &'static str,
        locks: bool,
    ) -> Failure {
        let name = setting.split(' ').next().unwrap();
        Failure {
            kind,
            reason,
            begin: vec![format!(
                "ALTER ROLE {} IN DATABASE {} SET {setting}",
                self.role, self.name
            )],
            end: vec![format!(
                "ALTER ROLE {} IN DATABASE {} RESET {name}",
                self.role, self.name
            )],
            needs_reconnect: true,
            locks,
        }
    }

    fn role_failure(&self, begin: &str, end: &str, kind: &'static str) -> Failure {
        Failure {
            kind,
            reason: "",
            begin: vec![format!("ALTER ROLE {} {begin}", self.role)],
            end: vec![format!("ALTER ROLE {} {end}", self.role)],
            needs_reconnect: true,
            locks: false,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_survive_failures_of_one_table() {
    let mut fixture = Setup::start().await;
    for (table, check) in [("prices", "prices"), ("blocks", "chain:31337")] {
        let outage =
            fixture.setting_failure("lock_timeout = '100ms'", "lock", "lock timeout", true);
        fixture.survive(outage, Some(table), check).await;
        let outage = fixture.setting_failure(
            "statement_timeout = '300ms'",
            "operator",
            "statement timeout",
            true,
        );
        fixture.survive(outage, Some(table), check).await;
        let outage = Setup::disk_failure("53100", "No space left on device", "disk full", table);
        fixture.survive(outage, Some(table), check).await;
        let outage = Setup::disk_failure("58030", "Input/output error", "system", table);
        fixture.survive(outage, Some(table), check).await;
    }
    let output = fixture.world.server.output();
    let started = output.matches("as the chain's only writer").count();
    assert_eq!(started, 1, "{output}");
    fixture.world.server.stop().await;
}

/// Replaces the file of an empty table by the device `/dev/full`, so that the kernel fails every write of PostgreSQL to
/// it as on a full disk.
async fn fill_disk_of_table(admin: &mut PgConnection, table: &str) {
    let file: String = sqlx::query_scalar(
        "SELECT current_setting('data_directory') || '/' || pg_relation_filepath($1::regclass)",
    )
    .bind(table)
    .fetch_one(admin)
    .await
    .unwrap();
    std::fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink("/dev/full", &file).unwrap();
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn writers_survive_a_full_disk() {
    let dir = TempDir::new("full-disk");
    let postgres = PrivatePostgres::start(dir.path()).await.unwrap();
    let database = postgres.create_database("full_disk").await.unwrap();
    let mut fixture = Setup::from_world(World::on(&database).await).await;
    sqlx::raw_sql("CREATE TABLE filler (n int)")
        .execute(&mut fixture.admin)
        .await
        .unwrap();
    fill_disk_of_table(&mut fixture.admin, "filler").await;
    for (table, check) in [("prices", "prices"), ("blocks", "chain:31337")] {
        let outage = Failure {
            kind: "disk full",
            reason: "could not extend file",
            begin: vec![
                "CREATE FUNCTION fill() RETURNS trigger SECURITY DEFINER LANGUAGE plpgsql AS
                 $$ BEGIN INSERT INTO filler VALUES (1); RETURN NEW; END $$"
                    .to_owned(),
                format!(
                    "CREATE TRIGGER fill BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION fill()"
                ),
            ],
            end: vec![
                format!("DROP TRIGGER fill ON {table}"),
                "DROP FUNCTION fill".to_owned(),
            ],
            needs_reconnect: false,
            locks: false,
        };
        fixture.survive(outage, Some(table), check).await;
    }
    let output = fixture.world.server.output();
    for line in [
        "indexing is paused by a database failure",
        "the price writer is paused by a database failure",
    ] {
        let lines: Vec<&str> = output.lines().filter(|one| one.contains(line)).collect();
        assert_eq!(lines.len(), 1, "{output}");
        assert!(lines[0].contains("No space left on device"), "{}", lines[0]);
    }
    fixture.world.server.stop().await;
    postgres.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_survive_failures_of_the_database() {
    let mut fixture = Setup::start().await;
    let outage = fixture.setting_failure(
        "default_transaction_read_only = on",
        "read-only",
        "read-only",
        false,
    );
    fixture.survive(outage, None, "database").await;
    // Every other way is blocked too, so that only the `database` check reports it.
    let outage = fixture.role_failure("NOLOGIN", "LOGIN", "unreachable");
    fixture.survive(outage, None, "database").await;
    let outage = fixture.role_failure("CONNECTION LIMIT 0", "CONNECTION LIMIT -1", "unreachable");
    fixture.survive(outage, None, "database").await;
    let output = fixture.world.server.output();
    assert_eq!(
        output.matches("as the chain's only writer").count(),
        1,
        "{output}"
    );
    fixture.world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn backfill_survives_a_table_lock() {
    let mut fixture = Setup::start().await;
    let (head, _) = fixture.world.caught_up().await;
    fixture
        .world
        .server
        .signal(nix::sys::signal::Signal::SIGTERM);
    assert!(fixture.world.server.ended().await.success());
    fixture.world.control.mine(5).await.unwrap();
    let setting = format!("ALTER ROLE {} SET lock_timeout = '100ms'", fixture.role);
    sqlx::query(&setting)
        .execute(&mut fixture.admin)
        .await
        .unwrap();
    let mut holder = fixture.world.database().await;
    let mut held = holder.begin().await.unwrap();
    sqlx::query("LOCK TABLE blocks IN SHARE ROW EXCLUSIVE MODE")
        .execute(&mut *held)
        .await
        .unwrap();
    let config = fixture.world.config.to_str().unwrap().to_owned();
    let mut backfill = spawn(&["backfill", "--config", &config, "--from", "0"]);
    eventually("the backfill waits", async || {
        let mut database = fixture.world.database().await;
        let failure: Option<String> =
            sqlx::query_scalar("SELECT failure FROM leases WHERE stream = 'chain:31337'")
                .fetch_one(&mut database)
                .await
                .unwrap();
        failure.filter(|failure| failure.contains("lock timeout"))
    })
    .await;
    held.rollback().await.unwrap();
    let ended = tokio::time::timeout(TIMEOUT, backfill.wait())
        .await
        .unwrap()
        .unwrap();
    assert!(ended.success(), "{ended}");
    let stored: i64 = sqlx::query_scalar("SELECT head_number FROM chains")
        .fetch_one(&mut fixture.admin)
        .await
        .unwrap();
    assert_eq!(stored as u64, head + 5);
}
