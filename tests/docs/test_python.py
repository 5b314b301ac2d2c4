"""Every Python block of the documentation is executed.

The blocks of a page are one program, executed in order. A block with a title is a file of that name, which later blocks
may import. Each function `test_…` of a page is called: agents run there in the in-memory harness that users have.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import sys
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from tests.docs.pages import FILES, Block, blocks, name_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WITH_PYTHON = [path for path in FILES if any(block.language == "python" for block in blocks(path))]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give an empty project folder, from which modules are imported."""
    before = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in set(sys.modules) - before:
        module = sys.modules[name]
        at = [str(getattr(module, "__file__", "")), *map(str, getattr(module, "__path__", []))]  # or a namespace
        if any(str(tmp_path) in one for one in at) or name.startswith("page_"):
            del sys.modules[name]


@pytest.mark.parametrize("path", WITH_PYTHON, ids=name_of)
def test_every_python_block_runs(path: Path, folder: Path) -> None:
    page = ModuleType(f"page_{path.stem.replace('-', '_')}")
    sys.modules[page.__name__] = page
    written = [block for block in blocks(path) if block.language == "python"]
    for module in dict.fromkeys([execute(block, page, folder) for block in written]):
        call_tests(module)


def test_a_failing_test_of_a_page_is_found(folder: Path) -> None:
    page = ModuleType("page_of_a_test")
    sys.modules[page.__name__] = page
    block = Block("page.md", 1, "python", "", "def test_it() -> None:\n    assert False\n")
    with pytest.raises(AssertionError):
        call_tests(execute(block, page, folder))


def execute(block: Block, page: ModuleType, folder: Path) -> ModuleType:
    """Execute a block in the page's module, or as the file that its title names; return the module."""
    padded = "\n" * (block.line - 1) + block.text  # a traceback shows the line of the page
    if not block.title:
        exec(compile(padded, block.page, "exec"), vars(page))
        return page
    file = folder / block.title
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(padded, "utf-8")
    importlib.invalidate_caches()
    return importlib.import_module(block.title.removesuffix(".py").replace("/", "."))


def call_tests(module: ModuleType) -> None:
    """Call the test functions that a module defines."""
    for name, function in list(vars(module).items()):
        if name.startswith("test_") and inspect.isfunction(function) and function.__module__ == module.__name__:
            result = function()
            if inspect.iscoroutine(result):
                asyncio.run(result)
