//! Stored prices.

use chaincast_model::{Price, PriceDetail};
use chaincast_protocol::PriceStatus;
use chaincast_store::{
    prices,
    writer::{Stream, Writer},
};

use super::store;

#[tokio::test]
async fn price_round_trips_with_any_source_names() {
    let (store, _) = store().await;
    sqlx::raw_sql("INSERT INTO tokens (symbol, name) VALUES ('ETH', 'Ether')")
        .execute(store.pool())
        .await
        .unwrap();
    let names = ["", "NULL", "a \"b\", \\{c}", "kraken", "Ünïcode'"];
    let details = names.map(|name| PriceDetail {
        source: name.into(),
        observed_at: 7,
        block: None,
        outlier: false,
    });
    let price = Price {
        token: "ETH".parse().unwrap(),
        price: "3456.120000000000000001".parse().unwrap(),
        confidence: "0.5".parse().unwrap(),
        sources: names.map(Into::into).to_vec(),
        details: details.to_vec(),
        status: PriceStatus::Ok,
        reason: None,
        doubtful: false,
        observed_at: 8,
        expires_at: 60_008,
    };
    let bare = Price {
        status: PriceStatus::Degraded,
        doubtful: true,
        sources: Vec::new(),
        details: Vec::new(),
        ..price.clone()
    };
    let mut writer = Writer::acquire(&store, Stream::Prices).await.unwrap();
    for (seq, given) in [(1, &price), (2, &bare)] {
        let connection = writer.connection();
        prices::insert(connection, &[(seq, given)], 9)
            .await
            .unwrap();
        let tokens = [given.token.clone()];
        let read = prices::latest(connection, &tokens).await.unwrap();
        assert_eq!(read, [(given.clone(), 9)]);
    }
    // As an earlier version stored them.
    for (status, doubtful) in [("degraded", true), ("stale", false), ("ok", false)] {
        sqlx::query("UPDATE prices SET status = $1, doubtful = NULL")
            .bind(status)
            .execute(store.pool())
            .await
            .unwrap();
        let tokens = [price.token.clone()];
        let read = prices::latest(writer.connection(), &tokens).await.unwrap();
        assert_eq!(read[0].0.doubtful, doubtful, "{status}");
    }
}
