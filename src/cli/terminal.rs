//! Signals and terminal colours, shared by the commands.

use std::{future::Future, io::IsTerminal};

use tokio::signal::unix::{SignalKind, signal};

/// Resolves on Ctrl-C or SIGTERM.
pub(super) fn stop_signal() -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Colours text on a terminal, and leaves it unchanged elsewhere. Follows <https://no-color.org>.
#[derive(Clone, Copy)]
pub(super) struct Paint(bool);

impl Paint {
    pub(super) fn stdout() -> Self {
        let enabled = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self(enabled && std::io::stdout().is_terminal())
    }

    #[cfg(test)]
    pub fn plain() -> Self {
        Self(false)
    }

    pub(super) fn dim(self, text: impl std::fmt::Display) -> String {
        self.wrap("2", text)
    }

    pub(super) fn bold(self, text: impl std::fmt::Display) -> String {
        self.wrap("1", text)
    }

    pub(super) fn green(self, text: impl std::fmt::Display) -> String {
        self.wrap("32", text)
    }

    pub(super) fn yellow(self, text: impl std::fmt::Display) -> String {
        self.wrap("33", text)
    }

    pub(super) fn red(self, text: impl std::fmt::Display) -> String {
        self.wrap("31", text)
    }

    fn wrap(self, code: &str, text: impl std::fmt::Display) -> String {
        if self.0 {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_string()
        }
    }
}
