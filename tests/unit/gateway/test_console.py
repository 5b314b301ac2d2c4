"""The console is served whole, from here alone, and turns nothing that it is told into markup."""

from __future__ import annotations

import re
from pathlib import Path

import streams
from tests.unit.gateway._gateway import Settings, api_key, problem, world

FOLDER = Path(streams.__file__).parent / "console"


async def test_the_page_and_all_it_asks_for_are_served_under_a_strict_policy() -> None:
    async with world(Settings(api_keys=(api_key("k" * 20, "read"),))) as it:
        page = await it.client.get("/")
        assert page.status_code == 200
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
        assert page.headers["x-content-type-options"] == "nosniff"
        wanted = set(re.findall(r'(?:href|src)="(/console/[\w.]+)"', page.text))
        seen: set[str] = set()
        while wanted - seen:
            path = (wanted - seen).pop()
            found = await it.client.get(path)
            assert found.status_code == 200, path
            seen.add(path)
            wanted |= {f"/console/{name}" for name in re.findall(r'from "\./([\w.]+)"', found.text)}
        assert {path.rpartition("/")[2] for path in seen} | {"index.html"} == {file.name for file in FOLDER.iterdir()}
        again = await it.client.get("/", headers={"if-none-match": page.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        problem(await it.client.get("/console/nothing.js"), 404, "not-found")
        problem(await it.client.get("/console/..%2Fsettings.py"), 404, "not-found")


def test_nothing_parses_html_or_comes_from_elsewhere() -> None:
    for file in FOLDER.iterdir():
        text = file.read_text("utf-8")
        assert not re.findall(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc", text
        )
        assert not [
            url for url in re.findall(r"https?://[^\s\"']+", text) if not url.startswith("http://www.w3.org/2000/svg")
        ]
        assert not re.findall(r"\sstyle=\"|\son\w+=\"|document\.cookie|localStorage", text), file.name
