"""Nothing in the tree ties it to one machine, one package host or to papers that it lacks, or hides a wait."""

from __future__ import annotations

import re

import pytest

from tests.house.files import texts

pytestmark = pytest.mark.house

# Character classes such as `[.]` keep these patterns from finding themselves.
FORBIDDEN = {
    "a path of one machine": r"/(?:root|home/\w+|Users/\w+|tmp/team|work/(?:main|shared|[.]\w+))/",
    "a package host": r"pypi[.]org|pythonhosted[.]org|repo1?[.]maven[.](?:org|apache[.]org)|npmjs[.]org|golang[.]org",
    "a document that the repository lacks": r"share[d]/(?:reference|interface|design)|(?:protoco[l]|runtim[e])[.]md",
}
IN_CODE = {
    "a wait without a condition": r"\btime[.]sleep\(",
    "a swallowed error": r"except[^\n]*:\s*\n\s*pass\b|suppress\((?:Base)?Exception\)",
    "an unfinished part": r"\b(?:TOD[O]|FIXM[E]|XX[X])\b|NotImplemented[E]rror",
}
MAY_SKIP = (
    "tests/flow/gateway/_octokit.py",  # needs npm, which the product does not
    "tests/faults/test_clock_steps.py",  # needs a C compiler, which the system brings or not
    "tests/contract/database/conftest.py",  # needs a PostgreSQL server, which the system brings or not
)
IN_TESTS = {"a skipped test": r"mark[.](?:skip|skipif|xfail)\b|pytest[.](?:skip|xfail)\("}


def found(pattern: str, kinds: tuple[str, ...], under: str = "") -> list[str]:
    expression = re.compile(pattern)
    return [
        f"{path}:{text[: match.start()].count(chr(10)) + 1}: {match.group()!r}"
        for path, text in texts()
        if path.endswith(kinds) and path.startswith(under)
        for match in expression.finditer(text)
    ]


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_holds(what: str) -> None:
    assert found(FORBIDDEN[what], ("",)) == []


@pytest.mark.parametrize("what", IN_CODE)
def test_no_module_holds(what: str) -> None:
    assert found(IN_CODE[what], (".py",)) == []


@pytest.mark.parametrize("what", IN_TESTS)
def test_no_test_is(what: str) -> None:
    assert [place for place in found(IN_TESTS[what], (".py",), "tests/") if not place.startswith(MAY_SKIP)] == []


def test_imports_are_absolute_and_no_task_is_orphaned() -> None:
    """A task without a reference may be collected in mid-flight; one module makes them all."""
    makers = found(r"asyncio\.(?:create_task|ensure_future)\(|loop\.create_task\(", (".py",), "streams/")
    assert [line for line in makers if not line.startswith("streams/runtime/tasks.py")] == []
