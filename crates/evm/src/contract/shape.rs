//! An event declared by an ABI, prepared for decoding.

use std::{collections::HashSet, sync::Arc};

use alloy::{
    dyn_abi::{DynSolType, Specifier},
    json_abi::{Event, Param},
};

use chaincast_protocol::B256;

/// Maximum nesting of types.
const MAX_DEPTH: usize = 12;

/// An event that can be decoded from logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventShape {
    /// As in the ABI, such as `Transfer`.
    pub name: Arc<str>,
    /// Example: `Transfer(address,address,uint256)`.
    pub signature: String,
    /// The first topic of its logs.
    pub topic: B256,
    pub(super) params: Vec<ParamShape>,
    /// Number of indexed parameters; its logs have this many topics after the first.
    pub(super) indexed: usize,
}

/// One parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ParamShape {
    /// JSON key: the name, or the position if the name is empty or taken.
    pub(super) key: String,
    pub(super) kind: Kind,
    pub(super) indexed: bool,
}

/// A type of the contract ABI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Uint(usize),
    Int(usize),
    Bool,
    Address,
    FixedBytes(usize),
    Bytes,
    String,
    Array(Box<Kind>),
    FixedArray(Box<Kind>, usize),
    Tuple(Vec<(String, Kind)>),
}

impl EventShape {
    /// Fails with the reason if a type is not an ABI type.
    pub(super) fn from_abi(event: &Event) -> Result<Self, String> {
        let mut keys = Keys::default();
        let mut params = Vec::with_capacity(event.inputs.len());
        for param in &event.inputs {
            let resolved = param.resolve().map_err(|error| error.to_string())?;
            params.push(ParamShape {
                key: keys.next(&param.name),
                kind: Kind::from_abi(&resolved, &param.components, 0)?,
                indexed: param.indexed,
            });
        }
        let indexed = params.iter().filter(|param| param.indexed).count();
        if indexed > 3 {
            return Err("has more than three indexed parameters".to_owned());
        }
        Ok(Self {
            name: event.name.as_str().into(),
            signature: event.signature(),
            topic: event.selector(),
            params,
            indexed,
        })
    }

    /// Whether a log has the topics of this event. Events with the same signature differ in the number of indexed
    /// parameters.
    pub(super) fn matches_topics(&self, topics: &[B256]) -> bool {
        topics.first() == Some(&self.topic) && topics.len() == 1 + self.indexed
    }

    /// Everything that determines the decoded output: name, types, indexed flags and keys.
    pub(super) fn fingerprint(&self) -> String {
        let params = self.params.iter().map(|param| {
            let indexed = if param.indexed { " indexed" } else { "" };
            format!("{:?}{indexed} {}", param.kind, param.key)
        });
        format!("{}{:?}", self.name, params.collect::<Vec<_>>())
    }
}

impl Kind {
    fn from_abi(resolved: &DynSolType, components: &[Param], depth: usize) -> Result<Self, String> {
        if depth > MAX_DEPTH {
            return Err(format!("has types nested deeper than {MAX_DEPTH}"));
        }
        Ok(match resolved {
            DynSolType::Uint(bits) => Self::Uint(*bits),
            DynSolType::Int(bits) => Self::Int(*bits),
            DynSolType::Bool => Self::Bool,
            DynSolType::Address => Self::Address,
            DynSolType::FixedBytes(size) => Self::FixedBytes(*size),
            // An address and a selector.
            DynSolType::Function => Self::FixedBytes(24),
            DynSolType::Bytes => Self::Bytes,
            DynSolType::String => Self::String,
            DynSolType::Array(from_abi) => {
                Self::Array(Box::new(Self::from_abi(from_abi, components, depth + 1)?))
            }
            DynSolType::FixedArray(from_abi, count) => Self::FixedArray(
                Box::new(Self::from_abi(from_abi, components, depth + 1)?),
                *count,
            ),
            DynSolType::Tuple(types) => {
                if types.len() != components.len() {
                    return Err("has a tuple whose components are not all listed".to_owned());
                }
                let mut keys = Keys::default();
                let members = types.iter().zip(components).map(|(from_abi, component)| {
                    let key = keys.next(&component.name);
                    Ok((
                        key,
                        Self::from_abi(from_abi, &component.components, depth + 1)?,
                    ))
                });
                Self::Tuple(members.collect::<Result<_, String>>()?)
            }
        })
    }

    /// Whether the head is an offset to the value.
    pub(super) fn is_dynamic(&self) -> bool {
        match self {
            Self::Bytes | Self::String | Self::Array(_) => true,
            Self::FixedArray(from_abi, count) => *count > 0 && from_abi.is_dynamic(),
            Self::Tuple(members) => members.iter().any(|(_, kind)| kind.is_dynamic()),
            _ => false,
        }
    }

    /// Whether an indexed parameter of this type is stored as a hash.
    pub(super) fn is_hashed(&self) -> bool {
        matches!(
            self,
            Self::Bytes | Self::String | Self::Array(_) | Self::FixedArray(..) | Self::Tuple(_)
        )
    }

    /// Size of the head in bytes: the value itself, or its offset.
    pub(super) fn head(&self) -> usize {
        const WORD: usize = 32;
        match self {
            _ if self.is_dynamic() => WORD,
            Self::FixedArray(from_abi, count) => from_abi.head().saturating_mul(*count),
            Self::Tuple(members) => members
                .iter()
                .fold(0, |sum, (_, kind)| sum.saturating_add(kind.head())),
            _ => WORD,
        }
    }
}

/// Parameter names as unique keys of one JSON object.
#[derive(Default)]
struct Keys {
    taken: HashSet<String>,
    position: usize,
}

impl Keys {
    /// The name, or the position if the name is empty or taken. Names cannot start with a digit.
    fn next(&mut self, name: &str) -> String {
        let position = self.position;
        self.position += 1;
        if !name.is_empty() && self.taken.insert(name.to_owned()) {
            return name.to_owned();
        }
        position.to_string()
    }
}
