"""Tests of agents without a broker: in-memory log, virtual clock, scripted model and tools, crashes at will."""

from streams.model.scripted_model import ScriptedModel
from streams.testing.harness import BEGINNING_MS, Harness, run_agent
from streams.testing.outcomes import Call, Hang, Outcome, RunEndedError

__all__ = ["BEGINNING_MS", "Call", "Hang", "Harness", "Outcome", "RunEndedError", "ScriptedModel", "run_agent"]
