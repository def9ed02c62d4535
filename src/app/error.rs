//! Errors of the application.

use std::time::Duration;

use crate::config::ConfigError;
use chaincast_base::{shutdown::TaskFailure, telemetry::TelemetryError};
use chaincast_bus::BusError;
use chaincast_gateway::GatewayError;
use chaincast_http::client::OriginError;
use chaincast_ingest::IngestError;
use chaincast_prices::PriceConfigError;
use chaincast_store::StoreError;

/// Why the application did not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Bus(#[from] BusError),
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    #[error(transparent)]
    Ingest(#[from] IngestError),
    #[error(transparent)]
    Prices(#[from] PriceConfigError),
    #[error("api.allowed_origins: {0}")]
    Origin(#[from] OriginError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    #[error("cannot read the address of the listening socket: {0}")]
    Address(std::io::Error),
    #[error(transparent)]
    Task(#[from] TaskFailure),
    #[error("some tasks did not end within {0:?} of shutdown and were abandoned")]
    Drain(Duration),
}
