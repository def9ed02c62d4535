//! `chaincast backfill`: its output, its exit codes, and that it resumes after a kill.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Instant,
};

use chaincast_testkit::faulty_node::{BlockTree, Contents, Fault, FaultyNode, Kind};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use sqlx::Row;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
};

use crate::support::{TIMEOUT, TempDir, World, eventually, fresh_database, run_to_end};

/// (first block, head, number of blocks, broken parent links)
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

/// Stops the server of the chain and deletes what it indexed.
async fn stop_and_clear(world: &mut World) {
    world.server.signal(Signal::SIGTERM);
    assert!(world.server.ended().await.success());
    sqlx::query("TRUNCATE chains, blocks, transactions, logs, transfers, dropped_blocks CASCADE")
        .execute(&mut world.database().await)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn backfill_resumes_after_a_kill() {
    let mut world = World::with("").await;
    // A running server holds the chain's writer lock.
    let (code, _, error) = run_to_end(&arguments(&world.config, "0")).await;
    assert_eq!(code, 1);
    assert!(error.contains("another process, such as"), "{error}");
    let (code, _, error) =
        run_to_end(&[&arguments(&world.config, "0")[..], &["--chain", "5"]].concat()).await;
    assert_eq!(code, 2);
    assert!(error.contains("--chain 5"), "{error}");

    stop_and_clear(&mut world).await;
    world.control.mine(400).await.unwrap();
    let (head, _) = world.control.head().await.unwrap();
    let from = (head - 100).to_string();
    let (code, output, _) = run_to_end(&arguments(&world.config, &from)).await;
    assert_eq!(code, 0, "{output}");
    let expected = format!("is indexed from block {from} to {head}, verified through {head}");
    assert!(output.contains(&expected), "{output}");

    // Blocks are loaded downwards; the process is killed once some are stored.
    let mut killed = crate::support::spawn(&arguments(&world.config, "0"));
    eventually("history below is being stored", || async {
        (stored(&world).await.0 < head as i64 - 100).then_some(())
    })
    .await;
    killed.kill().await.unwrap();
    // Its last commit may still be running; the lock is released with its connection.
    eventually("the lock of the killed process is free", || async {
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

    let (code, output, error) = run_to_end(&arguments(&world.config, "0")).await;
    assert_eq!(code, 0, "{output} {error}");
    assert!(
        output.contains(&format!(
            "is indexed from block 0 to {head}, verified through {head}"
        )),
        "{output}"
    );
    assert!(
        start == 0 || format!("{output}{error}").contains("bottleneck"),
        "{output} {error}"
    );
    assert_eq!(stored(&world).await, (0, head as i64, head as i64 + 1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn backfill_reports_unreachable_node_and_stops_on_request() {
    let mut world =
        World::with("[chain]\nrequest_blocks = 5\nbatch_blocks = 10\nrequest_timeout_ms = 6000")
            .await;
    stop_and_clear(&mut world).await;
    world.control.mine(100).await.unwrap();
    let (head, _) = world.control.head().await.unwrap();

    // The node stops answering halfway through.
    let node = FaultyNode::proxy(&world.anvil.http_url()).await.unwrap();
    node.add(Fault::new("eth_getBlockReceipts", Kind::Hold).after(40));
    let config = std::fs::read_to_string(&world.config).unwrap();
    let config = config.replace(&world.anvil.http_url(), &node.http_url());
    let file = world.dir.path().join("held.toml");
    std::fs::write(&file, config).unwrap();

    let mut running = Command::new(env!("CARGO_BIN_EXE_chaincast"))
        .args(arguments(&file, "0"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut progress = BufReader::new(running.stderr.take().unwrap()).lines();
    let mut output = BufReader::new(running.stdout.take().unwrap()).lines();
    eventually("it retries the node", async || {
        (node.held() > 0).then_some(())
    })
    .await;
    let held = Instant::now();
    let reason = async {
        loop {
            let line = progress
                .next_line()
                .await
                .unwrap()
                .expect("it keeps running");
            if line.contains("cannot fetch history; retrying") {
                return line;
            }
        }
    };
    let reason = tokio::time::timeout(TIMEOUT, reason).await.unwrap();
    // Well before the two minutes after which it gives up.
    assert!(held.elapsed().as_secs() < 90, "after {:?}", held.elapsed());
    assert!(reason.contains("the request timed out"), "{reason}");
    assert!(!reason.contains("a-secret-key"), "{reason}");

    eventually("some of it is stored", async || {
        let blocks: i64 = sqlx::query_scalar("SELECT count(*) FROM blocks")
            .fetch_one(&mut world.database().await)
            .await
            .unwrap();
        (blocks > 0).then_some(())
    })
    .await;
    let pid = Pid::from_raw(running.id().unwrap() as i32);
    kill(pid, Signal::SIGTERM).unwrap();
    let ended = tokio::time::timeout(TIMEOUT, running.wait()).await;
    // Some blocks of the range are missing.
    assert_eq!(ended.expect("it ends").unwrap().code(), Some(1));
    let mut rest = String::new();
    while let Some(line) = progress.next_line().await.unwrap() {
        rest.push_str(&line);
    }
    assert!(rest.contains("missing blocks: "), "{rest}");
    assert!(rest.contains("run the same command to resume"), "{rest}");
    let output = output.next_line().await.unwrap().unwrap_or_default();
    assert!(output.contains("is indexed from block 0 to"), "{output}");
    let (start, at, blocks, broken) = stored(&world).await;
    assert_eq!((start, blocks, broken), (0, at + 1, 0));
    assert!(at < head as i64);

    node.clear_faults();
    node.release();
    let (code, output, error) = run_to_end(&arguments(&file, "0")).await;
    assert_eq!(code, 0, "{output} {error}");
    assert_eq!(stored(&world).await, (0, head as i64, head as i64 + 1, 0));
}

/// A configuration with these nodes as providers `a`, `b` and so on, and a new database.
async fn write_config(dir: &TempDir, nodes: &[&FaultyNode]) -> PathBuf {
    let database = fresh_database().await;
    let mut config = format!(
        "[server]\nport = 0\n[database]\nurl = {database:?}\n[[chains]]\nchain_id = 31337\n\
         request_blocks = 5\nbatch_blocks = 10\n"
    );
    for (name, node) in ('a'..).zip(nodes) {
        let url = node.http_url();
        config.push_str(&format!(
            "[[chains.providers]]\nname = \"{name}\"\nurl = {url:?}\n"
        ));
    }
    let file = dir.path().join("nodes.toml");
    std::fs::write(&file, config).unwrap();
    file
}

async fn run_backfill(config: &Path, range: &[&str]) -> (i32, String, String) {
    run_to_end(&[&arguments(config, range[0]), &range[1..]].concat()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn fills_range_from_several_providers() {
    let tree = BlockTree::new(31_337);
    let heads: Vec<_> = (0..30)
        .map(|salt| tree.mine(&Contents::transfers(1, salt)))
        .collect();
    let [low, high] = [
        FaultyNode::from_tree(&tree).await.unwrap(),
        FaultyNode::from_tree(&tree).await.unwrap(),
    ];
    low.pin(Some(heads[9].hash));
    let dir = TempDir::new("backfill");
    let config = write_config(&dir, &[&low, &high]).await;

    // The preferred node has blocks up to 10 only.
    let (code, output, error) = run_backfill(&config, &["5", "--to", "25"]).await;
    assert_eq!(code, 0, "{output} {error}");
    let expected = "is indexed from block 5 to 25, verified through 25";
    assert!(output.contains(expected), "{output}");

    // Stores what is available and lists what is missing.
    let (code, output, error) = run_backfill(&config, &["0", "--to", "50"]).await;
    assert_eq!(code, 1, "{output} {error}");
    assert!(output.contains("is indexed from block 0 to 30"), "{output}");
    for part in [
        "missing blocks: 31 to 50",
        "a ends at block 10",
        "b ends at block 30",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }

    for salt in 30..50 {
        tree.mine(&Contents::transfers(1, salt));
    }
    let (code, output, error) = run_backfill(&config, &["0", "--to", "50"]).await;
    assert_eq!(code, 0, "{output} {error}");
    assert!(output.contains("is indexed from block 0 to 50"), "{output}");
    tree.mine(&Contents::empty(7));
    // Without `--to` the range ends at the highest head of the providers.
    let (code, output, error) = run_backfill(&config, &["0"]).await;
    assert_eq!(code, 0, "{output} {error}");
    assert!(output.contains("is indexed from block 0 to 51"), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rejects_range_above_every_head() {
    let tree = BlockTree::new(31_337);
    for salt in 0..5 {
        tree.mine(&Contents::transfers(1, salt));
    }
    let [truthful, boasting] = [
        FaultyNode::from_tree(&tree).await.unwrap(),
        FaultyNode::from_tree(&tree).await.unwrap(),
    ];
    // Its head is a number without a block.
    let lie = Kind::Alter {
        at: "/number".to_owned(),
        to: serde_json::json!("0x270f"),
    };
    boasting.add(Fault::new("eth_getBlockByNumber", lie));
    let dir = TempDir::new("backfill");
    let config = write_config(&dir, &[&truthful, &boasting]).await;
    for (range, missing) in [
        (&["100", "--to", "120"][..], "missing blocks: 100 to 120"),
        (&["6", "--to", "6"], "missing blocks: 6;"),
        (&["100"], "missing blocks: 100 and above"),
    ] {
        let (code, output, error) = run_backfill(&config, range).await;
        assert_eq!(code, 1, "{output} {error}");
        assert!(output.contains("no blocks indexed yet"), "{output}");
        assert!(error.contains(missing), "{missing}: {error}");
        assert!(error.contains("a ends at block 5"), "{error}");
        assert!(error.contains("block 9999, its reported head"), "{error}");
    }
    let (code, output, error) = run_backfill(&config, &["0", "--to", "5"]).await;
    assert_eq!(code, 0, "{output} {error}");
    assert!(output.contains("is indexed from block 0 to 5"), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_unreachable_node_and_stops_on_ctrl_c() {
    let tree = BlockTree::new(31_337);
    for salt in 0..120 {
        tree.mine(&Contents::transfers(1, salt));
    }
    let node = FaultyNode::from_tree(&tree).await.unwrap();
    let dir = TempDir::new("backfill");
    let config = write_config(&dir, &[&node]).await;
    let (code, output, error) = run_backfill(&config, &["9", "--to", "3"]).await;
    assert_eq!(code, 2, "{output} {error}");
    assert!(error.contains("--to 3 is below --from 9"), "{error}");

    for (range, continues, expected) in [
        (["80", "--to", "110"], true, "from block 80 to 110"),
        // Below the stored blocks, and above them.
        (["0", "--to", "120"], false, "from block 0 to 120"),
    ] {
        node.add(Fault::new("eth_getBlockReceipts", Kind::Cut).after(20));
        // A node that lacks only `eth_getBlockReceipts` is requested for each receipt.
        node.add(Fault::new("eth_getTransactionReceipt", Kind::Cut));
        let mut running = Command::new(env!("CARGO_BIN_EXE_chaincast"))
            .args([&arguments(&config, range[0])[..], &range[1..]].concat())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut progress = BufReader::new(running.stderr.take().unwrap()).lines();
        let waits = async {
            loop {
                let line = progress
                    .next_line()
                    .await
                    .unwrap()
                    .expect("it keeps running");
                if line.contains("; retrying") {
                    return;
                }
            }
        };
        tokio::time::timeout(TIMEOUT, waits).await.unwrap();
        if continues {
            node.clear_faults();
        } else {
            let pid = Pid::from_raw(running.id().unwrap() as i32);
            kill(pid, Signal::SIGINT).unwrap();
        }
        let ended = tokio::time::timeout(TIMEOUT, running.wait_with_output());
        let ended = ended.await.expect("it ends").unwrap();
        let output = String::from_utf8(ended.stdout).unwrap();
        let mut error = String::new();
        while let Some(line) = progress.next_line().await.unwrap() {
            error.push_str(&line);
        }
        if continues {
            assert_eq!(ended.status.code(), Some(0), "{output} {error}");
            assert!(output.contains(expected), "{output}");
            continue;
        }
        assert_eq!(ended.status.code(), Some(1), "{output} {error}");
        assert!(error.contains("missing blocks: 0 to "), "{error}");
        assert!(
            error.contains("stopped: run the same command to resume"),
            "{error}"
        );
        node.clear_faults();
        // Stored blocks are not requested again.
        for range in [&range[..], &["0", "--to", "120"], &["30", "--to", "40"]] {
            let (code, output, error) = run_backfill(&config, range).await;
            assert_eq!(code, 0, "{output} {error}");
            assert!(output.contains(expected), "{output}");
        }
        let (_, output, _) = run_backfill(&config, &["30", "--to", "40"]).await;
        assert!(output.contains("; stored 0 blocks and 0 rows"), "{output}");
    }
}
