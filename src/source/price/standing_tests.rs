//! What is learnt of contracts, and what of it is refused.

use super::*;
use crate::source::price::uniswap_v3;

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

fn phases(standing: &Standing) -> Vec<(u8, u64, u64)> {
    let all = standing.phases().iter();
    all.map(|phase| (phase.address[0], phase.from, phase.until))
        .collect()
}

#[test]
fn a_proxy_is_followed_and_both_aggregators_are_read_where_either_may_have_been() {
    let spec = feed(None);
    let mut standing = Standing::of(&spec);
    assert!(standing.is_unknown() && standing.reader().is_none());
    let mut learn = |aggregator: u8, block| {
        let facts = facts(Some(address(aggregator)), Some(8));
        let moved = standing.learn(&spec, &facts, block);
        (moved.map(|address| address[0]), phases(&standing))
    };
    assert_eq!(learn(2, 100), (None, vec![(2, 0, u64::MAX)]));
    assert_eq!(learn(2, 200), (None, vec![(2, 0, u64::MAX)]));
    let both = vec![(2, 0, 300), (3, 201, u64::MAX)];
    assert_eq!(learn(3, 300), (Some(3), both.clone()));
    // A node that lags says what was.
    assert_eq!(learn(2, 250), (None, both));
    // What it answers is asked for soon.
    assert!(standing.is_waiting() && standing.wants_answer);
    standing.answered();
    assert!(!standing.is_waiting() && !standing.wants_answer);
    let mut learn = |aggregator: u8, block| {
        let facts = facts(Some(address(aggregator)), Some(8));
        standing.learn(&spec, &facts, block);
        phases(&standing)
    };
    for aggregator in 4..60 {
        let phases = learn(aggregator, u64::from(aggregator) * 100);
        assert!(phases.len() <= MOST_PHASES);
    }
}

#[test]
fn a_contract_that_has_no_aggregator_is_one() {
    let spec = feed(None);
    let mut standing = Standing::of(&spec);
    assert_eq!(standing.learn(&spec, &facts(None, Some(8)), 5), None);
    assert_eq!(standing.reader(), Some(Reader::Feed { decimals: 8 }));
    assert_eq!(phases(&standing), [(1, 0, u64::MAX)]);
}

#[test]
fn decimals_that_do_not_agree_refuse_the_source_until_they_do() {
    let spec = feed(Some(8));
    let mut standing = Standing::of(&spec);
    assert_eq!(standing.reader(), Some(Reader::Feed { decimals: 8 }));
    standing.learn(&spec, &facts(None, Some(18)), 5);
    assert_eq!(standing.reader(), None);
    assert_eq!(
        standing.refusal(),
        Some("decimals is 8 in the configuration and 18 in the contract")
    );
    standing.learn(&spec, &facts(None, Some(8)), 6);
    assert_eq!(standing.reader(), Some(Reader::Feed { decimals: 8 }));
}

fn pool(keys: &str, token: Option<u8>) -> Spec {
    let config = toml::from_str(&format!(
        "address = '{}'\nquote = 'USD'\n{keys}",
        address(9)
    ));
    Spec::pool(&config.unwrap(), uniswap_v3::TOPIC, token.map(address))
}

fn learnt(spec: &Spec) -> Result<Option<PoolShape>, String> {
    let mut standing = Standing::of(spec);
    let facts = ContractFacts::Pool {
        tokens: Some([address(1), address(2)]),
        decimals: [Some(6), Some(18)],
    };
    standing.learn(spec, &facts, 7);
    match (standing.refusal(), standing.reader()) {
        (Some(reason), _) => Err(reason.to_owned()),
        (None, Some(Reader::Pool(shape))) => Ok(Some(shape)),
        (None, _) => Ok(None),
    }
}

#[test]
fn what_is_left_out_of_a_pool_is_learnt() {
    let shape = |base, base_decimals, quote_decimals| PoolShape {
        base,
        base_decimals,
        quote_decimals,
    };
    assert_eq!(learnt(&pool("", Some(2))), Ok(Some(shape(1, 18, 6))));
    assert_eq!(learnt(&pool("", Some(1))), Ok(Some(shape(0, 6, 18))));
    assert_eq!(learnt(&pool("base = 1", None)), Ok(Some(shape(1, 18, 6))));
    assert_eq!(learnt(&pool("", None)), Ok(None));
}

#[test]
fn what_is_given_of_a_pool_and_is_not_so_refuses_it() {
    let token = address(7);
    for (keys, of, expected) in [
        (format!("token0 = '{token}'\nbase = 0"), None, "token0 is "),
        (format!("token1 = '{token}'\nbase = 0"), None, "token1 is "),
        (
            "base = 0\nbase_decimals = 18".to_owned(),
            None,
            "base_decimals is 18 in the configuration and 6 in the contract",
        ),
        (
            "base = 1\nquote_decimals = 8".to_owned(),
            None,
            "quote_decimals is 8 in the configuration and 6 in the contract",
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
            "the priced token, at 0x0101010101010101010101010101010101010101, is the pool's other one",
        ),
    ] {
        let reason = learnt(&pool(&keys, of)).unwrap_err();
        assert!(reason.contains(expected), "{reason}");
    }
}

#[test]
fn a_pool_that_says_nothing_is_read_as_it_is_configured_or_not_at_all() {
    let silent = ContractFacts::Pool {
        tokens: None,
        decimals: [None; 2],
    };
    let spec = pool("base = 0\nbase_decimals = 8\nquote_decimals = 6", None);
    let mut standing = Standing::of(&spec);
    assert!(standing.reader().is_some());
    standing.learn(&spec, &silent, 1);
    // It is asked again, and told as what it is.
    assert!(standing.reader().is_some() && standing.is_unknown());
    assert_eq!(standing.state().name(), "connecting");
    let spec = pool("base = 0", None);
    let mut standing = Standing::of(&spec);
    standing.learn(&spec, &silent, 1);
    assert!(standing.reader().is_none() && standing.is_unknown());
}

#[test]
fn why_a_contract_says_nothing_is_told_and_news_only_once() {
    let spec = feed(None);
    let mut standing = Standing::of(&spec);
    let nothing = || Silence::Nothing {
        at: address(1),
        call: "decimals()",
    };
    let node = |words: &str| Some(Silence::Node(words.to_owned()));
    assert!(!standing.explain(None));
    assert!(standing.explain(Some(nothing())) && !standing.explain(Some(nothing())));
    let state = standing.state();
    assert_eq!(state.name(), "connecting");
    assert_eq!(state.reason(), Some(&*nothing().to_string()));
    assert!(standing.explain(node("9 s")) && !standing.explain(node("8 s")));
    standing.learn(&spec, &facts(None, Some(8)), 5);
    assert!(standing.explain(None) && standing.silence().is_none());
    assert_eq!(standing.state(), FeedState::Live);
}

#[test]
fn a_contract_that_refuses_to_say_its_answer_is_not_live_until_it_does() {
    let spec = feed(None);
    let mut standing = Standing::of(&spec);
    standing.learn(&spec, &facts(None, Some(18)), 5);
    let refused = Silence::Refused {
        at: address(1),
        call: "latestRoundData()",
        reason: "execution reverted".to_owned(),
    };
    standing.explain(Some(refused.clone()));
    let state = standing.state();
    assert_eq!(
        (state.name(), state.reason()),
        ("connecting", Some(&*refused.to_string()))
    );
    standing.explain(None);
    standing.answered();
    assert_eq!(standing.state(), FeedState::Live);
}
