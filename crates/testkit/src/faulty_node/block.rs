//! Blocks built from given contents, valid in every field that a client can check.

use std::collections::BTreeMap;

use alloy::{
    consensus::{
        Block as ConsensusBlock, BlockBody, EMPTY_OMMER_ROOT_HASH, Eip658Value, Header, Receipt,
        ReceiptEnvelope, SignableTransaction, Signed, Transaction as _, TxEip1559, TxEnvelope,
        TxLegacy, TxType,
        proofs::{calculate_receipt_root, calculate_transaction_root, calculate_withdrawals_root},
        transaction::Recovered,
    },
    eips::{
        eip4895::{Withdrawal, Withdrawals},
        eip7685::EMPTY_REQUESTS_HASH,
    },
    primitives::{
        Address, B256, Bloom, Bytes, Log, LogData, Signature, TxKind, U256, address, b256,
        keccak256, logs_bloom,
    },
    rpc::types::{
        Block, BlockTransactions, Header as RpcHeader, Log as RpcLog, Transaction,
        TransactionReceipt,
    },
    signers::{SignerSync, local::PrivateKeySigner},
};

use chaincast_protocol::{BlockRef, ChainId};

/// `Transfer(address,address,uint256)`.
const TRANSFER: B256 = b256!("ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef");
/// Constants of every block: seconds between blocks, wei, gas.
const BLOCK_TIME: u64 = 12;
const FIRST_TIMESTAMP: u64 = 1_700_000_000;
const BASE_FEE: u64 = 7;
const GAS_PRICE: u128 = 1_000_000_000;
const GAS_LIMIT: u64 = 30_000_000;
const PAYMENT_GAS: u64 = 21_000;
const LOG_GAS: u64 = 2_000;
/// Emits the logs of native transfers (EIP-7708).
const SYSTEM: Address = address!("fffffffffffffffffffffffffffffffffffffffe");

/// The contents of a block.
#[derive(Debug, Clone, Default)]
pub struct Contents {
    /// Its transactions, in this order.
    pub payments: Vec<Payment>,
    /// Distinguishes otherwise equal blocks: siblings with equal contents have the same hash.
    pub salt: u64,
    /// The slot, for a block of Ethereum's Amsterdam fork, whose header has all fields.
    pub slot: Option<u64>,
    /// Withdrawals of the beacon chain; requires a slot.
    pub withdrawals: Vec<Withdrawal>,
    /// Overrides the header's gas used, which is otherwise the sum of the receipts.
    pub gas_used: Option<u64>,
}

impl Contents {
    /// No transactions, distinguished by `salt`.
    pub fn empty(salt: u64) -> Self {
        Self {
            salt,
            ..Self::default()
        }
    }

    /// The given payments.
    pub fn new(payments: Vec<Payment>, salt: u64) -> Self {
        Self {
            payments,
            salt,
            ..Self::default()
        }
    }

    /// Sets the slot (Amsterdam fork).
    pub fn in_slot(mut self, slot: u64) -> Self {
        self.slot = Some(slot);
        self
    }

    /// Sets the withdrawals.
    pub fn with_withdrawals(mut self, withdrawals: Vec<Withdrawal>) -> Self {
        self.withdrawals = withdrawals;
        self
    }

    /// Overrides the gas used in the header.
    pub fn claiming_gas(mut self, gas_used: u64) -> Self {
        self.gas_used = Some(gas_used);
        self
    }

    /// `count` transactions, each with one ERC-20 transfer.
    pub fn transfers(count: u64, salt: u64) -> Self {
        let token = Address::repeat_byte(0x70);
        Self {
            payments: (0..count)
                .map(|index| {
                    Payment::new(0).transfer(token, Address::with_last_byte(index as u8), index + 1)
                })
                .collect(),
            salt,
            ..Self::default()
        }
    }
}

/// A transaction and its effects.
#[derive(Debug, Clone)]
pub struct Payment {
    /// The account that signs; the keys of the accounts are their numbers plus 1.
    pub account: u8,
    /// The recipient; `None` creates a contract.
    pub to: Option<Address>,
    /// In wei.
    pub value: U256,
    /// The call data, or the code of the contract to create. Not executed.
    pub input: Bytes,
    /// EIP-1559, else legacy.
    pub dynamic_fee: bool,
    /// The status of the receipt (EIP-658): false for a transaction that was reverted.
    pub success: bool,
    /// The logs of the receipt, in this order.
    pub logs: Vec<Log>,
    /// Default: the next nonce of the sender on its branch. A used nonce repeats the same transaction.
    pub nonce: Option<u64>,
}

impl Payment {
    /// A payment of 1 wei by an account.
    pub fn new(account: u8) -> Self {
        Self {
            account,
            to: Some(Address::repeat_byte(0xee)),
            value: U256::ONE,
            input: Bytes::new(),
            dynamic_fee: true,
            success: true,
            logs: Vec::new(),
            nonce: None,
        }
    }

    /// Adds an ERC-20 `Transfer` from the signing account.
    pub fn transfer(self, token: Address, to: Address, amount: u64) -> Self {
        let from = address_of(self.account);
        self.log(Log {
            address: token,
            data: LogData::new_unchecked(
                vec![TRANSFER, from.into_word(), to.into_word()],
                U256::from(amount).to_be_bytes::<32>().to_vec().into(),
            ),
        })
    }

    /// Adds a transfer of the native coin, as a log of the system address (EIP-7708).
    pub fn native(self, from: Address, to: Address, amount: u64) -> Self {
        self.log(Log {
            address: SYSTEM,
            data: LogData::new_unchecked(
                vec![TRANSFER, from.into_word(), to.into_word()],
                U256::from(amount).to_be_bytes::<32>().to_vec().into(),
            ),
        })
    }

    /// Adds a burn of the native coin (EIP-7708).
    pub fn burn(self, from: Address, amount: u64) -> Self {
        self.log(Log {
            address: SYSTEM,
            data: LogData::new_unchecked(
                vec![keccak256("Burn(address,uint256)"), from.into_word()],
                U256::from(amount).to_be_bytes::<32>().to_vec().into(),
            ),
        })
    }

    /// The account that signs.
    pub fn sender(&self) -> Address {
        address_of(self.account)
    }

    /// Adds a log.
    pub fn log(mut self, log: Log) -> Self {
        self.logs.push(log);
        self
    }

    fn signed(&self, chain_id: ChainId, nonce: u64) -> Recovered<TxEnvelope> {
        let gas_limit = self.gas();
        let to = self.to.map_or(TxKind::Create, TxKind::Call);
        let (value, input) = (self.value, self.input.clone());
        let signer = signer(self.account);
        let signed = if self.dynamic_fee {
            let transaction = TxEip1559 {
                chain_id,
                nonce,
                gas_limit,
                max_fee_per_gas: GAS_PRICE,
                max_priority_fee_per_gas: 1,
                to,
                value,
                access_list: Default::default(),
                input,
            };
            sign(transaction, &signer)
        } else {
            let transaction = TxLegacy {
                chain_id: Some(chain_id),
                nonce,
                gas_price: GAS_PRICE,
                gas_limit,
                to,
                value,
                input,
            };
            sign(transaction, &signer)
        };
        Recovered::new_unchecked(signed, signer.address())
    }

    fn gas(&self) -> u64 {
        PAYMENT_GAS + LOG_GAS * self.logs.len() as u64
    }
}

fn signer(account: u8) -> PrivateKeySigner {
    let key = B256::from(U256::from(u64::from(account) + 1));
    // All numbers except 0 and those close to 2^256 are valid keys.
    PrivateKeySigner::from_bytes(&key).expect("a small number above 0 is a key")
}

/// The address of an account.
fn address_of(account: u8) -> Address {
    signer(account).address()
}

fn sign<T>(transaction: T, signer: &PrivateKeySigner) -> TxEnvelope
where
    T: SignableTransaction<Signature>,
    Signed<T>: Into<TxEnvelope>,
{
    let hash = transaction.signature_hash();
    // Signing with a local key cannot fail.
    let signature = signer.sign_hash_sync(&hash).expect("a key in memory signs");
    transaction.into_signed(signature).into()
}

/// A block of a [`BlockTree`](super::BlockTree), in the RPC format.
#[derive(Debug, Clone)]
pub struct TreeBlock {
    /// As `eth_getBlockByHash` returns it, with whole transactions.
    pub block: Block,
    /// As `eth_getBlockReceipts` returns them, in the order of the transactions.
    pub receipts: Vec<TransactionReceipt>,
    /// The next nonce of each account on this branch.
    pub(super) nonces: BTreeMap<u8, u64>,
}

impl TreeBlock {
    /// Its height and hash.
    pub fn block_ref(&self) -> BlockRef {
        BlockRef {
            number: self.block.header.inner.number,
            hash: self.block.header.hash,
        }
    }

    /// The hash of the block before it.
    pub fn parent_hash(&self) -> B256 {
        self.block.header.inner.parent_hash
    }

    /// Block 0 of a chain. Different salts give different chains.
    pub(super) fn genesis(salt: u64) -> Self {
        let header = Header {
            gas_limit: GAS_LIMIT,
            timestamp: FIRST_TIMESTAMP,
            base_fee_per_gas: Some(BASE_FEE),
            extra_data: salt.to_be_bytes().to_vec().into(),
            ommers_hash: EMPTY_OMMER_ROOT_HASH,
            ..Default::default()
        };
        Self::assemble(header, Vec::new(), Vec::new(), Vec::new(), BTreeMap::new())
    }

    /// The block after `self`.
    pub(super) fn child(&self, chain_id: ChainId, contents: &Contents) -> Self {
        let parent = &self.block.header.inner;
        let mut nonces = self.nonces.clone();
        let mut gas_used = 0;
        let (mut transactions, mut receipts) = (Vec::new(), Vec::new());
        for payment in &contents.payments {
            let next = nonces.entry(payment.account).or_default();
            let nonce = payment.nonce.unwrap_or(*next);
            let signed = payment.signed(chain_id, nonce);
            *next = (*next).max(nonce + 1);
            gas_used += payment.gas();
            let receipt = Receipt {
                status: Eip658Value::Eip658(payment.success),
                cumulative_gas_used: gas_used,
                logs: payment.logs.clone(),
            };
            receipts.push((signed.tx_type(), receipt));
            transactions.push(signed);
        }
        let salt = contents.salt.to_be_bytes();
        let mut header = Header {
            parent_hash: self.block.header.hash,
            number: parent.number + 1,
            timestamp: parent.timestamp + BLOCK_TIME,
            gas_limit: GAS_LIMIT,
            gas_used: contents.gas_used.unwrap_or(gas_used),
            base_fee_per_gas: Some(BASE_FEE),
            state_root: keccak256([parent.state_root.as_slice(), &salt].concat()),
            extra_data: salt.to_vec().into(),
            ommers_hash: EMPTY_OMMER_ROOT_HASH,
            ..Default::default()
        };
        if let Some(slot) = contents.slot {
            header.withdrawals_root = Some(calculate_withdrawals_root(&contents.withdrawals));
            header.blob_gas_used = Some(0);
            header.excess_blob_gas = Some(0);
            header.parent_beacon_block_root = Some(keccak256(salt));
            header.requests_hash = Some(EMPTY_REQUESTS_HASH);
            header.block_access_list_hash = Some(keccak256([salt.as_slice(), &[1]].concat()));
            header.slot_number = Some(slot);
        }
        let withdrawals = contents.withdrawals.clone();
        Self::assemble(header, transactions, receipts, withdrawals, nonces)
    }

    /// Computes the header's commitments to the contents, and converts everything to the RPC format.
    fn assemble(
        mut header: Header,
        transactions: Vec<Recovered<TxEnvelope>>,
        receipts: Vec<(TxType, Receipt<Log>)>,
        withdrawals: Vec<Withdrawal>,
        nonces: BTreeMap<u8, u64>,
    ) -> Self {
        let envelopes: Vec<ReceiptEnvelope<Log>> = receipts
            .iter()
            .map(|(kind, receipt)| ReceiptEnvelope::from_typed(*kind, receipt.clone()))
            .collect();
        let plain: Vec<TxEnvelope> = transactions
            .iter()
            .map(|sent| sent.inner().clone())
            .collect();
        header.transactions_root = calculate_transaction_root(&plain);
        header.receipts_root = calculate_receipt_root(&envelopes);
        header.logs_bloom = receipts.iter().fold(Bloom::ZERO, |bloom, (_, receipt)| {
            bloom | logs_bloom(&receipt.logs)
        });
        let withdrawals = header
            .withdrawals_root
            .map(|_| Withdrawals::new(withdrawals));
        let size = ConsensusBlock::rlp_length_for(
            &header,
            &BlockBody {
                transactions: plain,
                ommers: Vec::new(),
                withdrawals: withdrawals.clone(),
            },
        );
        let header = RpcHeader::new(header).with_size(Some(U256::from(size)));
        let at = BlockPosition {
            block: header.hash,
            number: header.inner.number,
            timestamp: header.inner.timestamp,
        };
        let receipts = at.receipts(&transactions, receipts);
        let transactions = transactions
            .into_iter()
            .enumerate()
            .map(|(index, sent)| at.transaction(index as u64, sent))
            .collect();
        Self {
            block: Block {
                header,
                uncles: Vec::new(),
                transactions: BlockTransactions::Full(transactions),
                withdrawals,
            },
            receipts,
            nonces,
        }
    }
}

/// The position of a block's contents.
struct BlockPosition {
    block: B256,
    number: u64,
    timestamp: u64,
}

impl BlockPosition {
    fn transaction(&self, index: u64, sent: Recovered<TxEnvelope>) -> Transaction {
        Transaction {
            effective_gas_price: Some(sent.effective_gas_price(Some(BASE_FEE))),
            inner: sent,
            block_hash: Some(self.block),
            block_number: Some(self.number),
            transaction_index: Some(index),
            block_timestamp: Some(self.timestamp),
        }
    }

    fn receipts(
        &self,
        transactions: &[Recovered<TxEnvelope>],
        receipts: Vec<(TxType, Receipt<Log>)>,
    ) -> Vec<TransactionReceipt> {
        let (mut logs_before, mut gas_before) = (0, 0);
        let mut rpc_receipts = Vec::with_capacity(receipts.len());
        for (index, (sent, (kind, receipt))) in transactions.iter().zip(receipts).enumerate() {
            let gas_used = receipt.cumulative_gas_used - gas_before;
            gas_before = receipt.cumulative_gas_used;
            let mut log_index = logs_before;
            let receipt = receipt.map_logs(|log| {
                log_index += 1;
                RpcLog {
                    inner: log,
                    block_hash: Some(self.block),
                    block_number: Some(self.number),
                    block_timestamp: Some(self.timestamp),
                    transaction_hash: Some(*sent.tx_hash()),
                    transaction_index: Some(index as u64),
                    log_index: Some(log_index - 1),
                    removed: false,
                }
            });
            logs_before = log_index;
            let from = sent.signer();
            rpc_receipts.push(TransactionReceipt {
                inner: ReceiptEnvelope::from_typed(kind, receipt),
                transaction_hash: *sent.tx_hash(),
                transaction_index: Some(index as u64),
                block_hash: Some(self.block),
                block_number: Some(self.number),
                gas_used,
                effective_gas_price: sent.effective_gas_price(Some(BASE_FEE)),
                blob_gas_used: None,
                blob_gas_price: None,
                from,
                to: sent.to(),
                contract_address: sent.to().is_none().then(|| from.create(sent.nonce())),
            });
        }
        rpc_receipts
    }
}
