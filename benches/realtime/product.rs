//! The product as a server that publishes on command: its store, bus, gateway and HTTP server with their default
//! configuration, assembled as `App` does, with auth, limits, seq, metrics and the slow-consumer policy on. Only the
//! SQL commit before the bus is left out.

use std::{path::Path, time::Duration};

use chaincast::config::{Config, Sources};
use chaincast_base::{shutdown::Tasks, telemetry};
use chaincast_bus::{Bus, Publisher};
use chaincast_gateway::{Gateway, GatewayInputs, KnownChannels};
use chaincast_http::server;
use chaincast_protocol::{Channel, EventName, Update};
use chaincast_rooms::{MessageQuota, MessageWriter};
use chaincast_store::Store;

use crate::{commands, message};

/// Metrics are aggregated as often as in `App`.
const UPKEEP: Duration = Duration::from_secs(5);

/// Serves with this configuration file and `tokens` price channels.
pub fn serve(config: &str, tokens: usize) {
    let config =
        Config::load(&Sources::from_process(Some(Path::new(config)))).expect("it is valid");
    telemetry::init_logs(&config.telemetry).expect("logs go to standard error");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("threads can be started");
    let (port, publisher) = runtime.block_on(start(config, tokens));
    let mut seqs = vec![0; tokens];
    commands::run_commands(port, |due| {
        for &channel in due {
            seqs[channel] += 1;
            publish(&publisher, channel, seqs[channel]);
        }
    });
    runtime.shutdown_background();
}

async fn start(config: Config, tokens: usize) -> (u16, Publisher) {
    let metrics = telemetry::init_metrics().expect("nothing else recorded metrics");
    let store = Store::connect(&config.database)
        .await
        .expect("PostgreSQL runs");
    let (tasks, mut failures) = Tasks::new();
    let bus = Bus::connect(&config.bus, store.clone(), &tasks)
        .await
        .expect("the bus is in memory");
    let known = KnownChannels {
        first_chain: config.first_chain(),
        chain_ids: config.chains.iter().map(|chain| chain.chain_id).collect(),
        tokens: (0..tokens)
            .map(|number| message::token(number).parse().expect("it is a symbol"))
            .collect(),
        transactions: true,
        contracts: Default::default(),
    };
    let messages = &config.gateway.messages;
    let inputs = GatewayInputs {
        channels: known,
        commits: bus.commit_stream().await.expect("the store answers"),
        update_log: bus.update_log(),
        messages: MessageWriter::start(&store, bus.publisher(), messages, &tasks),
        quota: MessageQuota::new(messages),
        live: bus.live(),
    };
    let gateway = Gateway::start(config.gateway, inputs, &tasks)
        .await
        .expect("the configuration is the default");
    let listener = server::bind(&config.server).await.expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    let serving = server::serve(
        listener,
        gateway.router(),
        config.server,
        tasks.clone(),
        tasks.token(),
    );
    tasks.spawn_critical("http server", serving);
    let publisher = bus.publisher();
    tokio::spawn(async move {
        // The bus and the task handles live as long as the process.
        let _bus = bus;
        loop {
            tokio::select! {
                failure = failures.first() => panic!("{failure}"),
                () = tokio::time::sleep(UPKEEP) => metrics.run_upkeep(),
            }
        }
    });
    (port, publisher)
}

/// Publishes as an indexer does after its commit: the data is serialised once, for the store.
fn publish(publisher: &Publisher, channel: usize, seq: u64) {
    let token = message::token(channel);
    publisher.publish(vec![Update {
        channel: Channel::Price(token.parse().expect("it is a symbol")),
        seq,
        event: EventName::PriceUpdate,
        data: message::data(&token).into(),
    }]);
}
