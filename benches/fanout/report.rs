//! The table and its file.

use std::fmt;

use serde_json::json;

pub struct Measured {
    pub frames: usize,
    pub cpu_seconds: f64,
}

impl Measured {
    pub fn rate(&self) -> f64 {
        self.frames as f64 / self.cpu_seconds
    }
}

pub struct Round {
    pub floor: Measured,
    pub websocket: Measured,
    pub socketio: Measured,
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let floor = self.floor.rate();
        write!(
            f,
            "floor {floor:.0} frames per CPU-second; WebSocket {:.0} = {:.2} × floor; Socket.IO {:.0} = {:.2} × floor",
            self.websocket.rate(),
            self.websocket.rate() / floor,
            self.socketio.rate(),
            self.socketio.rate() / floor,
        )
    }
}

/// Prints the medians of the ratios, and writes all rounds to `target/bench/NAME.json`.
pub fn write(name: &str, rounds: &[Round]) {
    let websocket = median(
        rounds
            .iter()
            .map(|round| round.websocket.rate() / round.floor.rate()),
    );
    let socketio = median(
        rounds
            .iter()
            .map(|round| round.socketio.rate() / round.floor.rate()),
    );
    println!(
        "fan-out, 1,000 sessions, one channel: WebSocket {websocket:.2} × floor, Socket.IO {socketio:.2} × floor"
    );
    let rows: Vec<_> = rounds
        .iter()
        .map(|round| {
            json!({
                "floor": round.floor.rate(), "websocket": round.websocket.rate(), "socketio": round.socketio.rate(),
            })
        })
        .collect();
    let result = json!({
        "unit": "frames per server-CPU-second",
        "rounds": rows,
        "websocket_over_floor": websocket,
        "socketio_over_floor": socketio,
    });
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench");
    std::fs::create_dir_all(&dir).unwrap();
    let file = dir.join(format!("{name}.json"));
    std::fs::write(&file, serde_json::to_string_pretty(&result).unwrap()).unwrap();
    println!("written to {}", file.display());
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
