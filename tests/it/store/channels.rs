//! Channels and their updates: the updates that are kept have no holes, and a hole is detected during concurrent
//! writes.

use std::time::Duration;

use chaincast_protocol::{B256, Channel, Event, NewUpdate, Reorg};
use chaincast_store::{Store, updates::append, watches};
use sqlx::PgConnection;
use tokio_util::sync::CancellationToken;

use super::{blocks::block_ref, limits, number, store};

async fn write(connection: &mut PgConnection, channels: &[Channel], updates: usize) {
    let event = Event::Reorg(Reorg {
        chain_id: 1,
        depth: 0,
        common_ancestor: block_ref(0),
        dropped: Vec::new(),
        timestamp: 0,
    });
    let pairs = channels
        .iter()
        .flat_map(|channel| std::iter::repeat_n((channel.clone(), event.clone()), updates));
    let new_updates = pairs.map(|(channel, event)| NewUpdate { channel, event });
    append(connection, new_updates.collect()).await.unwrap();
}

async fn seqs(store: &Store) -> Vec<i64> {
    let query = "SELECT seq FROM updates ORDER BY seq";
    sqlx::query_scalar(query)
        .fetch_all(store.pool())
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn update_after_a_younger_one_is_kept_with_it() {
    let (store, _) = store().await;
    let alice: Channel = "user:alice".parse().unwrap();
    // The transaction that began first commits last.
    let mut early = store.begin().await.unwrap();
    sqlx::query("SELECT now()")
        .execute(&mut *early)
        .await
        .unwrap();
    let mut late = store.begin().await.unwrap();
    write(&mut late, std::slice::from_ref(&alice), 1).await;
    late.commit().await.unwrap();
    write(&mut early, std::slice::from_ref(&alice), 1).await;
    early.commit().await.unwrap();
    let order = "SELECT count(*) FROM updates a JOIN updates b ON a.seq = 1 AND b.seq = 2 AND b.created_at < a.created_at";
    assert_eq!(number(&store, order).await, 1);
    // Only the second update is expired.
    let older = "UPDATE updates SET created_at = created_at - interval '1 hour' WHERE seq = 2";
    sqlx::query(older).execute(store.pool()).await.unwrap();
    for seq in 3..=4 {
        let mut connection = store.pool().acquire().await.unwrap();
        write(&mut connection, std::slice::from_ref(&alice), 1).await;
        assert_eq!(store.prune_updates(1_800_000, 0, 10).await.unwrap(), 0);
        assert_eq!(seqs(&store).await, (1..=seq).collect::<Vec<_>>());
    }
    let older = "UPDATE updates SET created_at = created_at - interval '1 hour' WHERE seq = 1";
    sqlx::query(older).execute(store.pool()).await.unwrap();
    assert_eq!(store.prune_updates(1_800_000, 0, 1).await.unwrap(), 1);
    assert_eq!(store.prune_updates(1_800_000, 0, 10).await.unwrap(), 1);
    assert_eq!(seqs(&store).await, [3, 4]);
    assert_eq!(
        store.channel_faults(10).await.unwrap(),
        ["channel user:alice"; 0]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn finds_lost_updates_of_any_channel() {
    let (store, _) = store().await;
    let [alice, address, price] = [
        "user:alice".to_owned(),
        format!("address:0x{}", "ab".repeat(20)),
        "price:ETH".to_owned(),
    ]
    .map(|name| name.parse::<Channel>().unwrap());
    // A new watch of a channel starts above the seqs of those that ended.
    sqlx::query("UPDATE watching SET floor = 40")
        .execute(store.pool())
        .await
        .unwrap();
    let since = store
        .watch(std::slice::from_ref(&address), 3_600, 10, "here")
        .await;
    assert_eq!(since.unwrap(), [Some(40)]);
    assert_eq!(store.channel_faults(10).await.unwrap(), [""; 0]);
    let channels = [alice, address, price];
    let mut connection = store.pool().acquire().await.unwrap();
    write(&mut connection, &channels, 3).await;
    drop(connection);
    assert_eq!(store.channel_faults(10).await.unwrap(), [""; 0]);
    for (lost, words) in [
        ("u.seq = c.seq", "has 2 updates from "),
        ("u.seq = c.seq - 1", "has 2 updates from "),
        (
            "u.seq = c.seq - 2 AND c.name NOT LIKE 'user:%'",
            "has 2 updates from ",
        ),
        ("true", "has no update"),
    ] {
        let keep = "CREATE TABLE kept AS TABLE updates";
        sqlx::query(keep).execute(store.pool()).await.unwrap();
        let lose =
            format!("DELETE FROM updates u USING channels c WHERE c.id = u.channel_id AND {lost}");
        sqlx::query(&lose).execute(store.pool()).await.unwrap();
        let faults = store.channel_faults(10).await.unwrap();
        let expected = if lost.contains("LIKE") { 2 } else { 3 };
        assert_eq!(faults.len(), expected, "{lost}: {faults:?}");
        assert!(
            faults.iter().all(|fault| fault.contains(words)),
            "{lost}: {faults:?}"
        );
        assert!(faults[0].ends_with("it begins behind 40"), "{faults:?}");
        sqlx::raw_sql(
            "DELETE FROM updates; INSERT INTO updates SELECT * FROM kept; DROP TABLE kept",
        )
        .execute(store.pool())
        .await
        .unwrap();
    }
}

/// Keeps committing to one channel of a user and to watched channels, as long as they are watched.
async fn keep_writing(store: Store, watched: Vec<Channel>, stop: CancellationToken) {
    let alice: Channel = "user:alice".parse().unwrap();
    while !stop.is_cancelled() {
        let mut transaction = store.begin().await.unwrap();
        watches::lock_shared(&mut transaction).await.unwrap();
        let names: Vec<String> = watched.iter().map(Channel::to_string).collect();
        let here: Vec<String> = sqlx::query_scalar(
            "SELECT c.name FROM watches w JOIN channels c ON c.id = w.channel_id WHERE c.name = ANY ($1)",
        )
        .bind(names)
        .fetch_all(&mut *transaction)
        .await
        .unwrap();
        let mut channels: Vec<Channel> = here.iter().map(|name| name.parse().unwrap()).collect();
        channels.push(alice.clone());
        write(&mut transaction, &channels, 20).await;
        transaction.commit().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn check_finds_no_fault_during_concurrent_writes() {
    let (store, _) = store().await;
    let watched: Vec<Channel> = (1..=3)
        .map(|byte| Channel::Tx(B256::repeat_byte(byte)))
        .collect();
    let stop = CancellationToken::new();
    let writers: Vec<_> = (0..3)
        .map(|_| tokio::spawn(keep_writing(store.clone(), watched.clone(), stop.clone())))
        .collect();
    let (ending, ended, tags) = (store.clone(), stop.clone(), watched.clone());
    let watching = tokio::spawn(async move {
        let mut ends = 0;
        while !ended.is_cancelled() {
            ending.watch(&tags, 3_600, 10, "here").await.unwrap();
            let expire =
                "UPDATE watches SET until = now() - interval '1 second' WHERE random() < 0.5";
            sqlx::query(expire).execute(ending.pool()).await.unwrap();
            ends += ending.end_watches(10).await.unwrap();
            ending.prune_updates(20, 1_000, 500).await.unwrap();
            ending
                .prune_long_channels(&limits(1_200, 1_000), 500)
                .await
                .unwrap();
        }
        ends
    });
    let pruned =
        "SELECT coalesce(min(u.seq), 0) FROM updates u JOIN channels c ON c.id = u.channel_id
        WHERE c.name = 'user:alice'";
    let deadline = tokio::time::Instant::now() + Duration::from_secs(120);
    let mut checks = 0;
    while checks < 100 || number(&store, pruned).await < 2_000 {
        assert_eq!(
            store.channel_faults(10).await.unwrap(),
            [""; 0],
            "look {checks}"
        );
        checks += 1;
        assert!(
            tokio::time::Instant::now() < deadline,
            "after {checks} checks"
        );
    }
    stop.cancel();
    for writer in writers {
        writer.await.unwrap();
    }
    assert!(watching.await.unwrap() > 0, "no watch ended");
    assert_eq!(store.channel_faults(10).await.unwrap(), [""; 0]);
}
