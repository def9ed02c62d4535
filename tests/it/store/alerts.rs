//! Alerts and their deliveries in a real database.

use bigdecimal::BigDecimal;
use chaincast_model::WatchedAlert;
use chaincast_protocol::{AlertCondition, Channel, Event, NewUpdate, PriceStatus};
use chaincast_store::{
    Store, alert_deliveries,
    alert_firing::{self, DueAlerts, Firing},
    alerts::{self, AlertLimits, Creation, NewAlert},
    read::{AlertFilter, AlertRow},
    updates,
};

use super::{number, store};

const LIMITS: AlertLimits = AlertLimits {
    per_user: 100,
    total: 1_000,
    creations: 1_000,
    window_ms: 3_600_000,
};

fn decimal(text: &str) -> BigDecimal {
    text.parse().unwrap()
}

/// An alert of a user that fires once, above a price.
pub(super) fn alert_above(subject: &str, threshold: &str) -> NewAlert {
    NewAlert {
        subject: subject.to_owned(),
        token: "ETH".parse().unwrap(),
        condition: AlertCondition::Above,
        threshold: decimal(threshold),
        hysteresis: None,
        fire_on_degraded: false,
        note: None,
        key: None,
    }
}

async fn created(store: &Store, new: &NewAlert) -> AlertRow {
    match store.create_alert(new, &LIMITS).await.unwrap() {
        Creation::Created(row) => row,
        other => panic!("{other:?}"),
    }
}

/// Fires alerts at a price, in a transaction like the price writer's. Returns (delivery id, alert id) pairs.
async fn fire(store: &Store, ids: &[i64], arm: &[i64], price: &str) -> Vec<(i64, i64)> {
    let due = DueAlerts {
        fire: ids
            .iter()
            .map(|alert| Firing {
                alert: *alert,
                price: decimal(price),
                status: PriceStatus::Degraded,
            })
            .collect(),
        arm: arm.to_vec(),
    };
    let mut transaction = store.pool().begin().await.unwrap();
    let fired = alert_firing::apply(&mut transaction, &due, 1_700_000_000_123)
        .await
        .unwrap();
    let updates_to_append = fired.iter().map(|fired| NewUpdate {
        channel: Channel::User(fired.subject.clone()),
        event: Event::PriceAlert(fired.alert.clone()),
    });
    let published = updates::append(&mut transaction, updates_to_append.collect())
        .await
        .unwrap();
    alert_deliveries::insert(&mut transaction, &fired, &published)
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    let ids = fired
        .iter()
        .map(|fired| (fired.alert.id, fired.alert.alert_id));
    ids.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn alert_is_read_as_created_by_its_user_only() {
    let (store, _) = store().await;
    let new = NewAlert {
        threshold: decimal("4000.000000000000000000000001"),
        hysteresis: Some(decimal("0.5")),
        fire_on_degraded: true,
        note: Some("sell".to_owned()),
        ..alert_above("alice", "1")
    };
    let row = created(&store, &new).await;
    assert_eq!(row.threshold, new.threshold);
    assert_eq!(row.hysteresis, new.hysteresis);
    assert_eq!(row.note, new.note);
    assert_eq!(
        (row.active, row.armed, row.fired, row.fired_at),
        (true, true, 0, None)
    );
    assert_eq!(
        store.read_alert("alice", row.id).await.unwrap(),
        Some(row.clone())
    );
    assert_eq!(store.read_alert("bob", row.id).await.unwrap(), None);
    assert!(!store.delete_alert("bob", row.id).await.unwrap());
    let other = created(&store, &alert_above("alice", "2")).await;
    created(&store, &alert_above("bob", "3")).await;
    let all = AlertFilter::default();
    let listed = store.read_alerts("alice", &all, None, 10).await.unwrap();
    assert_eq!(listed, [other.clone(), row.clone()]);
    let rest = store.read_alerts("alice", &all, Some(other.id), 10).await;
    assert_eq!(rest.unwrap(), std::slice::from_ref(&row));
    let btc = AlertFilter {
        token: Some("BTC".parse().unwrap()),
        ..AlertFilter::default()
    };
    assert_eq!(
        store.read_alerts("alice", &btc, None, 10).await.unwrap(),
        []
    );

    assert!(store.delete_alert("alice", row.id).await.unwrap());
    assert!(!store.delete_alert("alice", row.id).await.unwrap());
    assert_eq!(store.read_alert("alice", row.id).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn idempotency_key_creates_one_alert() {
    let (store, _) = store().await;
    let new = NewAlert {
        key: Some("k1".to_owned()),
        ..alert_above("alice", "10")
    };
    let all =
        futures_util::future::join_all((0..8).map(|_| store.create_alert(&new, &LIMITS))).await;
    let mut ids = Vec::new();
    let mut made = 0;
    for one in all {
        match one.unwrap() {
            Creation::Created(row) => {
                made += 1;
                ids.push(row.id);
            }
            Creation::Existing(row) => ids.push(row.id),
            other => panic!("{other:?}"),
        }
    }
    ids.dedup();
    assert_eq!((made, ids.len()), (1, 1));
    let another = NewAlert {
        threshold: decimal("11"),
        ..new.clone()
    };
    let answer = store.create_alert(&another, &LIMITS).await.unwrap();
    assert_eq!(answer, Creation::KeyReused);
    let bobs = NewAlert {
        subject: "bob".to_owned(),
        ..new.clone()
    };
    assert!(matches!(
        store.create_alert(&bobs, &LIMITS).await.unwrap(),
        Creation::Created(_)
    ));
    assert!(store.delete_alert("alice", ids[0]).await.unwrap());
    let answer = store.create_alert(&new, &LIMITS).await.unwrap();
    assert_eq!(answer, Creation::KeyReused);
}

#[tokio::test(flavor = "multi_thread")]
async fn alert_limits_hold_per_user_in_total_and_over_time() {
    let (store, _) = store().await;
    let few = AlertLimits {
        per_user: 2,
        total: 3,
        creations: 4,
        ..LIMITS
    };
    let create = async |subject: &str| {
        let new = alert_above(subject, "10");
        store.create_alert(&new, &few).await.unwrap()
    };
    let Creation::Created(first) = create("alice").await else {
        panic!("the first")
    };
    assert!(matches!(create("alice").await, Creation::Created(_)));
    assert_eq!(create("alice").await, Creation::TooMany);
    assert!(matches!(create("bob").await, Creation::Created(_)));
    assert_eq!(create("carol").await, Creation::Full);
    // An alert that fired once is no longer active, and neither is a deleted one.
    assert_eq!(fire(&store, &[first.id], &[], "10").await.len(), 1);
    let Creation::Created(third) = create("alice").await else {
        panic!("the third")
    };
    assert!(store.delete_alert("alice", third.id).await.unwrap());
    let Creation::Created(fourth) = create("alice").await else {
        panic!("the fourth")
    };
    assert!(store.delete_alert("alice", fourth.id).await.unwrap());
    let Creation::TooOften { retry_after_ms } = create("alice").await else {
        panic!("four were created")
    };
    assert!(
        (1..=3_600_000).contains(&retry_after_ms),
        "{retry_after_ms}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn price_writer_reads_active_alerts_then_changes() {
    let (store, _) = store().await;
    let mut connection = store.pool().acquire().await.unwrap();
    let first = created(&store, &alert_above("alice", "10")).await;
    let seen = alerts::revision(&mut connection).await.unwrap();
    let on_degraded = NewAlert {
        fire_on_degraded: true,
        ..alert_above("bob", "20")
    };
    let second = created(&store, &on_degraded).await;
    assert!(second.fire_on_degraded && !first.fire_on_degraded);
    let active = alerts::active(&mut connection, 0, 10).await.unwrap();
    let watched = |row: &AlertRow| WatchedAlert {
        id: row.id,
        token: row.token.clone(),
        condition: row.condition,
        threshold: row.threshold.clone(),
        hysteresis: None,
        fire_on_degraded: row.fire_on_degraded,
        armed: true,
    };
    assert_eq!(active, [watched(&first), watched(&second)]);
    let behind = alerts::active(&mut connection, first.id, 10).await.unwrap();
    assert_eq!(behind, [watched(&second)]);
    store.delete_alert("alice", first.id).await.unwrap();
    let changed = alerts::changed(&mut connection, seen, 10).await.unwrap();
    let changes = changed
        .iter()
        .map(|change| (change.alert.id, change.active));
    assert_eq!(
        changes.collect::<Vec<_>>(),
        [(second.id, true), (first.id, false)]
    );
    let last = changed.last().unwrap().revision;
    assert_eq!(
        alerts::changed(&mut connection, last, 10).await.unwrap(),
        []
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn alert_fires_once_for_one_crossing() {
    let (store, _) = store().await;
    let once = created(&store, &alert_above("alice", "10")).await;
    let repeating = NewAlert {
        hysteresis: Some(decimal("1")),
        ..alert_above("alice", "10")
    };
    let repeating = created(&store, &repeating).await;
    let gone = created(&store, &alert_above("alice", "10")).await;
    store.delete_alert("alice", gone.id).await.unwrap();
    let ids = [once.id, repeating.id, gone.id];

    let fired = fire(&store, &ids, &[], "10.5").await;
    let of: Vec<i64> = fired.iter().map(|(_, alert)| *alert).collect();
    assert_eq!(of.len(), 2);
    assert!(of.contains(&once.id) && of.contains(&repeating.id));
    // A writer that still considers it armed, as after a crash, does not fire it again.
    assert_eq!(fire(&store, &ids, &[], "11").await, []);
    let row = store.read_alert("alice", once.id).await.unwrap().unwrap();
    assert_eq!(
        (row.active, row.fired, row.fired_at),
        (false, 1, Some(1_700_000_000_123))
    );
    let row = store
        .read_alert("alice", repeating.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((row.active, row.armed, row.fired), (true, false, 1));

    assert_eq!(fire(&store, &[], &ids, "9").await, []);
    let fired = fire(&store, &ids, &[], "12").await;
    assert_eq!(fired.len(), 1);
    assert_eq!(fired[0].1, repeating.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_are_listed_until_acknowledged() {
    let (store, _) = store().await;
    let noted = NewAlert {
        note: Some("é".to_owned()),
        ..alert_above("alice", "10.000000000000000000000001")
    };
    let ids = [
        created(&store, &noted).await.id,
        created(&store, &alert_above("alice", "11")).await.id,
        created(&store, &alert_above("bob", "11")).await.id,
    ];
    assert_eq!(store.unacknowledged("alice", 10).await.unwrap().through, 0);
    let mut fired = Vec::new();
    for id in ids {
        fired.extend(fire(&store, &[id], &[], "12.340").await);
    }
    let channel = Channel::User("alice".into());
    let published = store.updates_between(&channel, 0, 9, 9).await.unwrap();
    let returned = store.unacknowledged("alice", 10).await.unwrap();
    assert_eq!(returned.through, 2);
    assert_eq!(returned.updates, published);
    let newest = store.unacknowledged("alice", 1).await.unwrap();
    assert_eq!((newest.through, &newest.updates[..]), (2, &published[1..]));
    let listed = store.read_deliveries("alice", None, 10).await.unwrap();
    let of = listed.iter().map(|one| (one.id, one.alert_id));
    assert_eq!(of.collect::<Vec<_>>(), [fired[1], fired[0]]);
    let page = store.read_deliveries("alice", Some(fired[1].0), 10).await;
    assert_eq!(page.unwrap().len(), 1);

    // Another user cannot acknowledge it.
    assert_eq!(store.acknowledge("bob", &[fired[0].0]).await.unwrap(), 0);
    let ids = [fired[0].0, fired[0].0, 12_345];
    assert_eq!(store.acknowledge("alice", &ids).await.unwrap(), 1);
    assert_eq!(store.acknowledge("alice", &ids).await.unwrap(), 0);
    let returned = store.unacknowledged("alice", 10).await.unwrap();
    assert_eq!(
        (returned.through, &returned.updates[..]),
        (2, &published[1..])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn old_deliveries_and_ended_alerts_expire() {
    const HOUR: i64 = 3_600_000;
    let (store, _) = store().await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(created(&store, &alert_above("alice", "10")).await.id);
    }
    for id in &ids {
        fire(&store, &[*id], &[], "11").await;
    }
    let active = created(&store, &alert_above("alice", "10")).await;
    let deleted = created(&store, &alert_above("alice", "10")).await;
    store.delete_alert("alice", deleted.id).await.unwrap();
    let count = "SELECT count(*) FROM alert_deliveries";
    // The newest deliveries of a user are kept, up to the limit.
    assert_eq!(store.prune_deliveries(0, 3, 1).await.unwrap(), 1);
    assert_eq!(store.prune_deliveries(0, 3, 100).await.unwrap(), 1);
    assert_eq!(number(&store, count).await, 3);
    assert_eq!(store.prune_alerts(0, 3, 100).await.unwrap(), 2);
    // By the clock of their publication, these fired long ago.
    assert_eq!(store.prune_deliveries(HOUR, 3, 100).await.unwrap(), 3);
    sqlx::query(
        "UPDATE alerts SET ended_at = ended_at - interval '61 minutes' WHERE state = 'deleted'",
    )
    .execute(store.pool())
    .await
    .unwrap();
    assert_eq!(store.prune_alerts(0, 3, 100).await.unwrap(), 1);
    assert_eq!(store.prune_alerts(HOUR, 3, 100).await.unwrap(), 3);
    let filter = AlertFilter::default();
    let left = store.read_alerts("alice", &filter, None, 10);
    assert_eq!(left.await.unwrap(), [active]);
}
