//! JSON types of values, each with its schema.

use serde::{Serialize, Serializer};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, Type},
};

use chaincast_protocol::JsonNumber;

/// 32 bytes as 0x-hex in lower case.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[schema(
    value_type = String, pattern = "^0x[0-9a-f]{64}$",
    examples("0x4e3a3754410177e6937ef1f84bba68ea139e8d1a2258c5f85db9f1cd715a1bdd")
)]
#[serde(transparent)]
pub(super) struct Hash(pub chaincast_protocol::B256);

/// 20 bytes as 0x-hex with the EIP-55 checksum.
#[derive(Debug, Clone, Copy, ToSchema)]
#[schema(
    value_type = String, pattern = "^0x[0-9a-fA-F]{40}$",
    examples("0xd8dA6BF26964aF9D7eEd9e03E53415D37aA96045")
)]
pub(super) struct Address(pub chaincast_protocol::Address);

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// Bytes as 0x-hex in lower case.
#[derive(Debug, Clone, ToSchema)]
#[schema(value_type = String, pattern = "^0x([0-9a-f]{2})*$", examples("0xa9059cbb"))]
pub(super) struct Bytes(pub Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&alloy::primitives::hex::encode_prefixed(&self.0))
    }
}

/// A whole number of up to 256 bits, as a decimal string.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(value_type = String, pattern = "^(0|[1-9][0-9]*)$", examples("1000000000000000000"))]
#[serde(transparent)]
pub(super) struct Quantity(pub String);

impl From<u64> for Quantity {
    fn from(value: u64) -> Self {
        Self(value.to_string())
    }
}

/// A decimal as a JSON number with full precision.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub(super) struct Decimal(pub JsonNumber);

impl From<bigdecimal::BigDecimal> for Decimal {
    fn from(value: bigdecimal::BigDecimal) -> Self {
        Self(JsonNumber(value))
    }
}

impl PartialSchema for Decimal {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::Number)
            .description(Some(
                "A number with full precision, more than a double can hold: use a lossless JSON parser if that matters.",
            ))
            .examples([3456.12])
            .into()
    }
}

impl ToSchema for Decimal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodes_hex_values() {
        let address: chaincast_protocol::Address = "0xd8da6bf26964af9d7eed9e03e53415d37aa96045"
            .parse()
            .unwrap();
        assert_eq!(
            serde_json::to_string(&Address(address)).unwrap(),
            "\"0xd8dA6BF26964aF9D7eEd9e03E53415D37aA96045\""
        );
        let hash = Hash(chaincast_protocol::B256::repeat_byte(0xAB));
        assert_eq!(
            serde_json::to_string(&hash).unwrap(),
            format!("\"0x{}\"", "ab".repeat(32))
        );
        assert_eq!(serde_json::to_string(&Bytes(vec![])).unwrap(), "\"0x\"");
    }
}
