//! JSON-RPC answers in the forms that nodes and proxies send. Pure.
//!
//! Besides the standard form it accepts ids as text, errors as text or with a text code, and proxy responses without an
//! answer: an object with a message, or plain text.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{
        DeserializeOwned, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
        value::MapAccessDeserializer,
    },
};
use serde_json::value::RawValue;

use super::json_reader::read;
use chaincast_base::WEB_PAGE;

/// Longest node text that is kept, in bytes.
const MAX_TEXT_BYTES: usize = 4096;

/// An answer to one call.
#[derive(Deserialize)]
#[serde(bound(deserialize = "T: DeserializeOwned"))]
#[serde(expecting = "a JSON-RPC answer")]
pub(super) struct Answer<T> {
    #[serde(default)]
    id: Scalar,
    /// The outer `None`: no such field.
    #[serde(default = "no_result", deserialize_with = "present_result")]
    result: Option<Option<T>>,
    #[serde(default, deserialize_with = "rpc_error")]
    error: Option<RpcError>,
    /// Sent by proxies without a result or error.
    #[serde(default)]
    message: Scalar,
    #[serde(default)]
    code: Scalar,
    #[serde(default)]
    status: Scalar,
    #[serde(default, rename = "statusCode")]
    status_code: Scalar,
}

/// Why a call has no result.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct RpcError {
    pub(super) code: i64,
    pub(super) message: String,
}

/// The content of an answer.
pub(super) enum Outcome<T> {
    /// `None` for null.
    Result(Option<T>),
    Error(RpcError),
    /// Neither a result nor an error.
    Empty,
}

impl<T> Answer<T> {
    /// The id as a number.
    pub(super) fn id(&self) -> Option<u64> {
        self.id.0.as_deref()?.parse().ok()
    }

    /// Whether it has a result, even null.
    pub(super) fn has_result(&self) -> bool {
        self.result.is_some()
    }

    pub(super) fn outcome(self) -> Outcome<T> {
        match (self.result, self.error) {
            // Some servers send an empty error with a result.
            (Some(Some(result)), Some(error)) if error == RpcError::default() => {
                Outcome::Result(Some(result))
            }
            (_, Some(error)) => Outcome::Error(error),
            (Some(result), None) => Outcome::Result(result),
            (None, None) => {
                let code = [self.code, self.status_code, self.status]
                    .iter()
                    .find_map(Scalar::number);
                match (code, self.message.0) {
                    (None, None) => Outcome::Empty,
                    (code, message) => Outcome::Error(RpcError {
                        code: code.unwrap_or(0),
                        message: message.unwrap_or_default(),
                    }),
                }
            }
        }
    }
}

/// The body of an answer.
pub(super) enum Body<T> {
    /// For one call, or about all of several.
    One(Answer<T>),
    /// One per call, in any order, or the reason why it is unreadable.
    Many(Vec<Result<Answer<T>, String>>),
    /// Plain text, which proxies send.
    Text(String),
}

/// Parses the answer to this many calls; returns the reason on failure.
pub(super) fn body<T: DeserializeOwned>(bytes: &[u8], calls: usize) -> Result<Body<T>, String> {
    // Checked once; `from_slice` would check every string separately.
    let text = std::str::from_utf8(bytes).map_err(|error| format!("not valid UTF-8: {error}"))?;
    match text.trim_start().as_bytes().first() {
        Some(b'{') => answer(text).map(Body::One),
        Some(b'[') => batch_items(text, calls).map(Body::Many),
        _ => Ok(Body::Text(readable_text(text))),
    }
}

/// Parses an answer. If its result is unreadable, an error beside it counts.
fn answer<T: DeserializeOwned>(text: &str) -> Result<Answer<T>, String> {
    read(text).or_else(|reason| {
        let answer: Answer<IgnoredAny> = serde_json::from_str(text).map_err(|_| reason.clone())?;
        if answer
            .error
            .as_ref()
            .is_none_or(|error| *error == RpcError::default())
        {
            return Err(reason);
        }
        Ok(Answer {
            id: answer.id,
            result: None,
            error: answer.error,
            message: answer.message,
            code: answer.code,
            status: answer.status,
            status_code: answer.status_code,
        })
    })
}

/// The JSON-RPC error in a body, if any.
pub(super) fn error_in(bytes: &[u8]) -> Option<RpcError> {
    let error = |answer: Answer<IgnoredAny>| match answer.outcome() {
        Outcome::Error(error) => Some(error),
        _ => None,
    };
    match body(bytes, 1).ok()? {
        Body::One(answer) => error(answer),
        Body::Many(answers) => answers.into_iter().flatten().find_map(error),
        Body::Text(_) => None,
    }
}

/// The text of a node for an error message: a web page is named, not printed.
pub(super) fn readable_text(text: &str) -> String {
    let text = text.trim();
    if text.starts_with('<') {
        return WEB_PAGE.to_owned();
    }
    shortened(text.trim_matches('"'))
}

fn shortened(text: &str) -> String {
    let mut end = text.len().min(MAX_TEXT_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

fn batch_items<T: DeserializeOwned>(
    text: &str,
    calls: usize,
) -> Result<Vec<Result<Answer<T>, String>>, String> {
    let mut fast = serde_json::Deserializer::from_str(text);
    let answers = fast
        .deserialize_seq(Items::of(calls))
        .and_then(|answers: Vec<Answer<T>>| fast.end().map(|()| answers));
    if let Ok(answers) = answers {
        return Ok(answers.into_iter().map(Ok).collect());
    }
    // Parse again one by one: an unreadable item does not affect the others.
    let mut careful = serde_json::Deserializer::from_str(text);
    let items: Vec<&RawValue> = careful
        .deserialize_seq(Items::of(calls))
        .and_then(|items| careful.end().map(|()| items))
        .map_err(|error| format!("not a batch of answers: {error}"))?;
    Ok(items.into_iter().map(|item| answer(item.get())).collect())
}

/// Reads an array of at most one item per call, which bounds the memory.
struct Items<T> {
    calls: usize,
    kind: PhantomData<T>,
}

impl<T> Items<T> {
    fn of(calls: usize) -> Self {
        let kind = PhantomData;
        Self { calls, kind }
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Items<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {} answers", self.calls)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut collected = Vec::new();
        while let Some(item) = items.next_element()? {
            if collected.len() == self.calls {
                return Err(A::Error::invalid_length(collected.len() + 1, &self));
            }
            collected.push(item);
        }
        Ok(collected)
    }
}

fn no_result<T>() -> Option<T> {
    None
}

fn present_result<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    Option::deserialize(deserializer).map(Some)
}

/// A text, number or boolean as text; other values are skipped.
#[derive(Debug, Default)]
struct Scalar(Option<String>);

impl Scalar {
    fn number(&self) -> Option<i64> {
        self.0.as_deref()?.trim().parse().ok()
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Scalar;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Scalar, E> {
                Ok(Scalar(Some(shortened(text))))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Scalar, E> {
                Ok(Scalar(Some(number.to_string())))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Scalar, E> {
                Ok(Scalar(Some(number.to_string())))
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Scalar, E> {
                Ok(Scalar(Some(number.to_string())))
            }

            fn visit_bool<E: Error>(self, _: bool) -> Result<Scalar, E> {
                Ok(Scalar(None))
            }

            fn visit_unit<E: Error>(self) -> Result<Scalar, E> {
                Ok(Scalar(None))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Scalar, A::Error> {
                while items.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Scalar(None))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scalar, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Scalar(None))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// An error as an object, text or code; null and false mean no error.
fn rpc_error<'de, D>(deserializer: D) -> Result<Option<RpcError>, D::Error>
where
    D: Deserializer<'de>,
{
    #[derive(Deserialize)]
    struct Object {
        #[serde(default)]
        code: Scalar,
        #[serde(default)]
        message: Scalar,
        #[serde(default)]
        data: Scalar,
    }
    struct Any;
    impl<'de> Visitor<'de> for Any {
        type Value = Option<RpcError>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a JSON-RPC error")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
            Ok(Some(RpcError {
                code: 0,
                message: shortened(text),
            }))
        }

        fn visit_u64<E: Error>(self, code: u64) -> Result<Self::Value, E> {
            Ok(Some(RpcError {
                code: i64::try_from(code).unwrap_or(0),
                message: String::new(),
            }))
        }

        fn visit_i64<E: Error>(self, code: i64) -> Result<Self::Value, E> {
            Ok(Some(RpcError {
                code,
                message: String::new(),
            }))
        }

        fn visit_bool<E: Error>(self, is: bool) -> Result<Self::Value, E> {
            Ok(is.then(|| RpcError {
                code: 0,
                message: "an error without a message".to_owned(),
            }))
        }

        fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
            let object = Object::deserialize(MapAccessDeserializer::new(map))?;
            let mut message = object.message.0.unwrap_or_default();
            // Some nodes put the reason only there. Hex data comes from a contract.
            if let Some(data) = object.data.0.filter(|data| !data.starts_with("0x"))
                && !message.contains(&data)
            {
                message = match message.is_empty() {
                    true => data,
                    false => format!("{message}: {data}"),
                };
            }
            Ok(Some(RpcError {
                code: object.code.number().unwrap_or(0),
                message,
            }))
        }
    }
    deserializer.deserialize_any(Any)
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
