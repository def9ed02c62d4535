use alloy::{primitives::U256, sol_types::SolValue};

use super::*;
use crate::source::contract::{ContractConfig, compile};

const FACTORY: u8 = 1;

/// A contract at an address, and the contracts of a factory that takes two.
fn following() -> Following {
    let dir = std::env::temp_dir().join(format!("chaincast-abi-{:016x}", rand::random::<u64>()));
    std::fs::create_dir_all(&dir).unwrap();
    let abi = dir.join("abi.json");
    std::fs::write(
        &abi,
        r#"[{"type":"event","name":"Made","inputs":[{"name":"pair","type":"address","indexed":true}],"anonymous":false},
            {"type":"event","name":"Said","inputs":[{"name":"value","type":"uint256","indexed":false}],"anonymous":false}]"#,
    )
    .unwrap();
    let address = |byte: u8| Address::with_last_byte(byte).to_string();
    let text = format!(
        "[[contracts]]\nname = \"one\"\nabi = {abi:?}\naddress = {:?}\nevents = [\"Said\"]\nstart_block = 5\n
         [[contracts]]\nname = \"many\"\nabi = {abi:?}\nevents = [\"Said\"]\n
         factory = {{ address = {:?}, event = \"Made\", parameter = \"pair\", max_addresses = 2 }}\n",
        address(9),
        address(FACTORY),
    );
    let mut table: toml::Table = toml::from_str(&text).unwrap();
    let configs: Vec<ContractConfig> = table.remove("contracts").unwrap().try_into().unwrap();
    let contracts = compile(&configs, &[1]).unwrap();
    std::fs::remove_dir_all(dir).unwrap();
    Following::new(contracts.into())
}

fn log(following: &Following, index: u32, address: u8, made: Option<u8>) -> IndexedLog {
    let contracts = following.contracts();
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

fn places(reading: &Reading) -> Vec<(usize, u32)> {
    reading
        .events
        .iter()
        .map(|event| (event.contract, event.log_index))
        .collect()
}

#[test]
fn an_announced_address_counts_from_the_log_behind_its_announcement_on() {
    let mut following = following();
    let logs = [
        log(&following, 0, 20, None),
        log(&following, 1, FACTORY, Some(20)),
        log(&following, 2, 20, None),
        log(&following, 3, 21, None),
        log(&following, 4, 7, Some(21)),
    ];
    let reading = following.read(7, &logs);
    assert_eq!(places(&reading), [(1, 2)]);
    assert_eq!(reading.events[0].args, r#"{"value":"2"}"#);
    assert_eq!(
        reading.found.len(),
        1,
        "only the factory's own event announces"
    );
    let again = following.read(
        8,
        &[
            log(&following, 0, FACTORY, Some(20)),
            log(&following, 1, 20, None),
        ],
    );
    assert_eq!((places(&again), again.found.len()), (vec![(1, 1)], 0));
}

#[test]
fn what_a_dropped_block_announced_is_forgotten() {
    let mut following = following();
    for (block, pair) in [(7, 20), (8, 21)] {
        following.read(block, &[log(&following, 0, FACTORY, Some(pair))]);
    }
    following.unwind(7);
    let reading = following.read(
        8,
        &[log(&following, 0, 20, None), log(&following, 1, 21, None)],
    );
    assert_eq!(places(&reading), [(1, 0)]);
    assert_eq!(following.found_count(1), 1);
}

#[test]
fn addresses_beyond_the_limit_are_not_followed() {
    let mut following = following();
    let logs: Vec<_> = (0..4)
        .map(|at| log(&following, at, FACTORY, Some(20 + at as u8)))
        .collect();
    assert_eq!(following.read(7, &logs).found.len(), 2);
    assert_eq!(following.addresses_of(1, 2).unwrap().len(), 2);
    assert_eq!(following.addresses_of(1, 1), None);
}

#[test]
fn logs_below_the_start_block_and_of_others_are_left_alone() {
    let mut following = following();
    let logs = [log(&following, 0, 9, None), log(&following, 1, 30, None)];
    assert_eq!(places(&following.read(4, &logs)), []);
    assert_eq!(places(&following.read(5, &logs)), [(0, 0)]);
}

#[test]
fn a_log_that_is_not_what_the_abi_says_gives_nothing() {
    let mut following = following();
    let mut cut = log(&following, 0, 9, None);
    cut.data = cut.data.slice(..31);
    let mut more = log(&following, 1, 9, None);
    more.topics.push(B256::ZERO);
    assert_eq!(
        places(&following.read(7, &[cut, more, log(&following, 2, 9, None)])),
        [(0, 2)]
    );
}

#[test]
fn events_of_one_signature_are_read_by_the_number_of_topics() {
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
    let mut following = Following::new(contracts.into());
    let topic = following.contracts()[0].events[0].topic;
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
    let reading = following.read(1, &[log(0, true), log(1, false)]);
    let read: Vec<_> = reading.events.iter().map(|event| &event.args).collect();
    assert_eq!(read.len(), 2);
    assert_eq!(read[0], read[1]);
}
