//! The senders of the transactions, and their signatures.

use alloy::{
    primitives::{Signature, keccak256},
    signers::k256::{
        AffinePoint, ProjectivePoint, Scalar,
        elliptic_curve::{
            PrimeField, ops::Reduce, point::AffineCoordinates, scalar::IsHigh, sec1::ToEncodedPoint,
        },
    },
};

use super::random::Random;
use chaincast_protocol::{Address, B256};

const SENDERS: u64 = 16;

/// A sender: its secret key and address.
pub(super) struct Account {
    key: Scalar,
    pub(super) address: Address,
}

/// Signs everything with one nonce, so that a signature costs a scalar multiplication instead of a point
/// multiplication. That reveals the keys, but the signatures are valid (SEC 1, 4.1.3).
pub(super) struct Accounts {
    senders: Vec<Account>,
    nonce_inverse: Scalar,
    r: Scalar,
    odd: bool,
}

impl Accounts {
    pub(super) fn from_seed(seed: u64) -> Self {
        let mut random = Random::from_seed(seed, u64::MAX);
        let mut scalar = || loop {
            let candidate = reduced(random.word());
            if let Some(inverse) = Option::<Scalar>::from(candidate.invert()) {
                return (candidate, inverse);
            }
        };
        let (nonce, nonce_inverse) = scalar();
        let senders = (0..SENDERS)
            .map(|_| {
                let (key, _) = scalar();
                Account {
                    key,
                    address: address_of(&key),
                }
            })
            .collect();
        let point = (ProjectivePoint::GENERATOR * nonce).to_affine();
        Self {
            senders,
            nonce_inverse,
            r: reduced(B256::from_slice(&point.x())),
            odd: bool::from(point.y_is_odd()),
        }
    }

    /// The sender, and its nonce, of the transaction with this number, counted over the whole chain.
    pub(super) fn sender(&self, number: u64) -> (&Account, u64) {
        let account = &self.senders[(number % SENDERS) as usize];
        (account, number / SENDERS)
    }

    /// Signs a digest. `s` is in the lower half, as required by EIP-2.
    pub(super) fn sign(&self, account: &Account, digest: B256) -> Signature {
        let s = self.nonce_inverse * (reduced(digest) + self.r * account.key);
        let high = bool::from(s.is_high());
        let s = if high { -s } else { s };
        Signature::from_scalars_and_parity(word(&self.r), word(&s), self.odd ^ high)
    }
}

/// Keccak-256 of the public key, its last 20 bytes (Yellow Paper, appendix F).
fn address_of(key: &Scalar) -> Address {
    let public: AffinePoint = (ProjectivePoint::GENERATOR * *key).to_affine();
    let point = public.to_encoded_point(false);
    Address::from_word(keccak256(&point.as_bytes()[1..]))
}

fn reduced(word: B256) -> Scalar {
    <Scalar as Reduce<alloy::signers::k256::U256>>::reduce_bytes(&word.0.into())
}

fn word(scalar: &Scalar) -> B256 {
    B256::from_slice(&scalar.to_repr())
}
