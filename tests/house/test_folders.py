"""Imports go one way: between a folder and its subfolder, and between files, names for type checkers included.

import-linter compares modules of one level with each other (contract "No cycles"), by what is imported at run time. The
first test compares the levels. The modules of a package's root are its base and its entry point at once: their order is
the contract "Inside streams". The second test counts the imports for type checkers, too: two files that name each
other's types are one file cut in two.
"""

from __future__ import annotations

import grimp
import pytest

from tests.house.files import PACKAGES

pytestmark = pytest.mark.house


def test_no_folder_imports_its_subfolder_and_is_imported_by_it() -> None:
    graph = grimp.build_graph(*PACKAGES, exclude_type_checking_imports=True)
    imports = [(one, other) for one in graph.modules for other in graph.find_modules_directly_imported_by(one)]
    folders = {module.rpartition(".")[0] for module in graph.modules} - {""}
    down, up = set[tuple[str, str]](), set[tuple[str, str]]()
    for one, other in imports:
        down |= {(_folder(one, folders), folder) for folder in _below(_folder(one, folders), other, folders)}
        up |= {(_folder(other, folders), folder) for folder in _below(_folder(other, folders), one, folders)}
    assert sorted(pair for pair in down & up if pair[0] not in PACKAGES) == []


def test_no_files_import_each_other_in_a_circle() -> None:
    graph = grimp.build_graph(*PACKAGES)
    imported = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    while leaves := [module for module, others in imported.items() if not others & imported.keys()]:
        for module in leaves:
            del imported[module]
    while roots := imported.keys() - {other for others in imported.values() for other in others}:
        for module in roots:
            del imported[module]
    assert sorted(imported) == []


def _folder(module: str, folders: set[str]) -> str:
    return module if module in folders else module.rpartition(".")[0]


def _below(folder: str, module: str, folders: set[str]) -> set[str]:
    """Return the subfolders of `folder`, at any depth, in which `module` is."""
    if not module.startswith(f"{folder}."):
        return set()
    parts = module.split(".")
    names = {".".join(parts[:count]) for count in range(folder.count(".") + 2, len(parts) + 1)}
    return names & folders
