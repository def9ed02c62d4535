//! One PostgreSQL server for all tests of a run, and one database for each test.

use std::sync::atomic::{AtomicU32, Ordering};

use chaincast_dev::PrivatePostgres;
use tokio::sync::OnceCell;

static SERVER: OnceCell<PrivatePostgres> = OnceCell::const_new();
static NEXT: AtomicU32 = AtomicU32::new(1);

/// URL of a new, empty database. The server ends with the test process.
pub async fn fresh_database() -> String {
    let server = SERVER
        .get_or_init(|| async {
            let parent = std::env::temp_dir().join("chaincast-it-postgres");
            remove_old_directories(&parent);
            let dir = parent.join(std::process::id().to_string());
            // Left by an earlier run with the same process id.
            std::fs::remove_dir_all(&dir).ok();
            std::fs::create_dir_all(&dir).unwrap();
            PrivatePostgres::start(&dir).await.unwrap()
        })
        .await;
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    server
        .create_database(&format!("test_{number}"))
        .await
        .unwrap()
}

/// Removes directories of earlier runs: statics are never dropped.
fn remove_old_directories(parent: &std::path::Path) {
    let Ok(entries) = std::fs::read_dir(parent) else {
        return;
    };
    for entry in entries.flatten() {
        let alive = entry
            .file_name()
            .to_str()
            .and_then(|pid| pid.parse::<i32>().ok())
            .is_some_and(|pid| {
                nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None).is_ok()
            });
        if !alive {
            std::fs::remove_dir_all(entry.path()).ok();
        }
    }
}
