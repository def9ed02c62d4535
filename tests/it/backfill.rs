//! `chaincast backfill`: what it prints, how it ends, and that it goes on where a kill ended it.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Instant,
};

use chaincast::dev::faulty_node::{Contents, Fault, FaultyNode, Kind, Tree};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use sqlx::Row;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
};

use crate::support::{PATIENCE, Temporary, World, eventually, fresh_database, run_to_end};

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

/// Stops what serves the chain, and forgets what it indexed.
async fn end_serving(world: &mut World) {
    world.server.signal(Signal::SIGTERM);
    assert!(world.server.ended().await.success());
    sqlx::query("TRUNCATE chains, blocks, transactions, logs, transfers, dropped_blocks CASCADE")
        .execute(&mut world.database().await)
        .await
        .unwrap();
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

    end_serving(&mut world).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_says_in_seconds_why_it_waits_and_ends_in_order_when_it_is_asked_to() {
    let mut world =
        World::with("[chain]\nrequest_blocks = 5\nbatch_blocks = 10\nrequest_timeout_ms = 6000")
            .await;
    end_serving(&mut world).await;
    world.control.mine(100).await.unwrap();
    let (head, _) = world.control.head().await.unwrap();

    // A node that answers no more in the middle.
    let node = FaultyNode::before(&world.anvil.http_url()).await.unwrap();
    node.add(Fault::of("eth_getBlockReceipts", Kind::Hold).after(40));
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
    let mut told = BufReader::new(running.stderr.take().unwrap()).lines();
    let mut said = BufReader::new(running.stdout.take().unwrap()).lines();
    eventually("it waits for the node", async || {
        (node.held() > 0).then_some(())
    })
    .await;
    let held = Instant::now();
    let reason = async {
        loop {
            let line = told.next_line().await.unwrap().expect("it runs on");
            if line.contains("history does not come now") {
                return line;
            }
        }
    };
    let reason = tokio::time::timeout(PATIENCE, reason).await.unwrap();
    // Long before the two minutes after which it gives up.
    assert!(held.elapsed().as_secs() < 90, "after {:?}", held.elapsed());
    assert!(reason.contains("not answered in time"), "{reason}");
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
    let ended = tokio::time::timeout(PATIENCE, running.wait()).await;
    // Not every block of the range is stored.
    assert_eq!(ended.expect("it ends").unwrap().code(), Some(1));
    let mut rest = String::new();
    while let Some(line) = told.next_line().await.unwrap() {
        rest.push_str(&line);
    }
    assert!(rest.contains("missing blocks: "), "{rest}");
    assert!(rest.contains("the same command resumes there"), "{rest}");
    let said = said.next_line().await.unwrap().unwrap_or_default();
    assert!(said.contains("is indexed from block 0 to"), "{said}");
    let (start, at, blocks, broken) = stored(&world).await;
    assert_eq!((start, blocks, broken), (0, at + 1, 0));
    assert!(at < head as i64);

    node.heal();
    node.release();
    let (code, said, error) = run_to_end(&arguments(&file, "0")).await;
    assert_eq!(code, 0, "{said} {error}");
    assert_eq!(stored(&world).await, (0, head as i64, head as i64 + 1, 0));
}

/// A configuration of these nodes, named `a`, `b` and so on, with a database of its own.
async fn of_nodes(dir: &Temporary, nodes: &[&FaultyNode]) -> PathBuf {
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

async fn filled(config: &Path, range: &[&str]) -> (i32, String, String) {
    run_to_end(&[&arguments(config, range[0]), &range[1..]].concat()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn fills_range_from_whichever_provider_has_it() {
    let tree = Tree::new(31_337);
    let heads: Vec<_> = (0..30)
        .map(|salt| tree.mine(&Contents::transfers(1, salt)))
        .collect();
    let [low, high] = [
        FaultyNode::of_tree(&tree).await.unwrap(),
        FaultyNode::of_tree(&tree).await.unwrap(),
    ];
    low.pin(Some(heads[9].hash));
    let dir = Temporary::new("backfill");
    let config = of_nodes(&dir, &[&low, &high]).await;

    // The preferred node ends at block 10.
    let (code, said, error) = filled(&config, &["5", "--to", "25"]).await;
    assert_eq!(code, 0, "{said} {error}");
    let whole = "is indexed from block 5 to 25, verified through 25";
    assert!(said.contains(whole), "{said}");

    // As much as there is, and what is missing.
    let (code, said, error) = filled(&config, &["0", "--to", "50"]).await;
    assert_eq!(code, 1, "{said} {error}");
    assert!(said.contains("is indexed from block 0 to 30"), "{said}");
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
    let (code, said, error) = filled(&config, &["0", "--to", "50"]).await;
    assert_eq!(code, 0, "{said} {error}");
    assert!(said.contains("is indexed from block 0 to 50"), "{said}");
    tree.mine(&Contents::empty(7));
    // Without a last block it is the highest that any provider has.
    let (code, said, error) = filled(&config, &["0"]).await;
    assert_eq!(code, 0, "{said} {error}");
    assert!(said.contains("is indexed from block 0 to 51"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fails_when_range_lies_above_every_head() {
    let tree = Tree::new(31_337);
    for salt in 0..5 {
        tree.mine(&Contents::transfers(1, salt));
    }
    let [truthful, boasting] = [
        FaultyNode::of_tree(&tree).await.unwrap(),
        FaultyNode::of_tree(&tree).await.unwrap(),
    ];
    // Its head is a number without a block.
    let lie = Kind::Alter {
        at: "/number".to_owned(),
        to: serde_json::json!("0x270f"),
    };
    boasting.add(Fault::of("eth_getBlockByNumber", lie));
    let dir = Temporary::new("backfill");
    let config = of_nodes(&dir, &[&truthful, &boasting]).await;
    for (range, missing) in [
        (&["100", "--to", "120"][..], "missing blocks: 100 to 120"),
        (&["6", "--to", "6"], "missing blocks: 6;"),
        (&["100"], "missing blocks: 100 and above"),
    ] {
        let (code, said, error) = filled(&config, range).await;
        assert_eq!(code, 1, "{said} {error}");
        assert!(said.contains("nothing is indexed yet"), "{said}");
        assert!(error.contains(missing), "{missing}: {error}");
        assert!(error.contains("a ends at block 5"), "{error}");
        assert!(
            error.contains("block 9999, which it calls its head"),
            "{error}"
        );
    }
    let (code, said, error) = filled(&config, &["0", "--to", "5"]).await;
    assert_eq!(code, 0, "{said} {error}");
    assert!(said.contains("is indexed from block 0 to 5"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn waits_for_node_that_went_away_and_ends_on_ctrl_c() {
    let tree = Tree::new(31_337);
    for salt in 0..120 {
        tree.mine(&Contents::transfers(1, salt));
    }
    let node = FaultyNode::of_tree(&tree).await.unwrap();
    let dir = Temporary::new("backfill");
    let config = of_nodes(&dir, &[&node]).await;
    let (code, said, error) = filled(&config, &["9", "--to", "3"]).await;
    assert_eq!(code, 2, "{said} {error}");
    assert!(error.contains("--to 3 is below --from 9"), "{error}");

    for (range, goes_on, whole) in [
        (["80", "--to", "110"], true, "from block 80 to 110"),
        // Below what is stored, and above it.
        (["0", "--to", "120"], false, "from block 0 to 120"),
    ] {
        node.add(Fault::of("eth_getBlockReceipts", Kind::Cut).after(20));
        // A node that only lacks lists is asked for the receipts one by one.
        node.add(Fault::of("eth_getTransactionReceipt", Kind::Cut));
        let mut running = Command::new(env!("CARGO_BIN_EXE_chaincast"))
            .args([&arguments(&config, range[0])[..], &range[1..]].concat())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut told = BufReader::new(running.stderr.take().unwrap()).lines();
        let waits = async {
            loop {
                let line = told.next_line().await.unwrap().expect("it runs on");
                if line.contains("; trying on") {
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, waits).await.unwrap();
        if goes_on {
            node.heal();
        } else {
            let pid = Pid::from_raw(running.id().unwrap() as i32);
            kill(pid, Signal::SIGINT).unwrap();
        }
        let ended = tokio::time::timeout(PATIENCE, running.wait_with_output());
        let ended = ended.await.expect("it ends").unwrap();
        let said = String::from_utf8(ended.stdout).unwrap();
        let mut error = String::new();
        while let Some(line) = told.next_line().await.unwrap() {
            error.push_str(&line);
        }
        if goes_on {
            assert_eq!(ended.status.code(), Some(0), "{said} {error}");
            assert!(said.contains(whole), "{said}");
            continue;
        }
        assert_eq!(ended.status.code(), Some(1), "{said} {error}");
        assert!(error.contains("missing blocks: 0 to "), "{error}");
        assert!(
            error.contains("it was stopped: the same command resumes there"),
            "{error}"
        );
        node.heal();
        // What is stored already is not asked for again.
        for range in [&range[..], &["0", "--to", "120"], &["30", "--to", "40"]] {
            let (code, said, error) = filled(&config, range).await;
            assert_eq!(code, 0, "{said} {error}");
            assert!(said.contains(whole), "{said}");
        }
        let (_, said, _) = filled(&config, &["30", "--to", "40"]).await;
        assert!(said.contains("; 0 blocks and 0 rows were stored"), "{said}");
    }
}
