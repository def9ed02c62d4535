"""The REST API: what is stored, by resource. `/api-docs` of a server describes the fields."""

from __future__ import annotations

from typing import Any

from . import json_text
from .http_client import Http, Parameter, path
from .pages import Pages

Time = str | int
"""RFC 3339, or ms since the Unix epoch."""


class Rest:
    """Reads stored data. Lists are async iterators over all of their pages, `limit` items a request."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def get(self, resource: str, **parameters: Parameter) -> Any:
        """Any resource, by its path such as `/api/v1/status`."""
        return await self._http.get(resource, parameters)

    def pages(self, resource: str, **parameters: Parameter) -> Pages:
        """Any list, by its path such as `/api/v1/tokens`."""
        return Pages(self._http, resource, parameters)

    async def status(self, *, chain: int | None = None) -> dict[str, Any]:
        """Version, epoch, the state of each chain and of each price source."""
        return self._object(await self.get(path("status"), chain=chain))

    def blocks(
        self, *, before: int | None = None, after: int | None = None, chain: int | None = None, limit: int = 1000
    ) -> Pages:
        """Blocks, newest first; `before` and `after` are exclusive."""
        return self.pages(path("blocks"), before=before, after=after, chain=chain, limit=limit)

    async def block(self, block: int | str = "latest", *, chain: int | None = None) -> dict[str, Any]:
        """A block by number, hash, `latest`, `safe` or `finalized`."""
        return self._object(await self.get(path("blocks", block), chain=chain))

    def block_transactions(self, block: int | str = "latest", *, chain: int | None = None, limit: int = 1000) -> Pages:
        """The transactions of a block, in order."""
        return self.pages(path("blocks", block, "transactions"), chain=chain, limit=limit)

    async def transaction(self, hash: str, *, chain: int | None = None) -> dict[str, Any]:
        """A transaction with its receipt and logs."""
        return self._object(await self.get(path("transactions", hash), chain=chain))

    def transactions(self, address: str, *, chain: int | None = None, limit: int = 1000) -> Pages:
        """The transactions from or to an address, newest first."""
        return self.pages(path("addresses", address, "transactions"), chain=chain, limit=limit)

    def transfers(self, address: str, *, chain: int | None = None, limit: int = 1000) -> Pages:
        """The transfers from or to an address, newest first."""
        return self.pages(path("addresses", address, "transfers"), chain=chain, limit=limit)

    def tokens(self, *, limit: int = 1000) -> Pages:
        """The tokens whose prices are tracked."""
        return self.pages(path("tokens"), limit=limit)

    def prices(self, *, limit: int = 1000) -> Pages:
        """The newest price of each token."""
        return self.pages(path("prices"), limit=limit)

    async def price(self, token: str) -> dict[str, Any]:
        """The newest price of a token."""
        return self._object(await self.get(path("prices", token)))

    def history(self, token: str, *, start: Time | None = None, end: Time | None = None, limit: int = 1000) -> Pages:
        """The ticks of a token, newest first."""
        return self.pages(path("prices", token, "history"), **{"from": start}, to=end, limit=limit)

    def candles(
        self,
        token: str,
        interval: str = "1m",
        *,
        start: Time | None = None,
        end: Time | None = None,
        limit: int = 1000,
    ) -> Pages:
        """Candles, oldest first; without `start`, the newest `limit`. `interval` is 1m, 5m, 15m, 1h, 4h or 1d."""
        resource = path("prices", token, "candles")
        return self.pages(resource, interval=interval, **{"from": start}, to=end, limit=limit)

    def contracts(self) -> Pages:
        """The configured contracts."""
        return self.pages(path("contracts"))

    def contract_events(
        self,
        contract: str,
        *,
        event: str | None = None,
        from_block: int | None = None,
        to_block: int | None = None,
        limit: int = 1000,
    ) -> Pages:
        """The decoded events of a configured contract, newest first; the blocks are inclusive."""
        resource = path("contracts", contract, "events")
        return self.pages(resource, event=event, from_block=from_block, to_block=to_block, limit=limit)

    def updates(self, channel: str, *, since: int | None = None, epoch: str | None = None, limit: int = 1000) -> Pages:
        """The stored messages of a channel, oldest first, up to the newest. `Client.stream` continues with live ones."""
        return self.pages(path("channels", channel, "updates"), since=since, epoch=epoch, limit=limit)

    @staticmethod
    def _object(value: Any) -> dict[str, Any]:
        return json_text.with_decimals(dict(value))
