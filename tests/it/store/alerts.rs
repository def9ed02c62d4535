//! Alerts and their deliveries in a real database.

use bigdecimal::BigDecimal;
use chaincast::{
    model::{AlertCondition, Channel, Event, NewUpdate, PriceStatus, WatchedAlert},
    store::{
        Store, alert_deliveries,
        alert_firing::{self, Due, Firing},
        alerts::{self, AlertLimits, Creation, NewAlert},
        read::{AlertFilter, AlertRow},
        updates,
    },
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

/// An alert of a user that fires once above a price.
pub(super) fn above(subject: &str, threshold: &str) -> NewAlert {
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

async fn made(store: &Store, new: &NewAlert) -> AlertRow {
    match store.create_alert(new, &LIMITS).await.unwrap() {
        Creation::Made(row) => row,
        other => panic!("{other:?}"),
    }
}

/// Fires alerts at a price, in a transaction as the price writer's; ids of those that fired, by delivery.
async fn fire(store: &Store, ids: &[i64], arm: &[i64], price: &str) -> Vec<(i64, i64)> {
    let due = Due {
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
    let news = fired.iter().map(|fired| NewUpdate {
        channel: Channel::User(fired.subject.clone()),
        event: Event::PriceAlert(fired.alert.clone()),
    });
    let told = updates::append(&mut transaction, news.collect())
        .await
        .unwrap();
    alert_deliveries::insert(&mut transaction, &fired, &told)
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    let ids = fired
        .iter()
        .map(|fired| (fired.alert.id, fired.alert.alert_id));
    ids.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_comes_back_as_it_was_made_and_only_to_its_user() {
    let (store, _) = store().await;
    let new = NewAlert {
        threshold: decimal("4000.000000000000000000000001"),
        hysteresis: Some(decimal("0.5")),
        fire_on_degraded: true,
        note: Some("sell".to_owned()),
        ..above("alice", "1")
    };
    let row = made(&store, &new).await;
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
    let other = made(&store, &above("alice", "2")).await;
    made(&store, &above("bob", "3")).await;
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
async fn a_key_makes_one_alert_however_often_and_at_once_it_is_used() {
    let (store, _) = store().await;
    let new = NewAlert {
        key: Some("k1".to_owned()),
        ..above("alice", "10")
    };
    let all =
        futures_util::future::join_all((0..8).map(|_| store.create_alert(&new, &LIMITS))).await;
    let mut ids = Vec::new();
    let mut made = 0;
    for one in all {
        match one.unwrap() {
            Creation::Made(row) => {
                made += 1;
                ids.push(row.id);
            }
            Creation::Known(row) => ids.push(row.id),
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
        Creation::Made(_)
    ));
    assert!(store.delete_alert("alice", ids[0]).await.unwrap());
    let answer = store.create_alert(&new, &LIMITS).await.unwrap();
    assert_eq!(answer, Creation::KeyReused);
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_hold_for_a_user_for_all_and_for_a_time() {
    let (store, _) = store().await;
    let few = AlertLimits {
        per_user: 2,
        total: 3,
        creations: 4,
        ..LIMITS
    };
    let create = async |subject: &str| {
        let new = above(subject, "10");
        store.create_alert(&new, &few).await.unwrap()
    };
    let Creation::Made(first) = create("alice").await else {
        panic!("the first")
    };
    assert!(matches!(create("alice").await, Creation::Made(_)));
    assert_eq!(create("alice").await, Creation::TooMany);
    assert!(matches!(create("bob").await, Creation::Made(_)));
    assert_eq!(create("carol").await, Creation::Full);
    // One that fired once is active no more, and one that is deleted neither.
    assert_eq!(fire(&store, &[first.id], &[], "10").await.len(), 1);
    let Creation::Made(third) = create("alice").await else {
        panic!("the third")
    };
    assert!(store.delete_alert("alice", third.id).await.unwrap());
    let Creation::Made(fourth) = create("alice").await else {
        panic!("the fourth")
    };
    assert!(store.delete_alert("alice", fourth.id).await.unwrap());
    let Creation::TooOften { retry_after_ms } = create("alice").await else {
        panic!("four were made")
    };
    assert!(
        (1..=3_600_000).contains(&retry_after_ms),
        "{retry_after_ms}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_price_writer_reads_what_is_active_and_then_only_what_changed() {
    let (store, _) = store().await;
    let mut connection = store.pool().acquire().await.unwrap();
    let first = made(&store, &above("alice", "10")).await;
    let seen = alerts::revision(&mut connection).await.unwrap();
    let on_degraded = NewAlert {
        fire_on_degraded: true,
        ..above("bob", "20")
    };
    let second = made(&store, &on_degraded).await;
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
async fn an_alert_fires_once_for_one_crossing_and_not_when_it_is_gone() {
    let (store, _) = store().await;
    let once = made(&store, &above("alice", "10")).await;
    let repeating = NewAlert {
        hysteresis: Some(decimal("1")),
        ..above("alice", "10")
    };
    let repeating = made(&store, &repeating).await;
    let gone = made(&store, &above("alice", "10")).await;
    store.delete_alert("alice", gone.id).await.unwrap();
    let ids = [once.id, repeating.id, gone.id];

    let fired = fire(&store, &ids, &[], "10.5").await;
    let of: Vec<i64> = fired.iter().map(|(_, alert)| *alert).collect();
    assert_eq!(of.len(), 2);
    assert!(of.contains(&once.id) && of.contains(&repeating.id));
    // Whoever believes them armed, as after a crash, is told otherwise.
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
async fn deliveries_are_shown_as_they_were_told_until_they_are_acknowledged() {
    let (store, _) = store().await;
    let noted = NewAlert {
        note: Some("é".to_owned()),
        ..above("alice", "10.000000000000000000000001")
    };
    let ids = [
        made(&store, &noted).await.id,
        made(&store, &above("alice", "11")).await.id,
        made(&store, &above("bob", "11")).await.id,
    ];
    assert_eq!(store.unacknowledged("alice", 10).await.unwrap().through, 0);
    let mut fired = Vec::new();
    for id in ids {
        fired.extend(fire(&store, &[id], &[], "12.340").await);
    }
    let channel = Channel::User("alice".into());
    let told = store.updates_between(&channel, 0, 9, 9).await.unwrap();
    let shown = store.unacknowledged("alice", 10).await.unwrap();
    assert_eq!(shown.through, 2);
    assert_eq!(shown.updates, told);
    let newest = store.unacknowledged("alice", 1).await.unwrap();
    assert_eq!((newest.through, &newest.updates[..]), (2, &told[1..]));
    let listed = store.read_deliveries("alice", None, 10).await.unwrap();
    let of = listed.iter().map(|one| (one.id, one.alert_id));
    assert_eq!(of.collect::<Vec<_>>(), [fired[1], fired[0]]);
    let page = store.read_deliveries("alice", Some(fired[1].0), 10).await;
    assert_eq!(page.unwrap().len(), 1);

    // Nobody acknowledges for another.
    assert_eq!(store.acknowledge("bob", &[fired[0].0]).await.unwrap(), 0);
    let ids = [fired[0].0, fired[0].0, 12_345];
    assert_eq!(store.acknowledge("alice", &ids).await.unwrap(), 1);
    assert_eq!(store.acknowledge("alice", &ids).await.unwrap(), 0);
    let shown = store.unacknowledged("alice", 10).await.unwrap();
    assert_eq!((shown.through, &shown.updates[..]), (2, &told[1..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_acknowledges_and_what_ended_goes_in_time() {
    const HOUR: i64 = 3_600_000;
    let (store, _) = store().await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(made(&store, &above("alice", "10")).await.id);
    }
    for id in &ids {
        fire(&store, &[*id], &[], "11").await;
    }
    let active = made(&store, &above("alice", "10")).await;
    let deleted = made(&store, &above("alice", "10")).await;
    store.delete_alert("alice", deleted.id).await.unwrap();
    let count = "SELECT count(*) FROM alert_deliveries";
    // The newest of a user stay, whatever their number before.
    assert_eq!(store.prune_deliveries(0, 3, 1).await.unwrap(), 1);
    assert_eq!(store.prune_deliveries(0, 3, 100).await.unwrap(), 1);
    assert_eq!(number(&store, count).await, 3);
    assert_eq!(store.prune_alerts(0, 3, 100).await.unwrap(), 2);
    // These fired long ago by the clock of their announcement.
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
