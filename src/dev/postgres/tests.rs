//! Against a real server.

use super::*;
use crate::dev::test_dir::TestDir;
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
async fn what_was_stored_is_there_after_a_second_start() {
    let dir = TestDir::new("pg resume");
    let first = PrivatePostgres::start(dir.path()).await.unwrap();
    execute(first.url(), "CREATE TABLE kept AS SELECT 42::bigint AS n").await;
    first.stop().await.unwrap();

    let second = PrivatePostgres::start(dir.path()).await.unwrap();
    assert_eq!(number(second.url(), "SELECT n FROM kept").await, 42);
    second.stop().await.unwrap();
}

#[tokio::test]
async fn a_second_start_while_the_first_runs_is_refused() {
    let dir = TestDir::new("pg-in-use");
    let first = PrivatePostgres::start(dir.path()).await.unwrap();
    let second = PrivatePostgres::start(dir.path()).await;
    assert!(matches!(second, Err(DevError::InUse(_))));
    first.stop().await.unwrap();
}

#[tokio::test]
async fn a_data_dir_with_a_very_long_path_works() {
    let dir = TestDir::new(&"long-".repeat(30));
    let postgres = PrivatePostgres::start(dir.path()).await.unwrap();
    assert_eq!(number(postgres.url(), "SELECT 1::bigint").await, 1);
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn a_killed_server_is_noticed_and_its_leftovers_do_not_stop_the_next_start() {
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
    assert!(pid_file.exists(), "the test wants a stale pid file");
    drop(first);

    let second = PrivatePostgres::start(dir.path()).await.unwrap();
    assert_eq!(number(second.url(), "SELECT n FROM kept").await, 7);
    second.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_that_was_left_running_is_stopped_and_replaced() {
    let dir = TestDir::new("pg-orphan");
    let first = PrivatePostgres::start(dir.path()).await.unwrap();
    execute(first.url(), "CREATE TABLE kept AS SELECT 9::bigint AS n").await;
    // As a chaincast that is killed leaves it where there is no parent-death signal: running, and the lock free.
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
async fn a_pid_file_that_names_an_unrelated_process_does_not_stop_the_start() {
    let dir = TestDir::new("pg-stale");
    PrivatePostgres::start(dir.path())
        .await
        .unwrap()
        .stop()
        .await
        .unwrap();
    let (home, _) = super::super::cluster::place(&fs::canonicalize(dir.path()).unwrap()).unwrap();
    fs::write(
        home.join("data/postmaster.pid"),
        format!("{}\n/elsewhere\n", std::process::id()),
    )
    .unwrap();

    let again = PrivatePostgres::start(dir.path()).await.unwrap();
    again.stop().await.unwrap();
}

#[tokio::test]
async fn a_data_dir_that_the_servers_user_cannot_reach_has_its_database_elsewhere() {
    if !nix::unistd::geteuid().is_root() {
        return; // anyone else runs the server as himself, who reaches his own data dir
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
async fn a_new_database_is_empty_and_its_name_is_checked() {
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
