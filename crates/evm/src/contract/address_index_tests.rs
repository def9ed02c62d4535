use alloy::{primitives::U256, sol_types::SolValue};

use super::*;
use crate::contract::{ContractConfig, compile};

const FACTORY: u8 = 1;

/// A contract at an address, and a factory with a limit of two contracts.
fn address_index() -> AddressIndex {
    let dir = std::env::temp_dir().join(format!("chaincast-abi-{:016x}", rand::random::<u64>()));
    std::fs::create_dir_all(&dir).unwrap();
    let abi = dir.join("abi.json");
    std::fs::write(
        &abi,
        r#"[{"type":"event","name":"Made","inputs":[{"name":"pair","type":"address","indexed":true}],"anonymous":false},
            {"type":"event","name":"Reported","inputs":[{"name":"value","type":"uint256","indexed":false}],"anonymous":false}]"#,
    )
    .unwrap();
    let address = |byte: u8| Address::with_last_byte(byte).to_string();
    let text = format!(
        "[[contracts]]\nname = \"one\"\nabi = {abi:?}\naddress = {:?}\nevents = [\"Reported\"]\nstart_block = 5\n
         [[contracts]]\nname = \"many\"\nabi = {abi:?}\nevents = [\"Reported\"]\n
         factory = {{ address = {:?}, event = \"Made\", parameter = \"pair\", max_addresses = 2 }}\n",
        address(9),
        address(FACTORY),
    );
    let mut table: toml::Table = toml::from_str(&text).unwrap();
    let configs: Vec<ContractConfig> = table.remove("contracts").unwrap().try_into().unwrap();
    let contracts = compile(&configs, &[1]).unwrap();
    std::fs::remove_dir_all(dir).unwrap();
    AddressIndex::new(contracts.into())
}

fn log(address_index: &AddressIndex, index: u32, address: u8, made: Option<u8>) -> IndexedLog {
    let contracts = address_index.contracts();
    let topics = match made {
        Some(pair) => {
            let factory = contracts[1].factory.as_ref().unwrap();
            vec![factory.topic(), Address::with_last_byte(pair).into_word()]
        }
        None => vec![contracts[0].events[0].topic],
    };
    IndexedLog {
        index,
        transaction_index: 0,
        transaction_hash: None,
        address: Address::with_last_byte(address),
        topics,
        data: match made {
            Some(_) => Default::default(),
            None => U256::from(index).abi_encode().into(),
        },
    }
}

fn positions(decoded: &DecodedLogs) -> Vec<(usize, u32)> {
    decoded
        .events
        .iter()
        .map(|event| (event.contract, event.log_index))
        .collect()
}

#[test]
fn announced_address_counts_from_next_log() {
    let mut address_index = address_index();
    let logs = [
        log(&address_index, 0, 20, None),
        log(&address_index, 1, FACTORY, Some(20)),
        log(&address_index, 2, 20, None),
        log(&address_index, 3, 21, None),
        log(&address_index, 4, 7, Some(21)),
    ];
    let decoded = address_index.decode(7, &logs);
    assert_eq!(positions(&decoded), [(1, 2)]);
    assert_eq!(decoded.events[0].args, r#"{"value":"2"}"#);
    assert_eq!(decoded.found.len(), 1, "only the factory's event announces");
    let again = address_index.decode(
        8,
        &[
            log(&address_index, 0, FACTORY, Some(20)),
            log(&address_index, 1, 20, None),
        ],
    );
    assert_eq!((positions(&again), again.found.len()), (vec![(1, 1)], 0));
}

#[test]
fn unwind_removes_announced_addresses() {
    let mut address_index = address_index();
    for (block, pair) in [(7, 20), (8, 21)] {
        address_index.decode(block, &[log(&address_index, 0, FACTORY, Some(pair))]);
    }
    address_index.unwind(7);
    let decoded = address_index.decode(
        8,
        &[
            log(&address_index, 0, 20, None),
            log(&address_index, 1, 21, None),
        ],
    );
    assert_eq!(positions(&decoded), [(1, 0)]);
    assert_eq!(address_index.found_count(1), 1);
}

#[test]
fn ignores_addresses_beyond_limit() {
    let mut address_index = address_index();
    let logs: Vec<_> = (0..4)
        .map(|at| log(&address_index, at, FACTORY, Some(20 + at as u8)))
        .collect();
    assert_eq!(address_index.decode(7, &logs).found.len(), 2);
    assert_eq!(address_index.addresses_of(1, 2).unwrap().len(), 2);
    assert_eq!(address_index.addresses_of(1, 1), None);
}

#[test]
fn skips_logs_below_start_block_and_of_others() {
    let mut address_index = address_index();
    let logs = [
        log(&address_index, 0, 9, None),
        log(&address_index, 1, 30, None),
    ];
    assert_eq!(positions(&address_index.decode(4, &logs)), []);
    assert_eq!(positions(&address_index.decode(5, &logs)), [(0, 0)]);
}

#[test]
fn skips_log_that_does_not_match_abi() {
    let mut address_index = address_index();
    let mut cut = log(&address_index, 0, 9, None);
    cut.data = cut.data.slice(..31);
    let mut more = log(&address_index, 1, 9, None);
    more.topics.push(B256::ZERO);
    assert_eq!(
        positions(&address_index.decode(7, &[cut, more, log(&address_index, 2, 9, None)])),
        [(0, 2)]
    );
}

#[test]
fn selects_event_by_topic_count() {
    let file =
        std::env::temp_dir().join(format!("chaincast-abi-{:016x}.json", rand::random::<u64>()));
    let event = |indexed: bool| {
        format!(
            r#"{{"type":"event","name":"Moved","anonymous":false,
                "inputs":[{{"name":"to","type":"address","indexed":{indexed}}}]}}"#
        )
    };
    std::fs::write(&file, format!("[{},{}]", event(true), event(false))).unwrap();
    let address = Address::with_last_byte(9);
    let text = format!("name = \"one\"\nabi = {file:?}\naddress = \"{address}\"\n");
    let contracts = compile(&[toml::from_str(&text).unwrap()], &[1]).unwrap();
    std::fs::remove_file(file).unwrap();
    let mut address_index = AddressIndex::new(contracts.into());
    let topic = address_index.contracts()[0].events[0].topic;
    let to = Address::with_last_byte(7);
    let log = |index: u32, indexed: bool| IndexedLog {
        index,
        transaction_index: 0,
        transaction_hash: None,
        address,
        topics: match indexed {
            true => vec![topic, to.into_word()],
            false => vec![topic],
        },
        data: match indexed {
            true => Default::default(),
            false => to.abi_encode().into(),
        },
    };
    let decoded = address_index.decode(1, &[log(0, true), log(1, false)]);
    let events: Vec<_> = decoded.events.iter().map(|event| &event.args).collect();
    assert_eq!(events.len(), 2);
    assert_eq!(events[0], events[1]);
}
