"""examples/python-bot: killed again and again, it counts every update once."""

from __future__ import annotations

import asyncio
import importlib.util
import random
import sys
from pathlib import Path
from types import ModuleType

from support.checks import take
from support.servers import ROOT, Dev

from chaincast import Client

BOT = ROOT / "examples" / "python-bot" / "bot.py"
CRASHES = 5


def load_bot() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bot", BOT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["bot"] = module
    spec.loader.exec_module(module)
    return module


async def run_and_kill(url: str, state: Path, lines: int) -> None:
    """Runs the bot until it has printed some lines, and kills it at a random moment after that."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(BOT), "--url", url, "--state", str(state), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        for _ in range(lines):
            assert await process.stdout.readline(), "the bot ended"
        await asyncio.sleep(random.random() / 50)
    finally:
        process.kill()
        await process.communicate()


async def test_bot_counts_each_update_once_despite_crashes(dev: Dev, tmp_path: Path) -> None:
    bot = load_bot()
    state = tmp_path / "bot.json"
    async with Client(dev.url) as client:
        await take(client.stream("price:ETH", start="start"), 30)
        for _ in range(CRASHES):
            await run_and_kill(dev.url, state, random.randrange(3, 12))
        stored = bot.Account.load(state)
        expected = bot.Account()
        for update in await take(client.stream("price:ETH", start="start"), stored.updates):
            expected.apply(update)
    assert stored == expected and stored.updates == stored.seq > 15
