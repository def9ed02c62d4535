"""One connection, from `connected` to its end: requests out, answers and channel messages in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..update import Update
from .channel import Phase, Verdict
from .joins import Joins
from .liveness import Liveness
from .outputs import Answered, Deliver, Failed, FetchToken, Output, Send
from .requests import Request, Requests
from .retries import retry_delay_ms
from .subscriptions import SubscribeRequest, Subscriptions

Message = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Auth:
    """A request that renews the token."""


_Sent = SubscribeRequest | Request | _Auth


class Session:
    """The state of one connection. Subscriptions and requests outlive it."""

    def __init__(
        self, now: float, subscriptions: Subscriptions, requests: Requests, ids: Iterator[int], can_renew: bool
    ) -> None:
        self.liveness = Liveness(now)
        self.connected_at: float | None = None
        self._subscriptions = subscriptions
        self._requests = requests
        self._ids = ids
        self._can_renew = can_renew
        self._epoch = ""
        self._subject: str | None = None
        self._sent: dict[int, _Sent] = {}
        self._joins = Joins(subscriptions, "")

    def served_ms(self, now: float) -> float:
        """How long the server has served this session."""
        return 0.0 if self.connected_at is None else now - self.connected_at

    def flush(self, now: float) -> list[Output]:
        """Sends what is due: subscriptions first."""
        if self.connected_at is None:
            return []
        out: list[Output] = []
        for subscribe in self._subscriptions.requests(now):
            sent = self._send("subscribe", subscribe.data, subscribe)
            for name in subscribe.channels:
                channel = self._subscriptions.get(name)
                if channel is not None:
                    channel.join_id = sent.message["id"]
            out.append(sent)
        for request in self._requests.due(now):
            sent = self._send(request.event, request.data, request)
            request.id = sent.message["id"]
            out.append(sent)
        return out

    def ping(self, now: float) -> list[Output]:
        """Asks the server for a sign of life, unless an earlier ping waits for one."""
        if self.liveness.waits_for_answer:
            return []
        self.liveness.pinged(now)
        return [self._send("ping", None, None)]

    def authenticate(self, token: str) -> list[Output]:
        """Renews the token."""
        return [self._send("auth", {"token": token}, _Auth())]

    def unsubscribe(self, name: str) -> list[Output]:
        """Ends a subscription."""
        return [] if self.connected_at is None else [self._send("unsubscribe", {"channels": [name]}, None)]

    def message(self, now: float, message: Message) -> list[Output]:
        """Handles a message of the server. Unknown events without a channel are ignored, as the protocol demands."""
        self.liveness.received(now)
        data = message.get("data") or {}
        match message.get("event"):
            case "connected":
                return self._connected(now, data)
            case "ack":
                return self._answered(now, message.get("id"), data)
            case "error":
                return self._refused(now, message.get("id"), data)
            case "token-expiring":
                return [FetchToken()] if self._can_renew else []
            case _:
                return self._pushed(now, message)

    def _send(self, event: str, data: Message | None, purpose: _Sent | None) -> Send:
        number = next(self._ids)
        if purpose is not None:
            self._sent[number] = purpose
        message: dict[str, Any] = {"id": number, "event": event}
        if data is not None:
            message["data"] = data
        return Send(message)

    def _connected(self, now: float, data: Message) -> list[Output]:
        self.connected_at = now
        self._epoch = data["epoch"]
        self._joins = Joins(self._subscriptions, self._epoch)
        self._subject = (data.get("user") or {}).get("sub")
        self.liveness.connected(data["pingInterval"], data["pingTimeout"])
        return self.flush(now)

    def _answered(self, now: float, number: object, data: Message) -> list[Output]:
        match self._sent_request(number):
            case id, SubscribeRequest() as subscribe:
                return self._joins.accepted(now, id, subscribe, data) + self.flush(now)
            case _, Request() as request:
                self._requests.remove(request.name)
                self._skip_own(request, data)
                return [Answered(request.name, data)]
            case _, _Auth():
                self._subject = (data.get("user") or {}).get("sub")
                ended = data.get("unsubscribed") or ()
                return [out for name in ended for out in self._joins.reject(name, "FORBIDDEN", "the new token does not allow it")]
            case _:
                return []

    def _refused(self, now: float, number: object, refusal: Message) -> list[Output]:
        match self._sent_request(number):
            case id, SubscribeRequest() as subscribe:
                return self._joins.refused(now, id, subscribe, refusal) + self.flush(now)
            case _, Request() as request:
                delay = retry_delay_ms(refusal)
                if delay is None or request.is_sent_once:
                    self._requests.remove(request.name)
                    return [Failed(request.name, refusal.get("code", "INTERNAL"), refusal.get("message", ""))]
                request.id, request.retry_at = None, now + delay
                return []
            case _:
                return []

    def _sent_request(self, number: object) -> tuple[int, _Sent] | None:
        """The request that an answer is for, which is answered once."""
        sent = self._sent.pop(number, None) if isinstance(number, int) else None
        return None if sent is None or not isinstance(number, int) else (number, sent)

    def _skip_own(self, request: Request, data: Message) -> None:
        """A message without echo is not delivered: its seq is not missing."""
        channel = self._subscriptions.get(data.get("channel", request.data.get("channel")))
        if request.is_silent_publish and channel is not None and "seq" in data:
            channel.skip(data["seq"])

    def _pushed(self, now: float, message: Message) -> list[Output]:
        channel = self._subscriptions.get(message.get("channel", ""))
        if channel is None:
            return []
        match channel.check(message):
            case Verdict.LOSS:
                channel.restart_after_loss(now)
                return self.flush(now)
            case Verdict.IGNORE:
                return []
        if self._is_own(message):
            return []
        update = Update(
            channel=channel.name,
            event=message["event"],
            data=message.get("data") or {},
            seq=message.get("seq"),
            epoch=self._epoch,
            snapshot=bool(message.get("snapshot")),
        )
        channel.remember(update)
        out: list[Output] = [Deliver(update)]
        if update.event == "heartbeat":
            out += self._compare(now, update.data.get("seqs") or {})
        return out

    def _is_own(self, message: Message) -> bool:
        """Whether it is a message that this client published with `echo: false` and whose answer was lost."""
        data = message.get("data") or {}
        if message.get("snapshot") or "key" not in data or self._subject not in (None, data.get("from")):
            return False
        return data["key"] in self._requests.silent_keys(message["channel"])

    def _compare(self, now: float, seqs: Mapping[str, int]) -> list[Output]:
        """Every update up to the seqs of a heartbeat was sent before it, except those that wait for an interval."""
        for name, seq in seqs.items():
            channel = self._subscriptions.get(name)
            if channel is None or channel.phase is not Phase.LIVE or channel.options.interval:
                continue
            if seq > (channel.last or 0):
                channel.restart_after_loss(now)
        return self.flush(now)
