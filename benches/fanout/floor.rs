//! The floor: a process that only calls `send()` with a prebuilt frame, socket after socket.

use std::{
    io::{Read, Write},
    net::TcpListener,
    process::Stdio,
    time::Duration,
};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use crate::{measured, report::Measured};

pub const ARGUMENT: &str = "--serve-floor";
/// A WebSocket frame about as long as a price update.
const FRAME: [u8; 234] = [b'x'; 234];
/// Between updates: the pace of the gateway's round.
const PACE: Duration = Duration::from_millis(20);

/// Prints its port, takes `sessions` connections, says so, and sends `updates` frames to each when told to.
pub fn serve(sessions: usize, updates: usize) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    println!("{}", listener.local_addr().unwrap().port());
    let mut streams: Vec<_> = (0..sessions)
        .map(|_| listener.accept().unwrap().0)
        .collect();
    for stream in &streams {
        stream.set_nodelay(true).unwrap();
    }
    println!("connected");
    std::io::stdin().read_exact(&mut [0]).unwrap();
    for _ in 0..updates {
        for stream in &mut streams {
            stream.write_all(&FRAME).unwrap();
        }
        std::thread::sleep(PACE);
    }
    println!("sent");
    std::io::stdin().read_exact(&mut [0]).unwrap();
}

pub async fn measure(sessions: usize, updates: usize) -> Measured {
    let mut child = tokio::process::Command::new(std::env::current_exe().unwrap())
        .arg(ARGUMENT)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let pid = child.id().unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let port: u16 = lines.next_line().await.unwrap().unwrap().parse().unwrap();
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..sessions {
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port))
            .await
            .unwrap();
        readers.spawn(async move {
            let mut buffer = [0; 4_096];
            let mut left = updates * FRAME.len();
            while left > 0 {
                left -= stream.read(&mut buffer).await.unwrap();
            }
        });
    }
    assert_eq!(lines.next_line().await.unwrap().unwrap(), "connected");
    let result = measured(pid, sessions * updates, async {
        input.write_all(b"g").await.unwrap();
        while readers.join_next().await.is_some() {}
        lines.next_line().await.unwrap();
    })
    .await;
    input.write_all(b"q").await.unwrap();
    child.wait().await.unwrap();
    result
}
