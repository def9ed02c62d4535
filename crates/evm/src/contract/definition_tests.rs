use std::fs;
use std::path::PathBuf;

use serde_json::json;

use super::*;

/// A file that is removed on drop.
struct AbiFile(PathBuf);

impl AbiFile {
    fn new(text: &str) -> Self {
        let name = format!("chaincast-abi-{:016x}.json", rand::random::<u64>());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl Drop for AbiFile {
    fn drop(&mut self) {
        fs::remove_file(&self.0).ok();
    }
}

fn abi() -> serde_json::Value {
    let word = |name: &str, kind: &str| json!({ "name": name, "type": kind, "indexed": false });
    let event = |name: &str, inputs: Vec<serde_json::Value>| json!({ "type": "event", "name": name, "inputs": inputs, "anonymous": false });
    json!([
        { "type": "function", "name": "f", "inputs": [], "outputs": [], "stateMutability": "view" },
        event("Moved", vec![word("to", "address")]),
        event("Moved", vec![word("to", "address"), word("value", "uint256")]),
        event("Made", vec![word("pair", "address"), word("count", "uint256")]),
    ])
}

/// Compiles one `[[contracts]]` entry with additional TOML.
fn compiled(abi: &serde_json::Value, more: &str) -> Result<Contract, String> {
    let file = AbiFile::new(&abi.to_string());
    let text = format!("name = \"Demo\"\nabi = {:?}\n{more}", file.0);
    let config: ContractConfig = toml::from_str(&text).map_err(|error| error.to_string())?;
    match compile(&[config], &[1, 10]) {
        Ok(mut contracts) => Ok(contracts.remove(0)),
        Err(problems) => {
            assert_eq!(problems.len(), 1);
            Err(format!("{}: {}", problems[0].key, problems[0].reason))
        }
    }
}

const ADDRESS: &str = "address = \"0xd8dA6BF26964aF9D7eEd9e03E53415D37aA96045\"\n";

#[test]
fn reads_all_events_of_abi_or_artifact() {
    for abi in [abi(), json!({ "abi": abi(), "bytecode": "0x" })] {
        let contract = compiled(&abi, ADDRESS).unwrap();
        let events: Vec<_> = contract
            .events
            .iter()
            .map(|event| event.signature.as_str())
            .collect();
        assert_eq!(
            events,
            [
                "Made(address,uint256)",
                "Moved(address)",
                "Moved(address,uint256)"
            ]
        );
        assert_eq!((contract.chain_id, contract.start_block), (1, 0));
        assert_eq!(contract.key(), "demo");
    }
}

#[test]
fn name_selects_overloads_signature_selects_one() {
    let count = |events: &str| {
        compiled(&abi(), &format!("{ADDRESS}events = [{events:?}]"))
            .unwrap()
            .events
            .len()
    };
    assert_eq!(count("Moved"), 2);
    assert_eq!(count("Moved(address, uint256)"), 1);
}

#[test]
fn errors_name_their_key() {
    let with = |more: &str| compiled(&abi(), more).unwrap_err();
    let factory = |more: &str| {
        with(&format!(
            "factory = {{ address = \"0xd8dA6BF26964aF9D7eEd9e03E53415D37aA96045\", {more} }}"
        ))
    };
    for (error, key, words) in [
        (with(""), "contracts.0.address", "needs an address"),
        (with("address = \"0x12\""), "", "is not an address"),
        (
            with(&format!("{ADDRESS}chain_id = 5")),
            "contracts.0.chain_id",
            "chain 5 is not among",
        ),
        (
            with(&format!("{ADDRESS}events = [\"Nope\"]")),
            "contracts.0.events",
            "Made(address,uint256)",
        ),
        (with(&format!("{ADDRESS}evnets = []")), "", "evnets"),
        (
            factory("event = \"Moved\", parameter = \"to\""),
            "contracts.0.factory.event",
            "overloaded",
        ),
        (
            factory("event = \"Made\", parameter = \"count\""),
            "contracts.0.factory.parameter",
            "pair, count",
        ),
        (
            factory("event = \"Made\", parameter = \"pair\", max_addresses = 0"),
            "",
            "factory.max_addresses: must be 1 to",
        ),
        (
            factory("event = \"Made\", parameter = \"pair\", abi = \"no-such\""),
            "contracts.0.factory.abi",
            "relative paths",
        ),
    ] {
        assert!(error.starts_with(key) && error.contains(words), "{error}");
    }
    let error = compiled(&json!({ "bytecode": "0x" }), ADDRESS).unwrap_err();
    assert!(error.starts_with("contracts.0.abi: "), "{error}");
}

#[test]
fn every_problem_of_an_entry_is_reported() {
    let shy = json!({ "type": "event", "name": "Shy", "inputs": [], "anonymous": true });
    let mut abi = abi();
    abi.as_array_mut().unwrap().push(shy);
    let file = AbiFile::new(&abi.to_string());
    let keys = |more: &str| -> Vec<String> {
        let text = format!("name = \"a b\"\nabi = {:?}\n{more}", file.0);
        let problems = compile(&[toml::from_str(&text).unwrap()], &[1]).unwrap_err();
        let keys = problems.into_iter().map(|problem| problem.key);
        keys.map(|key| key.replace("contracts.0.", "")).collect()
    };
    let events = "chain_id = 5\nevents = [\"Nope\", \"Shy\", \"Made\", \"No\"]";
    assert_eq!(
        keys(events),
        ["name", "chain_id", "address", "events", "events", "events"]
    );
    let factory = |more: &str| {
        keys(&format!(
            "{ADDRESS}events = [\"Nope\"]\nfactory = {{ address = [], {more} }}"
        ))
    };
    for (more, key) in [
        ("event = \"Moved\", parameter = \"to\"", "factory.event"),
        (
            "event = \"Made\", parameter = \"count\"",
            "factory.parameter",
        ),
        (
            "event = \"Made\", parameter = \"pair\", abi = \"no\"",
            "factory.abi",
        ),
    ] {
        assert_eq!(
            factory(more),
            ["name", "factory", "events", "factory.address", key]
        );
    }
}

#[test]
fn unreadable_event_does_not_reject_abi() {
    let shy = json!({ "type": "event", "name": "Shy", "inputs": [], "anonymous": true });
    let input = json!({ "name": "", "type": "uint8", "indexed": true });
    let four = json!({ "type": "event", "name": "Four", "inputs": [input, input, input, input], "anonymous": false });
    let error = compiled(&json!([shy]), ADDRESS).unwrap_err();
    assert!(error.contains("Shy() is anonymous"), "{error}");

    let mut several = abi();
    several.as_array_mut().unwrap().extend([shy, four]);
    let contract = compiled(&several, ADDRESS).unwrap();
    assert_eq!(contract.events.len(), 3);
    let skipped_events = contract.skipped_events.join("; ");
    assert!(
        skipped_events.contains("Shy() is anonymous"),
        "{skipped_events}"
    );
    assert!(
        skipped_events.contains("Four(") && skipped_events.contains("three indexed"),
        "{skipped_events}"
    );

    // A listed event must decode.
    let listed = format!("{ADDRESS}events = [\"Made\", \"Shy\"]");
    let error = compiled(&several, &listed).unwrap_err();
    assert!(error.contains("Shy() is anonymous"), "{error}");
    let contract = compiled(&several, &format!("{ADDRESS}events = [\"Made\"]")).unwrap();
    assert_eq!(contract.skipped_events, Vec::<String>::new());
}

/// `Moved(address,address)` with these parameters indexed.
fn moved(indexed: [bool; 2]) -> serde_json::Value {
    let input =
        |name: &str, indexed: bool| json!({ "name": name, "type": "address", "indexed": indexed });
    let inputs = [input("from", indexed[0]), input("to", indexed[1])];
    json!({ "type": "event", "name": "Moved", "inputs": inputs, "anonymous": false })
}

#[test]
fn distinguishes_events_by_indexed_count() {
    let both = json!([
        moved([false, false]),
        moved([true, true]),
        moved([true, true])
    ]);
    for more in [
        "",
        "events = [\"Moved\"]",
        "events = [\"Moved(address,address)\"]",
    ] {
        let contract = compiled(&both, &format!("{ADDRESS}{more}")).unwrap();
        let topics: Vec<_> = contract.events.iter().map(|event| event.indexed).collect();
        assert_eq!(topics, [0, 2], "{more}");
    }
    let alike = json!([moved([false, true]), moved([true, false])]);
    let error = compiled(&alike, ADDRESS).unwrap_err();
    assert!(error.contains("are indistinguishable"), "{error}");
}

#[test]
fn factory_event_indexed_or_not() {
    let both = json!([moved([false, false]), moved([true, false])]);
    let more = "factory = { address = \"0xd8dA6BF26964aF9D7eEd9e03E53415D37aA96045\", event = \"Moved\", parameter = \"to\" }";
    let factory = compiled(&both, more).unwrap().factory.unwrap();
    let word = B256::with_last_byte;
    let topic = keccak256("Moved(address,address)");
    let data = [word(1), word(2)].concat();
    for (topics, data) in [
        (vec![topic], &data[..]),
        (vec![topic, word(1)], &data[32..]),
    ] {
        assert_eq!(
            factory.address_in(&topics, data),
            Ok(Address::with_last_byte(2))
        );
    }
    assert!(factory.address_in(&[topic, word(1), word(2)], &[]).is_err());
}

#[test]
fn anonymous_event_does_not_reject_others() {
    let abi = json!([
        { "type": "event", "name": "Shy", "inputs": [], "anonymous": true },
        { "type": "event", "name": "Reported", "inputs": [], "anonymous": false },
    ]);
    let names: Vec<_> = compiled(&abi, ADDRESS).unwrap().events;
    assert_eq!(
        names.iter().map(|event| &*event.name).collect::<Vec<_>>(),
        ["Reported"]
    );
    // Listing it by name is an error.
    let named = format!("{ADDRESS}events = [\"Shy\"]");
    let error = compiled(&abi, &named).unwrap_err();
    assert!(error.contains("Shy() is anonymous"), "{error}");
}

#[test]
fn keeps_both_events_of_one_signature() {
    let event = |indexed: bool| {
        json!({ "type": "event", "name": "Moved", "anonymous": false,
            "inputs": [{ "name": "to", "type": "address", "indexed": indexed }] })
    };
    let abi = json!([event(true), event(false)]);
    for more in [ADDRESS.to_owned(), format!("{ADDRESS}events = [\"Moved\"]")] {
        let events = compiled(&abi, &more).unwrap().events;
        let signatures: Vec<_> = events
            .iter()
            .map(|event| event.signature.as_str())
            .collect();
        assert_eq!(signatures, ["Moved(address)", "Moved(address)"]);
    }
}

#[test]
fn rejects_names_that_differ_only_in_case() {
    let file = AbiFile::new(&abi().to_string());
    let config = |name: &str| -> ContractConfig {
        toml::from_str(&format!("name = {name:?}\nabi = {:?}\n{ADDRESS}", file.0)).unwrap()
    };
    let problems = compile(&[config("vault"), config("Vault"), config("a b")], &[1]).unwrap_err();
    let keys: Vec<_> = problems
        .iter()
        .map(|problem| problem.key.as_str())
        .collect();
    assert_eq!(keys, ["contracts.1.name", "contracts.2.name"]);
    let word =
        |name: &str| json!({ "type": "event", "name": name, "inputs": [], "anonymous": false });
    let error = compiled(&json!([word("Paused"), word("paused")]), ADDRESS).unwrap_err();
    assert!(error.contains("ignores case"), "{error}");
}

#[test]
fn definition_hash_tracks_decoded_output_only() {
    let hash = |abi: &serde_json::Value, more: &str| compiled(abi, more).unwrap().definition;
    let made = format!("{ADDRESS}events = [\"Made\"]");
    let before = hash(&abi(), &made);
    let mut other = abi();
    other.as_array_mut().unwrap().remove(0);
    assert_eq!(hash(&other, &made), before);
    for (abi, more) in [
        (abi(), format!("{made}\nstart_block = 7")),
        (abi(), format!("{made}\nchain_id = 10")),
        (abi(), ADDRESS.to_owned()),
        (abi(), made.replace("d8dA", "d8dB")),
    ] {
        assert_ne!(hash(&abi, &more), before, "{more}");
    }
    let mut renamed = abi();
    renamed[3]["inputs"][0]["name"] = json!("token");
    assert_ne!(hash(&renamed, &made), before);
}
