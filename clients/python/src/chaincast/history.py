"""The stored updates of a channel, from a position to the newest (docs/protocol.md, "From REST to live without a gap")."""

from __future__ import annotations

from collections import deque
from typing import Any

from . import json_text
from .errors import RestError
from .http_client import Http, path
from .update import Gap, Update

PAGE = 1000


class History:
    """Reads updates in order, page by page as they are needed. A cancelled read can be repeated: nothing is lost."""

    def __init__(self, http: Http, channel: str, since: int | None, epoch: str | None) -> None:
        self._http = http
        self._channel = channel
        self._items: deque[Update | Gap] = deque()
        self._is_complete = False
        self.since = since
        """The seq up to which updates were read; None before the first page from the oldest one."""
        self.epoch = epoch

    async def next(self) -> Update | Gap | None:
        """The next update; a gap, if the server has deleted some; None after the newest."""
        while not self._items:
            if self._is_complete:
                return None
            await self._read_page()
        return self._items.popleft()

    async def _read_page(self) -> None:
        query = {"limit": PAGE, "since": self.since, "epoch": self.epoch}
        try:
            page = await self._http.get(path("channels", self._channel, "updates"), query, max_attempts=None)
        except RestError as error:
            if error.code != "GONE":
                raise
            self._skip_missing(error)
            return
        self.epoch = page["epoch"]
        for message in page["data"]:
            self._items.append(self._update(message))
            self.since = message["seq"]
        if self.since is None:
            self.since = page["seq"]
        self._is_complete = page["next"] is None

    def _update(self, message: dict[str, Any]) -> Update:
        return Update(
            channel=message["channel"],
            event=message["event"],
            data=json_text.with_decimals(message["data"]),
            seq=message["seq"],
            epoch=self.epoch or "",
        )

    def _skip_missing(self, error: RestError) -> None:
        """Reports what is missing, and continues with the oldest stored update."""
        since, oldest, newest = self.since or 0, error.problem["oldest"], error.problem["newest"]
        if error.problem.get("parameter") == "epoch" or since > newest:
            self._items.append(Gap(self._channel, since + 1, None, "epoch"))
            self.since = self.epoch = None
        elif since + 1 < oldest:
            self._items.append(Gap(self._channel, since + 1, oldest - 1, "deleted"))
            self.since = oldest - 1
