//! JSON-RPC batches: several calls of one method in one HTTP request, answered in any order.
//!
//! One call is sent without an array, for nodes that know none. Nothing is retried here.

use std::{fmt::Write, time::SystemTime};

use alloy::transports::http::reqwest::{
    Response, StatusCode,
    header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER},
};
use serde::de::DeserializeOwned;

use super::{
    Node, NodeError,
    answer::{Body, Outcome, RpcError, body, error_in, words},
    logs::{LOGS, wants_less},
    receipts::BLOCK_RECEIPTS,
    refusal::{Refusal, is_trouble, names_batches, names_method, refusal, retry_after},
};
use crate::{
    model::{WEB_PAGE, without_json},
    tls,
};

/// A node's words about an error are read up to here.
const ERROR_BYTES: usize = 64 * 1024;

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
        let url = self.shown_url();
        let told = error_in(&said);
        let text = String::from_utf8_lossy(&said);
        let shown = match &told {
            Some(error) => error.message.clone(),
            None => words(&text),
        };
        let reason = match &told {
            Some(_) => format!("HTTP status {status} {shown}"),
            None => without_json(status.as_u16(), &status.to_string(), &shown),
        };
        let reason = self.scrubbed(&reason);
        let gateway = matches!(
            status,
            StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
        );
        let meant = match status {
            StatusCode::TOO_MANY_REQUESTS => Refusal::TooOften,
            StatusCode::PAYLOAD_TOO_LARGE => Refusal::TooMuch,
            StatusCode::SERVICE_UNAVAILABLE if wait.is_some() => Refusal::TooOften,
            _ => match &told {
                Some(error) => refusal(error.code, &error.message),
                None => refusal(0, &shown),
            },
        };
        match (meant, told) {
            (Refusal::TooOften, _) => self.counted(NodeError::Throttled {
                url,
                reason,
                retry_after: wait,
            }),
            (Refusal::TooMuch, _) => self.counted(NodeError::TooLarge {
                url,
                method,
                reason,
            }),
            // About the key, and not about what was asked.
            (Refusal::Other, told)
                if is_of_a_key(status)
                    && !told
                        .as_ref()
                        .is_some_and(|error| names_method(method, error.code, &error.message)) =>
            {
                self.counted(NodeError::Refused {
                    url,
                    method,
                    code: status.as_u16().into(),
                    message: reason,
                })
            }
            // A gateway speaks of itself: the node behind it was not asked. Other errors of a server are passing ones, unless
            // they are about what was asked; a contract's words may come under any status.
            (Refusal::Other, Some(error))
                if !gateway
                    && (!status.is_server_error()
                        || method == "eth_call"
                        || self.speaks_for_itself(method, calls, &error)) =>
            {
                self.rpc_error(method, calls, error)
            }
            (Refusal::Other, _) => {
                let no_batches = matches!(
                    status,
                    StatusCode::BAD_REQUEST
                        | StatusCode::UNPROCESSABLE_ENTITY
                        | StatusCode::UNSUPPORTED_MEDIA_TYPE
                        | StatusCode::NOT_IMPLEMENTED
                );
                let no_batches = no_batches && !is_trouble(0, &shown);
                if no_batches && calls > 1 && method != BLOCK_RECEIPTS {
                    self.has_no_batches();
                    return self.counted(NodeError::TooLarge {
                        url,
                        method,
                        reason,
                    });
                }
                let refused = status == StatusCode::NOT_IMPLEMENTED
                    || status.is_client_error() && status != StatusCode::REQUEST_TIMEOUT;
                self.counted(match refused {
                    true => NodeError::Refused {
                        url,
                        method,
                        code: status.as_u16().into(),
                        message: reason,
                    },
                    false => NodeError::Unreachable { url, reason },
                })
            }
        }
    }

    /// Results by the order of the calls; `None` for null. Work for the processor alone.
    pub(super) fn answers<T: DeserializeOwned>(
        &self,
        method: &'static str,
        calls: usize,
        body: &[u8],
    ) -> Result<Vec<Option<T>>, NodeError> {
        self.each_answer(method, calls, body)?.into_iter().collect()
    }

    /// As [`Node::answers`], each by itself: of one that cannot be read the others know nothing. An error that the
    /// node sends is about all.
    pub(super) fn each_answer<T: DeserializeOwned>(
        &self,
        method: &'static str,
        calls: usize,
        bytes: &[u8],
    ) -> Result<Vec<Result<Option<T>, NodeError>>, NodeError> {
        let given = match body(bytes, calls) {
            Err(reason) => return Err(self.bad_answer(method, reason)),
            Ok(Body::Words(words)) => return Err(self.worded(method, calls, &words)),
            Ok(Body::One(answer)) => {
                return match answer.outcome() {
                    Outcome::Error(error) => Err(self.rpc_error(method, calls, error)),
                    Outcome::Nothing => Err(self.empty(method)),
                    Outcome::Result(result) if calls == 1 => Ok(vec![Ok(result)]),
                    Outcome::Result(_) => {
                        self.has_no_batches();
                        Err(self.counted(NodeError::TooLarge {
                            url: self.shown_url(),
                            method,
                            reason: "it answered one of several calls".to_owned(),
                        }))
                    }
                };
            }
            Ok(Body::Many(given)) => given,
        };
        if calls > 1
            && given.len() == calls
            && given
                .iter()
                .flatten()
                .all(|one| one.id().is_none() && one.has_result())
        {
            self.has_no_batches();
            return Err(self.counted(NodeError::TooLarge {
                url: self.shown_url(),
                method,
                reason: "its answers to several calls have no ids".to_owned(),
            }));
        }
        let mut results: Vec<Option<Result<Option<T>, NodeError>>> = Vec::new();
        results.resize_with(calls, || None);
        for (position, answer) in given.into_iter().enumerate() {
            let (place, result) = match answer {
                // Of what cannot be read the id is not known either; most nodes keep the order.
                Err(reason) => (Some(position), Err(self.bad_answer(method, reason))),
                Ok(answer) => {
                    let id = answer.id().and_then(|id| usize::try_from(id).ok());
                    let result = match answer.outcome() {
                        // Of an item it is about one call, unless it says that it is about the array.
                        Outcome::Error(error) => {
                            let about = if names_batches(&error.message) {
                                calls
                            } else {
                                1
                            };
                            return Err(self.rpc_error(method, about, error));
                        }
                        Outcome::Nothing => Err(self.empty(method)),
                        Outcome::Result(result) => Ok(result),
                    };
                    // One answer to one call is of that call.
                    (if calls == 1 { Some(0) } else { id }, result)
                }
            };
            match place.and_then(|place| results.get_mut(place)) {
                Some(place @ None) => *place = Some(result),
                // The place is unknown, and the answer is what says why.
                _ if result.is_err() => result.map(drop)?,
                _ => {
                    let reason = format!("an answer has the id {place:?}, twice or of no call");
                    return Err(self.bad_answer(method, reason));
                }
            }
        }
        results
            .into_iter()
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| self.bad_answer(method, "a call of a batch has no answer".to_owned()))
    }

    /// The result of one call.
    pub(super) fn answer<T: DeserializeOwned>(
        &self,
        method: &'static str,
        body: &[u8],
    ) -> Result<T, NodeError> {
        match self.answers::<T>(method, 1, body)?.pop().flatten() {
            Some(result) => Ok(result),
            // For what may be null, null is a value.
            None => serde_json::from_value(serde_json::Value::Null)
                .map_err(|_| self.bad_answer(method, "the result is null".to_owned())),
        }
    }

    fn empty(&self, method: &'static str) -> NodeError {
        self.bad_answer(method, "it has neither result nor error".to_owned())
    }

    /// Words without JSON where an answer was expected, which proxies send.
    fn worded(&self, method: &'static str, calls: usize, words: &str) -> NodeError {
        match refusal(0, words) {
            Refusal::Other if words == WEB_PAGE => {
                self.bad_answer(method, format!("it is {words}"))
            }
            Refusal::Other => {
                let words = self.scrubbed(words);
                self.bad_answer(method, format!("it is not JSON but {words:?}"))
            }
            _ => self.rpc_error(
                method,
                calls,
                RpcError {
                    code: 0,
                    message: words.to_owned(),
                },
            ),
        }
    }

    /// `calls` is how many the error is about.
    fn rpc_error(&self, method: &'static str, calls: usize, error: RpcError) -> NodeError {
        let url = self.shown_url();
        let message = self.scrubbed(&error.message);
        let refused = self.refusal_of(method, &error);
        let reason = format!("{message} (code {})", error.code);
        let meant = match refusal(error.code, &error.message) {
            // What a contract says of a call is not the node's.
            _ if refused.is_revert() => Refusal::Other,
            Refusal::TooMuch if method == "eth_call" => Refusal::Other,
            meant => meant,
        };
        let error = match meant {
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
            // One error for an array of calls, about none of them: it knows no arrays. Of the optional method it is
            // more likely the method.
            Refusal::Other
                if calls > 1
                    && (names_batches(&error.message)
                        || method != BLOCK_RECEIPTS
                            && !refused.is_outage()
                            && !names_method(method, error.code, &error.message)) =>
            {
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

    fn refusal_of(&self, method: &'static str, error: &RpcError) -> NodeError {
        NodeError::Refused {
            url: self.shown_url(),
            method,
            code: error.code,
            message: self.scrubbed(&error.message),
        }
    }

    /// Whether an error of JSON-RPC says enough without the HTTP status that it came under.
    fn speaks_for_itself(&self, method: &'static str, calls: usize, error: &RpcError) -> bool {
        let refused = self.refusal_of(method, error);
        refused.is_about_the_request()
            || error.code != 0 && refused.is_outage()
            || method == LOGS && calls == 1 && wants_less(&error.message)
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
            let text = tls::causes(&error.without_url());
            self.scrubbed(&tls::advised(text, tls::AUTHORITIES))
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

/// Whether an HTTP status is about who asks.
fn is_of_a_key(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::UNAUTHORIZED
            | StatusCode::PAYMENT_REQUIRED
            | StatusCode::PROXY_AUTHENTICATION_REQUIRED
    )
}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;
