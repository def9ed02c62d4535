//! Old ticks: of sources whose only observation is old, and of a source that was added after the blocks it is read
//! from.

use chaincast_protocol::now_ms;
use chaincast_testkit::{
    faulty_node::{BlockTree, Contents, FaultyNode},
    price_servers::PricePage,
};
use serde_json::{Value, json};
use sqlx::PgConnection;

use crate::support::{Server, TempDir, World, WsClient, eventually, fresh_database};

/// Over REST and for a new subscriber, the token has a stale price, once it has a price at all.
async fn assert_stale(server: &Server, token: &str, price: &str) {
    let url = format!("{}/api/v1/prices/{token}", server.url());
    let rest: Value = eventually("a price", async || {
        let answer = reqwest::get(&url).await.ok()?;
        let text = answer.error_for_status().ok()?.text().await.ok()?;
        serde_json::from_str(&text).ok()
    })
    .await;
    let mut ws = WsClient::connect(&server.realtime()).await;
    let channel = format!("price:{token}");
    ws.subscribe(json!({ "channel": channel })).await;
    let snapshot = ws.event("price-update").await;
    assert_eq!(snapshot["snapshot"], true, "{snapshot}");
    for returned in [&rest, &snapshot["data"]] {
        assert_eq!(returned["price"].to_string(), price, "{returned}");
        assert_eq!(returned["status"], "stale", "{returned}");
        assert_eq!(returned["reason"], "old", "{returned}");
        assert!(returned["ageMs"].as_u64().unwrap() > 0, "{returned}");
    }
    assert_eq!(rest["seq"], snapshot["seq"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn old_document_gives_a_stale_price() {
    let (database, dir) = (fresh_database().await, TempDir::new("old-ticks"));
    let tree = BlockTree::new(31_337);
    tree.mine(&Contents::transfers(1, 1));
    let node = FaultyNode::from_tree(&tree).await.unwrap();
    let at = now_ms() - 600_000;
    let page = PricePage::start(&format!("{{\"price\":\"3000.5\",\"at\":{at}}}"))
        .await
        .unwrap();
    let text = format!(
        "[server]\nport = 0\n[database]\nurl = {database:?}\n\
         [[chains]]\nchain_id = 31337\nrpc_url = {:?}\n\
         [[prices.tokens]]\nsymbol = \"ETH\"\n\
         [[prices.sources]]\nkind = \"http\"\ntoken = \"ETH\"\nquote = \"USD\"\nurl = {:?}\n\
         pointer = \"/price\"\ntimestamp_pointer = \"/at\"\nmax_age_ms = 60000\n",
        node.http_url(),
        page.url()
    );
    let config = dir.path().join("chaincast.toml");
    std::fs::write(&config, text).unwrap();
    let server = Server::serve(&config).await;
    assert_stale(&server, "ETH", "3000.5").await;
    server.stop().await;
}

/// The result of a counting query.
async fn count(connection: &mut PgConnection, sql: &str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(connection).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_price_backfill_resumes_without_duplicates() {
    /// Ticks of logs, not those read at the end of a block.
    const TICKS: &str =
        "SELECT count(*) FROM ticks WHERE token = 'LATE' AND log_index <> 2147483647";
    let world = World::start().await;
    for dollars in 3_001..3_031 {
        world.set_feed("ETH", dollars).await;
    }
    let (held_below, _) = world.control.head().await.unwrap();
    // More than the first step covers.
    world.control.mine(1_200).await.unwrap();
    for dollars in 3_101..3_111 {
        world.set_feed("ETH", dollars).await;
    }
    world.caught_up().await;
    world.server.stop().await;

    // A lock of this test stops the backfill before the older part.
    let mut holder = sqlx::Connection::connect(&world.database).await.unwrap();
    let connection: &mut PgConnection = &mut holder;
    sqlx::raw_sql(&format!(
        "SELECT pg_advisory_lock(4242);
         CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             IF NEW.token = 'LATE' AND NEW.block_number <= {held_below} THEN PERFORM pg_advisory_xact_lock(4242); END IF;
             RETURN NEW;
         END $$;
         CREATE TRIGGER hold BEFORE INSERT ON ticks FOR EACH ROW EXECUTE FUNCTION hold()"
    ))
    .execute(&mut *connection)
    .await
    .unwrap();
    let feed = world.deployment.feed("ETH").unwrap().address;
    let text = std::fs::read_to_string(&world.config).unwrap();
    let late = format!(
        "\n[[prices.tokens]]\nsymbol = \"LATE\"\n[[prices.sources]]\nkind = \"chainlink\"\ntoken = \"LATE\"\n\
         address = \"{feed}\"\nmax_age_ms = 1\n"
    );
    std::fs::write(&world.config, text + &late).unwrap();
    let server = Server::serve(&world.config).await;
    let held =
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 4242 AND NOT granted
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    eventually("the backfill is stopped halfway", async || {
        let mut looking: PgConnection = sqlx::Connection::connect(&world.database).await.ok()?;
        (count(&mut looking, held).await > 0).then_some(())
    })
    .await;
    server.crash().await;
    assert_eq!(
        count(connection, TICKS).await,
        10,
        "the newer part, committed"
    );
    sqlx::raw_sql("SELECT pg_advisory_unlock(4242)")
        .execute(&mut *connection)
        .await
        .unwrap();

    let server = Server::serve(&world.config).await;
    let done = "SELECT count(*) FROM price_pasts p JOIN chains c USING (chain_id)
                WHERE p.token = 'LATE' AND p.decoded_from <= c.start_block";
    eventually("the backfill is complete", async || {
        let mut looking: PgConnection = sqlx::Connection::connect(&world.database).await.ok()?;
        (count(&mut looking, done).await == 1).then_some(())
    })
    .await;
    // Each log of the feed gave one tick, as for ETH, which was configured from the start.
    let logs = "SELECT count(*) FROM logs l JOIN price_sources s USING (chain_id, address)
                WHERE s.token = 'LATE' AND topic0 = '\\x0559884fd3a460db3073b7fc896cc77986f16e378210ded43186175bf646fc5f'";
    let ticks = count(connection, TICKS).await;
    assert!(ticks >= 40, "{ticks}");
    assert_eq!(ticks, count(connection, logs).await);
    let of = |token: &str| {
        format!(
            "SELECT block_number, log_index, price, observed_at FROM ticks
             WHERE token = '{token}' AND source = 'chainlink' AND log_index <> 2147483647"
        )
    };
    let (eth, late) = (of("ETH"), of("LATE"));
    let differ = format!(
        "SELECT count(*) FROM (({eth} EXCEPT ALL {late}) UNION ALL ({late} EXCEPT ALL {eth})) d"
    );
    assert_eq!(count(connection, &differ).await, 0);
    // Its newest answer is older than `max_age_ms`, and was from the start.
    assert_stale(&server, "LATE", "3110").await;
    server.stop().await;
}
