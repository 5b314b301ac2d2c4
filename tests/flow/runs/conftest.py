"""A fresh world for each test of runs."""

from __future__ import annotations

import pytest

from tests.flow.runs.world import World


@pytest.fixture
def world() -> World:
    return World()
