//! `chaincast verify` against a database that was changed by hand.

use chaincast_testkit::faulty_node::{BlockTree, Contents, Fault, FaultyNode, Kind};
use serde_json::json;
use sqlx::{PgConnection, Row};

use crate::support::{TempDir, World, eventually, fresh_database, run_to_end};

async fn verify(world: &World, more: &[&str]) -> (i32, String, String) {
    let mut arguments = vec!["verify", "--config", world.config.to_str().unwrap()];
    arguments.extend(more);
    run_to_end(&arguments).await
}

async fn change(database: &mut PgConnection, statement: &str) {
    let done = sqlx::query(statement).execute(database).await.unwrap();
    assert_eq!(done.rows_affected(), 1, "{statement}");
}

/// Block and position of the rows that a query returns, in its order.
async fn row_positions(database: &mut PgConnection, query: &str) -> Vec<(i64, i32)> {
    let rows = sqlx::query(query).fetch_all(database).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_finds_no_difference_while_indexing() {
    let world = World::start().await;
    world.transfer("LINK", 7).await;
    let (head, _) = world.caught_up().await;
    let (code, output, error) = verify(&world, &[]).await;
    assert_eq!(code, 0, "{output}{error}");
    assert!(
        output.contains(&format!("compared blocks 0 to {head}: {} blocks", head + 1))
            && output.contains("no difference"),
        "{output}"
    );
    let (code, output, error) =
        verify(&world, &["--chain", "31337", "--from", "2", "--to", "3"]).await;
    assert_eq!(code, 0, "{output}{error}");
    assert!(
        output.contains("compared blocks 2 to 3: 2 blocks"),
        "{output}"
    );
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_reads_rows_of_an_earlier_version() {
    let world = World::start().await;
    world.transfer("LINK", 7).await;
    let (head, _) = world.caught_up().await;
    let mut database = world.database().await;
    let column = |table: &str, column: &str| {
        format!(
            "UPDATE {table} SET {column} = NULL WHERE {}",
            match table {
                "blocks" => format!("number = {head}"),
                _ => format!("block_number = {head} AND transaction_index = 0"),
            }
        )
    };
    change(&mut database, &column("blocks", "logs_bloom")).await;
    let (code, output, error) = verify(&world, &[]).await;
    assert_eq!(code, 1, "{output}{error}");
    assert!(
        output.contains(&format!("block {head}: blocks: logs_bloom: stored null")),
        "{output}"
    );
    for name in [
        "ommers_hash",
        "withdrawals_root",
        "parent_beacon_block_root",
        "requests_hash",
        "withdrawals",
        "size_proved",
    ] {
        change(&mut database, &column("blocks", name)).await;
    }
    change(&mut database, &column("transactions", "access_list")).await;
    let (code, output, error) = verify(&world, &[]).await;
    assert_eq!(code, 0, "{output}{error}");
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_lists_changed_removed_and_added_rows() {
    let mut world = World::start().await;
    for amount in 1..=6 {
        world.transfer("LINK", amount).await;
    }
    world.control.mine(3).await.unwrap();
    let (head, _) = world.caught_up().await;
    let head = head as i64;
    world.server.stop().await;
    let config = world.config.to_str().unwrap();
    world.server =
        crate::support::Server::start(&["serve", "--role", "gateway", "--config", config]).await;
    let mut database = world.database().await;
    // The six transfers, each in its own block, newest last.
    let mut moved = row_positions(
        &mut database,
        "SELECT block_number, log_index FROM transfers ORDER BY block_number DESC, log_index DESC LIMIT 6",
    )
    .await;
    moved.reverse();
    let tick = row_positions(
        &mut database,
        "SELECT block_number, log_index FROM ticks WHERE chain_id = 31337 ORDER BY block_number LIMIT 1",
    )
    .await[0];
    let at = |index: usize| moved[index].0;
    let mut expected = Vec::new();
    let mut lie = async |statement: String, line: String| {
        change(&mut database, &statement).await;
        expected.push(line);
    };
    let (block, log) = moved[0];
    lie(
        format!("UPDATE transactions SET value = 5 WHERE block_number = {block}"),
        format!("block {block}: transactions transaction_index 0: value: stored 5, node 0"),
    )
    .await;
    lie(
        format!("UPDATE transactions SET hash = decode(repeat('ab', 32), 'hex') WHERE block_number = {}", at(1)),
        format!("block {}: transactions transaction_index 0: hash: stored 0xabab", at(1)),
    )
    .await;
    lie(
        format!(
            "UPDATE transfers SET amount = 1000000 WHERE block_number = {}",
            at(1)
        ),
        format!(
            "block {}: transfers log_index {} position 0: amount: stored 1000000, node 2",
            at(1),
            moved[1].1
        ),
    )
    .await;
    lie(
        format!(
            "DELETE FROM logs WHERE block_number = {} AND log_index = {}",
            at(2),
            moved[2].1
        ),
        format!(
            "block {}: logs log_index {}: missing, but on the node",
            at(2),
            moved[2].1
        ),
    )
    .await;
    lie(
        format!("DELETE FROM transfers WHERE block_number = {}", at(3)),
        format!(
            "block {}: transfers log_index {} position 0: missing, but on the node",
            at(3),
            moved[3].1
        ),
    )
    .await;
    lie(
        format!(
            "INSERT INTO logs (chain_id, block_number, log_index, transaction_index, address, data)
             VALUES (31337, {}, 99, 0, decode(repeat('00', 20), 'hex'), '')",
            at(3)
        ),
        format!(
            "block {}: logs log_index 99: stored, but not on the node",
            at(3)
        ),
    )
    .await;
    lie(
        format!("UPDATE logs SET topic1 = NULL WHERE block_number = {block} AND log_index = {log}"),
        format!("block {block}: logs log_index {log}: topic1: stored null, node 0x"),
    )
    .await;
    lie(
        format!(
            "UPDATE blocks SET gas_used = gas_used + 1 WHERE number = {}",
            at(2)
        ),
        format!("block {}: blocks: gas_used: stored ", at(2)),
    )
    .await;
    lie(
        format!(
            "UPDATE blocks SET hash = decode(repeat('cd', 32), 'hex') WHERE number = {}",
            head - 1
        ),
        format!("block {}: blocks: hash: stored 0xcdcd", head - 1),
    )
    .await;
    lie(
        format!("DELETE FROM blocks WHERE number = {}", at(5)),
        format!("block {}: blocks: missing, but on the node", at(5)),
    )
    .await;
    lie(
        format!(
            "UPDATE ticks SET block_hash = decode(repeat('ef', 32), 'hex')
             WHERE id = (SELECT id FROM ticks WHERE block_number = {} AND log_index = {} LIMIT 1)",
            tick.0, tick.1
        ),
        format!("block {}: ticks: tick ", tick.0),
    )
    .await;
    lie(
        format!(
            "INSERT INTO contract_events (contract_id, chain_id, block_number, log_index, transaction_index, event,
                 address, args)
             VALUES (1, 31337, {}, 88, 0, 'Invented', decode(repeat('00', 20), 'hex'), '{{}}')",
            at(4)
        ),
        format!(
            "block {}: contract_events: event Invented of log 88, which is not stored",
            at(4)
        ),
    )
    .await;
    lie(
        format!(
            "INSERT INTO blocks SELECT (b).* FROM (SELECT jsonb_populate_record(b, jsonb_build_object(
                 'number', {}, 'hash', '\\x' || repeat('11', 32))) AS b FROM blocks b WHERE number = {head}) t",
            head + 5
        ),
        format!("block {}: blocks: 1 stored outside of the indexed blocks", head + 5),
    )
    .await;
    expected.push(format!(
        "block {head}: chains: the cursor is at block {head} "
    ));
    expected.push(format!("block {head}: blocks: parent_hash: stored "));
    let (code, output, error) = verify(&world, &[]).await;
    assert_eq!(code, 1, "{output}{error}");
    for line in &expected {
        let line = format!("chain 31337 {line}");
        assert!(output.contains(&line), "no {line:?} in:\n{output}");
    }
    assert!(
        error.contains("differences between the database and the node"),
        "{error}"
    );
    let listed = output
        .lines()
        .filter(|line| line.starts_with("chain 31337 block"))
        .count();

    let (code, output, _) = verify(&world, &["--limit", "2"]).await;
    assert_eq!(code, 1);
    let short = output
        .lines()
        .filter(|line| line.starts_with("chain 31337 block"))
        .count();
    assert_eq!(short, 2, "{output}");
    assert!(
        output.contains(&format!("… and {} more", listed - 2)),
        "{output}"
    );
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_rejects_what_it_cannot_compare() {
    let world = World::start().await;
    let (code, _, error) = verify(&world, &["--from", "9", "--to", "3"]).await;
    assert_eq!(code, 2, "{error}");
    let (code, _, error) = verify(&world, &["--chain", "5"]).await;
    assert_eq!(code, 2);
    assert!(error.contains("chain 5 is not configured in"), "{error}");
    let (code, _, error) = verify(&world, &["--from", "999999"]).await;
    assert_eq!(code, 1);
    assert!(
        error.contains("no blocks to compare from 999999 on"),
        "{error}"
    );
    let (head, _) = world.caught_up().await;
    let (code, output, error) = verify(&world, &["--to", "99999"]).await;
    assert_eq!(code, 1, "{output}{error}");
    let left_out = format!("blocks {} to 99999 are not indexed", head + 1);
    assert!(output.contains(&left_out), "{output}");
    assert!(
        error.contains("some requested blocks were not compared"),
        "{error}"
    );
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_checks_consistency_of_stored_rows() {
    let mut world = World::start().await;
    world.transfer("LINK", 7).await;
    let (head, _) = world.caught_up().await;
    eventually("the token is read", || async {
        let known = "SELECT 1 FROM token_contracts WHERE symbol = 'LINK'";
        let mut database = world.database().await;
        sqlx::query(known)
            .fetch_optional(&mut database)
            .await
            .unwrap()
    })
    .await;
    world.server.signal(nix::sys::signal::Signal::SIGTERM);
    assert!(world.server.ended().await.success());
    let mut database = world.database().await;
    // A watched channel has a seq before its first update.
    let watch = "WITH c AS (INSERT INTO channels (name, seq) VALUES ('address:0x' || repeat('ab', 20), 5) RETURNING id)
        INSERT INTO watches (key, channel_id, since, until)
        SELECT decode(repeat('ab', 20), 'hex'), id, 5, now() + interval '1 hour' FROM c";
    change(&mut database, watch).await;
    let (code, output, error) = verify(&world, &[]).await;
    assert_eq!(code, 0, "{output}{error}");
    let announced = format!(
        "UPDATE updates SET data = jsonb_set(data::jsonb, '{{hash}}', '\"0x12\"')::json
         WHERE event = 'new-block' AND (data ->> 'number')::int = {head}"
    );
    let event = "INSERT INTO contract_events (contract_id, chain_id, block_number, log_index, transaction_index, event,
             address, args)
         SELECT 1, chain_id, block_number, log_index, transaction_index + 1, 'Moved', address, '{}'
         FROM logs ORDER BY block_number DESC, log_index LIMIT 1";
    for (statement, line) in [
        (
            "UPDATE chains SET finalized_number = 1, finalized_hash = decode(repeat('ab', 32), 'hex')",
            "block 1: chains: the finalized mark is 0xabab".to_owned(),
        ),
        (
            "UPDATE chains SET verified_through = head_number + 1",
            format!("block {}: chains: verified_through is {0}", head + 1),
        ),
        (
            "UPDATE token_contracts SET symbol = 'FAKE' WHERE symbol = 'LINK'",
            "symbol: stored FAKE, contract LINK".to_owned(),
        ),
        (event, "event Moved of log ".to_owned()),
        (
            "UPDATE channels SET seq = seq + 1 WHERE name = 'new-block'",
            "updates: channel new-block is at seq ".to_owned(),
        ),
        (
            &announced,
            "of new-block announces block 0x12, stored is 0x".to_owned(),
        ),
        (
            "DELETE FROM token_contracts WHERE symbol = 'FAKE'",
            " has transfers and no row".to_owned(),
        ),
    ] {
        change(&mut database, statement).await;
        let (code, output, error) = verify(&world, &["--from", "1", "--to", "1"]).await;
        assert_eq!(code, 1, "{statement}: {output}{error}");
        assert!(output.contains(&line), "no {line:?} in:\n{output}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_compares_updates_and_finds_hole_in_channel() {
    let world = World::start().await;
    world.control.mine(2).await.unwrap();
    let (head, _) = world.caught_up().await;
    world.server.stop().await;
    let mut database = sqlx::Connection::connect(&world.database).await.unwrap();
    let arguments = ["verify", "--config", world.config.to_str().unwrap()];
    // As if another block had been published, and a reorg had replaced it by blocks that are not published.
    let announce = |event: &str, data: String| {
        format!(
            "WITH c AS (UPDATE channels SET seq = seq + 1 WHERE name = 'new-block' RETURNING id, seq)
             INSERT INTO updates (channel_id, seq, event, data) SELECT id, seq, '{event}', '{data}' FROM c"
        )
    };
    let other = announce(
        "new-block",
        format!(r#"{{"number": {head}, "hash": "0x12"}}"#),
    );
    change(&mut database, &other).await;
    let (code, output, error) = run_to_end(&arguments).await;
    assert_eq!(code, 1, "{output}{error}");
    assert!(output.contains("announces block 0x12"), "{output}");
    let hash = "SELECT '0x' || encode(hash, 'hex') FROM blocks WHERE number = $1";
    let hash: String = sqlx::query_scalar(hash)
        .bind(head as i64 - 1)
        .fetch_one(&mut database)
        .await
        .unwrap();
    let reorg = format!(
        r#"{{"chainId": 31337, "depth": 0, "dropped": [], "commonAncestor": {{"number": {}, "hash": "{hash}"}}}}"#,
        head - 1
    );
    change(&mut database, &announce("reorg", reorg)).await;
    let (code, output, error) = run_to_end(&arguments).await;
    assert_eq!(code, 0, "{output}{error}");
    let hole = "DELETE FROM updates WHERE event = 'new-block' AND data ->> 'hash' = '0x12'";
    change(&mut database, hole).await;
    let (code, output, error) = run_to_end(&arguments).await;
    assert_eq!(code, 1, "{output}{error}");
    assert!(
        output.contains("updates: channel new-block is at seq "),
        "{output}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_continues_after_an_invalid_block_of_the_node() {
    let world = World::start().await;
    world.transfer("LINK", 7).await;
    let (head, _) = world.caught_up().await;
    world.server.stop().await;
    let node = FaultyNode::proxy(&world.anvil.http_url()).await.unwrap();
    let lie = Kind::Alter {
        at: "/stateRoot".to_owned(),
        to: json!(format!("0x{}", "11".repeat(32))),
    };
    node.add(Fault::new("eth_getBlockByNumber", lie).at(2));
    let config = std::fs::read_to_string(&world.config).unwrap();
    let config = config.replace(&world.anvil.http_url(), &node.http_url());
    std::fs::write(&world.config, config).unwrap();
    let arguments = ["verify", "--config", world.config.to_str().unwrap()];
    let (code, output, error) = run_to_end(&arguments).await;
    assert_eq!(code, 1, "{output}{error}");
    assert!(
        output.contains("block 2: blocks: not compared: "),
        "{output}"
    );
    assert!(output.contains("chains.checks.block_hash"), "{output}");
    let compared = format!("compared blocks 0 to {head}: {head} blocks");
    assert!(
        output.contains(&compared) && output.contains("1 difference"),
        "{output}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_skips_updates_of_another_chain() {
    let world = World::start().await;
    let (head, _) = world.caught_up().await;
    world.server.stop().await;
    let mut database = sqlx::Connection::connect(&world.database).await.unwrap();
    // As if another chain had been the first of [[chains]] before; its reorg does not affect this one.
    let other = "INSERT INTO chains (chain_id, genesis_hash, start_block) VALUES (5, decode(repeat('ab', 32), 'hex'), 0)";
    change(&mut database, other).await;
    let announce = |event: &str, data: serde_json::Value| {
        format!(
            "WITH c AS (UPDATE channels SET seq = seq + 1 WHERE name = 'new-block' RETURNING id, seq)
             INSERT INTO updates (channel_id, seq, event, data) SELECT id, seq, '{event}', '{data}' FROM c"
        )
    };
    let arguments = ["verify", "--config", world.config.to_str().unwrap()];
    let block = |chain: u64| json!({ "number": head, "hash": "0x12", "chainId": chain });
    change(&mut database, &announce("new-block", block(5))).await;
    let (code, output, error) = run_to_end(&arguments).await;
    assert_eq!(code, 0, "{output}{error}");
    change(&mut database, &announce("new-block", block(31_337))).await;
    let reorg = json!({ "commonAncestor": { "number": 0 }, "chainId": 5 });
    change(&mut database, &announce("reorg", reorg)).await;
    let (code, output, error) = run_to_end(&arguments).await;
    assert_eq!(code, 1, "{output}{error}");
    assert!(output.contains("announces block 0x12"), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_reads_amsterdam_blocks_of_an_earlier_version() {
    let tree = BlockTree::new(31_337);
    tree.mine(&Contents::transfers(1, 1));
    tree.mine(&Contents::transfers(1, 2).in_slot(100));
    let node = FaultyNode::from_tree(&tree).await.unwrap();
    let database = fresh_database().await;
    let dir = TempDir::new("verify");
    let config = dir.path().join("verify.toml");
    let text = format!(
        "[database]\nurl = {database:?}\n[[chains]]\nchain_id = 31337\nrpc_url = {:?}\n",
        node.http_url()
    );
    std::fs::write(&config, text).unwrap();
    let config = config.to_str().unwrap();
    let backfill = ["backfill", "--config", config, "--from", "0"];
    let (code, output, error) = run_to_end(&backfill).await;
    assert_eq!(code, 0, "{output}{error}");
    let mut database = sqlx::Connection::connect(&database).await.unwrap();
    for statement in [
        "UPDATE blocks SET ommers_hash = NULL, logs_bloom = NULL, withdrawals_root = NULL, parent_beacon_block_root = NULL,
             requests_hash = NULL, block_access_list_hash = NULL, withdrawals = NULL, size_proved = NULL, slot_number = NULL
         WHERE number = 2",
        "UPDATE transactions SET access_list = NULL WHERE block_number = 2",
    ] {
        change(&mut database, statement).await;
    }
    let verify = ["verify", "--config", config];
    let (code, output, error) = run_to_end(&verify).await;
    assert_eq!(code, 0, "{output}{error}");
    change(
        &mut database,
        "UPDATE blocks SET slot_number = 99 WHERE number = 2",
    )
    .await;
    let (code, output, error) = run_to_end(&verify).await;
    assert_eq!(code, 1, "{output}{error}");
    assert!(
        output.contains("slot_number: stored 99, node 100"),
        "{output}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_retries_tokens_that_the_node_throttles() {
    let world = World::with("[chain]\ntoken_metadata_per_second = 50").await;
    world.transfer("LINK", 7).await;
    world.caught_up().await;
    let mut database = world.database().await;
    eventually("every token is read", || async {
        let unread = "SELECT count(*) FROM token_contracts WHERE read_at IS NULL";
        let mut database = world.database().await;
        let unread: i64 = sqlx::query_scalar(unread)
            .fetch_one(&mut database)
            .await
            .unwrap();
        (unread == 0).then_some(())
    })
    .await;
    world.server.stop().await;
    let node = FaultyNode::proxy(&world.anvil.http_url()).await.unwrap();
    let refused = Kind::Error {
        code: -32_000,
        message: "header not found".to_owned(),
    };
    let throttled = Kind::Status {
        code: 429,
        retry_after: Some(1),
    };
    for kind in [refused, throttled, Kind::Cut] {
        node.add(Fault::new("eth_call", kind).times(2));
    }
    let config = std::fs::read_to_string(&world.config).unwrap();
    let config = config.replace(&world.anvil.http_url(), &node.http_url());
    std::fs::write(&world.config, config).unwrap();
    let arguments = ["verify", "--config", world.config.to_str().unwrap()];
    let (code, output, error) = run_to_end(&arguments).await;
    assert_eq!(code, 0, "{output}{error}");
    assert!(output.contains("no difference"), "{output}");
    assert_eq!(node.unused_faults(), []);
    // A real difference remains.
    let fake = "UPDATE token_contracts SET symbol = 'FAKE' WHERE symbol = 'LINK'";
    change(&mut database, fake).await;
    let (code, output, error) = run_to_end(&arguments).await;
    assert_eq!(code, 1, "{output}{error}");
    let line = "symbol: stored FAKE, contract LINK";
    assert!(output.contains(line), "{output}");
}
