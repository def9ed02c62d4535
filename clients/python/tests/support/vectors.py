"""Runs a case of the shared test vectors (crates/protocol/vectors) against the core."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chaincast.core import (
    Answered,
    Close,
    Deliver,
    Failed,
    FetchToken,
    Lost,
    Machine,
    Open,
    Options,
    Output,
    Rejected,
    Send,
    Subscription,
)

Json = dict[str, Any]


class Runner:
    """One client, driven step by step."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        # Of each wait; the vectors leave it open within bounds.
        self.random = 0.0
        self.machine = Machine(has_token=bool(options.get("token")), random=lambda: self.random)
        self.names: dict[str, Any] = {}
        self.now = 0.0

    def step(self, step: Json) -> None:
        """Fails unless the outputs of a step are the expected ones."""
        self.now = step.get("at", self.now)
        outputs = self.machine.advance(self.now)
        if "in" in step:
            [(kind, value)] = step["in"].items()
            outputs += self._input(kind, self._filled(value))
        actual = [one for one in map(_described, outputs) if one is not None]
        expected = step["out"]
        assert len(actual) == len(expected), f"expected {expected}, got {actual}"
        for wanted, given in zip(expected, actual, strict=True):
            [(kind, value)] = wanted.items()
            assert kind in given, f"expected {wanted}, got {given}"
            self._compare(kind, value, given[kind])

    def _input(self, kind: str, value: Any) -> list[Output]:
        machine, now = self.machine, self.now
        match kind:
            case "subscribe":
                return machine.subscribe(now, [_subscription(one) for one in value])
            case "unsubscribe":
                return machine.unsubscribe(now, value["channel"])
            case "request":
                return machine.request(now, value["name"], value["event"], value["data"])
            case "token":
                return machine.token_failed(now) if "error" in value else machine.token(now, value["value"])
            case "message":
                return machine.received(now, value)
            case "closed":
                status, retry_after = value.get("status"), value.get("retryAfterMs")
                return machine.closed(now, value["code"], value["reason"], status=status, retry_after=retry_after)
            case "wake":
                return machine.wake(now)
            case "connect":
                return machine.connect(now)
            case "stop":
                return machine.stop(now)
        raise AssertionError(f"unknown input {kind}: does crates/protocol/vectors/README.md have a new one?")

    def _compare(self, kind: str, wanted: Json, given: Json) -> None:
        if kind in ("deliver", "refused", "failed"):
            given = {key: value for key, value in given.items() if key in wanted}
        assert self._matches(wanted, given), f"expected {kind} {wanted}, got {given}"

    def _matches(self, wanted: Any, given: Any) -> bool:
        if isinstance(wanted, str) and wanted.startswith("$"):
            return bool(self.names.setdefault(wanted, given) == given)
        if isinstance(wanted, dict) and isinstance(given, Mapping):
            return wanted.keys() == given.keys() and all(self._matches(wanted[key], given[key]) for key in wanted)
        if isinstance(wanted, list) and isinstance(given, list):
            return len(wanted) == len(given) and all(map(self._matches, wanted, given))
        return bool(wanted == given and isinstance(wanted, bool) == isinstance(given, bool))

    def _filled(self, value: Any) -> Any:
        """The value with names of placeholders replaced by what they stand for."""
        if isinstance(value, dict):
            return {key: self._filled(one) for key, one in value.items()}
        if isinstance(value, list):
            return [self._filled(one) for one in value]
        return self.names.get(value, value) if isinstance(value, str) else value


def _subscription(value: Json) -> Subscription:
    options = {key: one for key, one in value.items() if key not in ("channel", "since", "epoch")}
    return Subscription(value["channel"], Options(**options), value.get("since"), value.get("epoch"))


def _described(output: Output) -> Json | None:
    """The output in the words of the vectors; None for those that they do not compare."""
    match output:
        case FetchToken():
            return {"token": {}}
        case Open(token):
            return {"open": {} if token is None else {"token": token}}
        case Close():
            return {"close": {}}
        case Send(message):
            return {"send": message}
        case Deliver(update):
            delivered = {"channel": update.channel, "event": update.event, "seq": update.seq, "data": update.data}
            return {"deliver": {**delivered, "snapshot": update.snapshot}}
        case Lost(gap):
            return {"gap": {"channel": gap.channel, "from": gap.first, "to": gap.last, "reason": gap.reason}}
        case Rejected(channel, code):
            return {"refused": {"channel": channel, "code": code}}
        case Answered(name, data):
            return {"answer": {"name": name, "data": data}}
        case Failed(name, code):
            return {"failed": {"name": name, "code": code}}
    return None
