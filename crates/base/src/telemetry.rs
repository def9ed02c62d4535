//! Installs tracing and the metrics recorder. Each module defines its own metrics.

pub mod log_limit;

use std::io::IsTerminal;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use serde::Deserialize;
use tracing_subscriber::EnvFilter;

use crate::settings::{Problems, lower_case_word, plain_settings, settings};

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text for people, one line per event.
    Text,
    /// One JSON object per line, with the event's fields beside `timestamp`, `level` and `target`.
    Json,
}

plain_settings! { LogFormat = lower_case_word }

settings! {
    /// `[telemetry]`
    pub struct TelemetryConfig {
        /// A tracing filter such as `"chaincast=debug,warn"`; RUST_LOG overrides it.
        log: String = "info".to_owned();
        /// Format of log lines: `"text"` or `"json"`.
        log_format: LogFormat = LogFormat::Text;
    }
}

impl TelemetryConfig {
    /// Checks the filter.
    pub fn check(&self, problems: &mut Problems) {
        if let Err(error) = self.filter() {
            let text = error.to_string();
            let message = text.strip_prefix("telemetry.log ").unwrap_or(&text);
            problems.add("telemetry.log", message);
        }
    }
}

/// A failure to set up logs or metrics.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error(
        "telemetry.log is not a valid filter: {0}; use for example \"info\" or \"chaincast=debug,warn\""
    )]
    /// `telemetry.log` or `RUST_LOG` is not a filter; the parser's message.
    Filter(String),
    /// The recorder cannot be installed, for example because the process already has one.
    #[error("cannot set up metrics: {0}")]
    Metrics(String),
}

/// Histogram buckets in seconds, from a socket write to a slow commit.
const BUCKETS: [f64; 16] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
];

impl TelemetryConfig {
    /// The log filter: `RUST_LOG` if set, otherwise the configured one.
    pub fn filter(&self) -> Result<EnvFilter, TelemetryError> {
        let directives = std::env::var("RUST_LOG").unwrap_or_else(|_| self.log.clone());
        // Silences dependencies whose errors chaincast logs itself, and Postgres notices.
        let directives = format!(
            "alloy_pubsub=off,alloy_transport_ws=off,sqlx::postgres::notice=off,{directives}"
        );
        EnvFilter::try_new(directives).map_err(|error| TelemetryError::Filter(error.to_string()))
    }
}

/// Sends logs to standard error; once per process.
pub fn init_logs(config: &TelemetryConfig) -> Result<(), TelemetryError> {
    let filter = config.filter()?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // A second call in one process, as in tests, keeps the first subscriber.
    let _ = match config.log_format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    Ok(())
}

/// Installs the process's metrics recorder. The returned handle renders `/metrics`.
pub fn init_metrics() -> Result<PrometheusHandle, TelemetryError> {
    let failed =
        |error: metrics_exporter_prometheus::BuildError| TelemetryError::Metrics(error.to_string());
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &BUCKETS)
        .map_err(failed)?
        .install_recorder()
        .map_err(failed)
}
