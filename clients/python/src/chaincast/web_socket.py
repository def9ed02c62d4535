"""One WebSocket connection."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

SUBPROTOCOL = "chaincast.v1.json"
CONNECT_TIMEOUT = 10.0
MAX_MESSAGE_BYTES = 16 * 1024 * 1024
"""Far above any message of a server: its largest part is one update."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a connection ended, or why it could not be opened."""

    code: int | None
    reason: str
    status: int | None = None
    retry_after_ms: float | None = None


class Socket:
    """Opens a connection, sends texts in order and yields received ones. Belongs to the one task that iterates over it."""

    def __init__(self, url: str, token: str | None) -> None:
        self._url = url
        self._token = token
        self._outgoing: deque[str] = deque()
        self._has_outgoing = asyncio.Event()
        self.ended: Ended | None = None

    def send(self, text: str) -> None:
        """Queues a text. Its length is bounded by the requests that the client keeps."""
        self._outgoing.append(text)
        self._has_outgoing.set()

    async def texts(self) -> AsyncGenerator[str, None]:
        """Received texts until the connection ends; then `ended` says how."""
        try:
            connection = await self._connect()
        except InvalidStatus as error:
            self.ended = _refused(error)
            return
        except (OSError, TimeoutError, InvalidHandshake, EOFError) as error:
            self.ended = Ended(1006, f"cannot reach {self._url}: {error or type(error).__name__}")
            return
        writer = asyncio.create_task(self._write(connection))
        try:
            async for text in connection:
                if isinstance(text, str):
                    yield text
            self.ended = Ended(connection.close_code, connection.close_reason or "")
        except ConnectionClosed:
            self.ended = Ended(connection.close_code, connection.close_reason or "")
        finally:
            # A peer that does not answer must not delay the next connection.
            connection.transport.abort()
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)

    async def _connect(self) -> ClientConnection:
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        return await connect(
            self._url,
            additional_headers=headers,
            subprotocols=[SUBPROTOCOL],  # type: ignore[list-item]
            open_timeout=CONNECT_TIMEOUT,
            # The core pings itself: it alone decides when a connection is dead.
            ping_interval=None,
            max_size=MAX_MESSAGE_BYTES,
        )

    async def _write(self, connection: ClientConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                while self._outgoing:
                    await connection.send(self._outgoing.popleft())
                self._has_outgoing.clear()
                await self._has_outgoing.wait()


def _refused(error: InvalidStatus) -> Ended:
    response = error.response
    seconds = response.headers.get("Retry-After", "")
    body = (response.body or b"")[:500].decode("utf-8", "replace")
    return Ended(
        None,
        f"HTTP status {response.status_code}: {body}",
        status=response.status_code,
        retry_after_ms=float(seconds) * 1000 if seconds.isdigit() else None,
    )
