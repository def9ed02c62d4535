//! The floor: a process that only calls `send()` with prebuilt frames, socket after socket.

use std::{
    io::Write,
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use crate::{commands, message};

/// Seq in the prebuilt frame: it has as many digits as most updates of a run.
const SEQ: u64 = 123;

/// Greets each connection with one frame once it is added to the receivers.
pub fn serve() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    let frame = message::framed(message::websocket(0, SEQ).as_bytes());
    let streams = Arc::new(Mutex::new(Vec::<TcpStream>::new()));
    let (accepted, greeting) = (streams.clone(), frame.clone());
    thread::spawn(move || {
        loop {
            let (mut stream, _) = listener.accept().expect("connections are accepted");
            stream.set_nodelay(true).expect("it is a TCP socket");
            let mut streams = accepted.lock().expect("no thread panicked");
            if stream.write_all(&greeting).is_ok() {
                streams.push(stream);
            }
        }
    });
    commands::run_commands(port, |due| {
        // Several updates at once are several frames in one send.
        let frames = frame.repeat(due.len());
        let mut streams = streams.lock().expect("no thread panicked");
        streams.retain_mut(|stream| stream.write_all(&frames).is_ok());
    });
}
