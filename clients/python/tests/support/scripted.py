"""A server that does exactly what a test says: for moments that a real one does not reach on request."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from types import TracebackType
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

Json = dict[str, Any]


class Session:
    """One connection to the scripted server."""

    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection

    async def receive(self) -> Json:
        """The next request."""
        request: Json = json.loads(await self._connection.recv())
        return request

    async def send(self, **message: Any) -> None:
        """Sends a message."""
        await self._connection.send(json.dumps(message))

    async def greet(self, epoch: str = "e1") -> None:
        """Sends `connected`."""
        data = {"clientId": "c", "serverTime": 1, "epoch": epoch, "pingInterval": 10000, "pingTimeout": 5000}
        await self.send(event="connected", data={**data, "user": {"sub": "bot"}})

    async def accept(self, request: Json, seq: int, recovered: bool = False) -> None:
        """Accepts a subscription."""
        results = [
            {"channel": name, "success": True, "seq": seq, "recovered": recovered}
            for name in request["data"]["channels"]
        ]
        await self.send(event="ack", id=request["id"], data={"success": True, "channels": results})

    async def close(self, code: int, reason: str = "") -> None:
        """Ends the session."""
        await self._connection.close(code, reason)

    def cut(self) -> None:
        """Ends the connection without a close frame."""
        self._connection.transport.abort()


Script = Callable[[int, Session], Awaitable[None]]


class ScriptedServer:
    """Runs a function for each session. `script(number, session)` plays one; when it returns, the session is closed.

    `rest` has the answers to GET requests by path.
    """

    def __init__(self, script: Script, rest: Mapping[str, Json] | None = None) -> None:
        self._script = script
        self._rest = rest or {}
        self._sessions = 0
        self._server: Server | None = None
        self.headers: list[str | None] = []
        """The `Authorization` of each handshake."""

    async def __aenter__(self) -> ScriptedServer:
        self._server = await serve(self._play, "127.0.0.1", 0, process_request=self._answer)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        """Where clients connect."""
        assert self._server is not None
        return f"ws://127.0.0.1:{next(iter(self._server.sockets)).getsockname()[1]}"

    def _answer(self, connection: ServerConnection, request: Request) -> Response | None:
        answer = self._rest.get(request.path.partition("?")[0])
        return None if answer is None else connection.respond(HTTPStatus.OK, json.dumps(answer))

    async def _play(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        self.headers.append(connection.request.headers.get("Authorization"))
        self._sessions += 1
        with contextlib.suppress(ConnectionClosed):
            await self._script(self._sessions, Session(connection))
