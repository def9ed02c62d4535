//! Access and authorization lists of transactions (EIP-2930, EIP-7702), signatures and withdrawals in the forms that
//! nodes send: flat as in the standard, or with the signature as an object.

use alloy::{
    eips::{
        eip2930::{AccessList, AccessListItem},
        eip4895::Withdrawal,
        eip7702::{Authorization, SignedAuthorization},
    },
    primitives::{Address, B256, U256},
};
use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny},
};

use super::json_values::{optional, required, values};

/// The parts of a signature. Nodes differ in which parity they send.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawSignature {
    #[serde(deserialize_with = "optional")]
    pub r: Option<U256>,
    #[serde(deserialize_with = "optional")]
    pub s: Option<U256>,
    #[serde(deserialize_with = "optional")]
    pub v: Option<u128>,
    #[serde(
        rename = "yParity",
        alias = "y_parity",
        alias = "oddYParity",
        alias = "odd_y_parity",
        deserialize_with = "optional"
    )]
    pub y_parity: Option<u64>,
}

/// A signature object; another form is skipped.
pub(super) fn signature<'de, D>(deserializer: D) -> Result<Option<Box<RawSignature>>, D::Error>
where
    D: Deserializer<'de>,
{
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Shape {
        Object(Box<RawSignature>),
        Other(IgnoredAny),
    }
    Ok(match Shape::deserialize(deserializer)? {
        Shape::Object(signature) => Some(signature),
        Shape::Other(_) => None,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Access {
    #[serde(deserialize_with = "required")]
    address: Address,
    #[serde(default, alias = "storage_keys", deserialize_with = "values")]
    storage_keys: Vec<B256>,
}

/// An access list; `null` means none.
pub(super) fn access_list<'de, D>(deserializer: D) -> Result<Option<AccessList>, D::Error>
where
    D: Deserializer<'de>,
{
    let items: Option<Vec<Access>> = Option::deserialize(deserializer)?;
    Ok(items.map(|items| {
        let items = items.into_iter().map(|item| AccessListItem {
            address: item.address,
            storage_keys: item.storage_keys,
        });
        AccessList(items.collect())
    }))
}

/// Withdrawals (EIP-4895); `null` means none.
pub(super) fn withdrawals<'de, D>(deserializer: D) -> Result<Option<Vec<Withdrawal>>, D::Error>
where
    D: Deserializer<'de>,
{
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Item {
        #[serde(deserialize_with = "required")]
        index: u64,
        #[serde(deserialize_with = "required")]
        validator_index: u64,
        #[serde(deserialize_with = "required")]
        address: Address,
        #[serde(deserialize_with = "required")]
        amount: u64,
    }
    let items: Option<Vec<Item>> = Option::deserialize(deserializer)?;
    Ok(items.map(|items| {
        let items = items.into_iter().map(|item| Withdrawal {
            index: item.index,
            validator_index: item.validator_index,
            address: item.address,
            amount: item.amount,
        });
        items.collect()
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawAuthorization {
    #[serde(alias = "chain_id", deserialize_with = "required")]
    chain_id: U256,
    #[serde(deserialize_with = "required")]
    address: Address,
    #[serde(deserialize_with = "required")]
    nonce: u64,
    #[serde(default, deserialize_with = "optional")]
    r: Option<U256>,
    #[serde(default, deserialize_with = "optional")]
    s: Option<U256>,
    #[serde(default, deserialize_with = "optional")]
    v: Option<u128>,
    #[serde(
        default,
        alias = "y_parity",
        alias = "oddYParity",
        alias = "odd_y_parity",
        deserialize_with = "optional"
    )]
    y_parity: Option<u64>,
    #[serde(default)]
    signature: Option<RawSignature>,
}

impl RawAuthorization {
    fn signed(self) -> Result<SignedAuthorization, &'static str> {
        let nested = self.signature.unwrap_or_default();
        let (Some(r), Some(s)) = (self.r.or(nested.r), self.s.or(nested.s)) else {
            return Err("has an incomplete signature: r or s is missing");
        };
        let parity = self.y_parity.or(nested.y_parity).map(u128::from);
        let parity = match (parity, self.v.or(nested.v)) {
            // The hash covers any byte: a block may contain invalid authorizations, and block 49364730 of BNB Smart
            // Chain has one with 0x1c.
            (Some(parity), _) => parity,
            // Nodes that send a `v` instead count it from 27.
            (None, Some(v @ (27 | 28))) => v - 27,
            (None, Some(v)) => v,
            (None, None) => return Err("has an incomplete signature: yParity is missing"),
        };
        let parity = u8::try_from(parity).map_err(|_| "has a signature parity above 255")?;
        let authorization = Authorization {
            chain_id: self.chain_id,
            address: self.address,
            nonce: self.nonce,
        };
        Ok(SignedAuthorization::new_unchecked(
            authorization,
            parity,
            r,
            s,
        ))
    }
}

/// An authorization list; `null` means none.
pub(super) fn authorization_list<'de, D>(
    deserializer: D,
) -> Result<Option<Vec<SignedAuthorization>>, D::Error>
where
    D: Deserializer<'de>,
{
    let items: Option<Vec<RawAuthorization>> = Option::deserialize(deserializer)?;
    let signed = items.map(|items| {
        items
            .into_iter()
            .map(RawAuthorization::signed)
            .collect::<Result<Vec<_>, _>>()
    });
    signed.transpose().map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn authorizations(value: Value) -> Vec<SignedAuthorization> {
        authorization_list(value).unwrap().unwrap_or_default()
    }

    #[test]
    fn authorizations_may_be_flat_or_nested() {
        let flat = json!([{ "chainId": "0x1", "address": Address::repeat_byte(7), "nonce": "0x2",
            "yParity": "0x1", "r": "0x3", "s": "0x4" }]);
        let whole = authorizations(flat.clone());
        assert_eq!(whole.len(), 1);
        assert_eq!((whole[0].y_parity(), whole[0].r()), (1, U256::from(3)));
        for signature in [
            json!({ "odd_y_parity": true, "r": "0x3", "s": "0x4" }),
            json!({ "oddYParity": "0x1", "r": "0x03", "s": "0x0004" }),
            json!({ "yParity": 1, "r": "3", "s": 4 }),
            json!({ "v": "0x1c", "r": "0x3", "s": "0x4" }),
        ] {
            let mut nested = flat.clone();
            let item = nested[0].as_object_mut().unwrap();
            for key in ["yParity", "r", "s"] {
                item.remove(key);
            }
            item.insert("signature".to_owned(), signature.clone());
            assert_eq!(authorizations(nested), whole, "{signature}");
        }
        assert!(authorizations(Value::Null).is_empty());
        let error = authorization_list(json!([{ "chainId": "0x1",
            "address": Address::ZERO, "nonce": "0x2", "r": "0x3", "s": "0x4" }]));
        let error: serde_json::Error = error.unwrap_err();
        assert!(error.to_string().contains("yParity is missing"), "{error}");
    }

    #[test]
    fn authorization_keeps_any_parity() {
        let with = |parts: Value| {
            let mut item = json!({ "chainId": "0x38", "address": Address::repeat_byte(7),
                "nonce": "0x0", "r": "0x3", "s": "0x4" });
            let fields = item.as_object_mut().unwrap();
            fields.extend(parts.as_object().unwrap().clone());
            authorizations(json!([item]))[0].y_parity()
        };
        for parity in [0, 1, 2, 27, 28, 255] {
            assert_eq!(with(json!({ "yParity": format!("{parity:#x}") })), parity);
            // `v` is ignored if there is a parity.
            let both = json!({ "yParity": parity, "v": "0x1b" });
            assert_eq!(with(both), parity);
        }
        for (v, parity) in [("0x0", 0), ("0x1", 1), ("0x1b", 0), ("0x1c", 1), ("0x2", 2)] {
            assert_eq!(with(json!({ "v": v })), parity, "{v}");
        }
        let nested = json!({ "v": "0x1b", "signature": { "yParity": "0x1c" } });
        assert_eq!(with(nested), 28);
    }

    #[test]
    fn access_list_reads_null() {
        let list =
            access_list(json!([{ "address": Address::repeat_byte(7), "storageKeys": null }]));
        let list = list.unwrap().unwrap();
        assert_eq!((list.len(), list[0].storage_keys.len()), (1, 0));
        let keys = access_list(json!([{ "address": Address::ZERO, "storageKeys": ["0x1"] }]));
        assert_eq!(
            keys.unwrap().unwrap()[0].storage_keys,
            [B256::with_last_byte(1)]
        );
        assert_eq!(access_list(Value::Null).unwrap(), None);
    }
}
