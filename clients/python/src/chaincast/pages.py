"""Lists of the REST API."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Mapping
from typing import Any

from . import json_text
from .http_client import Http, Parameter


class Pages(AsyncIterator[dict[str, Any]]):
    """The items of a list, read page by page as they are needed.

    An iteration that was cancelled can continue: no item is lost.
    """

    def __init__(self, http: Http, path: str, parameters: Mapping[str, Parameter]) -> None:
        self._http = http
        self._path = path
        self._parameters = parameters
        self._items: deque[dict[str, Any]] = deque()
        self._cursor: str | None = None
        self._is_complete = False

    def __aiter__(self) -> Pages:
        return self

    async def __anext__(self) -> dict[str, Any]:
        while not self._items:
            if self._is_complete:
                raise StopAsyncIteration
            page = await self._http.get(self._path, {**self._parameters, "cursor": self._cursor})
            self._items.extend(map(_item, page["data"]))
            self._cursor = page["next"]
            self._is_complete = self._cursor is None
        return self._items.popleft()

    async def take(self, count: int) -> list[dict[str, Any]]:
        """The next items, at most `count`."""
        items: list[dict[str, Any]] = []
        while len(items) < count:
            try:
                items.append(await anext(self))
            except StopAsyncIteration:
                break
        return items


def _item(fields: dict[str, Any]) -> dict[str, Any]:
    if "seq" in fields and isinstance(fields.get("data"), dict):
        # A message of a channel.
        json_text.with_decimals(fields["data"])
    return json_text.with_decimals(fields)
