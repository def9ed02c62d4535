//! The locks that are held together, and the order in which a thread takes them. The types carry the order:
//!
//! | order | lock | type | who locks it |
//! |---|---|---|---|
//! | 1 | the channels of the hub | [`OuterLock`] | anyone who holds none of the others |
//! | 2 | the subscriptions of one session | [`InnerLock`] | only who shows [`Held`], the proof that the channels are locked; or for one read |
//! | 3 | the outbox of one session | [`LeafLock`] | each verb of the outbox for itself; for several steps only who shows [`Held`], or without waiting |
//!
//! The types give the order between these three. That a thread holds one lock of each kind at most, and that a verb takes
//! no other lock, is a convention: `Held` can be shown twice. Who holds several outboxes at once (io_uring) got them without
//! waiting, and ends sessions only after it has released them, because that locks the channels.
//!
//! Every other lock of the gateway (the registry of sessions, the sessions that a flusher must write, the identity and
//! rates of a session, the counts of watches and connections) is held for one verb of its owner, which waits for no lock
//! meanwhile but that of an outbox: the map of polling sessions asks them whether they have ended. No blocking lock is held
//! across an await; clippy.toml lists the guards.

use std::{
    marker::PhantomData,
    ops::{Deref, DerefMut},
};

use parking_lot::{Mutex, MutexGuard};

/// The lock that is taken first.
#[derive(Debug, Default)]
pub(crate) struct OuterLock<T>(Mutex<T>);

/// The value of a locked [`OuterLock`].
pub(crate) struct OuterGuard<'a, T>(MutexGuard<'a, T>);

/// Proof that an [`OuterLock`] is held.
#[derive(Debug, Clone, Copy)]
pub struct Held<'a>(PhantomData<&'a ()>);

/// A lock that is taken only while an [`OuterLock`] is held.
#[derive(Debug, Default)]
pub(crate) struct InnerLock<T>(Mutex<T>);

/// The lock that is taken last.
#[derive(Debug, Default)]
#[repr(transparent)]
pub(crate) struct LeafLock<T>(Mutex<T>);

impl<T> OuterLock<T> {
    pub(crate) fn lock(&self) -> OuterGuard<'_, T> {
        OuterGuard(self.0.lock())
    }
}

impl<T> OuterGuard<'_, T> {
    /// The value, and the proof that it is locked.
    pub(crate) fn split(&mut self) -> (&mut T, Held<'_>) {
        (&mut self.0, Held(PhantomData))
    }

    /// Lets a waiting thread go first, if there is one.
    pub(crate) fn bump(&mut self) {
        MutexGuard::bump(&mut self.0);
    }
}

impl<T> Deref for OuterGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for OuterGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T> InnerLock<T> {
    pub(crate) fn lock<'a>(&'a self, _outer: Held<'a>) -> MutexGuard<'a, T> {
        self.0.lock()
    }

    /// For one read by a thread that needs no other lock meanwhile.
    pub(crate) fn read<R>(&self, read: impl FnOnce(&T) -> R) -> R {
        read(&self.0.lock())
    }
}

impl<T> LeafLock<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    /// For one verb, which takes no other lock.
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock()
    }

    /// For several steps.
    pub(crate) fn lock_within<'a>(&'a self, _outer: Held<'a>) -> MutexGuard<'a, T> {
        self.0.lock()
    }

    /// Without waiting.
    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.0.try_lock()
    }
}
