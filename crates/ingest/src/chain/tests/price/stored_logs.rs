//! Price backfill: ticks of sources that are added later, from stored logs.

use super::*;

/// Counts the ticks of a source that were decoded from logs.
fn log_tick_count_sql(source: &str) -> String {
    format!(
        "SELECT count(*) FROM ticks WHERE source = '{source}' AND log_index <> {}",
        LogOrigin::END_OF_BLOCK
    )
}

/// The prices decoded from logs of a source, in chain order.
async fn log_prices(fixture: &AnvilFixture, source: &str) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT trim_scale(price)::text FROM ticks WHERE source = $1 AND log_index <> $2
         ORDER BY block_number, log_index",
    )
    .bind(source)
    .bind(LogOrigin::END_OF_BLOCK as i32)
    .fetch_all(&mut *fixture.connection().await)
    .await
    .unwrap()
}

#[tokio::test]
async fn source_added_later_is_backfilled_from_stored_logs() {
    let fixture = AnvilFixture::new().await;
    let feed = feed(&fixture, usd(2_000)).await;
    for whole in 2_001..2_012 {
        answer(&fixture, feed, usd(whole)).await;
    }
    // Indexed without the source.
    let (running, _) = ingest(&fixture, fixture.config(), "").await;
    fixture.caught_up().await;
    running.stop().await;
    assert_eq!(fixture.count("SELECT count(*) FROM ticks").await, 0);

    let text = format!(
        "[[tokens]]\nsymbol = 'ETH'\n[[sources]]\nkind = 'chainlink'\ntoken = 'ETH'\naddress = '{feed}'"
    );
    let (running, _) = ingest(&fixture, fixture.config(), &text).await;
    until_decoded(&fixture, "chainlink").await;
    let logs = format!(
        "SELECT count(*) FROM logs WHERE address = '\\x{feed:x}' AND topic0 = '\\x{:x}'",
        B256::from_slice(&alloy::primitives::hex!(
            "0559884fd3a460db3073b7fc896cc77986f16e378210ded43186175bf646fc5f"
        ))
    );
    let past = log_prices(&fixture, "chainlink").await;
    assert_eq!(past.len() as i64, fixture.count(&logs).await);
    let expected: Vec<String> = (2_001..2_012).map(|whole: i64| whole.to_string()).collect();
    assert!(past.ends_with(&expected), "{past:?}");
    // New answers follow, and no tick is stored twice.
    answer(&fixture, feed, usd(2_012)).await;
    until_last(&fixture, "chainlink", "2012").await;
    assert_eq!(
        fixture.count(&log_tick_count_sql("chainlink")).await,
        past.len() as i64 + 1
    );

    // A reorg below the blocks that were decoded live.
    fixture.control.reorg(4).await.unwrap();
    fixture.caught_up().await;
    until_decoded(&fixture, "chainlink").await;
    assert_ticks_are_of_stored_blocks(&fixture).await;
    let left = fixture.count(&logs).await;
    assert_eq!(fixture.count(&log_tick_count_sql("chainlink")).await, left);
    running.stop().await;

    // Decoded again from the start: all ticks exist already.
    sqlx::query("UPDATE price_pasts SET decoded_from = decoded_through + 1")
        .execute(&mut *fixture.connection().await)
        .await
        .unwrap();
    let (running, _) = ingest(&fixture, fixture.config(), &text).await;
    until_decoded(&fixture, "chainlink").await;
    assert_eq!(fixture.count(&log_tick_count_sql("chainlink")).await, left);
    running.stop().await;

    // Another definition under the same name replaces all ticks.
    let (running, _) = ingest(&fixture, fixture.config(), &format!("{text}\nscale = 10")).await;
    let old = "SELECT count(*) FROM ticks WHERE price > 1000 AND log_index <> 2147483647";
    eventually("other ticks", async || {
        (fixture.count(old).await == 0).then_some(())
    })
    .await;
    until_decoded(&fixture, "chainlink").await;
    assert_eq!(fixture.count(&log_tick_count_sql("chainlink")).await, left);
    running.stop().await;
}

#[tokio::test]
async fn price_backfill_skips_ticks_older_than_retention() {
    let fixture = AnvilFixture::new().await;
    let feed = feed(&fixture, usd(2_000)).await;
    answer(&fixture, feed, usd(2_001)).await;
    let (running, _) = ingest(&fixture, fixture.config(), "").await;
    fixture.caught_up().await;
    running.stop().await;
    // More than a month old by their stored headers.
    sqlx::query("UPDATE blocks SET timestamp = timestamp - 40 * 86400")
        .execute(&mut *fixture.connection().await)
        .await
        .unwrap();
    let text = format!(
        "[[tokens]]\nsymbol = 'ETH'\n[[sources]]\nkind = 'chainlink'\ntoken = 'ETH'\naddress = '{feed}'"
    );
    let (running, _) = ingest(&fixture, fixture.config(), &text).await;
    until_decoded(&fixture, "chainlink").await;
    assert_eq!(fixture.count(&log_tick_count_sql("chainlink")).await, 0);
    running.stop().await;
}
