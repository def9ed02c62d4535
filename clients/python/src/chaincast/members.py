"""Who is in a room."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Member:
    """A subject in a room."""

    sub: str
    info: Mapping[str, Any]
    sessions: int
    since: int
    """When its first session joined, in ms since the Unix epoch."""


@dataclass(frozen=True, slots=True)
class Members:
    """The members of a room now."""

    members: tuple[Member, ...]
    """At most 1,000."""
    count: int
    """The exact number."""

    @classmethod
    def from_answer(cls, data: Mapping[str, Any]) -> Members:
        """Reads the answer to `presence`."""
        members = tuple(
            Member(one["sub"], one.get("info") or {}, one["sessions"], one["since"]) for one in data["members"]
        )
        return cls(members, data["count"])
