//! `chaincast backfill`: what it prints, how it ends, and that it goes on where a kill ended it.

use std::path::Path;

use sqlx::Row;

use crate::support::{World, eventually, run_to_end};

/// (first block, head, blocks, broken links)
async fn stored(world: &World) -> (i64, i64, i64, i64) {
    let row = sqlx::query(
        "SELECT c.start_block, c.head_number, (SELECT count(*) FROM blocks) AS blocks,
             (SELECT count(*) FROM blocks b WHERE b.number > c.start_block AND NOT EXISTS (
                 SELECT FROM blocks p WHERE p.number = b.number - 1 AND p.hash = b.parent_hash)) AS broken
         FROM chains c",
    )
    .fetch_one(&mut world.database().await)
    .await
    .unwrap();
    let number = |column: &str| row.get::<i64, _>(column);
    (
        number("start_block"),
        number("head_number"),
        number("blocks"),
        number("broken"),
    )
}

fn arguments<'a>(config: &'a Path, from: &'a str) -> Vec<&'a str> {
    let config = config.to_str().unwrap();
    vec!["backfill", "--config", config, "--from", from]
}

#[tokio::test(flavor = "multi_thread")]
async fn history_is_filled_from_the_command_line_and_a_kill_resumes() {
    let mut world = World::with("").await;
    // While it is served, the chain is written by another.
    let (code, _, error) = run_to_end(&arguments(&world.config, "0")).await;
    assert_eq!(code, 1);
    assert!(error.contains("is written by another process"), "{error}");
    let (code, _, error) =
        run_to_end(&[&arguments(&world.config, "0")[..], &["--chain", "5"]].concat()).await;
    assert_eq!(code, 2);
    assert!(error.contains("--chain 5"), "{error}");

    world.server.signal(nix::sys::signal::Signal::SIGTERM);
    assert!(world.server.ended().await.success());
    sqlx::query("TRUNCATE chains, blocks, transactions, logs, transfers, dropped_blocks CASCADE")
        .execute(&mut world.database().await)
        .await
        .unwrap();
    world.control.mine(400).await.unwrap();
    let (head, _) = world.control.head().await.unwrap();
    let from = (head - 100).to_string();
    let (code, said, _) = run_to_end(&arguments(&world.config, &from)).await;
    assert_eq!(code, 0, "{said}");
    let whole = format!("is indexed from block {from} to {head}, verified through {head}");
    assert!(said.contains(&whole), "{said}");

    // Downwards, killed as soon as something is stored.
    let mut killed = crate::support::spawn(&arguments(&world.config, "0"));
    eventually("history below is being stored", || async {
        (stored(&world).await.0 < head as i64 - 100).then_some(())
    })
    .await;
    killed.kill().await.unwrap();
    // Its last commit may still be under way; the lock goes with its connection.
    eventually("the killed one's lock is free", || async {
        let held: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
             WHERE l.locktype = 'advisory' AND d.datname = current_database()",
        )
        .fetch_one(&mut world.database().await)
        .await
        .unwrap();
        (held == 0).then_some(())
    })
    .await;
    let (start, at, blocks, broken) = stored(&world).await;
    assert_eq!((at, blocks, broken), (head as i64, at - start + 1, 0));

    let (code, said, error) = run_to_end(&arguments(&world.config, "0")).await;
    assert_eq!(code, 0, "{said} {error}");
    assert!(
        said.contains(&format!(
            "is indexed from block 0 to {head}, verified through {head}"
        )),
        "{said}"
    );
    assert!(
        start == 0 || format!("{said}{error}").contains("bottleneck"),
        "{said} {error}"
    );
    assert_eq!(stored(&world).await, (0, head as i64, head as i64 + 1, 0));
}
