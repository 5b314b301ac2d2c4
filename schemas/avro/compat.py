"""Checks whether a new schema can read what an old one wrote (Avro 1.12, schema resolution), as a pure function."""

from collections.abc import Iterable, Mapping
from typing import Any

_PROMOTIONS = {
    ("int", "long"),
    ("int", "float"),
    ("int", "double"),
    ("long", "float"),
    ("long", "double"),
    ("float", "double"),
    ("string", "bytes"),
    ("bytes", "string"),
}
_NAMED = frozenset({"record", "enum", "fixed"})


def backward(new: Any, old: Any) -> list[str]:
    """Return what keeps a reader with ``new`` from reading records written with ``old``; empty if nothing does."""
    return _Comparison(_definitions(new), _definitions(old)).problems(new, old, "")


def backward_transitive(new: Any, olds: Iterable[tuple[str, Any]]) -> list[str]:
    """Return the problems of ``new`` against every earlier version, each with the version's name before it."""
    return [f"{version}: {problem}" for version, old in olds for problem in backward(new, old)]


class _Comparison:
    """One comparison; a pair of records under comparison counts as compatible, so that recursion ends."""

    def __init__(self, new_names: Mapping[str, Any], old_names: Mapping[str, Any]) -> None:
        self._new_names = new_names
        self._old_names = old_names
        self._under_way: set[tuple[str, str]] = set()

    def problems(self, new: Any, old: Any, where: str) -> list[str]:
        new, old = self._new_names.get(_key(new), new), self._old_names.get(_key(old), old)
        if isinstance(old, list):
            return [problem for branch in old for problem in self.problems(new, branch, where)]
        if isinstance(new, list):
            return self._branch(new, old, where)
        if _kind(new) != _kind(old):
            return [] if (_kind(old), _kind(new)) in _PROMOTIONS else [_changed(new, old, where)]
        return self._same_kind(new, old, where)

    def _branch(self, new: list[Any], old: Any, where: str) -> list[str]:
        attempts = [self.problems(branch, old, where) for branch in new]
        if not all(attempts):
            return []
        same_kind = [found for branch, found in zip(new, attempts, strict=True) if _kind(branch) == _kind(old)]
        return same_kind[0] if same_kind else [_changed(new, old, where)]

    def _same_kind(self, new: Any, old: Any, where: str) -> list[str]:
        kind = _kind(new)
        if kind == "array":
            return self.problems(new["items"], old["items"], where + "[]")
        if kind == "map":
            return self.problems(new["values"], old["values"], where + "{}")
        if kind in _NAMED and _short(new["name"]) != _short(old["name"]):
            return [f"{where or 'the record'}: was {kind} {_short(old['name'])}, is {_short(new['name'])}"]
        if kind == "record":
            return self._records(new, old, where)
        if kind == "enum":
            return _symbols(new, old, where)
        if kind == "fixed":
            return [] if new["size"] == old["size"] else [_changed(new, old, where)]
        return [] if _logical(new) == _logical(old) else [_changed(new, old, where)]

    def _records(self, new: Any, old: Any, where: str) -> list[str]:
        pair = (new["name"], old["name"])
        if pair in self._under_way:
            return []
        self._under_way.add(pair)
        written = {field["name"]: field for field in old["fields"]}
        problems = []
        for field in new["fields"]:
            path = f"{where}.{field['name']}" if where else field["name"]
            before = next(
                (written[name] for name in (field["name"], *field.get("aliases", ())) if name in written), None
            )
            if before is not None:
                problems += self.problems(field["type"], before["type"], path)
            elif "default" not in field:
                problems.append(f"{path}: is new and has no default; give it one")
        self._under_way.discard(pair)
        return problems


def _symbols(new: Any, old: Any, where: str) -> list[str]:
    lost = [symbol for symbol in old["symbols"] if symbol not in new["symbols"]]
    return [f"{where}: lost the symbols {lost}"] if lost and "default" not in new else []


def _definitions(schema: Any) -> dict[str, Any]:
    """Return the named types of a schema by name."""
    found: dict[str, Any] = {}
    waiting = [schema]
    while waiting:
        item = waiting.pop()
        if isinstance(item, list):
            waiting += item
        elif isinstance(item, dict):
            if item["type"] in _NAMED:
                found[item["name"]] = item
            waiting += [field["type"] for field in item.get("fields", ())]
            waiting += [item[part] for part in ("items", "values") if part in item]
    return found


def _key(schema: Any) -> str:
    return schema if isinstance(schema, str) else ""


def _kind(schema: Any) -> str:
    if isinstance(schema, list):
        return "union"
    return schema if isinstance(schema, str) else str(schema["type"])


def _logical(schema: Any) -> str | None:
    return schema.get("logicalType") if isinstance(schema, dict) else None


def _short(name: str) -> str:
    return name.rsplit(".", 1)[-1]


def _text(schema: Any) -> str:
    if isinstance(schema, list):
        return " or ".join(_text(branch) for branch in schema)
    return _logical(schema) or _kind(schema)


def _changed(new: Any, old: Any, where: str) -> str:
    return f"{where or 'the record'}: was {_text(old)}, is {_text(new)}; add a new field instead"
