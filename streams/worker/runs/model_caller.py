"""Asks the model for a run: within its budgets, with all that it costs on the log."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Final

from streams.errors import StreamsError
from streams.limits.budget_account import BudgetAmount
from streams.limits.budget_client import BudgetClient, Spender, at_least, counted
from streams.limits.single_flight import SharedCall
from streams.model.ask import ask, question
from streams.model.chat import ChatRequest, Usage
from streams.model.hash import meant, request_hash
from streams.model.roles import RoledModel
from streams.telemetry import conceal
from streams.tools._call_records import model_record

if TYPE_CHECKING:
    from streams.engine.decision import Perform
    from streams.engine.messages import EffectDone
    from streams.limits.budget_client import BudgetReservation
    from streams.limits.single_flight import Confirm, SingleFlight
    from streams.model.ask import CallMade
    from streams.model.chat import ChatModel
    from streams.model.prices import Price
    from streams.worker.runs.token_buffer import TokenBuffer

_LONGEST_S: Final = 300.0  # for which others wait for an answer that a worker has promised and does not give


class _ParkedError(StreamsError):
    """Raised where a call has to wait for a budget; the message says for which."""


class ModelCaller:
    """One attempt at a time, for all runs of a worker."""

    def __init__(
        self,
        model: Callable[[], ChatModel],
        budget_client: BudgetClient,
        tokens: TokenBuffer | None = None,
        shared_calls: SingleFlight | None = None,
    ) -> None:
        """`model` gives the chat model at its first use; `budget_client` knows the budgets.

        `tokens` knows who listens, `shared_calls` the answers that runs share.
        """
        self._model = model
        self._budget_client = budget_client
        self._tokens = tokens
        self._shared_calls = shared_calls

    async def __call__(self, spender: Spender, perform: Perform, report: EffectDone) -> None:
        """Fill `report` with the answer, its cost and its records, or with the budget that the call has to wait for."""
        ttl = perform.args.get("cache")
        try:
            if ttl is None or self._shared_calls is None:
                report.value = await self._paid(spender, perform, report)
                return

            async def compute(_: Confirm) -> tuple[Any, bool]:
                return await self._paid(spender, perform, report), False

            cached = SharedCall(self._hash(perform), float(ttl), perform.timeout or _LONGEST_S, spender.run_id)
            report.value, report.recorded = await self._shared_calls.through(cached, compute)
        except _ParkedError as parked:
            report.parked = str(parked)

    def _hash(self, perform: Perform) -> str:
        """Return the hash of all that determines the answer, its type included."""
        given, model = perform.args, self._model()
        returns = perform.returns if perform.returns is not None else str
        asked = question(given["prompt"], given.get("args", ()), returns=returns, params=given.get("params"))
        return request_hash(meant(model, asked), model.name)

    async def _paid(self, spender: Spender, perform: Perform, report: EffectDone) -> Any:
        """Ask, within the budgets."""
        given, model = perform.args, self._model()
        attempt = f"{spender.run_id}/{perform.path}/{perform.resume}/{perform.attempt}"
        held: BudgetReservation | None = None
        if self._budget_client.claims(spender):
            price, known = _price(model, given)
            got = await self._budget_client.hold(spender, attempt, at_least(given, price), priced=known)
            if isinstance(got, str):
                raise _ParkedError(got)
            held = got
        made: list[CallMade] = []
        try:
            with (
                nullcontext() if self._tokens is None else self._tokens.call(spender.run_id, perform.path) as add_piece
            ):
                answer = await ask(
                    model,
                    given["prompt"],
                    given.get("args", ()),
                    returns=perform.returns if perform.returns is not None else str,
                    params=given.get("params"),
                    made=made.append,
                    on_delta=add_piece,
                )
        finally:  # what was answered is paid for, also when the answer is no good
            self._count(spender, perform, report, attempt, made, held)
        return conceal(answer.value)

    def _count(
        self,
        spender: Spender,
        perform: Perform,
        report: EffectDone,
        attempt: str,
        made: list[CallMade],
        held: BudgetReservation | None,
    ) -> None:
        if not made:
            if held is not None:
                self._budget_client.free(held)
            return
        usage = sum((call.usage for call in made), Usage())
        report.usage = usage.to_json()
        report.calls.extend(model_record(spender.run_id, perform, call) for call in made)
        report.also += counted(spender, attempt, len(made), report.usage)
        if held is not None:
            used = BudgetAmount(usage.input_tokens + usage.output_tokens, usage.cost_usd or 0.0, len(made))
            report.also += self._budget_client.settled(held, used)


def _price(model: ChatModel, given: dict[str, object]) -> tuple[Price | None, bool]:
    """Return what the model costs that will be asked, and whether that is known; a model without roles is a test's."""
    params = given.get("params")
    named = str(params.get("model") or "") if isinstance(params, dict) else ""
    if not isinstance(model, RoledModel):
        return None, True
    price = model.price(model.model_of(ChatRequest((), named)))
    return price, price is not None
