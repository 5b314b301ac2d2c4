"""Makes `schemas` and `topics` our packages wherever they are imported from, and leaves a user's own folders usable.

A project may well have folders of these names, and the current folder may come first on `sys.path` (`python -m`,
`PYTHONPATH=.`, pytest). Once `streams` is imported, the two names mean the packages beside it. Modules that ours do not
have (`schemas.orders`) are taken from the folders of that name on `sys.path`, and so are names that only theirs define
(`from schemas import Order`, `from schemas.event import Order`).
"""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

NAMES: Final = ("schemas", "topics")
HOME: Final = Path(__file__).resolve().parent.parent


_THEIRS: Final[dict[str, ModuleType]] = {}
"""The user's modules that have the name of one of ours, as far as one was asked for."""


class OwnModule(ModuleType):
    """One of our modules; a name that it lacks is looked up in the user's module of the same name."""

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("__") and not _exists(f"{self.__name__}.{name}"):
            theirs = _theirs(self.__name__)
            if theirs is not None and hasattr(theirs, name):
                return getattr(theirs, name)
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")


class _Loader(SourceFileLoader):
    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return OwnModule(spec.name)


class OwnPackages(MetaPathFinder):
    """Finds our packages first, then the user's modules below the same names."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> Any:
        """Return where one of our modules, or one of the user's below our names, is; None for all others."""
        del path
        package, _, below = fullname.partition(".")
        if package not in NAMES or "." in below:
            return None  # what lies deeper is found by its parent
        ours = PathFinder.find_spec(fullname, [str(HOME / package)] if below else [str(HOME)], target)
        if ours is None or ours.origin is None:
            return PathFinder.find_spec(fullname, _their_folders(package)) if below else None
        return spec_from_file_location(
            fullname,
            ours.origin,
            loader=_Loader(fullname, ours.origin),
            submodule_search_locations=ours.submodule_search_locations,
        )


def resolve_first() -> None:
    """Let the names mean our packages from now on, also where a user's folder was imported under them before."""
    if any(isinstance(finder, OwnPackages) for finder in sys.meta_path):
        return
    for name in [name for name in sys.modules if name.partition(".")[0] in NAMES]:
        if _exists(name) and not _is_ours(sys.modules[name]):
            _THEIRS[name] = sys.modules.pop(name)
    sys.meta_path.insert(0, OwnPackages())


def _is_ours(module: ModuleType) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and Path(file).resolve().is_relative_to(HOME / module.__name__.partition(".")[0])


def _exists(name: str) -> bool:
    """Return whether we have a module of that name."""
    place = HOME.joinpath(*name.split("."))
    return place.is_dir() or place.with_suffix(".py").is_file()


def _their_folders(package: str) -> list[str]:
    """Return the folders of that name on `sys.path` that are not ours."""
    found = (Path(entry or ".").resolve() / package for entry in sys.path)
    return [str(folder) for folder in found if folder.is_dir() and folder != HOME / package]


def _theirs(name: str) -> ModuleType | None:
    """Return the user's module of the same name as one of ours, loaded when it is first asked for."""
    if name not in _THEIRS:
        package, _, below = name.partition(".")
        folders = _their_folders(package)
        parents = [str(Path(folder).parent) for folder in folders]
        spec = PathFinder.find_spec(name, folders if below else parents)
        if spec is None or spec.loader is None:
            return None
        _THEIRS[name] = module_from_spec(spec)  # before it runs: it may ask for itself
        spec.loader.exec_module(_THEIRS[name])
    return _THEIRS[name]
