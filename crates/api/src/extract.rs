//! Extractors of path and query parameters and bodies, with errors that name the parameter.

use std::str::FromStr;

use axum::{
    body::to_bytes,
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::{Uri, request::Parts},
};
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

use super::{
    ApiState,
    error::{Problem, shortened},
};
use chaincast_protocol::{Address, B256, ChainId, Token};

/// Query parameters. Unknown ones are rejected, so that a misspelled parameter is not silently ignored. `T` must deny
/// unknown fields.
pub(super) struct Params<T>(pub T);

impl<T: DeserializeOwned + IntoParams, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match Query::try_from_uri(&parts.uri) {
            Ok(Query(params)) => Ok(Self(params)),
            // The text ends with the parameter's name and the error.
            Err(rejection) => {
                if let Some(problem) = unknown_parameter::<T>(&parts.uri) {
                    return Err(problem);
                }
                let text = rejection.body_text();
                let reason = text
                    .rsplit_once("query string: ")
                    .map_or(&*text, |(_, tail)| tail);
                let detail = format!("query parameter {reason}");
                Err(match parameter_of(reason) {
                    Some(name) => Problem::bad_parameter(name.to_owned(), detail),
                    None => Problem::bad_request(detail),
                })
            }
        }
    }
}

/// The problem for a query with a parameter unknown to `T`.
fn unknown_parameter<T: IntoParams>(uri: &Uri) -> Option<Problem> {
    let known: Vec<String> = T::into_params(|| None)
        .into_iter()
        .map(|parameter| parameter.name)
        .collect();
    let Query(given) = Query::<Vec<(String, String)>>::try_from_uri(uri).ok()?;
    let (name, _) = given.iter().find(|(name, _)| !known.contains(name))?;
    let name = shortened(name);
    let detail = format!(
        "unknown query parameter {name:?}; known parameters: {}",
        known.join(", ")
    );
    Some(Problem::bad_parameter(name, detail))
}

/// The parameter named in a rejection: `limit: invalid digit…`, or "duplicate field `limit`". These forms only contain
/// names of fields, never client input.
fn parameter_of(reason: &str) -> Option<&str> {
    let name = match reason.split_once("duplicate field `") {
        Some((_, rest)) => rest.split_once('`')?.0,
        None => reason.split_once(": ")?.0,
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (!name.is_empty() && name.chars().all(plain)).then_some(name)
}

/// Maximum size of most request bodies, in bytes.
const MAX_BODY: usize = 65_536;

/// A JSON body of at most `MOST` bytes; its content type is ignored.
pub(super) struct Body<T, const MOST: usize = MAX_BODY>(pub T);

impl<T: DeserializeOwned, S: Send + Sync, const MOST: usize> FromRequest<S> for Body<T, MOST> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let Ok(bytes) = to_bytes(request.into_body(), MOST).await else {
            return Err(Problem::too_large(MOST));
        };
        // serde would also accept an array of the fields in order.
        if !bytes.trim_ascii_start().starts_with(b"{") {
            return Err(Problem::bad_request("the body must be a JSON object"));
        }
        let body = serde_json::from_slice(&bytes).map_err(|error| {
            let reason: String = error.to_string().chars().take(200).collect();
            Problem::bad_request(format!("the body must be a JSON object: {reason}"))
        })?;
        Ok(Self(body))
    }
}

/// The variable segment of the path, percent-decoded.
pub(super) struct Segment(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(segment)) => Ok(Self(segment)),
            Err(_) => Err(Problem::bad_request("the path is not valid UTF-8")),
        }
    }
}

impl Segment {
    pub(super) fn hash(&self) -> Result<B256, Problem> {
        parse_hex(&self.0).ok_or_else(|| {
            Problem::bad_parameter(
                "hash",
                format!(
                    "hash must be 0x and 64 hex digits, not {:?}",
                    shortened(&self.0)
                ),
            )
        })
    }

    /// An address, case-insensitive; its EIP-55 checksum is not verified.
    pub(super) fn address(&self) -> Result<Address, Problem> {
        parse_hex(&self.0).ok_or_else(|| {
            Problem::bad_parameter(
                "address",
                format!(
                    "address must be 0x and 40 hex digits, not {:?}",
                    shortened(&self.0)
                ),
            )
        })
    }

    /// The id of an alert.
    pub(super) fn id(&self) -> Result<i64, Problem> {
        let digits = self.0.bytes().all(|byte| byte.is_ascii_digit());
        let id = self.0.parse().ok().filter(|_| digits);
        id.ok_or_else(|| {
            Problem::bad_parameter(
                "id",
                format!("id must be a whole number, not {:?}", shortened(&self.0)),
            )
        })
    }

    pub(super) fn token(&self) -> Result<Token, Problem> {
        self.0
            .parse()
            .map_err(|error| Problem::bad_parameter("token", format!("token: {error}")))
    }
}

impl ApiState {
    /// The chain of `?chain=`, or the first one.
    pub(super) fn chain(&self, id: Option<ChainId>) -> Result<ChainId, Problem> {
        let Some(first) = self.chains.first() else {
            return Err(Problem::unknown_chain("no chain is configured"));
        };
        match id {
            None => Ok(*first),
            Some(id) if self.chains.contains(&id) => Ok(id),
            Some(id) => Err(Problem::unknown_chain(format!(
                "chain {id} is not indexed here; /api/v1/status lists the indexed chains"
            ))),
        }
    }
}

/// Parses 0x-hex of the target's length, case-insensitive.
pub(super) fn parse_hex<T: FromStr>(text: &str) -> Option<T> {
    let lower = text.to_ascii_lowercase();
    lower
        .starts_with("0x")
        .then(|| lower.parse().ok())
        .flatten()
}
