//! Assignment of logs to sources, and the resulting ticks.

use alloy::primitives::{I256, LogData, U256, address};

use super::*;
use crate::{
    ContractError, TickFault, chainlink::tests::answer, log_lines::LogLines, tick_queue,
    uniswap_v2::tests::sync,
};
use chaincast_model::LogOrigin;

const FEED: Address = address!("0x0000000000000000000000000000000000000001");
const PAIR: Address = address!("0x0000000000000000000000000000000000000002");

fn sources() -> OnChainSources {
    let config: PriceConfig = toml::from_str(
        "[[tokens]]\nsymbol = 'ETH'\n[[tokens]]\nsymbol = 'BTC'\n
         [[sources]]\nkind = 'chainlink'\ntoken = 'ETH'\ndecimals = 8
         address = '0x0000000000000000000000000000000000000001'
         [[sources]]\nkind = 'chainlink'\ntoken = 'BTC'\ndecimals = 8\nchain_id = 10
         address = '0x0000000000000000000000000000000000000001'
         [[sources]]\nkind = 'uniswap-v2'\ntoken = 'ETH'\nbase = 0\nquote = 'BTC'
         base_decimals = 18\nquote_decimals = 8
         address = '0x0000000000000000000000000000000000000002'
         [[sources]]\nkind = 'uniswap-v2'\ntoken = 'BTC'\nbase = 1\nquote = 'ETH'
         base_decimals = 8\nquote_decimals = 18
         address = '0x0000000000000000000000000000000000000002'",
    )
    .unwrap();
    OnChainSources::new(&config, 1).unwrap()
}

fn view(address: Address, log: &LogData) -> LogView<'_> {
    LogView {
        address,
        topics: log.topics(),
        data: &log.data,
        block_number: 12,
        block_hash: B256::repeat_byte(9),
        block_timestamp: 1_700_000_000,
        log_index: 3,
    }
}

#[test]
fn selects_source_by_chain_and_address() {
    let log = answer("345600000000".parse().unwrap(), U256::from(1_699_999_999));
    let ticks = sources().decode(1, &view(FEED, &log));
    let [Ok(tick)] = ticks.as_slice() else {
        panic!("{ticks:?}")
    };
    assert_eq!(
        (tick.token.as_str(), &*tick.source, &*tick.quote),
        ("ETH", "chainlink", "USD")
    );
    assert_eq!(tick.observed_at, 1_699_999_999_000);
    let origin = tick.origin.unwrap();
    assert_eq!(
        (origin.chain_id, origin.block_number, origin.log_index),
        (1, 12, 3)
    );

    let other_chain = sources().decode(10, &view(FEED, &log));
    assert_eq!(other_chain[0].as_ref().unwrap().token.as_str(), "BTC");
}

#[test]
fn sync_prices_both_tokens() {
    let log = sync("20000000000000000000", "100000000"); // 20 ETH, 1 BTC
    let ticks = sources().decode(1, &view(PAIR, &log));
    let read: Vec<_> = ticks
        .iter()
        .map(|tick| {
            let tick = tick.as_ref().unwrap();
            (
                tick.token.as_str(),
                &*tick.quote,
                tick.price.to_plain_string(),
            )
        })
        .collect();
    assert_eq!(
        read,
        [
            ("ETH", "BTC", "0.05".to_owned()),
            ("BTC", "ETH", "20".to_owned())
        ]
    );
}

#[test]
fn ignores_other_events_and_addresses() {
    let sources = sources();
    let log = sync("1", "1");
    assert!(sources.decode(1, &view(FEED, &log)).is_empty());
    assert!(sources.decode(1, &view(Address::ZERO, &log)).is_empty());
    assert!(sources.decode(2, &view(PAIR, &log)).is_empty());
    let anonymous = LogData::new_unchecked(vec![], log.data.clone());
    assert!(sources.decode(1, &view(PAIR, &anonymous)).is_empty());
}

fn read(text: &str) -> OnChainSources {
    let config: PriceConfig = toml::from_str(text).unwrap();
    OnChainSources::new(&config, 1).unwrap()
}

fn at(number: u64) -> BlockRef {
    BlockRef {
        number,
        hash: B256::repeat_byte(9),
    }
}

#[test]
fn pool_serves_spot_and_average_sources() {
    let pool = "[[sources]]\nkind = 'uniswap-v2'\ntoken = 'ETH'\nbase = 0\nquote = 'USD'\n\
        base_decimals = 0\nquote_decimals = 0\nmin_reserve = 10\n\
        address = '0x0000000000000000000000000000000000000002'\n";
    let sources = read(&format!(
        "[[tokens]]\nsymbol = 'ETH'\n{pool}{pool}price = 'twap'\ntwap_seconds = 60\n"
    ));
    let log = sync("4", "20");
    let ticks = sources.decode(1, &view(PAIR, &log));
    assert_eq!(ticks.len(), 1);
    assert_eq!(&*ticks[0].as_ref().unwrap().source, "uniswap-v2");

    let [averaged] = sources.averaged(1)[..] else {
        panic!("one source averages")
    };
    assert_eq!((averaged.seconds, averaged.address), (60, PAIR));
    assert!(sources.averaged(2).is_empty());
    let seen = sources.observe(1, &view(PAIR, &log));
    assert_eq!(seen, [(averaged.source, Some(BigDecimal::from(5)))]);
    let thin = sources.observe(1, &view(PAIR, &sync("1", "9")));
    assert_eq!(thin, [(averaged.source, None)]);

    let tick = sources.average_tick(averaged.source, at(12), 1_700_000_000, 7.into());
    let tick = tick.unwrap();
    assert_eq!(
        (&*tick.source, tick.observed_at),
        ("uniswap-v2-twap", 1_700_000_000_000)
    );
    assert_eq!(tick.origin.unwrap().log_index, LogOrigin::END_OF_BLOCK);
}

#[test]
fn reads_logs_of_proxy_aggregator() {
    let sources = read(
        "[[tokens]]\nsymbol = 'ETH'\n
         [[sources]]\nkind = 'chainlink'\ntoken = 'ETH'\nheartbeat_ms = 60000
         address = '0x0000000000000000000000000000000000000001'",
    );
    let log = answer("345600000000".parse().unwrap(), U256::ZERO);
    let aggregator = Address::repeat_byte(7);
    let count = |address, number| {
        let mut view = view(address, &log);
        view.block_number = number;
        sources.decode(1, &view).len()
    };
    assert!(sources.needs_retry(1) && count(FEED, 12) == 0);
    let apply_facts = |aggregator, number| {
        let [query] = sources.pending_queries(1)[..] else {
            panic!("one query")
        };
        let round = Round {
            answer: I256::try_from(5_000_000_000_i64).unwrap(),
            updated_at: U256::from(1_699_999_990_u64),
        };
        let facts = ContractFacts::Feed {
            aggregator: Some(aggregator),
            decimals: Some(8),
            round: Some(round),
        };
        sources.apply_facts(&query, &facts, at(number))
    };
    let first = apply_facts(aggregator, 10).unwrap();
    assert!(!sources.needs_retry(1) && sources.pending_queries(2).is_empty());
    assert_eq!((count(FEED, 12), count(aggregator, 12)), (0, 1));
    let tick = sources.answer_tick(&first, 1_700_000_000).unwrap().unwrap();
    assert_eq!(tick.price.to_plain_string(), "50");
    assert_eq!(tick.observed_at, 1_699_999_990_000);
    // Read later, it is older than its heartbeat.
    let refused = sources.answer_tick(&first, 1_700_000_100).unwrap();
    assert_eq!(refused.unwrap_err().fault.reason(), "old");

    let next = Address::repeat_byte(8);
    apply_facts(next, 20);
    assert_eq!((count(aggregator, 20), count(aggregator, 21)), (1, 0));
    assert_eq!((count(next, 10), count(next, 11)), (0, 1));
}

#[test]
fn reports_missing_contract_with_reason() {
    let sources = read(
        "[[tokens]]\nsymbol = 'ETH'\n
         [[sources]]\nkind = 'chainlink'\ntoken = 'ETH'
         address = '0x0000000000000000000000000000000000000001'",
    );
    let (sink, _queue) = tick_queue(1);
    sources.report_to(sink.clone());
    let [query] = sources.pending_queries(1)[..] else {
        panic!("one query")
    };
    let reason = || {
        let states = sink.states();
        let (_, state) = states.iter().next().unwrap();
        (state.name(), state.reason().unwrap_or_default().to_owned())
    };
    let no_answer = ContractError::NoAnswer {
        at: FEED,
        call: "decimals()",
    };
    let facts = |decimals| ContractFacts::Feed {
        aggregator: None,
        decimals,
        round: None,
    };
    sources.apply_facts(&query, &facts(None), at(1));
    sources.set_error(&query, Some(no_answer.clone()));
    assert_eq!(reason(), ("connecting", no_answer.to_string()));
    sources.set_error(&query, Some(ContractError::Node("unreachable".to_owned())));
    let unreachable = "cannot read the contract: unreachable".to_owned();
    assert_eq!(reason(), ("connecting", unreachable));
    sources.apply_facts(&query, &facts(Some(8)), at(2));
    sources.set_error(&query, None);
    assert_eq!(reason(), ("live", String::new()));
}

#[test]
fn error_names_source_and_log() {
    let log = answer(I256::ZERO, U256::from(1));
    let refused = sources()
        .decode(1, &view(FEED, &log))
        .remove(0)
        .unwrap_err();
    assert_eq!(
        refused.to_string(),
        "no price from chainlink of ETH in block 12 of chain 1, log 3: answer 0 is not \
         above zero"
    );
}

#[test]
fn missing_prices_are_logged_once_per_interval() {
    let captured = LogLines::capture();
    let (zero, good) = (
        answer(I256::ZERO, U256::from(1)),
        answer(I256::ONE, U256::from(1_699_999_999)),
    );
    let sources = sources();
    for _ in 0..100 {
        assert!(sources.decode(1, &view(FEED, &zero))[0].is_err());
        assert!(sources.decode(1, &view(FEED, &good))[0].is_ok());
    }
    assert_eq!(captured.count("no price from"), 1);
    // Another source has its own line.
    assert!(sources.decode(10, &view(FEED, &zero))[0].is_err());
    assert_eq!(captured.count("no price from"), 2);
}

#[test]
fn rejects_block_timestamp_out_of_range() {
    let log = sync("1", "1");
    let mut view = view(PAIR, &log);
    view.block_timestamp = u64::MAX;
    let refused = sources().decode(1, &view).remove(0).unwrap_err();
    assert_eq!(refused.fault, TickFault::Timestamp(u64::MAX));
}
