"""The real server: `chaincast dev` as database, chain and indexer, and gateways that tests may kill."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import threading
import tomllib
from collections import deque
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[4]
READY = "chaincast is ready on "
START_TIMEOUT = 120.0
STOP_TIMEOUT = 30.0

# Small, so that short tests cross every border: a resumed subscription reads from memory, from the database, or gets a snapshot.
# Short intervals, so that a dead connection is found soon.
GATEWAY_SETTINGS = {
    "GATEWAY__RING_UPDATES": "8",
    "GATEWAY__REPLAY_UPDATES": "30",
    "GATEWAY__PING_INTERVAL_MS": "1000",
    "GATEWAY__PING_TIMEOUT_MS": "1000",
    "GATEWAY__RECONNECT_WINDOW_MS": "500",
    "BUS__POLL_INTERVAL_MS": "50",
}


def binary() -> str:
    """The server to test."""
    path = os.environ.get("CHAINCAST_BIN", str(ROOT / "target" / "debug" / "chaincast"))
    assert Path(path).exists(), f"{path} does not exist: build it with `cargo build`, or set CHAINCAST_BIN"
    return path


class Process:
    """A server of this test run, with its newest output."""

    def __init__(self, *arguments: str, environment: dict[str, str] | None = None) -> None:
        settings = {f"CHAINCAST__{name}": value for name, value in (environment or {}).items()}
        inherited = {name: value for name, value in os.environ.items() if name not in ("PORT", "DATABASE_URL")}
        self._process = subprocess.Popen(
            [binary(), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**inherited, **settings},
        )
        self._output: deque[str] = deque(maxlen=200)
        self._ready = threading.Event()
        self.url = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not self._ready.wait(START_TIMEOUT) or not self.url:
            self.stop()
            raise AssertionError(f"{arguments} did not become ready:\n{''.join(self._output)}")

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._output.append(line)
            if line.startswith(READY):
                self.url = line.removeprefix(READY).strip()
                self._ready.set()
        self._ready.set()

    def kill(self) -> None:
        """Ends it without a goodbye."""
        self._process.kill()
        self._finish()

    def stop(self) -> None:
        """Ends it as an operator does."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._finish()

    def _finish(self) -> None:
        self._process.wait()
        self._reader.join()
        if self._process.stdout is not None:
            self._process.stdout.close()


class Dev:
    """`chaincast dev` with a fast chain, whose market trades all the time."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        arguments = ["--port", "0", "--anvil-port", "0", "--block-time", "0.1", "--seed", "7"]
        self._process = Process("dev", "--data-dir", str(directory), *arguments)
        self.url = self._process.url

    @property
    def config(self) -> Path:
        """The configuration of this deployment."""
        return self._directory / "chaincast.toml"

    @property
    def secret(self) -> str:
        """The key of its JWTs."""
        config: dict[str, Any] = tomllib.loads(self.config.read_text())
        return str(config["gateway"]["auth"]["secret"])

    def stop(self) -> None:
        """Ends it with its database and its chain."""
        self._process.stop()


class Gateway:
    """A gateway process that keeps its port when it is restarted."""

    def __init__(self, config: Path, **settings: str) -> None:
        self._config = config
        self._settings = settings
        self.port = _free_port()
        self._process: Process | None = None
        self._start()

    @property
    def url(self) -> str:
        """Where it serves."""
        return f"http://127.0.0.1:{self.port}"

    async def restart(self, *, graceful: bool) -> None:
        """Stops or kills it, and starts it again."""
        await asyncio.to_thread(self.end, graceful)
        await asyncio.to_thread(self._start)

    def end(self, graceful: bool = True) -> None:
        """Stops or kills it."""
        if self._process is not None:
            process, self._process = self._process, None
            process.stop() if graceful else process.kill()

    def _start(self) -> None:
        environment = {**GATEWAY_SETTINGS, **self._settings, "SERVER__PORT": str(self.port)}
        self._process = Process("serve", "--config", str(self._config), "--role", "gateway", environment=environment)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
