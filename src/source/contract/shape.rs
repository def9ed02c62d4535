//! An event as its ABI declares it, made ready for decoding.

use std::{collections::HashSet, sync::Arc};

use alloy::{
    dyn_abi::{DynSolType, Specifier},
    json_abi::{Event, Param},
};

use crate::model::B256;

/// Types nested deeper than this are refused.
const DEEPEST: usize = 12;

/// An event that can be read out of logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventShape {
    pub name: Arc<str>,
    /// Such as `Transfer(address,address,uint256)`.
    pub signature: String,
    /// What the first topic of its logs is.
    pub topic: B256,
    pub(super) params: Vec<ParamShape>,
    /// How many of them are indexed: its logs have as many topics behind the first.
    pub(super) indexed: usize,
}

/// One parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ParamShape {
    /// Under which its value stands: its name, or its position where it has none of its own.
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
    /// Fails with what is wrong when a type is not one of the ABI.
    pub(super) fn of(event: &Event) -> Result<Self, String> {
        let mut keys = Keys::default();
        let mut params = Vec::with_capacity(event.inputs.len());
        for param in &event.inputs {
            let resolved = param.resolve().map_err(|error| error.to_string())?;
            params.push(ParamShape {
                key: keys.next(&param.name),
                kind: Kind::of(&resolved, &param.components, 0)?,
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

    /// Whether a log with these topics may be one of its own: events of one signature differ in what is indexed.
    pub(super) fn fits(&self, topics: &[B256]) -> bool {
        topics.first() == Some(&self.topic) && topics.len() == 1 + self.indexed
    }

    /// Everything that decides what its logs become: the signature, what is indexed and the names.
    pub(super) fn full(&self) -> String {
        let params = self.params.iter().map(|param| {
            let indexed = if param.indexed { " indexed" } else { "" };
            format!("{:?}{indexed} {}", param.kind, param.key)
        });
        format!("{}{:?}", self.name, params.collect::<Vec<_>>())
    }
}

impl Kind {
    fn of(resolved: &DynSolType, components: &[Param], depth: usize) -> Result<Self, String> {
        if depth > DEEPEST {
            return Err(format!("has types nested deeper than {DEEPEST}"));
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
            DynSolType::Array(of) => Self::Array(Box::new(Self::of(of, components, depth + 1)?)),
            DynSolType::FixedArray(of, count) => {
                Self::FixedArray(Box::new(Self::of(of, components, depth + 1)?), *count)
            }
            DynSolType::Tuple(types) => {
                if types.len() != components.len() {
                    return Err("has a tuple whose components are not all listed".to_owned());
                }
                let mut keys = Keys::default();
                let members = types.iter().zip(components).map(|(of, component)| {
                    let key = keys.next(&component.name);
                    Ok((key, Self::of(of, &component.components, depth + 1)?))
                });
                Self::Tuple(members.collect::<Result<_, String>>()?)
            }
        })
    }

    /// Whether its value stands behind an offset.
    pub(super) fn is_dynamic(&self) -> bool {
        match self {
            Self::Bytes | Self::String | Self::Array(_) => true,
            Self::FixedArray(of, count) => *count > 0 && of.is_dynamic(),
            Self::Tuple(members) => members.iter().any(|(_, kind)| kind.is_dynamic()),
            _ => false,
        }
    }

    /// Whether an indexed parameter of it is only there as a hash.
    pub(super) fn is_hashed(&self) -> bool {
        matches!(
            self,
            Self::Bytes | Self::String | Self::Array(_) | Self::FixedArray(..) | Self::Tuple(_)
        )
    }

    /// Bytes that it takes where it stands: its value, or the offset of it.
    pub(super) fn head(&self) -> usize {
        const WORD: usize = 32;
        match self {
            _ if self.is_dynamic() => WORD,
            Self::FixedArray(of, count) => of.head().saturating_mul(*count),
            Self::Tuple(members) => members
                .iter()
                .fold(0, |sum, (_, kind)| sum.saturating_add(kind.head())),
            _ => WORD,
        }
    }
}

/// Names of parameters as keys of one JSON object.
#[derive(Default)]
struct Keys {
    given: HashSet<String>,
    position: usize,
}

impl Keys {
    /// The name, or the position where there is no name or another parameter has it. No name begins with a digit.
    fn next(&mut self, name: &str) -> String {
        let position = self.position;
        self.position += 1;
        if !name.is_empty() && self.given.insert(name.to_owned()) {
            return name.to_owned();
        }
        position.to_string()
    }
}
