//! The load client: one epoll loop that counts frames by their headers, and ignores their payload once a session is
//! ready.

use std::{
    io::Read,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use socket2::{Domain, Socket, Type};

use crate::{
    arrivals::Arrivals,
    connection::{Connection, ReadOutcome},
    process,
    script::{Script, Step},
};

/// The wire format of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// Frames are received, nothing is sent: the floor.
    Raw,
    WebSocket,
    SocketIo,
    Sse,
}

/// Connections that are opened concurrently: fewer than the smallest listener backlog, 128, beyond which a connection
/// retries after a second.
const OPENING: usize = 100;
/// Loopback addresses of clients, so that there are enough ports.
const ADDRESSES: usize = 40;
/// Without any progress for this long, a run has failed.
const TIMEOUT: Duration = Duration::from_secs(20);
const READ_BYTES: usize = 256 * 1_024;
const EVENTS: usize = 1_024;
/// Pauses between two polls of the sockets: about 2 µs, so that polling does not disturb the sender.
const SPINS: usize = 50;

/// Not every update arrived.
#[derive(Debug, thiserror::Error)]
#[error("{arrived} of {wanted} updates arrived")]
pub struct Stalled {
    wanted: u64,
    arrived: u64,
}

/// The sessions of one server.
pub struct Load {
    epoll: Epoll,
    connections: Vec<Connection>,
    buffer: Vec<u8>,
    spins: bool,
    ready: usize,
    /// Updates that arrived, and all received bytes.
    pub frames: u64,
    pub bytes: u64,
    /// Close codes of sessions that the server ended; `None` for those without one.
    pub closed: Vec<Option<u16>>,
    pub arrivals: Option<Arrivals>,
}

impl Load {
    pub fn new() -> Self {
        Self {
            epoll: Epoll::new(EpollCreateFlags::empty()).expect("epoll is there"),
            connections: Vec::new(),
            buffer: vec![0; READ_BYTES],
            spins: process::cores() > 1,
            ready: 0,
            frames: 0,
            bytes: 0,
            closed: Vec::new(),
            arrivals: None,
        }
    }

    pub fn sessions(&self) -> usize {
        self.connections.len()
    }

    /// Opens sessions, at most [`OPENING`] at a time, and runs the script of each.
    pub fn connect(&mut self, port: u16, sessions: usize, script: impl Fn(usize) -> Script) {
        let wanted = self.ready + sessions;
        let all = self.connections.len() + sessions;
        self.read_until("sessions were opened", |load| {
            while load.connections.len() < all && load.connections.len() - load.ready < OPENING {
                load.open(port, script(load.connections.len()));
            }
            load.ready >= wanted
        });
    }

    fn open(&mut self, port: u16, script: Script) {
        let number = self.connections.len();
        let stream = connect_from(number % ADDRESSES, port);
        let event = EpollEvent::new(EpollFlags::EPOLLIN, number as u64);
        self.epoll.add(&stream, event).expect("epoll takes sockets");
        let connection = Connection::new(stream, script);
        if connection.is_ready() {
            self.ready += 1;
        }
        self.connections.push(connection);
    }

    /// Runs one more step on every session, which `step` returns for its number, and waits until all are done.
    pub fn run_step(&mut self, step: impl Fn(usize) -> Step) {
        for number in 0..self.connections.len() {
            self.connections[number].send_step(step(number));
        }
        self.ready = 0;
        let wanted = self.connections.len();
        self.read_until("sessions took a step", |load| load.ready >= wanted);
    }

    /// Stops reading from sessions from `first` on, as a client that hangs.
    pub fn stop_reading(&mut self, first: usize) {
        for connection in &self.connections[first..] {
            self.epoll
                .delete(connection.stream())
                .expect("it was added");
        }
    }

    /// Reads again from sessions from `first` on.
    pub fn resume_reading(&mut self, first: usize) {
        for (number, connection) in self.connections.iter().enumerate().skip(first) {
            let event = EpollEvent::new(EpollFlags::EPOLLIN, number as u64);
            self.epoll
                .add(connection.stream(), event)
                .expect("epoll takes sockets");
        }
    }

    /// Resets the counters.
    pub fn reset(&mut self) {
        (self.frames, self.bytes) = (0, 0);
        for connection in &mut self.connections {
            connection.frames = 0;
        }
    }

    /// Records when each of `updates` has reached the first `sessions` sessions.
    pub fn watch(&mut self, sessions: usize, updates: usize) {
        self.reset();
        self.arrivals = Some(Arrivals::new(sessions, updates));
    }

    /// Reads until `frames` updates have arrived since the last reset. Gives up when nothing arrived for a while, or a
    /// session was closed.
    pub fn receive(&mut self, frames: u64) -> Result<(), Stalled> {
        let (mut at, mut before) = (Instant::now(), self.frames);
        while self.frames < frames {
            self.poll_once(Duration::from_millis(100));
            if self.frames > before {
                (at, before) = (Instant::now(), self.frames);
            } else if at.elapsed() > TIMEOUT || !self.closed.is_empty() {
                return Err(Stalled {
                    wanted: frames,
                    arrived: self.frames,
                });
            }
        }
        Ok(())
    }

    /// Reads without a time limit until `done`.
    pub fn read_until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let mut at = Instant::now();
        let mut before = (self.ready, self.frames);
        while !done(self) {
            self.poll_once(Duration::from_millis(20));
            let now = (self.ready, self.frames);
            if now != before {
                (at, before) = (Instant::now(), now);
            }
            assert!(
                at.elapsed() < TIMEOUT,
                "nothing happened for {TIMEOUT:?} before {what}: {} of {} are ready, closed: {:?}",
                self.ready,
                self.connections.len(),
                self.closed.first(),
            );
        }
    }

    /// Reads for a time in which little is expected: sleeps in between.
    pub fn read_idle_for(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            let timeout = u16::try_from(left.as_millis() + 1).unwrap_or(u16::MAX);
            self.read_ready(timeout.into());
        }
    }

    /// Reads for a time.
    pub fn read_for(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            self.poll_once(left);
        }
    }

    /// Reads once from every readable socket, if any becomes readable within `timeout`.
    ///
    /// Never sleeps on a machine with a core for it: waking a sleeping client is work of the sender, and how often that
    /// happens depends on the sender's speed. It would dominate the measurement.
    fn poll_once(&mut self, timeout: Duration) {
        if !self.spins {
            self.read_ready(EpollTimeout::from(1_u8));
            return;
        }
        let end = Instant::now() + timeout;
        while self.read_ready(EpollTimeout::ZERO) == 0 && Instant::now() < end {
            for _ in 0..SPINS {
                std::hint::spin_loop();
            }
        }
    }

    fn read_ready(&mut self, timeout: EpollTimeout) -> usize {
        let mut events = [EpollEvent::empty(); EVENTS];
        let count = self.epoll.wait(&mut events, timeout).expect("epoll waits");
        for event in &events[..count] {
            let number = event.data() as usize;
            self.read(number);
        }
        count
    }

    fn read(&mut self, number: usize) {
        let connection = &mut self.connections[number];
        let ended = match connection.stream().read(&mut self.buffer) {
            Ok(0) => true,
            Ok(count) => {
                let was_ready = connection.is_ready();
                let before = connection.frames;
                let seen = connection.process(&self.buffer[..count]);
                if was_ready {
                    self.bytes += count as u64;
                    self.frames += u64::from(connection.frames - before);
                    if let Some(arrivals) = &mut self.arrivals {
                        arrivals.record(number, before..connection.frames, process::now_ns);
                    }
                } else if connection.is_ready() {
                    connection.frames = 0;
                    self.ready += 1;
                }
                matches!(seen, ReadOutcome::End)
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => false,
            Err(_) => true,
        };
        if ended {
            self.closed.push(connection.close_code);
            self.epoll.delete(connection.stream()).ok();
        }
    }
}

/// A connection to the server from one of this machine's loopback addresses.
fn connect_from(address: usize, port: u16) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("sockets can be made");
    let from = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2 + address as u8), 0));
    socket
        .bind(&from.into())
        .expect("loopback addresses are ours");
    // Closed without TIME_WAIT, so that many rounds find free ports.
    socket
        .set_linger(Some(Duration::ZERO))
        .expect("it is a TCP socket");
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    socket.connect(&to.into()).expect("the server listens");
    socket.set_tcp_nodelay(true).expect("it is a TCP socket");
    socket.set_nonblocking(true).expect("it is a socket");
    socket.into()
}
