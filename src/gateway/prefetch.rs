//! Asking the processor for a session's memory before it is needed.
//!
//! Between two writes of one session the kernel has worked for all others, and nothing of the session is in a near
//! cache any more. Asked for one write ahead it arrives while the kernel works for the session before it.

use std::sync::Arc;

use super::session::Session;

/// Bytes of a session that the fan-out touches, from its beginning.
const HOT_BYTES: usize = 256;
const CACHE_LINE: usize = 64;

/// A hint: it changes nothing but how long the session's next use takes.
pub fn prefetch(session: &Arc<Session>) {
    const { assert!(HOT_BYTES <= size_of::<Session>()) };
    let start = Arc::as_ptr(session).cast::<u8>();
    for offset in (0..HOT_BYTES).step_by(CACHE_LINE) {
        line(start.wrapping_add(offset));
    }
}

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code, reason = "a prefetch is an intrinsic without a safe form")]
fn line(at: *const u8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: the instruction is part of every x86-64, reads nothing and faults at no address.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
}

#[cfg(not(target_arch = "x86_64"))]
fn line(_: *const u8) {}
