//! Prefetches a session's memory into the processor cache.
//!
//! Between two writes of one session the kernel serves all other sessions, so the session's memory is no longer in a near
//! cache. Prefetched one write ahead, it arrives while the kernel serves the previous session.

use std::sync::Arc;

use super::Session;

/// Bytes at the start of a session that the fan-out uses.
const HOT_BYTES: usize = 256;
const CACHE_LINE: usize = 64;

impl Session {
    /// A hint that only makes the next use of the session faster.
    pub fn prefetch(self: &Arc<Self>) {
        const { assert!(HOT_BYTES <= size_of::<Session>()) };
        let start = Arc::as_ptr(self).cast::<u8>();
        for offset in (0..HOT_BYTES).step_by(CACHE_LINE) {
            prefetch_line(start.wrapping_add(offset));
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code, reason = "a prefetch is an intrinsic without a safe form")]
fn prefetch_line(at: *const u8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: every x86-64 processor has the instruction; it faults at no address.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
}

#[cfg(not(target_arch = "x86_64"))]
fn prefetch_line(_: *const u8) {}
