//! Pages of lists, and the opaque cursors between them.
//!
//! A cursor is the position of a page's last item, with a checksum that covers the list it belongs to (resource, chain
//! and filters). It is no secret and grants nothing; the checksum makes a cut, altered or misplaced one a clear error.

use alloy::primitives::keccak256;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;
use utoipa::ToSchema;

use super::{ApiConfig, error::Problem};

/// One page.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Page<T> {
    pub data: Vec<T>,
    /// Pass it as `cursor` for the next page; `null` at the end.
    #[schema(required)]
    pub next: Option<String>,
}

const VERSION: u8 = 1;
const CHECKSUM: usize = 6;
/// Longer than any cursor that is made here.
const LONGEST: usize = 200;

/// A list that cursors point into, named by all that decides its items and their order.
pub(super) struct List(String);

impl List {
    pub(super) fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The page of `rows`, of which one more than `limit` was asked for to see whether there is more.
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

    /// The position that a client's cursor stands for.
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
        decoded().map(Some).ok_or_else(foreign_cursor)
    }

    fn checksum(&self, body: &[u8]) -> [u8; CHECKSUM] {
        let digest = keccak256([self.0.as_bytes(), &[0], body].concat());
        let mut checksum = [0; CHECKSUM];
        checksum.copy_from_slice(&digest[..CHECKSUM]);
        checksum
    }
}

pub(super) fn foreign_cursor() -> Problem {
    Problem::bad_parameter(
        "cursor",
        "cursor is not one of this list: pass `next` of its last page as it is, with the same other parameters, or \
         leave it out to start again",
    )
}

/// How many items a page may have, of what the client asked for.
pub(super) fn limit(asked: Option<u32>, config: &ApiConfig) -> Result<u32, Problem> {
    let limit = asked.unwrap_or(config.default_limit.min(config.max_limit));
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
    fn a_cursor_comes_back_as_the_position_it_was_made_of() {
        let list = List::new("blocks/1");
        let cursor = list.cursor([7, -1]);
        assert_eq!(list.position(Some(&cursor)).unwrap(), Some([7, -1]));
        assert_eq!(list.position::<2>(None).unwrap(), None);
    }

    #[test]
    fn a_cursor_changed_in_any_place_is_refused() {
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
    fn a_cursor_of_another_list_is_refused() {
        let cursor = List::new("blocks/1").cursor([5]);
        assert!(List::new("blocks/10").position::<1>(Some(&cursor)).is_err());
        assert!(List::new("blocks/1").position::<2>(Some(&cursor)).is_err());
    }

    #[test]
    fn a_limit_out_of_bounds_is_refused_and_not_bent() {
        let config = ApiConfig::default();
        assert_eq!(limit(None, &config).unwrap(), 100);
        assert_eq!(limit(Some(1_000), &config).unwrap(), 1_000);
        assert!(limit(Some(0), &config).is_err());
        assert!(limit(Some(1_001), &config).is_err());
    }
}
