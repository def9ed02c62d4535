//! PostgreSQL servers that accept no writes: a hot standby with streaming replication, and
//! `default_transaction_read_only`. A writing process rejects them at start, a standby unless it is promoted soon, and
//! names the fix.

use std::{
    os::unix::{fs::MetadataExt, process::CommandExt},
    path::{Path, PathBuf},
    process::Command,
};

use chaincast_dev::PrivatePostgres;
use futures_util::future::join_all;
use sqlx::{Connection, PgConnection};

use crate::support::{TempDir, eventually, run_to_end};

/// The commands that write, up to `--config FILE`.
const WRITERS: [&[&str]; 4] = [
    &["serve"],
    &["serve", "--role", "indexer"],
    &["backfill", "--from", "0"],
    &["migrate"],
];

fn config(dir: &Path, url: &str) -> String {
    let text = format!(
        "[server]\nport = 0\n[database]\nurl = {url:?}\n\
         [[chains]]\nchain_id = 31337\nrpc_url = \"http://127.0.0.1:9\"\n"
    );
    let file = dir.join("chaincast.toml");
    std::fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

async fn show_setting(connection: &mut PgConnection, setting: &str) -> String {
    sqlx::query_scalar("SELECT current_setting($1)")
        .bind(setting)
        .fetch_one(connection)
        .await
        .unwrap()
}

/// A streaming standby of `primary` with its files in `dir`.
async fn start_standby(primary: &PrivatePostgres, dir: &Path) -> PrivatePostgres {
    let mut admin = PgConnection::connect(primary.url()).await.unwrap();
    let bin: String = sqlx::query_scalar("SELECT setting FROM pg_config WHERE name = 'BINDIR'")
        .fetch_one(&mut admin)
        .await
        .unwrap();
    let sockets = show_setting(&mut admin, "unix_socket_directories").await;
    let port = show_setting(&mut admin, "port").await;
    let owner = std::fs::metadata(show_setting(&mut admin, "data_directory").await).unwrap();
    // The same layout as PrivatePostgres.
    let home = dir.join("postgres");
    std::fs::create_dir_all(&home).unwrap();
    let mut copy = Command::new(PathBuf::from(bin).join("pg_basebackup"));
    copy.arg("-D")
        .arg(home.join("data"))
        .args([
            "--write-recovery-conf",
            "--wal-method=stream",
            "--checkpoint=fast",
        ])
        .args([
            "-U",
            "postgres",
            "-p",
            &port,
            "-h",
            sockets.trim_matches('"'),
        ])
        .current_dir(&home);
    if nix::unistd::geteuid().is_root() {
        std::os::unix::fs::chown(&home, Some(owner.uid()), Some(owner.gid())).unwrap();
        copy.uid(owner.uid()).gid(owner.gid());
    }
    let done = tokio::task::spawn_blocking(move || copy.output())
        .await
        .unwrap();
    let done = done.expect("pg_basebackup comes with PostgreSQL");
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    let standby = PrivatePostgres::start(dir).await.unwrap();
    eventually("the standby streams", async || {
        let mut admin = PgConnection::connect(primary.url()).await.ok()?;
        let streams: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_stat_replication)")
            .fetch_one(&mut admin)
            .await
            .ok()?;
        streams.then_some(())
    })
    .await;
    standby
}

/// No writing command starts here, and each names the reason and the fix.
async fn assert_writers_rejected(file: &str, parts: &[&str]) {
    let (code, out, error) = run_to_end(&["check", "--config", file]).await;
    assert_eq!(code, 1, "{out}{error}");
    let line = out.lines().find(|line| line.contains(" database: "));
    let line = line.unwrap_or_else(|| panic!("{out}{error}"));
    assert!(line.starts_with("FAIL"), "{line}");
    for part in parts {
        assert!(line.contains(part), "{part}: {line}");
    }
    // Concurrently, as they wait for the promotion of a standby.
    join_all(WRITERS.map(async |command| {
        let arguments = [command, &["--config", file]].concat();
        let (code, _, error) = run_to_end(&arguments).await;
        assert_eq!(code, 1, "{command:?}: {error}");
        for part in parts {
            assert!(error.contains(part), "{command:?}: {part}: {error}");
        }
    }))
    .await;
}

/// The number of connections that were ever opened to a server's database.
async fn count_connections(admin: &mut PgConnection) -> i64 {
    let count = "SELECT sessions FROM pg_stat_database WHERE datname = current_database()";
    sqlx::query_scalar(count).fetch_one(admin).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_reject_a_hot_standby() {
    let dirs = [TempDir::new("primary"), TempDir::new("standby")];
    let primary = PrivatePostgres::start(dirs[0].path()).await.unwrap();
    let on_primary = config(dirs[0].path(), primary.url());
    let (code, _, error) = run_to_end(&["migrate", "--config", &on_primary]).await;
    assert_eq!(code, 0, "{error}");
    let standby = start_standby(&primary, dirs[1].path()).await;
    let file = config(dirs[1].path(), standby.url());
    let parts = ["is a standby", "database.url", "primary", "pg_promote()"];
    assert_writers_rejected(&file, &parts).await;
    // With auto_migrate off, the configuration may be that of a gateway, which only reads.
    let text = std::fs::read_to_string(&file).unwrap();
    let text = text.replace("[database]\n", "[database]\nauto_migrate = false\n");
    std::fs::write(&file, text).unwrap();
    let (_, out, error) = run_to_end(&["check", "--config", &file]).await;
    let lines: Vec<&str> = out
        .lines()
        .filter(|one| one.contains(" database: "))
        .collect();
    assert_eq!(lines.len(), 2, "{out}{error}");
    assert!(
        lines[0].starts_with("warn") && lines[0].contains("serve --role gateway"),
        "{out}"
    );
    assert!(lines[1].starts_with("ok"), "{out}");

    // A failover is waited for: the process polls the server, which is then promoted to primary.
    let admin = PgConnection::connect(standby.url()).await.unwrap();
    let admin = tokio::sync::Mutex::new(admin);
    let before = count_connections(&mut *admin.lock().await).await;
    let promote = async {
        eventually("it has polled more than once", async || {
            (count_connections(&mut *admin.lock().await).await > before + 4).then_some(())
        })
        .await;
        primary.stop().await.unwrap();
        let promoted: bool = sqlx::query_scalar("SELECT pg_promote()")
            .fetch_one(&mut *admin.lock().await)
            .await
            .unwrap();
        assert!(promoted);
    };
    let serve = ["serve", "--config", &file];
    let ((code, _, error), ()) = tokio::join!(run_to_end(&serve), promote);
    // Only its node is missing.
    assert!(code == 1 && error.contains("127.0.0.1:9"), "{error}");
    assert!(!error.contains("chaincast: Postgres"), "{error}");
    assert_eq!(error.matches("is a standby").count(), 1, "{error}");

    // The promoted server accepts writes.
    let (code, _, error) = run_to_end(&["migrate", "--config", &file]).await;
    assert_eq!(code, 0, "{error}");
    let (_, out, error) = run_to_end(&["check", "--config", &file]).await;
    assert!(out.contains("ok   database: "), "{out}{error}");
    standby.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_reject_default_transaction_read_only() {
    let dir = TempDir::new("read-only");
    let postgres = PrivatePostgres::start(dir.path()).await.unwrap();
    let file = config(dir.path(), postgres.url());
    let (code, _, error) = run_to_end(&["migrate", "--config", &file]).await;
    assert_eq!(code, 0, "{error}");
    let mut admin = PgConnection::connect(postgres.url()).await.unwrap();
    for (begin, end, advice) in [
        (
            "ALTER ROLE postgres SET default_transaction_read_only = on",
            "ALTER ROLE postgres RESET default_transaction_read_only",
            "ALTER ROLE \"postgres\" RESET default_transaction_read_only",
        ),
        (
            "ALTER DATABASE chaincast SET default_transaction_read_only = on",
            "ALTER DATABASE chaincast RESET default_transaction_read_only",
            "ALTER DATABASE \"chaincast\" RESET default_transaction_read_only",
        ),
    ] {
        sqlx::raw_sql(begin).execute(&mut admin).await.unwrap();
        assert_writers_rejected(&file, &["rejects writes", advice]).await;
        sqlx::raw_sql(end).execute(&mut admin).await.unwrap();
    }
    let (code, _, error) = run_to_end(&["migrate", "--config", &file]).await;
    assert_eq!(code, 0, "{error}");
    postgres.stop().await.unwrap();
}
