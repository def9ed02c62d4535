//! Generates the transactions of a block, with their outcomes.

use alloy::{
    consensus::{
        SignableTransaction, Signed, TxEip1559, TxEip2930, TxEip4844, TxEip7702, TxEnvelope,
        TxLegacy,
    },
    eips::{
        eip2930::{AccessList, AccessListItem},
        eip7702::Authorization,
    },
    primitives::{Bytes, Log, LogData, Signature, TxKind, keccak256},
};

use super::{
    SyntheticOptions, Traffic,
    accounts::{Account, Accounts},
    random::Random,
};
use chaincast_protocol::{Address, B256, U256};

const TOKENS: u64 = 20;
const HOLDERS: u64 = 10_000;
pub(super) const BASE_FEE: u64 = 1_000_000_000;
pub(super) const BLOB_FEE: u128 = 1;
const GAS_LIMIT: u64 = 200_000;

/// A transaction and its outcome.
pub(super) struct SentTransaction {
    pub(super) envelope: TxEnvelope,
    pub(super) from: Address,
    pub(super) created: Option<Address>,
    pub(super) success: bool,
    pub(super) gas_used: u64,
    pub(super) logs: Vec<Log>,
}

/// Generates the transactions of a chain.
pub(super) struct Sender<'a> {
    pub(super) options: &'a SyntheticOptions,
    pub(super) accounts: &'a Accounts,
}

impl Sender<'_> {
    /// The transaction at `index` of block `number`.
    pub(super) fn transaction(
        &self,
        number: u64,
        index: u64,
        random: &mut Random,
    ) -> SentTransaction {
        let count = (number - 1) * self.options.transactions as u64 + index;
        let (account, nonce) = self.accounts.sender(count);
        let from = account.address;
        let token = Random::from_seed(self.options.seed, 1 << 40 | random.below(TOKENS)).address();
        let holder =
            Random::from_seed(self.options.seed, 1 << 41 | random.below(HOLDERS)).address();
        // Up to 2^80 units: tokens of 18 decimals in the millions.
        let amount = (U256::from(random.next()) << 16) | U256::from(random.below(1 << 16));
        let transfer = event(
            token,
            vec![
                topic("Transfer(address,address,uint256)"),
                from.into_word(),
                holder.into_word(),
            ],
            B256::from(amount).to_vec(),
        );
        let mut input = keccak256("transfer(address,uint256)")[..4].to_vec();
        input.extend(holder.into_word());
        input.extend(B256::from(amount));
        let input = Bytes::from(input);
        let tip = 1 + random.below(BASE_FEE);
        let dynamic = TxEip1559 {
            chain_id: self.options.chain_id,
            nonce,
            gas_limit: GAS_LIMIT,
            max_fee_per_gas: u128::from(3 * BASE_FEE),
            max_priority_fee_per_gas: u128::from(tip),
            to: TxKind::Call(token),
            value: U256::ZERO,
            access_list: AccessList::default(),
            input,
        };
        let mut sent = SentTransaction {
            envelope: TxEnvelope::Legacy(Signed::new_unhashed(TxLegacy::default(), no_signature())),
            from,
            created: None,
            success: true,
            gas_used: 46_000 + random.below(10_000),
            logs: vec![transfer],
        };
        let kind = match self.options.traffic {
            Traffic::Transfers => 3,
            Traffic::Varied => index % 9,
        };
        sent.envelope = match kind {
            0 | 1 => {
                sent.logs.clear();
                sent.gas_used = 21_000;
                let legacy = TxLegacy {
                    // Before EIP-155 a signature did not name its chain.
                    chain_id: (kind == 0).then_some(self.options.chain_id),
                    nonce,
                    gas_price: u128::from(2 * BASE_FEE + tip),
                    gas_limit: 21_000,
                    to: TxKind::Call(holder),
                    value: amount,
                    input: Bytes::new(),
                };
                self.signed(account, legacy).into()
            }
            2 => {
                let listed = AccessListItem {
                    address: token,
                    storage_keys: vec![random.word(), random.word()],
                };
                let with_list = TxEip2930 {
                    chain_id: dynamic.chain_id,
                    nonce,
                    gas_price: u128::from(2 * BASE_FEE),
                    gas_limit: GAS_LIMIT,
                    to: dynamic.to,
                    value: U256::ZERO,
                    access_list: vec![listed].into(),
                    input: dynamic.input,
                };
                self.signed(account, with_list).into()
            }
            4 => {
                // Version 1 of EIP-4844's hashes.
                let blob = |random: &mut Random| {
                    let mut hash = random.word();
                    hash[0] = 1;
                    hash
                };
                let with_blobs = TxEip4844 {
                    chain_id: dynamic.chain_id,
                    nonce,
                    gas_limit: GAS_LIMIT,
                    max_fee_per_gas: dynamic.max_fee_per_gas,
                    max_priority_fee_per_gas: dynamic.max_priority_fee_per_gas,
                    to: token,
                    value: U256::ZERO,
                    access_list: AccessList::default(),
                    blob_versioned_hashes: vec![blob(random), blob(random)],
                    max_fee_per_blob_gas: 7,
                    input: dynamic.input,
                };
                self.signed(account, with_blobs).into()
            }
            5 => {
                let authorization = Authorization {
                    chain_id: U256::from(dynamic.chain_id),
                    address: token,
                    nonce,
                };
                let (authority, _) = self.accounts.sender(count + 1);
                let signature = self
                    .accounts
                    .sign(authority, authorization.signature_hash());
                let with_code = TxEip7702 {
                    chain_id: dynamic.chain_id,
                    nonce,
                    gas_limit: GAS_LIMIT,
                    max_fee_per_gas: dynamic.max_fee_per_gas,
                    max_priority_fee_per_gas: dynamic.max_priority_fee_per_gas,
                    to: token,
                    value: U256::ZERO,
                    access_list: AccessList::default(),
                    authorization_list: vec![authorization.into_signed(signature)],
                    input: dynamic.input,
                };
                self.signed(account, with_code).into()
            }
            6 => {
                let created = from.create(nonce);
                sent.created = Some(created);
                // An anonymous event has no topics.
                sent.logs = vec![event(created, vec![], b"hello".to_vec())];
                let creation = TxEip1559 {
                    to: TxKind::Create,
                    input: Bytes::from_static(&[0x60, 0x00, 0x60, 0x00, 0xf3]),
                    ..dynamic
                };
                self.signed(account, creation).into()
            }
            7 => {
                sent.success = false;
                sent.logs.clear();
                self.signed(account, dynamic).into()
            }
            8 => {
                sent.logs = nfts(token, from, holder, random);
                self.signed(account, dynamic).into()
            }
            _ => self.signed(account, dynamic).into(),
        };
        sent
    }

    fn signed<T: SignableTransaction<Signature>>(
        &self,
        account: &Account,
        transaction: T,
    ) -> Signed<T> {
        let signature = self.accounts.sign(account, transaction.signature_hash());
        transaction.into_signed(signature)
    }
}

/// Logs of ERC-721 and ERC-1155 transfers.
fn nfts(token: Address, from: Address, to: Address, random: &mut Random) -> Vec<Log> {
    let number = |value: u64| B256::from(U256::from(value)).to_vec();
    let (first, second) = (random.below(1 << 32), random.below(1 << 32));
    let between = [from.into_word(), from.into_word(), to.into_word()];
    let with = |name: &str| {
        let mut topics = vec![topic(name)];
        topics.extend(between);
        topics
    };
    let batch = [64, 160, 2, first, second, 2, 5, 7];
    vec![
        event(
            token,
            vec![
                topic("Transfer(address,address,uint256)"),
                from.into_word(),
                to.into_word(),
                random.word(),
            ],
            vec![],
        ),
        event(
            token,
            with("TransferSingle(address,address,address,uint256,uint256)"),
            [number(first), number(3)].concat(),
        ),
        event(
            token,
            with("TransferBatch(address,address,address,uint256[],uint256[])"),
            batch.map(number).concat(),
        ),
    ]
}

fn topic(signature: &str) -> B256 {
    keccak256(signature)
}

fn event(address: Address, topics: Vec<B256>, data: Vec<u8>) -> Log {
    Log {
        address,
        data: LogData::new_unchecked(topics, data.into()),
    }
}

fn no_signature() -> Signature {
    Signature::new(U256::ZERO, U256::ZERO, false)
}
