//! The message writer on a real database: groups, cancelled callers, a full queue, lost commits, shutdown.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use chaincast_base::{
    Secret,
    shutdown::{Failures, Tasks},
};
use chaincast_bus::{Bus, BusConfig, CommitStream};
use chaincast_protocol::{EventName, Update};
use chaincast_rooms::{
    MessageWriter, MessagesConfig, NewMessage, Numbered, Outgoing, PublishError, Published,
    Redaction,
};
use chaincast_store::{Store, StoreConfig};
use sqlx::{Postgres, Transaction};
use tokio::runtime::Handle;

use crate::support::{TIMEOUT, fresh_database};

struct Fixture {
    store: Store,
    writer: MessageWriter,
    commits: CommitStream,
    tasks: Tasks,
    _failures: Failures,
}

impl Fixture {
    async fn start() -> Self {
        Self::with(MessagesConfig::default()).await
    }

    async fn with(config: MessagesConfig) -> Self {
        let database = StoreConfig {
            url: Secret::new(fresh_database().await),
            ..StoreConfig::default()
        };
        let store = Store::connect(&database).await.unwrap();
        let (tasks, failures) = Tasks::new();
        // A long interval, so that updates arrive by publication and not by polling.
        let bus = BusConfig {
            poll_interval_ms: 3_600_000,
            ..BusConfig::default()
        };
        let bus = Bus::connect(&bus, store.clone(), &tasks).await.unwrap();
        Self {
            writer: MessageWriter::start(&store, bus.publisher(), &config, &tasks),
            commits: bus.commit_stream().await.unwrap(),
            store,
            tasks,
            _failures: failures,
        }
    }

    /// Holds the lock of a room, so that the writer waits.
    async fn lock(&self, room: &str) -> Transaction<'static, Postgres> {
        let mut transaction = self.store.pool().begin().await.unwrap();
        sqlx::query("INSERT INTO channels (name) VALUES ($1)")
            .bind(room)
            .execute(&mut *transaction)
            .await
            .unwrap();
        transaction
    }

    async fn number(&self, query: &str) -> i64 {
        let number = sqlx::query_scalar(query).fetch_one(self.store.pool());
        number.await.unwrap()
    }

    /// Publishes in a task of its own, which has queued the message when this returns.
    async fn publishing(
        &self,
        message: impl Into<Outgoing>,
    ) -> tokio::task::JoinHandle<Result<Published, PublishError>> {
        let (writer, message) = (self.writer.clone(), message.into());
        let (started, starts) = tokio::sync::oneshot::channel();
        let task = tokio::spawn(async move {
            let mut publish = Box::pin(writer.publish(message));
            let polled = std::future::poll_fn(|context| {
                std::task::Poll::Ready(publish.as_mut().poll(context))
            });
            let polled = polled.await;
            started.send(()).unwrap();
            match polled {
                std::task::Poll::Ready(published) => published,
                std::task::Poll::Pending => publish.await,
            }
        });
        starts.await.unwrap();
        task
    }

    async fn published(&mut self, count: usize) -> Vec<Update> {
        let mut updates = Vec::new();
        while updates.len() < count {
            let commit = tokio::time::timeout(TIMEOUT, self.commits.next()).await;
            updates.extend(commit.unwrap().unwrap().iter().cloned());
        }
        updates
    }
}

fn message(channel: &str, key: Option<&str>) -> NewMessage {
    NewMessage {
        channel: channel.parse().unwrap(),
        from: "alice".into(),
        message_type: "chat".parse().unwrap(),
        payload: r#"{"text":"hi"}"#.parse().unwrap(),
        key: key.map(|key| key.parse().unwrap()),
    }
}

fn seq(published: Result<Published, PublishError>) -> u64 {
    published.unwrap().seq
}

/// Records the seqs and failures that are reported, and does something before each commit.
#[derive(Clone)]
struct Recorder {
    reported: Arc<Mutex<Vec<Option<u64>>>>,
    before_commit: Arc<dyn Fn() + Send + Sync>,
}

impl Recorder {
    fn new(before_commit: impl Fn() + Send + Sync + 'static) -> Self {
        Self {
            reported: Arc::default(),
            before_commit: Arc::new(before_commit),
        }
    }

    fn of(&self, message: NewMessage) -> Outgoing {
        Outgoing {
            message,
            numbered: Some(Box::new(self.clone())),
        }
    }

    fn reported(&self) -> Vec<Option<u64>> {
        self.reported.lock().unwrap().clone()
    }
}

impl Numbered for Recorder {
    fn numbered(&self, seq: u64) {
        self.reported.lock().unwrap().push(Some(seq));
        (self.before_commit)();
    }

    fn failed(&self) {
        self.reported.lock().unwrap().push(None);
    }
}

/// Ends the sessions that are in a transaction, once.
fn kill_once(store: &Store) -> impl Fn() + Send + Sync + 'static {
    let (pool, done) = (store.pool().clone(), Mutex::new(false));
    move || {
        if std::mem::replace(&mut *done.lock().unwrap(), true) {
            return;
        }
        let kill = sqlx::query(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
             WHERE datname = current_database() AND state = 'idle in transaction'",
        );
        let killed =
            tokio::task::block_in_place(|| Handle::current().block_on(kill.execute(&pool)));
        assert_eq!(killed.unwrap().rows_affected(), 1);
    }
}

#[tokio::test]
async fn messages_that_wait_share_a_commit() {
    let mut fixture = Fixture::start().await;
    let lock = fixture.lock("room:lobby").await;
    let mut tasks = vec![fixture.publishing(message("room:lobby", None)).await];
    for at in 0..100 {
        let room = ["room:lobby", "room:other"][at % 2];
        tasks.push(fixture.publishing(message(room, None)).await);
    }
    lock.commit().await.unwrap();
    let mut seqs = Vec::new();
    for task in tasks {
        seqs.push(seq(task.await.unwrap()));
    }
    assert_eq!(seqs[..5], [1, 2, 1, 3, 2]);
    let updates = fixture.published(101).await;
    let mut last = (0, 0);
    for update in &updates {
        let last = match update.channel.to_string().as_str() {
            "room:lobby" => &mut last.0,
            _ => &mut last.1,
        };
        assert_eq!(update.seq, *last + 1);
        *last += 1;
    }
    assert_eq!(last, (51, 50));
    let commits = "SELECT count(DISTINCT created_at) FROM updates";
    assert!(fixture.number(commits).await <= 2);
}

#[tokio::test]
async fn message_of_a_lost_caller_is_stored() {
    let mut fixture = Fixture::start().await;
    let lock = fixture.lock("room:lobby").await;
    fixture
        .publishing(message("room:lobby", None))
        .await
        .abort();
    lock.rollback().await.unwrap();
    let updates = fixture.published(1).await;
    assert_eq!(updates[0].event, EventName::RoomMessage);
    assert_eq!(
        seq(fixture.writer.publish(message("room:lobby", None)).await),
        2
    );
}

#[tokio::test]
async fn full_queue_refuses_messages() {
    let config = MessagesConfig {
        queue: 16,
        ..MessagesConfig::default()
    };
    let fixture = Fixture::with(config).await;
    let lock = fixture.lock("room:lobby").await;
    let mut tasks = Vec::new();
    for _ in 0..16 {
        tasks.push(fixture.publishing(message("room:lobby", None)).await);
    }
    let refused = fixture.writer.publish(message("room:other", None)).await;
    assert!(
        matches!(refused, Err(PublishError::QueueFull { .. })),
        "{refused:?}"
    );
    lock.rollback().await.unwrap();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    fixture
        .writer
        .publish(message("room:other", None))
        .await
        .unwrap();
}

#[tokio::test]
async fn bad_message_fails_alone() {
    let fixture = Fixture::start().await;
    let lock = fixture.lock("room:lobby").await;
    let first = fixture.publishing(message("room:lobby", None)).await;
    let good = fixture.publishing(message("room:lobby", None)).await;
    let bad = fixture.publishing(message("new-block", None)).await;
    let last = fixture.publishing(message("room:lobby", None)).await;
    lock.rollback().await.unwrap();
    let mut seqs = BTreeSet::new();
    for task in [first, good, last] {
        seqs.insert(seq(task.await.unwrap()));
    }
    assert_eq!(seqs, BTreeSet::from([1, 2, 3]));
    let error = bad.await.unwrap().unwrap_err();
    assert!(matches!(error, PublishError::Failed(_)), "{error}");
}

#[tokio::test]
async fn several_messages_are_stored_together() {
    let mut fixture = Fixture::start().await;
    let to = |channel: &str| message(channel, Some("k")).into();
    let all = vec![to("user:al"), to("user:bo"), to("announcements")];
    let published = fixture.writer.publish_all(all).await.unwrap();
    assert_eq!(
        published.iter().map(|one| one.seq).collect::<Vec<_>>(),
        [1, 1, 1]
    );
    assert_eq!(fixture.published(3).await.len(), 3);
    let none = fixture
        .writer
        .publish_all(vec![to("room:a"), to("price:ETH")])
        .await;
    assert!(matches!(none, Err(PublishError::Failed(_))), "{none:?}");
    assert_eq!(fixture.number("SELECT count(*) FROM updates").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn sender_knows_the_seq_before_the_commit() {
    let fixture = Fixture::start().await;
    let pool = fixture.store.pool().clone();
    let recorder = Recorder::new(move || {
        let stored = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM updates");
        let stored =
            tokio::task::block_in_place(|| Handle::current().block_on(stored.fetch_one(&pool)));
        assert_eq!(stored.unwrap(), 0);
    });
    let outgoing = recorder.of(message("room:lobby", Some("k")));
    assert_eq!(seq(fixture.writer.publish(outgoing).await), 1);
    let again = fixture
        .writer
        .publish(recorder.of(message("room:lobby", Some("k"))))
        .await;
    assert!(again.unwrap().is_repeated);
    assert_eq!(recorder.reported(), [Some(1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn message_with_a_key_survives_a_lost_commit() {
    let mut fixture = Fixture::start().await;
    let recorder = Recorder::new(kill_once(&fixture.store));
    let published = fixture
        .writer
        .publish(recorder.of(message("room:lobby", Some("k"))))
        .await;
    assert_eq!(seq(published), 1);
    assert_eq!(recorder.reported(), [Some(1), None, Some(1)]);
    assert_eq!(fixture.published(1).await.len(), 1);
    assert_eq!(fixture.number("SELECT count(*) FROM updates").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn message_without_a_key_reports_a_lost_commit() {
    let fixture = Fixture::start().await;
    let recorder = Recorder::new(kill_once(&fixture.store));
    let published = fixture
        .writer
        .publish(recorder.of(message("room:lobby", None)))
        .await;
    assert!(
        matches!(published, Err(PublishError::Unknown(_))),
        "{published:?}"
    );
    assert_eq!(recorder.reported(), [Some(1), None]);
    assert_eq!(
        seq(fixture.writer.publish(message("room:lobby", None)).await),
        1
    );
}

#[tokio::test]
async fn failures_are_reported_in_time() {
    let config = MessagesConfig {
        timeout_ms: 500,
        ..MessagesConfig::default()
    };
    let fixture = Fixture::with(config).await;
    sqlx::query("ALTER TABLE message_keys RENAME TO gone")
        .execute(fixture.store.pool())
        .await
        .unwrap();
    let failed = fixture
        .writer
        .publish(message("room:lobby", Some("k")))
        .await;
    assert!(matches!(failed, Err(PublishError::Failed(_))), "{failed:?}");
    // The room's lock is held for longer than the limit.
    let lock = fixture.lock("room:lobby").await;
    let failed = fixture.writer.publish(message("room:lobby", None)).await;
    assert!(matches!(failed, Err(PublishError::Failed(_))), "{failed:?}");
    lock.rollback().await.unwrap();
    assert_eq!(
        seq(fixture.writer.publish(message("room:lobby", None)).await),
        1
    );
}

#[tokio::test]
async fn redaction_is_published_once() {
    let mut fixture = Fixture::start().await;
    fixture
        .writer
        .publish(message("room:lobby", None))
        .await
        .unwrap();
    let redact = || {
        fixture
            .writer
            .redact("room:lobby".parse().unwrap(), 1, "mod".into())
    };
    let Redaction::Done(update) = redact().await.unwrap() else {
        panic!("not redacted")
    };
    assert_eq!(redact().await.unwrap(), Redaction::Before);
    assert_eq!(fixture.published(2).await[1], update);
}

#[tokio::test]
async fn shutdown_stores_what_waits() {
    let fixture = Fixture::start().await;
    let mut tasks = Vec::new();
    for _ in 0..200 {
        tasks.push(fixture.publishing(message("room:lobby", None)).await);
    }
    assert!(fixture.tasks.drain(Duration::from_secs(60)).await);
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!(fixture.number("SELECT count(*) FROM updates").await, 200);
    let closed = fixture.writer.publish(message("room:lobby", None)).await;
    assert!(matches!(closed, Err(PublishError::Closed)), "{closed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_processes_number_a_room_without_gaps() {
    let mut fixture = Fixture::start().await;
    let (tasks, _failures) = Tasks::new();
    let bus = Bus::connect(&BusConfig::default(), fixture.store.clone(), &tasks)
        .await
        .unwrap();
    let other = MessageWriter::start(
        &fixture.store,
        bus.publisher(),
        &MessagesConfig::default(),
        &tasks,
    );
    let send = |writer: MessageWriter| async move {
        for _ in 0..100 {
            writer.publish(message("room:lobby", None)).await.unwrap();
        }
    };
    tokio::join!(send(fixture.writer.clone()), send(other));
    // The commits of the other process are read from the store when they leave a gap.
    fixture
        .writer
        .publish(message("room:lobby", None))
        .await
        .unwrap();
    let updates = fixture.published(201).await;
    let seqs: Vec<u64> = updates.iter().map(|update| update.seq).collect();
    assert_eq!(seqs, (1..=201).collect::<Vec<_>>());
}
