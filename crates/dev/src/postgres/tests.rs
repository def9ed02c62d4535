//! Against a real server.

use super::*;
use chaincast_testkit::test_dir::TestDir;
use sqlx::Row;

async fn execute(url: &str, statement: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    connection.execute(statement).await.unwrap();
    connection.close().await.unwrap();
}

async fn number(url: &str, query: &str) -> i64 {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let row = connection.fetch_one(query).await.unwrap();
    connection.close().await.unwrap();
    row.get(0)
}

#[tokio::test]
async fn restart_keeps_data() {
    let dir = TestDir::new("pg resume");
    let first = PrivatePostgres::start(dir.path()).await.unwrap();
    execute(first.url(), "CREATE TABLE kept AS SELECT 42::bigint AS n").await;
    first.stop().await.unwrap();

    let second = PrivatePostgres::start(dir.path()).await.unwrap();
    assert_eq!(number(second.url(), "SELECT n FROM kept").await, 42);
    second.stop().await.unwrap();
}

#[tokio::test]
async fn rejects_concurrent_start() {
    let dir = TestDir::new("pg-in-use");
    let first = PrivatePostgres::start(dir.path()).await.unwrap();
    let second = PrivatePostgres::start(dir.path()).await;
    assert!(matches!(second, Err(DevError::InUse(_))));
    first.stop().await.unwrap();
}

#[tokio::test]
async fn long_data_directory_path_works() {
    let dir = TestDir::new(&"long-".repeat(30));
    let postgres = PrivatePostgres::start(dir.path()).await.unwrap();
    assert_eq!(number(postgres.url(), "SELECT 1::bigint").await, 1);
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn restarts_after_killed_server() {
    let dir = TestDir::new("pg-killed");
    let mut first = PrivatePostgres::start(dir.path()).await.unwrap();
    execute(first.url(), "CREATE TABLE kept AS SELECT 7::bigint AS n").await;
    let pid_file = first.cluster.pid_file();
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(first.child.pid()),
        Signal::SIGKILL,
    )
    .unwrap();
    assert!(matches!(first.exited().await, DevError::Exited { .. }));
    assert!(pid_file.exists(), "the test requires a stale pid file");
    drop(first);

    let second = PrivatePostgres::start(dir.path()).await.unwrap();
    assert_eq!(number(second.url(), "SELECT n FROM kept").await, 7);
    second.stop().await.unwrap();
}

#[tokio::test]
async fn replaces_orphaned_server() {
    let dir = TestDir::new("pg-orphan");
    let first = PrivatePostgres::start(dir.path()).await.unwrap();
    execute(first.url(), "CREATE TABLE kept AS SELECT 9::bigint AS n").await;
    // Like a killed chaincast on a system without parent-death signals: the server runs, and the lock is free.
    let PrivatePostgres {
        mut child, cluster, ..
    } = first;
    drop(cluster);

    let second = PrivatePostgres::start(dir.path()).await.unwrap();
    assert!(matches!(child.exited().await, DevError::Exited { .. }));
    assert_eq!(number(second.url(), "SELECT n FROM kept").await, 9);
    second.stop().await.unwrap();
}

#[tokio::test]
async fn ignores_pid_file_of_unrelated_process() {
    let dir = TestDir::new("pg-stale");
    PrivatePostgres::start(dir.path())
        .await
        .unwrap()
        .stop()
        .await
        .unwrap();
    let (home, _) = super::super::cluster::locate(&fs::canonicalize(dir.path()).unwrap()).unwrap();
    fs::write(
        home.join("data/postmaster.pid"),
        format!("{}\n/elsewhere\n", std::process::id()),
    )
    .unwrap();

    let again = PrivatePostgres::start(dir.path()).await.unwrap();
    again.stop().await.unwrap();
}

#[tokio::test]
async fn inaccessible_data_directory_uses_other_home() {
    if !nix::unistd::geteuid().is_root() {
        return; // without root, the server runs as the current user, who can access the data directory
    }
    let outer = TestDir::new("pg-closed");
    let dir = outer.path().join("closed/data");
    fs::create_dir_all(&dir).unwrap();
    let closed = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    fs::set_permissions(outer.path().join("closed"), closed).unwrap();

    let first = PrivatePostgres::start(&dir).await.unwrap();
    execute(first.url(), "CREATE TABLE kept AS SELECT 5::bigint AS n").await;
    first.stop().await.unwrap();
    let elsewhere = fs::read_to_string(dir.join("postgres.path")).unwrap();

    let second = PrivatePostgres::start(&dir).await.unwrap();
    assert_eq!(number(second.url(), "SELECT n FROM kept").await, 5);
    second.stop().await.unwrap();
    fs::remove_dir_all(elsewhere.trim()).unwrap();
}

#[tokio::test]
async fn create_database_is_empty_and_checks_name() {
    let dir = TestDir::new("pg-create");
    let postgres = PrivatePostgres::start(dir.path()).await.unwrap();
    let url = postgres.create_database("one_test").await.unwrap();
    let tables = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace";
    assert_eq!(number(&url, tables).await, 0);
    assert!(matches!(
        postgres.create_database("one_test").await,
        Err(DevError::Database { .. })
    ));
    assert!(matches!(
        postgres.create_database("x; DROP DATABASE chaincast").await,
        Err(DevError::DatabaseName(_))
    ));
    postgres.stop().await.unwrap();
}
