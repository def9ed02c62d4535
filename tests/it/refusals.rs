//! What an administrator, a disk or a server does to writers: it is waited out, said once and shown by `/readyz`.

use serde_json::Value;
use sqlx::{Connection, PgConnection};

use chaincast::dev::PrivatePostgres;

use crate::support::{PATIENCE, Server, Temporary, World, eventually, spawn};

/// Tables and their sequences and functions then belong to the role, as where one role did everything.
const GIVE_ALL: &str = "DO $$ DECLARE one regclass; done oid; BEGIN
    FOR one IN SELECT c.oid FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') LOOP
        EXECUTE format('ALTER TABLE %s OWNER TO %I', one, current_setting('test.role'));
    END LOOP;
    FOR done IN SELECT p.oid FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace LOOP
        EXECUTE format('ALTER FUNCTION %s OWNER TO %I', done::regprocedure, current_setting('test.role'));
    END LOOP;
    EXECUTE format('GRANT ALL ON SCHEMA public TO %I', current_setting('test.role'));
END $$";

/// A world whose chaincast uses a role of its own, which is no superuser.
struct Stage {
    world: World,
    admin: PgConnection,
    role: String,
    name: String,
    dollars: i64,
}

/// What goes wrong, and how it is undone.
struct Trouble {
    /// As in the log.
    kind: &'static str,
    /// The word of it in the reason.
    reason: &'static str,
    begin: Vec<String>,
    end: Vec<String>,
    /// Sessions take it in only as they begin.
    reconnects: bool,
    /// Held while it lasts: writers of this table wait.
    locks: bool,
}

impl Stage {
    async fn start() -> Self {
        Self::of(World::start().await).await
    }

    async fn of(mut world: World) -> Self {
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
            GIVE_ALL.to_owned(),
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
        let stage = Self {
            world,
            admin,
            role,
            name,
            dollars: 3_000,
        };
        stage.is_ready().await;
        stage
    }

    async fn readiness(&self) -> Option<(u16, Value)> {
        let answer = reqwest::get(self.world.url("/readyz")).await.ok()?;
        Some((
            answer.status().as_u16(),
            serde_json::from_str(&answer.text().await.ok()?).ok()?,
        ))
    }

    async fn is_ready(&self) {
        let said = || self.world.server.said();
        eventually(&format!("it is ready; {}", said()), async || {
            (self.readiness().await?.0 == 200).then_some(())
        })
        .await;
    }

    /// Ends the sessions of the role.
    async fn end_sessions(&mut self) {
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

    async fn priced(&self) -> Option<()> {
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

    /// The trouble comes, is logged and shown as what `check` is not written for, and goes: then all goes on.
    async fn waits_out(&mut self, trouble: Trouble, table: Option<&str>, check: &str) {
        for statement in &trouble.begin {
            sqlx::query(statement)
                .execute(&mut self.admin)
                .await
                .unwrap();
        }
        let mut holder = PgConnection::connect(&self.world.database).await.unwrap();
        let mut held = holder.begin().await.unwrap();
        if let (true, Some(table)) = (trouble.locks, table) {
            let lock = format!("LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE");
            sqlx::query(&lock).execute(&mut *held).await.unwrap();
        }
        if trouble.reconnects {
            self.end_sessions().await;
        }
        self.set_feed().await;
        let what = format!("{}: {check} is not written", trouble.kind);
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
            let told = table.is_none()
                || (detail.starts_with("not written for ") && detail.contains(trouble.reason));
            (status == 503 && wrong["ok"] == false && told).then_some(())
        })
        .await;
        eventually(&format!("{} is logged", trouble.kind), async || {
            let said = self.world.server.said();
            said.contains(&format!("kind=\"{}\"", trouble.kind))
                .then_some(())
        })
        .await;
        held.rollback().await.unwrap();
        for statement in &trouble.end {
            sqlx::query(statement)
                .execute(&mut self.admin)
                .await
                .unwrap();
        }
        if trouble.reconnects {
            self.end_sessions().await;
        }
        eventually("the price is stored", || self.priced()).await;
        self.world.caught_up().await;
        self.is_ready().await;
    }

    /// A trigger fails as the server does when a disk is full or broken.
    fn of_disk(code: &str, message: &'static str, kind: &'static str, table: &str) -> Trouble {
        Trouble {
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
            reconnects: false,
            locks: false,
        }
    }

    fn of_setting(
        &self,
        setting: &str,
        kind: &'static str,
        reason: &'static str,
        locks: bool,
    ) -> Trouble {
        let name = setting.split(' ').next().unwrap();
        Trouble {
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
            reconnects: true,
            locks,
        }
    }

    fn of_role(&self, begin: &str, end: &str, kind: &'static str) -> Trouble {
        Trouble {
            kind,
            reason: "",
            begin: vec![format!("ALTER ROLE {} {begin}", self.role)],
            end: vec![format!("ALTER ROLE {} {end}", self.role)],
            reconnects: true,
            locks: false,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_wait_out_what_refuses_one_table() {
    let mut stage = Stage::start().await;
    for (table, check) in [("prices", "prices"), ("blocks", "chain:31337")] {
        let trouble = stage.of_setting("lock_timeout = '100ms'", "lock", "lock timeout", true);
        stage.waits_out(trouble, Some(table), check).await;
        let trouble = stage.of_setting(
            "statement_timeout = '300ms'",
            "operator",
            "statement timeout",
            true,
        );
        stage.waits_out(trouble, Some(table), check).await;
        let trouble = Stage::of_disk("53100", "No space left on device", "disk full", table);
        stage.waits_out(trouble, Some(table), check).await;
        let trouble = Stage::of_disk("58030", "Input/output error", "system", table);
        stage.waits_out(trouble, Some(table), check).await;
    }
    let said = stage.world.server.said();
    let begun = said.matches("as the chain's only writer").count();
    assert_eq!(begun, 1, "{said}");
    stage.world.server.stop().await;
}

/// A table that no row fits into: its file is a device that is always full, so that the kernel refuses what Postgres
/// writes to it as it does on a full disk. The table is to be empty.
async fn fill_disk_of(admin: &mut PgConnection, table: &str) {
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
async fn writers_wait_out_a_disk_that_is_full() {
    let dir = Temporary::new("full-disk");
    let postgres = PrivatePostgres::start(dir.path()).await.unwrap();
    let database = postgres.create_database("full_disk").await.unwrap();
    let mut stage = Stage::of(World::on(&database).await).await;
    sqlx::raw_sql("CREATE TABLE filler (n int)")
        .execute(&mut stage.admin)
        .await
        .unwrap();
    fill_disk_of(&mut stage.admin, "filler").await;
    for (table, check) in [("prices", "prices"), ("blocks", "chain:31337")] {
        let trouble = Trouble {
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
            reconnects: false,
            locks: false,
        };
        stage.waits_out(trouble, Some(table), check).await;
    }
    let said = stage.world.server.said();
    for line in [
        "indexing waits for the database",
        "the price writer waits for the database",
    ] {
        let lines: Vec<&str> = said.lines().filter(|one| one.contains(line)).collect();
        assert_eq!(lines.len(), 1, "{said}");
        assert!(lines[0].contains("No space left on device"), "{}", lines[0]);
    }
    stage.world.server.stop().await;
    postgres.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_wait_out_what_refuses_all() {
    let mut stage = Stage::start().await;
    let trouble = stage.of_setting(
        "default_transaction_read_only = on",
        "read-only",
        "read-only",
        false,
    );
    stage.waits_out(trouble, None, "database").await;
    // Every way in is closed, so that only the database's check says so.
    let trouble = stage.of_role("NOLOGIN", "LOGIN", "unreachable");
    stage.waits_out(trouble, None, "database").await;
    let trouble = stage.of_role("CONNECTION LIMIT 0", "CONNECTION LIMIT -1", "unreachable");
    stage.waits_out(trouble, None, "database").await;
    let said = stage.world.server.said();
    assert_eq!(
        said.matches("as the chain's only writer").count(),
        1,
        "{said}"
    );
    stage.world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn backfill_waits_out_a_lock() {
    let mut stage = Stage::start().await;
    let (head, _) = stage.world.caught_up().await;
    stage.world.server.signal(nix::sys::signal::Signal::SIGTERM);
    assert!(stage.world.server.ended().await.success());
    stage.world.control.mine(5).await.unwrap();
    let setting = format!("ALTER ROLE {} SET lock_timeout = '100ms'", stage.role);
    sqlx::query(&setting)
        .execute(&mut stage.admin)
        .await
        .unwrap();
    let mut holder = stage.world.database().await;
    let mut held = holder.begin().await.unwrap();
    sqlx::query("LOCK TABLE blocks IN SHARE ROW EXCLUSIVE MODE")
        .execute(&mut *held)
        .await
        .unwrap();
    let config = stage.world.config.to_str().unwrap().to_owned();
    let mut backfill = spawn(&["backfill", "--config", &config, "--from", "0"]);
    eventually("the backfill waits", async || {
        let mut database = stage.world.database().await;
        let failure: Option<String> =
            sqlx::query_scalar("SELECT failure FROM leases WHERE stream = 'chain:31337'")
                .fetch_one(&mut database)
                .await
                .unwrap();
        failure.filter(|failure| failure.contains("lock timeout"))
    })
    .await;
    held.rollback().await.unwrap();
    let ended = tokio::time::timeout(PATIENCE, backfill.wait())
        .await
        .unwrap()
        .unwrap();
    assert!(ended.success(), "{ended}");
    let stored: i64 = sqlx::query_scalar("SELECT head_number FROM chains")
        .fetch_one(&mut stage.admin)
        .await
        .unwrap();
    assert_eq!(stored as u64, head + 5);
}
