//! The sections of the configuration.

use toml::Table;

use chaincast_api::ApiConfig;
use chaincast_base::{
    settings::{Key, Problems, Setting, document, settings},
    telemetry::TelemetryConfig,
};
use chaincast_bus::BusConfig;
use chaincast_evm::{chain::ChainConfig, contract::ContractConfig};
use chaincast_gateway::GatewayConfig;
use chaincast_http::server::ServerConfig;
use chaincast_prices::PriceConfig;
use chaincast_protocol::ChainId;
use chaincast_store::StoreConfig;
settings! {
    /// The whole configuration. `config/default.toml` documents every key.
    pub struct Config {
        server: ServerConfig = ServerConfig::default();
        database: StoreConfig = StoreConfig::default();
        /// One section per chain. The first chain is the default of `new-block` and of REST requests without ?chain=.
        chains: Vec<ChainConfig> = Vec::new();
        /// One section per contract, or per group of contracts with one ABI. Events are decoded, stored and published on
        /// contract:NAME and contract:NAME:EVENT. The events of a contract added later are decoded from stored logs; those of
        /// a removed one are deleted.
        contracts: Vec<ContractConfig> = Vec::new();
        /// See docs/prices.md. The first nine keys may also be set in [[prices.tokens]], for one token.
        prices: PriceConfig = PriceConfig::default();
        bus: BusConfig = BusConfig::default();
        gateway: GatewayConfig = GatewayConfig::default();
        api: ApiConfig = ApiConfig::default();
        telemetry: TelemetryConfig = TelemetryConfig::default();
    }
}

impl Config {
    /// The text of `config/default.toml`.
    pub fn documentation() -> String {
        document(include_str!("introduction.txt"), Self::KEYS)
    }

    /// The default chain: of `new-block`, and of requests without `?chain=`. A valid configuration has at least one.
    pub fn first_chain(&self) -> ChainId {
        self.chains.first().map_or(0, |chain| chain.chain_id)
    }

    /// The configuration in a TOML table, with the default of what cannot be read.
    pub(super) fn from_table(table: Table) -> (Self, Problems) {
        let mut problems = Problems::new(Self::KEYS);
        let whole = Key::new::<Self>("", &[], String::new);
        let config = Setting::read(table.into(), &whole, "", &mut problems);
        (config.unwrap_or_default(), problems)
    }
}
