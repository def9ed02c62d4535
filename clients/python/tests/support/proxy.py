"""A TCP proxy that breaks the network on request."""

from __future__ import annotations

import asyncio
import contextlib
from types import TracebackType

CHUNK = 4096


class Proxy:
    """Forwards connections to a server. Every fault is of the connections that are open at that moment."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._server: asyncio.Server | None = None
        self._links: set[_Link] = set()
        self.is_refusing = False
        """Whether new connections are closed at once."""
        self.delay = 0.0
        """Seconds before each chunk is forwarded."""

    async def __aenter__(self) -> Proxy:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        while self._links:
            await asyncio.gather(*(link.done.wait() for link in self._links))

    @property
    def url(self) -> str:
        """Where clients connect."""
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    @property
    def open(self) -> int:
        """The number of open connections."""
        return len(self._links)

    def cut(self) -> None:
        """Ends every connection without a close frame."""
        for link in self._links:
            link.end()

    def cut_after(self, size: int) -> None:
        """Ends every connection after this many further bytes from the server: mostly within a frame."""
        for link in self._links:
            link.remaining = size

    def freeze(self) -> None:
        """Forwards nothing more, but leaves the connections open."""
        for link in self._links:
            link.is_frozen = True

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_refusing:
            writer.transport.abort()
            return
        link = _Link(self, reader, writer)
        self._links.add(link)
        try:
            await link.run(self._target)
        finally:
            self._links.discard(link)
            link.done.set()


class _Link:
    """One connection through the proxy."""

    def __init__(self, proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._reader = reader
        self._writer = writer
        self._ended = asyncio.Event()
        self.done = asyncio.Event()
        self.is_frozen = False
        self.remaining: int | None = None

    def end(self) -> None:
        """Ends it."""
        self._ended.set()

    async def run(self, port: int) -> None:
        """Forwards both directions until one ends."""
        upstream: asyncio.StreamWriter | None = None
        tasks: list[asyncio.Task[None]] = []
        try:
            with contextlib.suppress(OSError):
                reader, upstream = await asyncio.open_connection("127.0.0.1", port)
                tasks = [
                    asyncio.create_task(self._pump(self._reader, upstream, is_reply=False)),
                    asyncio.create_task(self._pump(reader, self._writer, is_reply=True)),
                ]
                await self._ended.wait()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._writer.transport.abort()
            if upstream is not None:
                upstream.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_reply: bool) -> None:
        try:
            while data := await reader.read(CHUNK):
                if self.is_frozen:
                    # Reads on, so that neither side notices.
                    continue
                if self._proxy.delay:
                    await asyncio.sleep(self._proxy.delay)
                if is_reply and self.remaining is not None:
                    data = data[: self.remaining]
                    self.remaining -= len(data)
                writer.write(data)
                await writer.drain()
                if self.remaining == 0:
                    break
        except OSError:
            pass
        if not self.is_frozen:
            self.end()
