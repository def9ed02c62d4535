"""The rules that all clients share (crates/protocol/vectors)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.vectors import Runner

FOLDER = Path(__file__).parents[3] / "crates" / "protocol" / "vectors" / "client"
CASES = [
    pytest.param(case, id=f"{file.stem}: {case['name']}")
    for file in sorted(FOLDER.glob("*.json"))
    for case in json.loads(file.read_text())
]


def test_finds_vectors() -> None:
    assert len(CASES) > 50


@pytest.mark.parametrize("random", [0.5, 0.999])
@pytest.mark.parametrize("case", CASES)
def test_vector(case: dict[str, Any], random: float) -> None:
    runner = Runner(case.get("options", {}))
    runner.random = random
    for number, step in enumerate(case["steps"]):
        try:
            runner.step(step)
        except AssertionError as error:
            raise AssertionError(f"step {number}: {error}") from error
