//! The connections that speak HTTP: how many there are, and which of them may be closed for others.
//!
//! A connection that asks for nothing holds a descriptor as one that does. When there is no room for another, the one that
//! has been idle for longest is closed, those that never sent a request first. One whose socket a session takes is no
//! guest any more; the requests of a session that is polled are those of guests.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use slab::Slab;
use tokio::time::Instant;

use crate::shutdown::Hangup;

/// A connection that was idle for a shorter time may have its next request on the way.
pub(super) const IDLE: Duration = Duration::from_millis(500);

/// Room for connections, sockets of sessions included. Cheap to clone.
#[derive(Clone)]
pub struct Room {
    /// Connections of every kind.
    connections: usize,
    /// How many of them have left HTTP.
    sockets: Arc<dyn Fn() -> usize + Send + Sync>,
}

impl Room {
    /// For so many connections, of which `sockets` says how many have left HTTP.
    pub fn new(connections: usize, sockets: impl Fn() -> usize + Send + Sync + 'static) -> Self {
        Self {
            connections,
            sockets: Arc::new(sockets),
        }
    }

    /// For as many as come.
    pub fn unbounded() -> Self {
        Self::new(usize::MAX, || 0)
    }
}

/// See the module's description. Cheap to clone.
#[derive(Clone)]
pub(super) struct Guests(Arc<Inner>);

struct Inner {
    room: Room,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    guests: Slab<Guest>,
    /// Those of them that were told to go.
    leaving: usize,
}

struct Guest {
    hangup: Hangup,
    /// Requests whose answers the kernel does not have yet. A client that pipelines has several: the next is read while
    /// the end of the answer before it is being written.
    requests: usize,
    /// Since when it waits for a request; `None` while it has one.
    idle: Option<Instant>,
    /// Whether it ever sent one.
    asked: bool,
    leaving: bool,
}

/// One connection; it is counted until this is dropped.
pub(super) struct Seat {
    guests: Guests,
    key: usize,
}

impl Guests {
    pub(super) fn new(room: Room) -> Self {
        Self(Arc::new(Inner {
            room,
            open: Mutex::default(),
        }))
    }

    /// Takes a connection in, if need be for one that is idle, which is then hung up on; `None` when there is no room.
    pub(super) fn admit(&self, hangup: Hangup) -> Option<Seat> {
        let (now, sockets) = (Instant::now(), (self.0.room.sockets)());
        let mut open = self.0.open.lock();
        let taken = open.guests.len() - open.leaving + sockets;
        if taken >= self.0.room.connections {
            let idle = open.guests.iter().filter_map(|(key, guest)| {
                let idle = guest
                    .idle
                    .filter(|since| now.duration_since(*since) >= IDLE)?;
                (!guest.leaving).then_some(((guest.asked, idle), key))
            });
            let (_, longest) = idle.min()?;
            let guest = &mut open.guests[longest];
            guest.leaving = true;
            guest.hangup.hang_up();
            open.leaving += 1;
            metrics::counter!("chaincast_http_connections_evicted_total").increment(1);
        }
        let key = open.guests.insert(Guest {
            hangup,
            requests: 0,
            idle: Some(now),
            asked: false,
            leaving: false,
        });
        Some(Seat {
            guests: self.clone(),
            key,
        })
    }
}

impl Seat {
    /// A request came; it is worked on until what is returned is dropped.
    pub(super) fn request(self: &Arc<Self>) -> Asked {
        self.change(|guest| {
            guest.requests += 1;
            guest.idle = None;
            guest.asked = true;
        });
        Asked(self.clone())
    }

    fn change(&self, change: impl FnOnce(&mut Guest)) {
        if let Some(guest) = self.guests.0.open.lock().guests.get_mut(self.key) {
            change(guest);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut open = self.guests.0.open.lock();
        if open.guests.remove(self.key).leaving {
            open.leaving -= 1;
        }
    }
}

/// A request that is worked on.
pub(super) struct Asked(Arc<Seat>);

impl Drop for Asked {
    fn drop(&mut self) {
        self.0.change(|guest| {
            guest.requests -= 1;
            if guest.requests == 0 {
                guest.idle = Some(Instant::now());
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::time::advance;

    use super::*;

    /// A guest, and how it is hung up on.
    fn enter(guests: &Guests) -> Option<(Arc<Seat>, Hangup)> {
        let hangup = Hangup::default();
        let seat = guests.admit(hangup.clone())?;
        Some((Arc::new(seat), hangup))
    }

    fn is_out(hangup: &Hangup) -> bool {
        hangup.hung_up().now_or_never().is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn closes_the_longest_idle_and_silent_ones_first() {
        let guests = Guests::new(Room::new(3, || 0));
        let (asked, asked_out) = enter(&guests).unwrap();
        drop(asked.request());
        let (_silent, silent_out) = enter(&guests).unwrap();
        let (busy, busy_out) = enter(&guests).unwrap();
        let work = busy.request();
        assert!(enter(&guests).is_none(), "all were active just now");
        advance(IDLE).await;
        let _first = enter(&guests).unwrap();
        assert!(is_out(&silent_out) && !is_out(&asked_out));
        let _second = enter(&guests).unwrap();
        assert!(is_out(&asked_out) && !is_out(&busy_out));
        assert!(enter(&guests).is_none(), "nobody is idle");
        drop(work);
        advance(IDLE).await;
        // The newcomers sent nothing so far.
        let _third = enter(&guests).unwrap();
        assert!(!is_out(&busy_out));
    }

    #[tokio::test(start_paused = true)]
    async fn is_busy_until_the_kernel_has_the_answer() {
        use std::{future::poll_fn, pin::Pin};

        use axum::body::{Body, HttpBody};

        use super::super::busy::Busy;
        let guests = Guests::new(Room::new(1, || 0));
        let (seat, out) = enter(&guests).unwrap();
        let mut body = Busy::new(Body::from("an answer"), seat.request());
        assert_eq!(body.size_hint().exact(), Some(9));
        let frame = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
        let data = frame.unwrap().unwrap().into_data().unwrap();
        assert!(body.is_end_stream());
        // HTTP has it all, and waits for the client to read.
        drop(body);
        advance(IDLE).await;
        assert!(enter(&guests).is_none() && !is_out(&out));
        drop(data);
        assert!(enter(&guests).is_none(), "its next request may come");
        advance(IDLE).await;
        assert!(enter(&guests).is_some() && is_out(&out));
    }

    #[tokio::test(start_paused = true)]
    async fn is_busy_until_pipelined_requests_are_answered() {
        let guests = Guests::new(Room::new(1, || 0));
        let (seat, out) = enter(&guests).unwrap();
        let first = seat.request();
        let second = seat.request();
        // The kernel has the first answer; the second is being worked on.
        drop(first);
        advance(IDLE).await;
        assert!(enter(&guests).is_none() && !is_out(&out));
        drop(second);
        advance(IDLE).await;
        assert!(enter(&guests).is_some() && is_out(&out));
    }

    #[tokio::test(start_paused = true)]
    async fn counts_sockets_and_forgets_who_left() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        let sockets = Arc::new(AtomicUsize::new(1));
        let counted = sockets.clone();
        let guests = Guests::new(Room::new(2, move || counted.load(Ordering::SeqCst)));
        let (first, _) = enter(&guests).unwrap();
        assert!(enter(&guests).is_none());
        sockets.store(0, Ordering::SeqCst);
        let (second, _) = enter(&guests).unwrap();
        assert!(enter(&guests).is_none());
        drop((first, second));
        assert!(guests.0.open.lock().guests.is_empty());
        assert!(enter(&guests).is_some());
    }
}
