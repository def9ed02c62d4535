"""Async tests, and the servers that tests share."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.servers import ROOT, Dev, Gateway

TEST_TIMEOUT = 120.0


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Runs an async test in a loop of its own, and fails if it leaves a task or a file descriptor behind."""
    test = pyfuncitem.obj
    if not inspect.iscoroutinefunction(test):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in inspect.signature(test).parameters}

    async def run() -> None:
        async with asyncio.timeout(TEST_TIMEOUT):
            await test(**arguments)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"the test left tasks behind: {left}"

    gc.collect()
    before = _descriptors()
    asyncio.run(run())
    gc.collect()
    assert _descriptors() <= before, "the test left sockets or files open"
    return True


def _descriptors() -> int:
    """The number of open files and sockets; 0 where it cannot be read."""
    folder = "/proc/self/fd"
    return len(os.listdir(folder)) if Path(folder).exists() else 0


@pytest.fixture(scope="session")
def dev() -> Iterator[Dev]:
    """A running `chaincast dev`."""
    folder = ROOT / "target"
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="python-client-", dir=folder) as directory:
        running = Dev(Path(directory))
        yield running
        running.stop()


@pytest.fixture
def gateway(dev: Dev) -> Iterator[Gateway]:
    """A gateway that the test may kill."""
    running = Gateway(dev.config)
    yield running
    running.end()
