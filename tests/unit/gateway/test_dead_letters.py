"""Dead letters over HTTP: what a redrive writes, where, and what is refused."""

from __future__ import annotations

from typing import Any

from schemas.attributes import Attributes
from schemas.bus import NewDataArrived
from schemas.dead import DeadDiscarded, DeadRedriven, RedriveRequested
from schemas.run import RunSubmitted
from schemas.signal import SignalSent
from schemas.webhook import WebhookReceived
from tests.unit.gateway._book import CODEC, FakeBook
from tests.unit.gateway._gateway import Settings, World, api_key, problem, world

HEADERS = dict(Attributes("e1", "new_data_arrived", "/x", 1).to_headers())


def asked(it: World) -> RedriveRequested:
    [record] = it.log.on("signals")
    assert isinstance(record.event, RedriveRequested)
    return record.event


async def test_a_letter_goes_to_where_its_record_lay_as_it_was() -> None:
    book = FakeBook()
    book.add("d/1", key=b"\xff", value=b"\x00raw", headers=HEADERS)
    async with world(letters=book) as it:
        answer = await it.post("/dead-letters/d%2F1/redrive")
        assert (answer.status_code, answer.json()) == (202, {"dead_id": "d/1", "state": "redriven", "edited": False})
        event, [record], [note] = asked(it), it.log.on("signals"), it.log.on("dead-letters")
        assert (event.dead_id, event.attempt, event.consumer, event.key) == ("d/1", 1, "events", b"\xff")
        assert (event.value, event.headers) == (b"\x00raw", HEADERS)
        assert (record.partition, record.headers) == (2, {"pool": "default"})
        assert isinstance(note.event, DeadRedriven)
        assert (note.key, note.event.attempt) == ("d/1", 1)


async def test_the_order_is_written_before_its_note_and_a_repeat_is_the_same_order() -> None:
    book = FakeBook()
    letter = book.add("d1")
    async with world(letters=book) as it:
        await it.post("/dead-letters/d1/redrive", idempotency_key="k")
        assert [record.topic for record in it.log.written] == ["signals", "dead-letters"]
        await it.post("/dead-letters/d1/redrive")
        assert {
            record.event.attempt for record in it.log.on("signals") if isinstance(record.event, RedriveRequested)
        } == {1}
        letter.state, letter.redrives, letter.mark = "redriven", 1, it.log.on("dead-letters")[0].id
        before = len(it.log.written)
        assert (await it.post("/dead-letters/d1/redrive", idempotency_key="k")).status_code == 202
        problem(await it.post("/dead-letters/d1/redrive", idempotency_key="other"), 409, "conflict")
        problem(await it.post("/dead-letters/d1/redrive"), 409, "conflict")
        assert len(it.log.written) == before


async def test_an_edit_is_checked_by_the_events_schema_and_completes_the_headers() -> None:
    book = FakeBook()
    book.add("d1", value=b"junk", headers={"ce_type": b"new_data_arrived", "note": b"n"})
    book.add("d2", value=b"junk")
    async with world(letters=book) as it:
        wrong = await it.post("/dead-letters/d1/redrive", {"edit": {"nothing": 1}})
        assert "edit.source" in {error["field"] for error in problem(wrong, 422, "invalid-event")["errors"]}
        problem(await it.post("/dead-letters/d2/redrive", {"edit": {"source": "s"}}), 422, "invalid-request")
        assert it.log.written == []
        assert (await it.post("/dead-letters/d1/redrive", {"edit": {"source": "s"}})).json()["edited"] is True
        event = asked(it)
        assert CODEC.decode(event.value, NewDataArrived).source == "s"
        assert Attributes.from_headers(list(event.headers.items())).type == "new_data_arrived"
        assert event.headers["note"] == b"n"


async def test_a_submission_goes_to_the_pool_and_the_owner_of_its_run() -> None:
    book = FakeBook()
    book.add("d1", consumer="scraper", source_topic="agents.scraper", key=b"wrong", value=b"junk")
    async with world(letters=book) as it:
        edit = {"run_id": "r1", "agent": "scraper", "input": {"topic": "t"}}
        assert (await it.post("/dead-letters/d1/redrive", {"edit": edit})).status_code == 202
        [record] = it.log.on("signals")
        assert (record.key, record.partition, record.headers) == ("r1", None, {"pool": "scraper"})
        assert asked(it).key == b"r1"
        assert CODEC.decode(asked(it).value, RunSubmitted).input == {"topic": "t"}


async def test_a_letter_of_a_table_goes_to_the_tables_pool() -> None:
    book = FakeBook()
    book.add("d1", consumer="table:pooled", key=b"k")
    async with world(letters=book) as it:
        assert (await it.post("/dead-letters/d1/redrive")).status_code == 202
        assert it.log.on("signals")[0].headers == {"pool": "scraper"}


async def test_a_runs_letter_is_a_resume_and_cannot_be_edited() -> None:
    book = FakeBook()
    book.add("r1/failed/1", consumer="research", run_id="r1", key=b"r1", source_partition=-1)
    async with world(letters=book) as it:
        problem(await it.post("/dead-letters/r1/failed/1/redrive", {"edit": {}}), 422, "invalid-request")
        assert (await it.post("/dead-letters/r1/failed/1/redrive")).status_code == 202
        assert (asked(it).run_id, it.log.on("signals")[0].key) == ("r1", "r1")


async def test_a_signal_is_said_again_under_its_own_id() -> None:
    said = SignalSent(run_id="r1", signal_id="s1", name="n", data=1)
    headers = {**dict(Attributes("s1", "signal.sent", "/x", 1, extra={"pool": "scraper"}).to_headers())}
    book = FakeBook()
    book.add("d1", consumer="signals", value=CODEC.encode(said), headers=headers)
    book.add("d2", consumer="signals", value=b"junk", headers=headers)
    async with world(letters=book) as it:
        assert (await it.post("/dead-letters/d1/redrive")).status_code == 202
        [record] = it.log.on("signals")
        assert (record.event, record.id, record.key, record.headers) == (said, "s1", "r1", {"pool": "scraper"})
        problem(await it.post("/dead-letters/d2/redrive"), 409, "conflict")


async def test_a_delivery_is_translated_again_from_what_was_kept() -> None:
    book = FakeBook()
    book.add("helpdesk/1", consumer="source:helpdesk", key=b"1", source_partition=-1)
    book.add("helpdesk/2", consumer="source:helpdesk", key=b"2", source_partition=-1)
    for number, body in ((b"1", b'{"ticket": "T1"}'), (b"2", b'{"bug": 1}')):
        raw = WebhookReceived(source="helpdesk", delivery_id=number.decode(), body=body)
        book.kept["webhooks.helpdesk", number] = raw
    async with world(letters=book) as it:
        assert (await it.post("/dead-letters/helpdesk/1/redrive")).status_code == 202
        assert [record.id for record in it.log.on("events")] == ["helpdesk/1/0"]
        problem(await it.post("/dead-letters/helpdesk/2/redrive"), 409, "conflict")
        assert len(it.log.on("dead-letters")) == 1


async def test_a_kind_is_redriven_oldest_first_past_those_that_cannot_be() -> None:
    book = FakeBook()
    for number in range(4):
        book.add(f"d{number}", fingerprint="f", consumer="gone" if number == 1 else "events")
    book.add("other", fingerprint="g")
    async with world(letters=book) as it:
        dry = (await it.post("/dead-letters/redrive", {"fingerprint": "f", "dry_run": True})).json()
        assert (dry["matching"], it.log.written) == (4, [])
        said = (await it.post("/dead-letters/redrive", {"fingerprint": "f", "limit": 3, "rate": 500})).json()
        assert (said["redriven"], said["left"]) == (["d0", "d2"], 1)
        assert [one["dead_id"] for one in said["refused"]] == ["d1"]
        bad: list[dict[str, Any]] = [{}, {"fingerprint": "f", "rate": 0}, {"fingerprint": "f", "limit": 0}, {"x": 1}]
        for body in bad:
            problem(await it.post("/dead-letters/redrive", body), 422, "invalid-request")


async def test_lists_are_filtered_and_grouped_and_one_is_shown_whole() -> None:
    book = FakeBook()
    book.add("d1", fingerprint="f", traceback="Traceb", value=CODEC.encode(NewDataArrived(source="s")), headers=HEADERS)
    book.add("d2", fingerprint="f", consumer="echo").state = "discarded"
    book.add("d3", fingerprint="g", value=b"\xffjunk")
    async with world(letters=book) as it:

        async def ids(query: str) -> list[str]:
            return [one["dead_id"] for one in (await it.client.get(f"/dead-letters?{query}")).json()["letters"]]

        assert await ids("") == ["d3", "d2", "d1"]
        assert await ids("state=open&fingerprint=f") == ["d1"]
        assert await ids("consumer=echo") == ["d2"]
        assert await ids("limit=1") == ["d3"]
        problem(await it.client.get("/dead-letters?state=lost"), 422, "invalid-request")
        [first, second] = (await it.client.get("/dead-letters?group=true")).json()["groups"]
        assert (first["fingerprint"], first["count"], first["open"], second["count"]) == ("f", 2, 1, 1)
        shown = (await it.client.get("/dead-letters/d1")).json()
        assert (shown["data"]["source"], shown["traceback"], shown["type"]) == ("s", "Traceb", "new_data_arrived")
        assert "undecodable" in (await it.client.get("/dead-letters/d3")).json()
        problem(await it.client.get("/dead-letters/d4"), 404, "not-found")


async def test_letting_go_is_noted_with_its_reason() -> None:
    book = FakeBook()
    book.add("d1")
    async with world(letters=book) as it:
        assert (await it.post("/dead-letters/d1/discard", {"reason": "old"})).json()["state"] == "discarded"
        [note] = it.log.on("dead-letters")
        assert isinstance(note.event, DeadDiscarded)
        assert (note.event.reason, note.key) == ("old", "d1")
        problem(await it.post("/dead-letters/d1/discard", {"reason": 1}), 422, "invalid-request")


async def test_only_admins_change_and_readers_read() -> None:
    book = FakeBook()
    book.add("d1")
    settings = Settings(api_keys=(api_key("r" * 20, "read"), api_key("s" * 20, "submit")))
    async with world(settings, letters=book) as it:
        assert (await it.client.get("/dead-letters", headers={"x-api-key": "r" * 20})).status_code == 200
        for key in ("r" * 20, "s" * 20):
            problem(await it.post("/dead-letters/d1/redrive", x_api_key=key), 403, "forbidden")
