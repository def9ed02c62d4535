//! The product's own gateway: `chaincast serve --role gateway` over a private Postgres, with auth, limits, seq and
//! metrics as they are by default. Updates are committed by this process, as an indexer beside it would.

use std::{path::PathBuf, process::Stdio};

use chaincast::{
    dev::PrivatePostgres,
    model::{Channel, Event, JsonNumber, NewUpdate, PriceStatus, PriceUpdate, USD, now_ms},
    store::updates,
};
use sqlx::{Connection, PgConnection};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::{
    clients::{Clients, Wire},
    measured,
    report::Measured,
};

pub struct Gateway {
    child: tokio::process::Child,
    url: String,
    database: String,
    postgres: PrivatePostgres,
    dir: PathBuf,
}

impl Gateway {
    pub async fn start() -> Self {
        let dir = std::env::temp_dir().join(format!("chaincast-bench-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let postgres = PrivatePostgres::start(&dir).await.unwrap();
        let database = postgres.create_database("bench").await.unwrap();
        let config = dir.join("chaincast.toml");
        let text = format!(
            "[server]\nport = 0\n[database]\nurl = {database:?}\n[[chains]]\nchain_id = 1\n\
             rpc_url = \"http://127.0.0.1:1\"\n[bus]\npoll_interval_ms = 20\n\
             [gateway.limits]\nconnections_per_address = 100000\n\
             [[prices.tokens]]\nsymbol = \"ETH\"\n"
        );
        std::fs::write(&config, text).unwrap();
        let mut child = tokio::process::Command::new(env!("CARGO_BIN_EXE_chaincast"))
            .args(["serve", "--role", "gateway", "--config"])
            .arg(&config)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let url = loop {
            let line = lines
                .next_line()
                .await
                .unwrap()
                .expect("the gateway gets ready");
            if let Some(url) = line.strip_prefix("chaincast is ready on http") {
                break format!("ws{url}");
            }
        };
        Self {
            child,
            url,
            database,
            postgres,
            dir,
        }
    }

    /// Each update is committed once the one before it has reached every session.
    pub async fn measure(&self, wire: Wire, sessions: usize, count: usize) -> Measured {
        let clients = Clients::connect(&self.url, wire, sessions).await;
        let mut database = PgConnection::connect(&self.database).await.unwrap();
        let pid = self.child.id().unwrap();
        measured(pid, sessions * count, async {
            for number in 1..=count {
                commit(&mut database).await;
                clients.received(number * sessions).await;
            }
        })
        .await
    }

    pub async fn stop(mut self) {
        self.child.kill().await.unwrap();
        self.postgres.stop().await.unwrap();
        std::fs::remove_dir_all(&self.dir).ok();
    }
}

async fn commit(database: &mut PgConnection) {
    let price = PriceUpdate {
        token: "ETH".parse().unwrap(),
        price: JsonNumber("3456.120000000000000001".parse().unwrap()),
        timestamp: now_ms(),
        quote: USD,
        confidence: JsonNumber("0.42".parse().unwrap()),
        sources: vec!["chainlink".into(), "uniswap-v2".into()],
        age_ms: 120,
        status: PriceStatus::Ok,
    };
    let channel = Channel::Price("ETH".parse().unwrap());
    let mut transaction = database.begin().await.unwrap();
    let update = NewUpdate {
        channel,
        event: Event::PriceUpdate(price),
    };
    updates::append(&mut transaction, vec![update])
        .await
        .unwrap();
    transaction.commit().await.unwrap();
}
