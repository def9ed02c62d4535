//! Old ticks, silent chains, and clocks that are off.

use super::*;

#[test]
fn clock_set_back_does_not_keep_feed_ticks_fresh() {
    let mut state = state();
    let at = |price, observed_at| Tick {
        origin: None,
        observed_at,
        ..tick("BTC", "feed", "USD", price, (0, 0))
    };
    let hour = 3_600_000;
    assert_eq!(
        after(&mut state, at("1", NOW + hour), NOW + hour),
        [published("BTC", "1")]
    );
    // An hour back: the next tick is newer, though its time is earlier.
    assert!(announce(&mut state, NOW).is_empty());
    assert_eq!(
        after(&mut state, at("2", NOW + 1), NOW + 1),
        [published("BTC", "2")]
    );
    // Without a new tick, its age counts from there.
    let stale = state.evaluate_all(NOW + 1 + 60_001);
    assert_eq!(stale[0].status, PriceStatus::Stale);
}

#[test]
fn prices_of_down_chain_are_stale_until_it_answers() {
    let mut state = state();
    for one in [
        tick("BTC", "feed", "USD", "60000", (1, 0)),
        tick("ETH", "pool", "BTC", "0.05", (1, 1)),
    ] {
        after(&mut state, one, NOW + 1_000);
    }
    let statuses = |state: &mut PriceState, down: &[ChainId]| {
        state.set_silent(SilentChains {
            down: down.iter().copied().collect(),
            ..SilentChains::default()
        });
        let changed = state.evaluate_all(NOW + 2_000);
        let statuses = changed
            .iter()
            .map(|price| {
                let reason = (price.status == PriceStatus::Stale).then_some(PriceReason::NodeDown);
                assert_eq!(price.reason, reason);
                (price.token.to_string(), price.price.clone(), price.status)
            })
            .collect::<Vec<_>>();
        state.record_announced(changed, NOW + 2_000);
        statuses
    };
    assert_eq!(statuses(&mut state, &[2]), [], "another chain");
    let all = |status| {
        let eth = ("ETH".to_owned(), decimal("3000"), status);
        vec![eth, ("BTC".to_owned(), decimal("60000"), status)]
    };
    assert_eq!(statuses(&mut state, &[1]), all(PriceStatus::Stale));
    assert_eq!(statuses(&mut state, &[1]), [], "once");
    assert_eq!(statuses(&mut state, &[]), all(PriceStatus::Ok));
}

#[test]
fn down_chain_ahead_of_clock_has_no_fresh_price() {
    let mut state = state();
    // By less than a minute, as clocks differ.
    state.apply_ticks(&[tick("BTC", "feed", "USD", "60000", (30, 0))]);
    assert_eq!(announce(&mut state, NOW).len(), 1);
    state.set_silent(SilentChains {
        down: [1].into_iter().collect(),
        ..SilentChains::default()
    });
    let stale = state.evaluate_all(NOW + 1);
    assert_eq!(stale[0].status, PriceStatus::Stale);
    assert_eq!(stale[0].reason, Some(PriceReason::NodeDown));
}

#[test]
fn new_writer_keeps_price_stale_while_node_is_unseen() {
    let mut first = state();
    for one in [
        tick("BTC", "feed", "USD", "60000", (1, 0)),
        tick("ETH", "feed", "USD", "3000", (1, 1)),
    ] {
        after(&mut first, one, NOW + 1_000);
    }
    let mut btc = first.announced(&"BTC".parse().unwrap()).unwrap().clone();
    let eth = first.announced(&"ETH".parse().unwrap()).unwrap().clone();
    btc.status = PriceStatus::Stale;
    // Older versions stored no reason.
    for (reason, kept) in [
        (Some(PriceReason::NodeDown), true),
        (None, true),
        (Some(PriceReason::Old), false),
    ] {
        let mut next = state();
        next.restore(
            Price {
                reason,
                ..btc.clone()
            },
            NOW + 2_000,
        );
        next.restore(eth.clone(), NOW + 2_000);
        next.apply_ticks(&[
            tick("BTC", "feed", "USD", "60000", (1, 0)),
            tick("ETH", "feed", "USD", "3000", (1, 1)),
        ]);
        next.set_silent(SilentChains {
            unseen: [1].into_iter().collect(),
            ..SilentChains::default()
        });
        // ETH was ok: the store may have been unreachable, not the node.
        let changed = announce(&mut next, NOW + 3_000);
        let ok = match kept {
            true => vec![],
            false => vec![published("BTC", "60000")],
        };
        assert_eq!(changed, ok, "{reason:?}");
        // The node answers.
        next.set_silent(SilentChains::default());
        let later = announce(&mut next, NOW + 4_000);
        assert_eq!(changed.len() + later.len(), 1, "{reason:?}");
        let btc = next.announced(&"BTC".parse().unwrap()).unwrap();
        assert_eq!(btc.status, PriceStatus::Ok);
    }
}

#[test]
fn price_goes_stale_once_and_recovers() {
    let mut state = state();
    state.apply_ticks(&[tick("BTC", "feed", "USD", "60000", (0, 0))]);
    announce(&mut state, NOW);
    assert!(announce(&mut state, NOW + 60_000).is_empty());
    let late = NOW + 60_001;
    let stale = state.evaluate_all(late);
    assert_eq!(stale[0].status, PriceStatus::Stale);
    assert_eq!(stale[0].price, decimal("60000"));
    assert_eq!(announce(&mut state, late).len(), 1);
    assert!(announce(&mut state, late + 5_000).is_empty());
    state.apply_ticks(&[tick("BTC", "feed", "USD", "60000", (61, 0))]);
    let back = state.evaluate_all(late);
    assert_eq!(back[0].status, PriceStatus::Ok);
}

#[test]
fn pool_needs_fresh_price_of_its_quote() {
    let mut state = state();
    state.apply_ticks(&[
        tick("BTC", "feed", "USD", "60000", (0, 0)),
        tick("ETH", "feed", "USD", "3000", (50, 0)),
        tick("ETH", "pool", "BTC", "0.0501", (50, 1)),
    ]);
    assert_eq!(announce(&mut state, NOW)[0], published("ETH", "3003"));
    let later = NOW + 60_001;
    assert_eq!(announce(&mut state, later)[0], published("ETH", "3000"));
}

#[test]
fn old_first_tick_makes_stale_price() {
    let mut state = state();
    let later = NOW + 3_600_000;
    let btc = tick("BTC", "feed", "USD", "60000", (1, 0));
    let affected = state.apply_ticks(&[btc]);
    let changed = state.evaluate(affected, later);
    assert_eq!(changed[0].status, PriceStatus::Stale);
    assert_eq!(changed[0].observed_at, NOW + 1_000);
    assert_eq!(changed[0].expires_at, NOW + 1_000);
    assert_eq!(
        commit(&mut state, changed, later),
        [published("BTC", "60000")]
    );
    // Converted by an old rate it is stale too, and announced once.
    let pool = tick("ETH", "pool", "BTC", "0.05", (3_600, 0));
    let affected = state.apply_ticks(&[pool]);
    let changed = state.evaluate(affected, later);
    assert_eq!(changed[0].status, PriceStatus::Stale);
    assert_eq!(
        commit(&mut state, changed, later),
        [published("ETH", "3000")]
    );
    assert!(announce(&mut state, later).is_empty());
    // A fresh tick replaces it.
    let btc = tick("BTC", "feed", "USD", "61000", (3_600, 1));
    let affected = state.apply_ticks(&[btc]);
    let changed = state.evaluate(affected, later);
    let statuses: Vec<_> = changed.iter().map(|price| price.status).collect();
    assert_eq!(statuses, [PriceStatus::Ok, PriceStatus::Ok]);
}

#[test]
fn chain_ahead_of_clock_does_not_keep_price_fresh() {
    let mut state = state();
    state.apply_ticks(&[tick("BTC", "feed", "USD", "60000", (7_200, 0))]);
    let changed = state.evaluate_all(NOW);
    assert_eq!(changed[0].observed_at, NOW);
    commit(&mut state, changed, NOW);
    let stale = state.evaluate_all(NOW + 60_001);
    assert_eq!(stale[0].status, PriceStatus::Stale);
}
