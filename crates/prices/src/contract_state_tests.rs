//! Applying facts of contracts, and rejecting inconsistent ones.

use super::*;
use crate::uniswap_v3;

fn address(byte: u8) -> Address {
    Address::repeat_byte(byte)
}

fn feed(decimals: Option<u8>) -> Spec {
    Spec::Feed(ChainlinkConfig {
        chain_id: None,
        address: address(1),
        decimals,
        heartbeat_ms: None,
    })
}

fn facts(aggregator: Option<Address>, decimals: Option<u8>) -> ContractFacts {
    ContractFacts::Feed {
        aggregator,
        decimals,
        round: None,
    }
}

fn phases(state: &ContractState) -> Vec<(u8, u64, u64)> {
    let all = state.phases().iter();
    all.map(|phase| (phase.address[0], phase.from, phase.until))
        .collect()
}

#[test]
fn reads_both_aggregators_around_a_change() {
    let spec = feed(None);
    let mut state = ContractState::new(&spec);
    assert!(state.is_incomplete() && state.decoder().is_none());
    let mut apply_facts = |aggregator: u8, block| {
        let facts = facts(Some(address(aggregator)), Some(8));
        let moved = state.apply_facts(&spec, &facts, block);
        (moved.map(|address| address[0]), phases(&state))
    };
    assert_eq!(apply_facts(2, 100), (None, vec![(2, 0, u64::MAX)]));
    assert_eq!(apply_facts(2, 200), (None, vec![(2, 0, u64::MAX)]));
    let both = vec![(2, 0, 300), (3, 201, u64::MAX)];
    assert_eq!(apply_facts(3, 300), (Some(3), both.clone()));
    // A lagging node is ignored.
    assert_eq!(apply_facts(2, 250), (None, both));
    // The answer of the new aggregator is read soon.
    assert!(state.needs_retry() && state.wants_answer);
    state.mark_answered();
    assert!(!state.needs_retry() && !state.wants_answer);
    let mut apply_facts = |aggregator: u8, block| {
        let facts = facts(Some(address(aggregator)), Some(8));
        state.apply_facts(&spec, &facts, block);
        phases(&state)
    };
    for aggregator in 4..60 {
        let phases = apply_facts(aggregator, u64::from(aggregator) * 100);
        assert!(phases.len() <= MAX_PHASES);
    }
}

#[test]
fn contract_without_aggregator_is_aggregator() {
    let spec = feed(None);
    let mut state = ContractState::new(&spec);
    assert_eq!(state.apply_facts(&spec, &facts(None, Some(8)), 5), None);
    assert_eq!(state.decoder(), Some(LogDecoder::Feed { decimals: 8 }));
    assert_eq!(phases(&state), [(1, 0, u64::MAX)]);
}

#[test]
fn rejects_source_until_decimals_agree() {
    let spec = feed(Some(8));
    let mut state = ContractState::new(&spec);
    assert_eq!(state.decoder(), Some(LogDecoder::Feed { decimals: 8 }));
    state.apply_facts(&spec, &facts(None, Some(18)), 5);
    assert_eq!(state.decoder(), None);
    assert_eq!(
        state.refusal(),
        Some("decimals is 8 in the configuration but 18 in the contract")
    );
    state.apply_facts(&spec, &facts(None, Some(8)), 6);
    assert_eq!(state.decoder(), Some(LogDecoder::Feed { decimals: 8 }));
}

fn pool(keys: &str, token: Option<u8>) -> Spec {
    let config = toml::from_str(&format!(
        "address = '{}'\nquote = 'USD'\n{keys}",
        address(9)
    ));
    let pool = Pool {
        config: config.unwrap(),
        contract: &uniswap_v3::CONTRACT,
    };
    Spec::Pool {
        pool: Box::new(pool),
        token: token.map(address),
    }
}

fn applied(spec: &Spec) -> Result<Option<PoolShape>, String> {
    let mut state = ContractState::new(spec);
    let facts = ContractFacts::Pool {
        tokens: Some([address(1), address(2)]),
        decimals: [Some(6), Some(18)],
    };
    state.apply_facts(spec, &facts, 7);
    match (state.refusal(), state.decoder()) {
        (Some(reason), _) => Err(reason.to_owned()),
        (None, Some(LogDecoder::Pool(shape))) => Ok(Some(shape)),
        (None, _) => Ok(None),
    }
}

#[test]
fn reads_omitted_pool_settings() {
    let shape = |base, base_decimals, quote_decimals| PoolShape {
        base,
        base_decimals,
        quote_decimals,
    };
    assert_eq!(applied(&pool("", Some(2))), Ok(Some(shape(1, 18, 6))));
    assert_eq!(applied(&pool("", Some(1))), Ok(Some(shape(0, 6, 18))));
    assert_eq!(applied(&pool("base = 1", None)), Ok(Some(shape(1, 18, 6))));
    assert_eq!(applied(&pool("", None)), Ok(None));
}

#[test]
fn rejects_contradicting_pool_settings() {
    let token = address(7);
    for (keys, of, expected) in [
        (format!("token0 = '{token}'\nbase = 0"), None, "token0 is "),
        (format!("token1 = '{token}'\nbase = 0"), None, "token1 is "),
        (
            "base = 0\nbase_decimals = 18".to_owned(),
            None,
            "base_decimals is 18 in the configuration but 6 in the contract",
        ),
        (
            "base = 1\nquote_decimals = 8".to_owned(),
            None,
            "quote_decimals is 8 in the configuration but 6 in the contract",
        ),
        (String::new(), Some(7), "does not hold the priced token"),
        (
            "base = 1".to_owned(),
            Some(7),
            "does not hold the priced token",
        ),
        (
            "base = 1".to_owned(),
            Some(1),
            "the priced token at 0x0101010101010101010101010101010101010101 is the other token of the pool",
        ),
    ] {
        let reason = applied(&pool(&keys, of)).unwrap_err();
        assert!(reason.contains(expected), "{reason}");
    }
}

#[test]
fn pool_without_facts_needs_complete_config() {
    let no_facts = ContractFacts::Pool {
        tokens: None,
        decimals: [None; 2],
    };
    let spec = pool("base = 0\nbase_decimals = 8\nquote_decimals = 6", None);
    let mut state = ContractState::new(&spec);
    assert!(state.decoder().is_some());
    state.apply_facts(&spec, &no_facts, 1);
    // It is read again, and reported as incomplete.
    assert!(state.decoder().is_some() && state.is_incomplete());
    assert_eq!(state.state().name(), "connecting");
    let spec = pool("base = 0", None);
    let mut state = ContractState::new(&spec);
    state.apply_facts(&spec, &no_facts, 1);
    assert!(state.decoder().is_none() && state.is_incomplete());
}

#[test]
fn contract_error_is_reported_once() {
    let spec = feed(None);
    let mut state = ContractState::new(&spec);
    let no_answer = || ContractError::NoAnswer {
        at: address(1),
        call: "decimals()",
    };
    let node = |words: &str| Some(ContractError::Node(words.to_owned()));
    assert!(!state.set_error(None));
    assert!(state.set_error(Some(no_answer())) && !state.set_error(Some(no_answer())));
    let feed_state = state.state();
    assert_eq!(feed_state.name(), "connecting");
    assert_eq!(feed_state.reason(), Some(&*no_answer().to_string()));
    assert!(state.set_error(node("9 s")) && !state.set_error(node("8 s")));
    state.apply_facts(&spec, &facts(None, Some(8)), 5);
    assert!(state.set_error(None) && state.error().is_none());
    assert_eq!(state.state(), FeedState::Live);
}

#[test]
fn contract_without_answer_is_not_live() {
    let spec = feed(None);
    let mut state = ContractState::new(&spec);
    state.apply_facts(&spec, &facts(None, Some(18)), 5);
    let refused = ContractError::Reverted {
        at: address(1),
        call: "latestRoundData()",
        reason: "execution reverted".to_owned(),
    };
    state.set_error(Some(refused.clone()));
    let feed_state = state.state();
    assert_eq!(
        (feed_state.name(), feed_state.reason()),
        ("connecting", Some(&*refused.to_string()))
    );
    state.set_error(None);
    state.mark_answered();
    assert_eq!(state.state(), FeedState::Live);
}
