"""A bot that trades on paper, and resumes after a crash as if nothing had happened.

    python bot.py --state bot.json [--url http://127.0.0.1:3000] [--token ETH]

It buys when the price is 0.2 % below its moving average and sells when it is as far above it. Its account and its position in the
channel are in one file, which is replaced as a whole: after a crash, the bot continues with the first update that is not in
the account yet. So each update counts exactly once.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from pathlib import Path

from chaincast import Client, Gap, Position, Start, Update

WINDOW = 20
THRESHOLD = Decimal("0.002")


@dataclass
class Account:
    """Everything that the bot knows."""

    epoch: str | None = None
    seq: int = 0
    updates: int = 0
    cash: Decimal = Decimal(10_000)
    coins: Decimal = Decimal(0)
    trades: int = 0
    prices: list[Decimal] = field(default_factory=list)

    @property
    def start(self) -> Start:
        """Where the stream begins."""
        return "start" if self.epoch is None else Position(self.epoch, self.seq)

    def apply(self, update: Update) -> None:
        """Counts an update, and trades."""
        assert update.seq is not None, "prices are stored"
        self.epoch, self.seq = update.epoch, update.seq
        self.updates += 1
        if update.data["status"] == "stale":
            return
        price = Decimal(update.data["price"])
        if len(self.prices) == WINDOW:
            average = sum(self.prices, Decimal(0)) / WINDOW
            if price < average * (1 - THRESHOLD) and self.cash:
                self.coins, self.cash = self.cash / price, Decimal(0)
                self.trades += 1
            elif price > average * (1 + THRESHOLD) and self.coins:
                self.cash, self.coins = self.coins * price, Decimal(0)
                self.trades += 1
        self.prices = [*self.prices, price][-WINDOW:]

    def save(self, path: Path) -> None:
        """Replaces the file: it has either the old account or the new one, also after a crash."""
        temporary = path.with_suffix(".tmp")
        with temporary.open("w") as file:
            json.dump(asdict(self), file, default=str)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    @classmethod
    def load(cls, path: Path) -> Account:
        """The stored account, or a new one."""
        try:
            stored = json.loads(path.read_text())
        except FileNotFoundError:
            return cls()
        for name in ("cash", "coins"):
            stored[name] = Decimal(stored[name])
        stored["prices"] = [Decimal(price) for price in stored["prices"]]
        return cls(**stored)


async def run(url: str, token: str, path: Path) -> None:
    """Trades until it is stopped."""
    account = Account.load(path)
    async with Client(url) as client:
        async for update in client.stream(f"price:{token}", start=account.start):
            if isinstance(update, Gap):
                print(f"the server has deleted updates {update.first} to {update.last}; the average begins again", flush=True)
                account.prices.clear()
                continue
            account.apply(update)
            account.save(path)
            print(f"#{account.seq} {update.data['price']} cash {account.cash:.2f} coins {account.coins:.4f}", flush=True)


def main() -> None:
    """Parses the arguments and runs the bot."""
    parser = argparse.ArgumentParser(description="trades on paper and resumes after a crash")
    parser.add_argument("--url", default="http://127.0.0.1:3000", help="URL of the server")
    parser.add_argument("--token", default="ETH", help="symbol of the token")
    parser.add_argument("--state", type=Path, required=True, help="file with the account and the position")
    options = parser.parse_args()
    try:
        asyncio.run(run(options.url, options.token, options.state.absolute()))
    except KeyboardInterrupt:
        print("stopped; the same command continues")


if __name__ == "__main__":
    main()
