//! JSON-RPC batches: several calls of one method in one HTTP request, answered in any order.
//!
//! A single call is sent without an array, for nodes without batch support. Nothing is retried here.

use std::fmt::Write;

use alloy::transports::http::reqwest::{
    Response, StatusCode,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
};
use serde::de::DeserializeOwned;

use super::{
    Node, NodeError,
    answer::{Body, Outcome, RpcError, body, error_in, readable_text},
    logs::{LOGS, asks_for_smaller_range},
    receipts::BLOCK_RECEIPTS,
    refusal::{Refusal, classify, is_method_unavailable, is_transient, rejects_batches},
};
use chaincast_base::{WEB_PAGE, non_json_error, retry::retry_after, tls};

/// Longest error body that is read, in bytes.
const ERROR_BYTES: usize = 64 * 1024;

impl Node {
    /// Calls `method` with each of `params` (JSON arrays); returns the body of the answer.
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
        let answer = sent.map_err(|error| self.transport_error(error))?;
        if answer.status().is_success() {
            // The HTTP client removes this header from answers that it decoded.
            let encoding = answer.headers().get(CONTENT_ENCODING);
            let encoding = encoding.and_then(|encoding| encoding.to_str().ok());
            if let Some(other) = encoding.filter(|encoding| *encoding != "identity") {
                let reason = format!("unsupported content encoding {other:?}; use gzip or br");
                return Err(self.bad_answer(method, self.scrubbed(&reason)));
            }
            return self.body(method, answer).await;
        }
        Err(self.http_error(method, params.len(), answer).await)
    }

    /// The decompressed body; the bound applies to the decompressed size.
    async fn body(&self, method: &'static str, mut answer: Response) -> Result<Vec<u8>, NodeError> {
        let max_bytes = self.response_bytes;
        let announced = answer.content_length().unwrap_or(0);
        let too_large = || {
            self.counted(NodeError::TooLarge {
                url: self.redacted_url(),
                method,
                reason: format!("the answer exceeds response_bytes = {max_bytes}"),
            })
        };
        if announced > max_bytes as u64 {
            return Err(too_large());
        }
        let mut bytes = Vec::with_capacity(announced as usize);
        while let Some(chunk) = answer
            .chunk()
            .await
            .map_err(|error| self.transport_error(error))?
        {
            if bytes.len() + chunk.len() > max_bytes {
                return Err(too_large());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    /// Classifies an HTTP error.
    async fn http_error(
        &self,
        method: &'static str,
        calls: usize,
        mut answer: Response,
    ) -> NodeError {
        let status = answer.status();
        let wait = retry_after(answer.headers());
        let mut bytes = Vec::new();
        while bytes.len() < ERROR_BYTES
            && let Ok(Some(chunk)) = answer.chunk().await
        {
            bytes.extend_from_slice(&chunk);
        }
        bytes.truncate(ERROR_BYTES);
        let url = self.redacted_url();
        let error = error_in(&bytes);
        let text = String::from_utf8_lossy(&bytes);
        let message = match &error {
            Some(error) => error.message.clone(),
            None => readable_text(&text),
        };
        let reason = match &error {
            Some(_) => format!("HTTP status {status} {message}"),
            None => non_json_error(status.as_u16(), &status.to_string(), &message),
        };
        let reason = self.scrubbed(&reason);
        let gateway = matches!(
            status,
            StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
        );
        let kind = match status {
            StatusCode::TOO_MANY_REQUESTS => Refusal::RateLimited,
            StatusCode::PAYLOAD_TOO_LARGE => Refusal::TooLarge,
            StatusCode::SERVICE_UNAVAILABLE if wait.is_some() => Refusal::RateLimited,
            _ => match &error {
                Some(error) => classify(error.code, &error.message),
                None => classify(0, &message),
            },
        };
        match (kind, error) {
            (Refusal::RateLimited, _) => self.counted(NodeError::Throttled {
                url,
                reason,
                retry_after: wait,
            }),
            (Refusal::TooLarge, _) => self.counted(NodeError::TooLarge {
                url,
                method,
                reason,
            }),
            // About the credentials, not about the request.
            (Refusal::Other, error)
                if is_credential_status(status)
                    && !error.as_ref().is_some_and(|error| {
                        is_method_unavailable(method, error.code, &error.message)
                    }) =>
            {
                self.counted(NodeError::Refused {
                    url,
                    method,
                    code: status.as_u16().into(),
                    message: reason,
                })
            }
            // A gateway error does not come from the node. Other server errors are transient, unless they are about the
            // request; a contract revert may have any status.
            (Refusal::Other, Some(error))
                if !gateway
                    && (!status.is_server_error()
                        || method == "eth_call"
                        || self.is_conclusive(method, calls, &error)) =>
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
                let no_batches = no_batches && !is_transient(0, &message);
                if no_batches && calls > 1 && method != BLOCK_RECEIPTS {
                    self.disable_batches();
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

    /// Results in the order of the calls; `None` for null. CPU-bound.
    pub(super) fn answers<T: DeserializeOwned>(
        &self,
        method: &'static str,
        calls: usize,
        body: &[u8],
    ) -> Result<Vec<Option<T>>, NodeError> {
        self.each_answer(method, calls, body)?.into_iter().collect()
    }

    /// As [`Node::answers`], with one result per call: an unreadable item does not affect the others. An error of the
    /// node applies to all.
    pub(super) fn each_answer<T: DeserializeOwned>(
        &self,
        method: &'static str,
        calls: usize,
        bytes: &[u8],
    ) -> Result<Vec<Result<Option<T>, NodeError>>, NodeError> {
        let answers_received = match body(bytes, calls) {
            Err(reason) => return Err(self.bad_answer(method, reason)),
            Ok(Body::Text(text)) => return Err(self.text_error(method, calls, &text)),
            Ok(Body::One(answer)) => {
                return match answer.outcome() {
                    Outcome::Error(error) => Err(self.rpc_error(method, calls, error)),
                    Outcome::Empty => Err(self.empty_answer(method)),
                    Outcome::Result(result) if calls == 1 => Ok(vec![Ok(result)]),
                    Outcome::Result(_) => {
                        self.disable_batches();
                        Err(self.counted(NodeError::TooLarge {
                            url: self.redacted_url(),
                            method,
                            reason: "one answer to several calls".to_owned(),
                        }))
                    }
                };
            }
            Ok(Body::Many(answers_received)) => answers_received,
        };
        if calls > 1
            && answers_received.len() == calls
            && answers_received
                .iter()
                .flatten()
                .all(|one| one.id().is_none() && one.has_result())
        {
            self.disable_batches();
            return Err(self.counted(NodeError::TooLarge {
                url: self.redacted_url(),
                method,
                reason: "the answers to several calls have no ids".to_owned(),
            }));
        }
        let mut results: Vec<Option<Result<Option<T>, NodeError>>> = Vec::new();
        results.resize_with(calls, || None);
        for (position, answer) in answers_received.into_iter().enumerate() {
            let (target, result) = match answer {
                // The id of an unreadable item is unknown; most nodes keep the order.
                Err(reason) => (Some(position), Err(self.bad_answer(method, reason))),
                Ok(answer) => {
                    let id = answer.id().and_then(|id| usize::try_from(id).ok());
                    let result = match answer.outcome() {
                        // The error of an item is about one call, unless it names the batch.
                        Outcome::Error(error) => {
                            let about = if rejects_batches(&error.message) {
                                calls
                            } else {
                                1
                            };
                            return Err(self.rpc_error(method, about, error));
                        }
                        Outcome::Empty => Err(self.empty_answer(method)),
                        Outcome::Result(result) => Ok(result),
                    };
                    // A single answer belongs to the single call.
                    (if calls == 1 { Some(0) } else { id }, result)
                }
            };
            match target.and_then(|target| results.get_mut(target)) {
                Some(target @ None) => *target = Some(result),
                // The position is unknown; the answer holds the reason.
                _ if result.is_err() => result.map(drop)?,
                _ => {
                    let reason = format!("duplicate or unknown answer id {target:?}");
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
            // For an optional type, null is a value.
            None => serde_json::from_value(serde_json::Value::Null)
                .map_err(|_| self.bad_answer(method, "the result is null".to_owned())),
        }
    }

    fn empty_answer(&self, method: &'static str) -> NodeError {
        self.bad_answer(method, "neither result nor error".to_owned())
    }

    /// Handles plain text instead of JSON, which proxies send.
    fn text_error(&self, method: &'static str, calls: usize, text: &str) -> NodeError {
        match classify(0, text) {
            Refusal::Other if text == WEB_PAGE => self.bad_answer(method, format!("it is {text}")),
            Refusal::Other => {
                let text = self.scrubbed(text);
                self.bad_answer(method, format!("not JSON: {text:?}"))
            }
            _ => self.rpc_error(
                method,
                calls,
                RpcError {
                    code: 0,
                    message: text.to_owned(),
                },
            ),
        }
    }

    /// `calls` is the number of calls that the error is about.
    fn rpc_error(&self, method: &'static str, calls: usize, error: RpcError) -> NodeError {
        let url = self.redacted_url();
        let message = self.scrubbed(&error.message);
        let refused = self.refused_error(method, &error);
        let reason = format!("{message} (code {})", error.code);
        let kind = match classify(error.code, &error.message) {
            // A revert comes from the contract, not the node.
            _ if refused.is_revert() => Refusal::Other,
            Refusal::TooLarge if method == "eth_call" => Refusal::Other,
            kind => kind,
        };
        let error = match kind {
            Refusal::RateLimited => NodeError::Throttled {
                url,
                reason,
                retry_after: None,
            },
            Refusal::TooLarge => NodeError::TooLarge {
                url,
                method,
                reason,
            },
            // One error for a batch, about none of its calls: the node does not support batches. For the optional
            // method, the method is more likely unsupported.
            Refusal::Other
                if calls > 1
                    && (rejects_batches(&error.message)
                        || method != BLOCK_RECEIPTS
                            && !refused.is_outage()
                            && !is_method_unavailable(method, error.code, &error.message)) =>
            {
                self.disable_batches();
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

    fn refused_error(&self, method: &'static str, error: &RpcError) -> NodeError {
        NodeError::Refused {
            url: self.redacted_url(),
            method,
            code: error.code,
            message: self.scrubbed(&error.message),
        }
    }

    /// Whether a JSON-RPC error is conclusive without its HTTP status.
    fn is_conclusive(&self, method: &'static str, calls: usize, error: &RpcError) -> bool {
        let refused = self.refused_error(method, error);
        refused.is_about_request()
            || error.code != 0 && refused.is_outage()
            || method == LOGS && calls == 1 && asks_for_smaller_range(&error.message)
    }

    fn disable_batches(&self) {
        tracing::info!(
            node = self.redacted_url(),
            "the node does not support batches; requesting blocks one by one"
        );
        self.gate.disable_batches();
    }

    fn transport_error(&self, error: alloy::transports::http::reqwest::Error) -> NodeError {
        let reason = if error.is_timeout() {
            "the request timed out".to_owned()
        } else {
            let text = tls::error_chain(&error.without_url());
            self.scrubbed(&tls::with_advice(text, tls::CA_FILE_VARIABLE))
        };
        self.counted(NodeError::Unreachable {
            url: self.redacted_url(),
            reason,
        })
    }

    fn scrubbed(&self, text: &str) -> String {
        self.headers
            .scrub_text(super::error::scrub(&self.url, text))
    }
}

/// Whether an HTTP status is about the credentials of the client.
fn is_credential_status(status: StatusCode) -> bool {
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
