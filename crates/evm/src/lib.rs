//! EVM nodes to proved blocks, and logs to decoded events. Nothing here writes to the database.
//!
//! ```text
//! nodes ─▶ chain: providers ─▶ rpc ─▶ wire ─▶ verify ─▶ decode ─▶ IndexedBlock
//!                                                                     │ logs
//!                                                 contract: AddressIndex ─▶ DecodedEvent
//! ```
//!
//! [`chain`]: several nodes as if they were one. It promises that a returned block belongs to one hash, has every receipt
//! and passed the enabled checks. It assumes nothing about the nodes.
//!
//! | modules of [`chain`] | what they have |
//! |---|---|
//! | `providers` | the order in which nodes are tried, a circuit for each, and the one whose head is followed |
//! | `head`, `subscription` | the head, by polls and by `newHeads` over WebSocket |
//! | `fetch`, `receipts`, `receipt_methods`, `transaction_lookup`, `token_metadata` | whole blocks by hash; receipts by hash, by number or one by one; single transactions; what tokens say of themselves |
//! | `block_range`, `chunk`, `batch`, `request_gate`, `request_limit`, `backoff` | history: segments in order, consecutive blocks in few requests, JSON-RPC batches, and the limits of one node |
//! | `logs` | headers and `eth_getLogs` over ranges, where only logs or transfers are indexed |
//! | `rpc`, `request_headers`, `answer`, `refusal` | requests to one node; its answers in the forms that nodes and proxies send; what a refusal is about |
//! | `json_reader`, `json_values`, `quantity`, `access_list`, `prealloc` | JSON to values, straight from the text. Errors name block, path and value |
//! | `wire` | blocks, transactions and receipts with the fields that are stored or checked |
//! | `encode`, `header`, `arbitrum`, `celo`, `block_size` | the bytes that hashes and roots cover, also of other chains. Pure |
//! | `verify`, `bloom`, `gas`, `derived_fields`, `fixed_fields`, `receipt_outcome`, `state_sync`, `genesis` | the checks, and where they do not apply. Pure |
//! | `decode`, `transfers` | rows. Pure |
//! | `config`, `config_check` | `[[chains]]` |
//!
//! [`contract`]: whose log it is, and what it says by the contract's ABI. Pure, but for reading ABI files. No log costs
//! more than its size allows.
//!
//! ```
//! use chaincast_evm::contract::{AddressIndex, Addresses, ContractConfig, compile};
//! use chaincast_model::IndexedLog;
//! use chaincast_protocol::{Address, U256};
//!
//! let usdc: Address = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48".parse().unwrap();
//! let config = ContractConfig {
//!     name: "usdc".to_owned(),
//!     address: Addresses(vec![usdc]),
//!     abi: concat!(env!("CARGO_MANIFEST_DIR"), "/../../abi/erc20.json").into(),
//!     events: vec!["Transfer".to_owned()],
//!     ..ContractConfig::default()
//! };
//! let contracts = compile(&[config], &[1]).unwrap();
//! let topic = contracts[0].events[0].topic;
//!
//! let log = IndexedLog {
//!     index: 0,
//!     transaction_index: 0,
//!     transaction_hash: None,
//!     address: usdc,
//!     topics: vec![topic, usdc.into_word(), Address::ZERO.into_word()],
//!     data: U256::from(5).to_be_bytes_vec().into(),
//! };
//! let decoded = AddressIndex::new(contracts.into()).decode(19_000_000, &[log]);
//! assert!(decoded.events[0].args.ends_with(r#""value":"5"}"#));
//! ```

pub mod chain;
pub mod contract;
