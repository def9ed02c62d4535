//! `chaincast verify` on contract events and on updates: it decodes the stored logs again, and compares updates with
//! the stored rows.

use std::path::Path;

use sqlx::{PgConnection, Row};

use crate::support::{World, eventually, run_to_end};

async fn verify(world: &World) -> (i32, String, String) {
    run_to_end(&["verify", "--config", world.config.to_str().unwrap()]).await
}

/// Two contracts: the demo quote token, and, by a factory, every pair that received some of it.
async fn with_contracts(world: World) -> World {
    let abi = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("abi").join(name);
    let token = &world.deployment.tokens.last().unwrap().address;
    let (erc20, pair) = (abi("erc20.json"), abi("uniswap_v2_pair.json"));
    let more = format!(
        "\n[[contracts]]\nname = \"Cash\"\naddress = \"{token}\"\nabi = {erc20:?}\nevents = [\"Transfer\"]\n
         \n[[contracts]]\nname = \"Funded\"\nabi = {pair:?}\nevents = [\"Sync\"]\n
         [contracts.factory]\naddress = \"{token}\"\nevent = \"Transfer\"\nparameter = \"to\"\nabi = {erc20:?}\n"
    );
    let text = std::fs::read_to_string(&world.config).unwrap();
    std::fs::write(&world.config, text + &more).unwrap();
    world.restart().await
}

async fn count(database: &mut PgConnection, query: &str) -> i64 {
    sqlx::query_scalar(query).fetch_one(database).await.unwrap()
}

/// Changes one row, runs `verify`, and reverts the change. The expected difference must be listed.
async fn assert_reported(world: &World, statement: &str, line: &str) {
    let mut database = world.database().await;
    let backup = [
        "contract_events",
        "contract_addresses",
        "updates",
        "channels",
        "ticks",
        "chains",
    ];
    for table in backup {
        let keep = format!("CREATE TABLE kept_{table} AS TABLE {table}");
        sqlx::query(&keep).execute(&mut database).await.unwrap();
    }
    let done = sqlx::query(statement).execute(&mut database).await.unwrap();
    assert_eq!(done.rows_affected(), 1, "{statement}");
    let (code, output, error) = verify(world).await;
    assert_eq!(code, 1, "{statement}: {output}{error}");
    assert!(
        output.contains(line),
        "{statement}: no {line:?} in\n{output}"
    );
    for table in ["contract_events", "contract_addresses", "updates", "ticks"] {
        let empty = format!("DELETE FROM {table}");
        sqlx::query(&empty).execute(&mut database).await.unwrap();
        let back = format!("INSERT INTO {table} SELECT * FROM kept_{table}");
        let back = back.replace(" SELECT", " OVERRIDING SYSTEM VALUE SELECT");
        sqlx::query(&back).execute(&mut database).await.unwrap();
    }
    let channels = "UPDATE channels c SET seq = k.seq FROM kept_channels k WHERE k.id = c.id";
    sqlx::query(channels).execute(&mut database).await.unwrap();
    for table in backup {
        let gone = format!("DROP TABLE kept_{table}");
        sqlx::query(&gone).execute(&mut database).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_names_each_changed_event_and_update() {
    let mut world = with_contracts(World::start().await).await;
    let quote = world.deployment.tokens.last().unwrap().symbol.clone();
    world.transfer(&quote, 3).await;
    world.caught_up().await;
    // Events removed by a reorg are not differences.
    world.control.reorg(1).await.unwrap();
    world.transfer(&quote, 1_234).await;
    world.transfer(&quote, 77).await;
    world.caught_up().await;
    let mut database = world.database().await;
    eventually("every backfill is complete", async || {
        let mut database = world.database().await;
        let left = "SELECT count(*) FROM contracts c JOIN chains USING (chain_id)
            WHERE decoded_from > c.start_block";
        (count(&mut database, left).await == 0).then_some(())
    })
    .await;
    // While the indexer runs.
    let (code, output, error) = verify(&world).await;
    assert_eq!(code, 0, "{output}{error}");
    let events = count(&mut database, "SELECT count(*) FROM contract_events").await;
    assert!(events > 2, "{events}");
    assert!(
        output.contains(&format!("{events} contract events; no difference")),
        "{output}"
    );
    let taken_back = "SELECT count(*) FROM updates WHERE event = 'contract-reorg'";
    assert!(count(&mut database, taken_back).await > 0);

    world.server.signal(nix::sys::signal::Signal::SIGTERM);
    assert!(world.server.ended().await.success());
    let row = sqlx::query(
        "SELECT e.contract_id, e.block_number, e.log_index, (SELECT max(number) FROM blocks) AS head
         FROM contract_events e WHERE event = 'Transfer' ORDER BY e.block_number DESC LIMIT 1",
    )
    .fetch_one(&mut database)
    .await
    .unwrap();
    let (contract, block, log): (i64, i64, i32) = (row.get(0), row.get(1), row.get(2));
    let head: i64 = row.get(3);
    let newest =
        format!("contract_id = {contract} AND block_number = {block} AND log_index = {log}");
    let at = format!("block {block}: contract_events Cash log_index {log}: ");
    let of = |channel: &str, event: &str| {
        format!(
            "(channel_id, seq) = (SELECT u.channel_id, max(u.seq) FROM updates u JOIN channels c ON c.id = u.channel_id
             WHERE c.name = '{channel}' AND u.event = '{event}' GROUP BY 1)"
        )
    };
    let assert_verify = |channel: &str, event: &str, path: &str, to: &str| {
        format!(
            "UPDATE updates SET data = jsonb_set(data::jsonb, '{path}', '{to}')::json WHERE {}",
            of(channel, event)
        )
    };
    for (statement, line) in [
        (
            format!("UPDATE contract_events SET args = '{{\"value\":\"1\"}}' WHERE {newest}"),
            format!("{at}args: stored {{\"value\":\"1\"}}, decoded {{\"from\":\"0x"),
        ),
        (
            format!("UPDATE contract_events SET event = 'Approval' WHERE {newest}"),
            format!("{at}event: stored Approval, decoded Transfer"),
        ),
        (
            format!("UPDATE contract_events SET address = decode(repeat('ab', 20), 'hex') WHERE {newest}"),
            format!("{at}address: stored 0xabab"),
        ),
        (
            format!("DELETE FROM contract_events WHERE {newest}"),
            format!("{at}missing, but the log contains Transfer"),
        ),
        (
            format!(
                "INSERT INTO contract_events SELECT {contract}, chain_id, block_number, log_index, transaction_index,
                     'Made', address, '{{}}' FROM logs l WHERE NOT EXISTS (SELECT FROM contract_events e
                     WHERE e.contract_id = {contract} AND e.block_number = l.block_number
                         AND e.log_index = l.log_index) LIMIT 1"
            ),
            "Made is stored, but its log does not contain it".to_owned(),
        ),
        (
            "DELETE FROM contract_addresses WHERE address = (SELECT address FROM contract_addresses LIMIT 1)".to_owned(),
            "missing, but the log announces it".to_owned(),
        ),
        (
            "INSERT INTO contract_addresses SELECT contract_id, decode(repeat('ab', 20), 'hex'), block_number, log_index
             FROM contract_addresses LIMIT 1"
                .to_owned(),
            "which does not announce it".to_owned(),
        ),
        (
            assert_verify("contract:cash", "contract-event", "{args,value}", "\"1\""),
            "of contract:cash announces args {".to_owned(),
        ),
        (
            assert_verify("contract:cash:transfer", "contract-event", "{transactionHash}", "\"0x12\""),
            "of contract:cash:transfer announces transactionHash 0x12, stored is 0x".to_owned(),
        ),
        (
            assert_verify("contract:cash", "contract-event", "{blockHash}", "\"0x12\""),
            "of contract:cash announces blockHash 0x12, stored is 0x".to_owned(),
        ),
        (
            assert_verify("contract:cash", "contract-event", "{logIndex}", "99"),
            format!("of contract:cash announces an event of block {block} log 99, stored is nothing"),
        ),
        (
            assert_verify("contract:cash", "contract-event", "{blockNumber}", "\"x\""),
            "of contract:cash announces an event of block x log".to_owned(),
        ),
        (
            assert_verify("new-block", "new-block", "{gasUsed}", "\"1\""),
            "of new-block announces gasUsed 1, stored is ".to_owned(),
        ),
        (
            assert_verify("new-block", "new-block", "{transactions}", "99"),
            "of new-block announces transactions 99, stored is 1".to_owned(),
        ),
        (
            assert_verify("new-block", "new-block", "{number}", "null"),
            "of new-block announces number nothing, stored is no block".to_owned(),
        ),
        (
            assert_verify("new-block", "reorg", "{depth}", "5"),
            "of new-block announces depth 5, stored is 1".to_owned(),
        ),
        (
            format!(
                "WITH c AS (UPDATE channels SET seq = seq + 1 WHERE name = 'new-block' RETURNING id, seq)
                 INSERT INTO updates (channel_id, seq, event, data) SELECT id, seq, 'block-finalized', json_build_object(
                     'number', {head}, 'chainId', 31337, 'hash', (SELECT '0x' || encode(hash, 'hex') FROM blocks
                         WHERE number = {head})) FROM c"
            ),
            format!("of new-block announces block {head} as final, the finalized mark is "),
        ),
        (
            "UPDATE ticks SET log_index = 999 WHERE id = (SELECT max(id) FROM ticks WHERE chain_id = 31337
                 AND log_index < 900)"
                .to_owned(),
            "from log 999, which is not stored".to_owned(),
        ),
    ] {
        assert_reported(&world, &statement, &line).await;
    }
    let (code, output, error) = verify(&world).await;
    assert_eq!(code, 0, "{output}{error}");

    // An update from before the definition may belong to another one; a contract that is not indexed is not compared.
    let older = "UPDATE contracts SET defined_at = now() WHERE name = 'cash'";
    sqlx::query(older).execute(&mut database).await.unwrap();
    let changed = assert_verify("contract:cash", "contract-event", "{args}", "{}");
    sqlx::query(&changed).execute(&mut database).await.unwrap();
    let text = std::fs::read_to_string(&world.config).unwrap();
    std::fs::write(
        &world.config,
        text.replace("events = [\"Sync\"]", "events = [\"Swap\"]"),
    )
    .unwrap();
    let (code, output, error) = verify(&world).await;
    assert_eq!(code, 0, "{output}{error}");
    assert!(
        error.contains("contract Funded is not indexed as configured"),
        "{error}"
    );
}
