//! Messages of clients in a real database: keys, deliveries, redaction, and what ends them.

use std::time::Duration;

use chaincast_protocol::{Channel, EventName, Update};
use chaincast_store::{
    Store,
    messages::{MessageStore, NewMessage, Redaction, WriteError, Written},
};

use super::{number, store};

const DAY: Duration = Duration::from_secs(86_400);

fn message(channel: &str, from: &str, text: &str, key: Option<&str>) -> NewMessage {
    NewMessage {
        channel: channel.parse().unwrap(),
        from: from.into(),
        message_type: "chat".parse().unwrap(),
        payload: serde_json::Value::from(text).to_string().parse().unwrap(),
        key: key.map(|key| key.parse().unwrap()),
    }
}

async fn write(messages: &MessageStore, new: &[NewMessage]) -> (Vec<Written>, Vec<Update>) {
    messages.write(new, 5, &mut |_, _| {}).await.unwrap()
}

fn stored(seq: u64) -> Written {
    Written {
        seq,
        is_repeated: false,
    }
}

fn repeated(seq: u64) -> Written {
    Written {
        seq,
        is_repeated: true,
    }
}

#[tokio::test]
async fn key_stores_a_message_once() {
    let (store, _) = store().await;
    let messages = MessageStore::new(&store, DAY);
    let lobby = |from, text, key| message("room:lobby", from, text, key);
    let (written, updates) = write(
        &messages,
        &[
            lobby("al", "1", Some("a")),
            lobby("al", "again", Some("a")),
            lobby("bo", "2", Some("a")),
            message("room:x", "al", "3", Some("a")),
            lobby("al", "4", None),
        ],
    )
    .await;
    assert_eq!(
        written,
        [stored(1), repeated(1), stored(2), stored(1), stored(3)]
    );
    assert_eq!(updates.len(), 4);
    assert_eq!(
        &*updates[0].data,
        r#"{"from":"al","type":"chat","payload":"1","key":"a","timestamp":5}"#
    );
    let (written, updates) = write(
        &messages,
        &[lobby("al", "late", Some("a")), lobby("al", "5", Some("b"))],
    )
    .await;
    assert_eq!(written, [repeated(1), stored(4)]);
    assert_eq!(updates.len(), 1);
    assert_eq!(number(&store, "SELECT count(*) FROM updates").await, 5);
    assert!(store.channel_faults(10).await.unwrap().is_empty());
}

#[tokio::test]
async fn expired_key_stores_the_message_again() {
    let (store, _) = store().await;
    let messages = MessageStore::new(&store, DAY);
    let new = [message("room:lobby", "al", "1", Some("a"))];
    assert_eq!(write(&messages, &new).await.0, [stored(1)]);
    let age = "UPDATE message_keys SET created_at = now() - interval '25 hours'";
    sqlx::query(age).execute(store.pool()).await.unwrap();
    assert_eq!(write(&messages, &new).await.0, [stored(2)]);
    assert_eq!(write(&messages, &new).await.0, [repeated(2)]);
    assert_eq!(store.prune_message_keys(DAY, 10).await.unwrap(), 0);
    sqlx::query(age).execute(store.pool()).await.unwrap();
    assert_eq!(store.prune_message_keys(DAY, 10).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_processes_store_a_key_once() {
    let (store, _) = store().await;
    let send = |store: Store| async move {
        let messages = MessageStore::new(&store, DAY);
        let mut all = Vec::new();
        for round in 0..50 {
            let key = |room: u32| format!("{round}-{room}");
            let new: Vec<_> = (0..3)
                .map(|room| message(&format!("room:{room}"), "al", "x", Some(&key(room))))
                .collect();
            all.push(write(&messages, &new).await.0);
        }
        all
    };
    let tasks = [0; 4].map(|_| tokio::spawn(send(store.clone())));
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.unwrap());
    }
    for round in 0..50 {
        for room in 0..3 {
            let of = answers.iter().map(|all| all[round][room]);
            let seqs: Vec<u64> = of.clone().map(|one| one.seq).collect();
            assert!(seqs.iter().all(|seq| *seq == seqs[0]), "{seqs:?}");
            assert_eq!(of.filter(|one| !one.is_repeated).count(), 1);
        }
    }
    assert_eq!(number(&store, "SELECT count(*) FROM updates").await, 150);
    assert!(store.channel_faults(10).await.unwrap().is_empty());
}

#[tokio::test]
async fn user_message_is_delivered_until_acknowledged() {
    let (store, _) = store().await;
    let messages = MessageStore::new(&store, DAY);
    let to_bob = |text| message("user:bob", "al", text, None);
    let (_, updates) = write(
        &messages,
        &[to_bob("1"), message("user:carol", "al", "x", None)],
    )
    .await;
    write(
        &messages,
        &[to_bob("2"), message("announcements", "al", "all", None)],
    )
    .await;
    // An alert has an id in between.
    sqlx::raw_sql(
        "INSERT INTO alert_deliveries (id, alert_id, subject, seq, token, condition, threshold, price, status, fired_at)
         VALUES (nextval(pg_get_serial_sequence('alert_deliveries', 'id')), 7, 'bob', 9, 'ETH', 'above', 1, 2, 'ok', now())",
    )
    .execute(store.pool())
    .await
    .unwrap();
    write(&messages, &[to_bob("3")]).await;
    let found = store.unacknowledged("bob", 10).await.unwrap();
    let events: Vec<&str> = found
        .updates
        .iter()
        .map(|update| update.event.as_str())
        .collect();
    assert_eq!(
        events,
        [
            "user-message",
            "user-message",
            "price-alert",
            "user-message"
        ]
    );
    assert_eq!(found.updates[0], updates[0]);
    assert_eq!(found.through, 3);
    let newest = store.unacknowledged("bob", 2).await.unwrap();
    assert_eq!(newest.updates, found.updates[2..]);

    let id = |update: &Update| {
        let data: serde_json::Value = serde_json::from_str(&update.data).unwrap();
        data["id"].as_i64().unwrap()
    };
    let ids: Vec<i64> = found.updates.iter().map(id).collect();
    assert!(ids.is_sorted(), "{ids:?}");
    assert_eq!(store.acknowledge("carol", &ids).await.unwrap(), 0);
    assert_eq!(store.acknowledge("bob", &ids[1..3]).await.unwrap(), 2);
    assert_eq!(store.acknowledge("bob", &ids[1..]).await.unwrap(), 1);
    let left = store.unacknowledged("bob", 10).await.unwrap();
    assert_eq!(left.updates, found.updates[..1]);
    assert_eq!(store.prune_message_deliveries(0, 1, 10).await.unwrap(), 0);
    assert_eq!(store.prune_message_deliveries(0, 0, 1).await.unwrap(), 1);
}

#[tokio::test]
async fn redaction_leaves_nothing_of_the_text() {
    let (store, _) = store().await;
    let messages = MessageStore::new(&store, DAY);
    let lobby: Channel = "room:lobby".parse().unwrap();
    write(
        &messages,
        &[message("room:lobby", "al", "secret", Some("k"))],
    )
    .await;
    let by = "mod".into();
    let redaction = messages.redact(&lobby, 1, &by, 7).await.unwrap();
    let Redaction::Done(update) = redaction else {
        panic!("{redaction:?}")
    };
    assert_eq!((update.seq, &update.event), (2, &EventName::RoomRedacted));
    assert_eq!(
        &*update.data,
        r#"{"redactedSeq":1,"by":"mod","timestamp":7}"#
    );
    let stored = store.updates_between(&lobby, 0, 9, 10).await.unwrap();
    assert_eq!(
        &*stored[0].data,
        r#"{"from":"al","type":"chat","payload":null,"timestamp":5,"redacted":true}"#
    );
    assert_eq!(stored[1], update);
    for (seq, expected) in [
        (1, Redaction::Before),
        (2, Redaction::Missing),
        (9, Redaction::Missing),
    ] {
        assert_eq!(
            messages.redact(&lobby, seq, &by, 7).await.unwrap(),
            expected,
            "{seq}"
        );
    }
    let unknown = "room:unknown".parse().unwrap();
    let missing = messages.redact(&unknown, 1, &by, 7).await.unwrap();
    assert_eq!(missing, Redaction::Missing);
    // The key still identifies the message.
    let again = [message("room:lobby", "al", "secret", Some("k"))];
    let (written, _) = write(&messages, &again).await;
    assert_eq!(written, [repeated(1)]);
}

#[tokio::test]
async fn nobody_publishes_to_channels_of_the_server() {
    let (store, _) = store().await;
    let messages = MessageStore::new(&store, DAY);
    let new = [
        message("room:lobby", "al", "1", None),
        message("new-block", "al", "2", None),
    ];
    let error = messages
        .write(&new, 5, &mut |_, _| panic!("numbered"))
        .await;
    let error = error.unwrap_err();
    assert!(matches!(error, WriteError::Failed(_)), "{error}");
    assert!(error.to_string().contains("new-block"), "{error}");
    assert_eq!(number(&store, "SELECT count(*) FROM updates").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn hanging_transaction_ends_without_its_process() {
    let (store, _) = store().await;
    // What a process that hangs in a transaction of messages leaves behind.
    let mut hanging = MessageStore::new(&store, DAY).begin().await.unwrap();
    let other = MessageStore::new(&store, DAY);
    sqlx::query("INSERT INTO channels (name) VALUES ('user:bob')")
        .execute(&mut *hanging)
        .await
        .unwrap();
    let new = [message("user:bob", "al", "1", None)];
    let written = tokio::time::timeout(Duration::from_secs(30), write(&other, &new)).await;
    let (written, _) = written.expect("the lock is released");
    assert_eq!(written, [stored(1)]);
    hanging.rollback().await.unwrap_err();
}
