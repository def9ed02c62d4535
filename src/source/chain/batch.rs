//! JSON-RPC batches: several calls of one method in one HTTP request, answered in any order.
//!
//! One call is sent without an array, for nodes that know none. Nothing is retried here.

use std::{
    fmt::{self, Write},
    marker::PhantomData,
    time::SystemTime,
};

use alloy::transports::http::reqwest::{
    Response, StatusCode,
    header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER},
};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error, SeqAccess, Visitor},
};

use super::{
    Node, NodeError,
    refusal::{Refusal, refusal, retry_after},
};

/// A node's words about an error are read up to here.
const ERROR_BYTES: usize = 4096;

/// An answer to one call.
#[derive(Deserialize)]
#[serde(bound(deserialize = "T: DeserializeOwned"))]
struct Answer<T> {
    #[serde(default)]
    id: Option<u64>,
    /// The outer is `None` when there is no such field.
    #[serde(default = "nothing", deserialize_with = "there")]
    result: Option<Option<T>>,
    #[serde(default)]
    error: Option<RpcError>,
}

fn nothing<T>() -> Option<T> {
    None
}

fn there<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    Option::deserialize(deserializer).map(Some)
}

/// Reads an array of answers, at most one a call: a node that sends more fills no memory with them.
struct Answers<T> {
    calls: usize,
    kind: PhantomData<T>,
}

impl<'de, T: DeserializeOwned> Visitor<'de> for Answers<T> {
    type Value = Vec<Answer<T>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {} answers", self.calls)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut answers: A) -> Result<Self::Value, A::Error> {
        let mut given = Vec::new();
        while let Some(answer) = answers.next_element()? {
            if given.len() == self.calls {
                return Err(A::Error::invalid_length(given.len() + 1, &self));
            }
            given.push(answer);
        }
        Ok(given)
    }
}

#[derive(Deserialize)]
struct RpcError {
    #[serde(default)]
    code: i64,
    #[serde(default)]
    message: String,
}

impl Node {
    /// Sends a call of `method` with each of `params` (JSON arrays); the answer as bytes.
    pub(super) async fn post(
        &self,
        method: &'static str,
        params: &[String],
    ) -> Result<Vec<u8>, NodeError> {
        let single = params.len() == 1;
        let mut body = String::with_capacity(params.len() * 100);
        for (id, params) in params.iter().enumerate() {
            body.push(if id == 0 { '[' } else { ',' });
            // Writing to a string cannot fail.
            let _ = write!(
                body,
                r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#
            );
        }
        if single {
            body.remove(0);
        } else {
            body.push(']');
        }
        let sent = self
            .http
            .post(self.endpoint.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(body)
            .send()
            .await;
        let answer = sent.map_err(|error| self.broke(error))?;
        if answer.status().is_success() {
            // What could be decoded has no such header any more.
            let encoding = answer.headers().get(CONTENT_ENCODING);
            let encoding = encoding.and_then(|encoding| encoding.to_str().ok());
            if let Some(other) = encoding.filter(|encoding| *encoding != "identity") {
                let reason = format!("it is encoded as {other:?}; gzip and br are read");
                return Err(self.bad_answer(method, self.scrubbed(&reason)));
            }
            return self.body(method, answer).await;
        }
        Err(self.refused(method, params.len(), answer).await)
    }

    /// The body, decompressed if it was compressed; the bound is of what comes out.
    async fn body(&self, method: &'static str, mut answer: Response) -> Result<Vec<u8>, NodeError> {
        let most = self.response_bytes;
        let announced = answer.content_length().unwrap_or(0);
        let too_large = || {
            self.counted(NodeError::TooLarge {
                url: self.shown_url(),
                method,
                reason: format!("its answer is above response_bytes = {most}"),
            })
        };
        if announced > most as u64 {
            return Err(too_large());
        }
        let mut bytes = Vec::with_capacity(announced as usize);
        while let Some(chunk) = answer.chunk().await.map_err(|error| self.broke(error))? {
            if bytes.len() + chunk.len() > most {
                return Err(too_large());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    /// What an HTTP error means.
    async fn refused(&self, method: &'static str, calls: usize, mut answer: Response) -> NodeError {
        let status = answer.status();
        let wait = answer
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| retry_after(value, SystemTime::now()));
        let mut said = Vec::new();
        while said.len() < ERROR_BYTES
            && let Ok(Some(chunk)) = answer.chunk().await
        {
            said.extend_from_slice(&chunk);
        }
        said.truncate(ERROR_BYTES);
        let said = String::from_utf8_lossy(&said);
        let reason = self.scrubbed(&format!("HTTP status {status} {}", said.trim()));
        let url = self.shown_url();
        let meant = match status {
            StatusCode::TOO_MANY_REQUESTS => Refusal::TooOften,
            StatusCode::PAYLOAD_TOO_LARGE => Refusal::TooMuch,
            StatusCode::SERVICE_UNAVAILABLE if wait.is_some() => Refusal::TooOften,
            _ => refusal(0, &said),
        };
        let no_batches = matches!(
            status,
            StatusCode::BAD_REQUEST
                | StatusCode::UNPROCESSABLE_ENTITY
                | StatusCode::UNSUPPORTED_MEDIA_TYPE
                | StatusCode::NOT_IMPLEMENTED
        );
        self.counted(match meant {
            Refusal::TooOften => NodeError::Throttled {
                url,
                reason,
                retry_after: wait,
            },
            Refusal::TooMuch => NodeError::TooLarge {
                url,
                method,
                reason,
            },
            Refusal::Other if no_batches && calls > 1 => {
                self.has_no_batches();
                NodeError::TooLarge {
                    url,
                    method,
                    reason,
                }
            }
            Refusal::Other => NodeError::Unreachable { url, reason },
        })
    }

    /// Results by the order of the calls; `None` for null. Work for the processor alone.
    pub(super) fn answers<T: DeserializeOwned>(
        &self,
        method: &'static str,
        calls: usize,
        body: &[u8],
    ) -> Result<Vec<Option<T>>, NodeError> {
        let bad = |error: serde_json::Error| self.bad_answer(method, error.to_string());
        // Checked once: read from bytes, every text in it would be checked by itself.
        let body = std::str::from_utf8(body)
            .map_err(|error| self.bad_answer(method, error.to_string()))?;
        let is_array = body.trim_start().starts_with('[');
        if !is_array {
            let answer: Answer<T> = serde_json::from_str(body).map_err(bad)?;
            return match answer.error {
                Some(error) => Err(self.rpc_error(method, calls, error)),
                None if calls == 1 => Ok(vec![self.result(method, answer.result)?]),
                None => {
                    self.has_no_batches();
                    Err(self.counted(NodeError::TooLarge {
                        url: self.shown_url(),
                        method,
                        reason: "it answered one of several calls".to_owned(),
                    }))
                }
            };
        }
        let mut read = serde_json::Deserializer::from_str(body);
        let kind = PhantomData;
        let given: Vec<Answer<T>> = read
            .deserialize_seq(Answers { calls, kind })
            .and_then(|given| read.end().map(|()| given))
            .map_err(bad)?;
        let mut results: Vec<Option<Option<T>>> = Vec::new();
        results.resize_with(calls, || None);
        for answer in given {
            if let Some(error) = answer.error {
                return Err(self.rpc_error(method, 1, error));
            }
            let place = answer
                .id
                .and_then(|id| results.get_mut(usize::try_from(id).ok()?));
            match place {
                Some(place @ None) => *place = Some(self.result(method, answer.result)?),
                _ => {
                    let reason = format!("an answer has the id {:?}", answer.id);
                    return Err(self.bad_answer(method, reason));
                }
            }
        }
        results
            .into_iter()
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| self.bad_answer(method, "a call of a batch has no answer".to_owned()))
    }

    /// The result of one call. An error stays what the node says it is: words in it may be a contract's.
    pub(super) fn answer<T: DeserializeOwned>(
        &self,
        method: &'static str,
        body: &[u8],
    ) -> Result<T, NodeError> {
        let answer: Answer<T> = serde_json::from_slice(body)
            .map_err(|error| self.bad_answer(method, error.to_string()))?;
        if let Some(error) = answer.error {
            return Err(self.counted(NodeError::Refused {
                url: self.shown_url(),
                method,
                code: error.code,
                message: self.scrubbed(&error.message),
            }));
        }
        match self.result(method, answer.result)? {
            Some(result) => Ok(result),
            // For what may be null, null is a value.
            None => serde_json::from_value(serde_json::Value::Null)
                .map_err(|_| self.bad_answer(method, "the result is null".to_owned())),
        }
    }

    fn result<T>(
        &self,
        method: &'static str,
        result: Option<Option<T>>,
    ) -> Result<Option<T>, NodeError> {
        result.ok_or_else(|| self.bad_answer(method, "it has neither result nor error".to_owned()))
    }

    /// `calls` is how many the error is about.
    fn rpc_error(&self, method: &'static str, calls: usize, error: RpcError) -> NodeError {
        let url = self.shown_url();
        let message = self.scrubbed(&error.message);
        let refused = NodeError::Refused {
            url: url.clone(),
            method,
            code: error.code,
            message: message.clone(),
        };
        let reason = format!("{message} (code {})", error.code);
        let error = match refusal(error.code, &error.message) {
            Refusal::TooOften => NodeError::Throttled {
                url,
                reason,
                retry_after: None,
            },
            Refusal::TooMuch => NodeError::TooLarge {
                url,
                method,
                reason,
            },
            // One error for an array of calls, about none of them: it knows no arrays.
            Refusal::Other if calls > 1 && !refused.is_unknown_method() => {
                self.has_no_batches();
                NodeError::TooLarge {
                    url,
                    method,
                    reason,
                }
            }
            Refusal::Other => refused,
        };
        self.counted(error)
    }

    fn has_no_batches(&self) {
        tracing::info!(
            node = self.shown_url(),
            "the node answers no batches of calls: blocks are asked for one by one"
        );
        self.pace.unbatched();
    }

    fn broke(&self, error: alloy::transports::http::reqwest::Error) -> NodeError {
        let reason = if error.is_timeout() {
            "it was not answered in time".to_owned()
        } else {
            self.scrubbed(&super::error::chain_of(&error.without_url()))
        };
        self.counted(NodeError::Unreachable {
            url: self.shown_url(),
            reason,
        })
    }

    fn scrubbed(&self, text: &str) -> String {
        self.headers.hidden_in(super::error::scrub(&self.url, text))
    }
}
