//! Pagination with opaque cursors.
//!
//! A cursor is the position of a page's last item with a checksum over the list that it belongs to (resource, chain and
//! filters). It is not secret and grants nothing; the checksum turns a truncated, altered or misused cursor into a
//! clear error.

use alloy::primitives::keccak256;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;
use utoipa::ToSchema;

use super::{ApiConfig, error::Problem};

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Page<T> {
    pub data: Vec<T>,
    /// Pass it as `cursor` to get the next page; `null` on the last page.
    #[schema(required)]
    pub next: Option<String>,
}

const VERSION: u8 = 1;
const CHECKSUM: usize = 6;
/// Longer than any valid cursor, in characters.
const LONGEST: usize = 200;

/// A list that cursors point into. Its name contains everything that determines its items and their order.
pub(super) struct List(String);

impl List {
    pub(super) fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// Builds the page from `rows`, which contain one more than `limit` if there is a next page.
    pub(super) fn page<R, T, const N: usize>(
        &self,
        mut rows: Vec<R>,
        limit: u32,
        position: impl Fn(&R) -> [i64; N],
        view: impl Fn(R) -> T,
    ) -> Page<T> {
        let more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let next = rows
            .last()
            .filter(|_| more)
            .map(|last| self.cursor(position(last)));
        Page {
            data: rows.into_iter().map(view).collect(),
            next,
        }
    }

    pub(super) fn cursor<const N: usize>(&self, position: [i64; N]) -> String {
        let mut bytes = vec![VERSION];
        for part in position {
            bytes.extend(part.to_be_bytes());
        }
        let checksum = self.checksum(&bytes);
        bytes.extend(checksum);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Decodes a client's cursor.
    pub(super) fn position<const N: usize>(
        &self,
        cursor: Option<&str>,
    ) -> Result<Option<[i64; N]>, Problem> {
        let Some(cursor) = cursor else {
            return Ok(None);
        };
        let decoded = || {
            let bytes = Some(cursor)
                .filter(|text| text.len() <= LONGEST)
                .and_then(|text| URL_SAFE_NO_PAD.decode(text).ok())?;
            let (body, checksum) = bytes.split_at_checked(1 + 8 * N)?;
            if body.first() != Some(&VERSION) || checksum != self.checksum(body) {
                return None;
            }
            let mut position = [0; N];
            for (part, bytes) in position.iter_mut().zip(body[1..].chunks_exact(8)) {
                *part = i64::from_be_bytes(bytes.try_into().ok()?);
            }
            Some(position)
        };
        decoded().map(Some).ok_or_else(invalid_cursor)
    }

    fn checksum(&self, body: &[u8]) -> [u8; CHECKSUM] {
        let digest = keccak256([self.0.as_bytes(), &[0], body].concat());
        let mut checksum = [0; CHECKSUM];
        checksum.copy_from_slice(&digest[..CHECKSUM]);
        checksum
    }
}

pub(super) fn invalid_cursor() -> Problem {
    Problem::bad_parameter(
        "cursor",
        "cursor is not valid for this list: pass `next` of the previous page unchanged, with the same other \
         parameters, or omit it to start from the beginning",
    )
}

/// The page size: the requested one if it is allowed, or the default.
pub(super) fn limit(requested: Option<u32>, config: &ApiConfig) -> Result<u32, Problem> {
    let limit = requested.unwrap_or(config.default_limit.min(config.max_limit));
    if limit == 0 || limit > config.max_limit {
        return Err(Problem::bad_parameter(
            "limit",
            format!("limit must be 1 to {}, not {limit}", config.max_limit),
        ));
    }
    Ok(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursor_round_trips() {
        let list = List::new("blocks/1");
        let cursor = list.cursor([7, -1]);
        assert_eq!(list.position(Some(&cursor)).unwrap(), Some([7, -1]));
        assert_eq!(list.position::<2>(None).unwrap(), None);
    }

    #[test]
    fn rejects_altered_cursor() {
        let list = List::new("blocks/1");
        let cursor = list.cursor([123_456]);
        for at in 0..cursor.len() {
            let mut bytes = cursor.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            assert!(list.position::<1>(Some(&changed)).is_err(), "{changed}");
        }
        for bad in ["", "!", &cursor[1..], &"A".repeat(100_000)] {
            assert!(list.position::<1>(Some(bad)).is_err());
        }
    }

    #[test]
    fn rejects_cursor_of_other_list() {
        let cursor = List::new("blocks/1").cursor([5]);
        assert!(List::new("blocks/10").position::<1>(Some(&cursor)).is_err());
        assert!(List::new("blocks/1").position::<2>(Some(&cursor)).is_err());
    }

    #[test]
    fn rejects_limit_out_of_bounds() {
        let config = ApiConfig::default();
        assert_eq!(limit(None, &config).unwrap(), 100);
        assert_eq!(limit(Some(1_000), &config).unwrap(), 1_000);
        assert!(limit(Some(0), &config).is_err());
        assert!(limit(Some(1_001), &config).is_err());
    }
}
