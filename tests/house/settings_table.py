"""Writes the README's table of settings from the settings themselves: `python -m tests.house.settings_table`."""

from __future__ import annotations

from pathlib import Path

from streams.settings import Settings
from tests.house.files import ROOT

HEAD = "| variable | default | meaning |\n| --- | --- | --- |\n"


def table() -> str:
    """Return the table in Markdown."""
    return HEAD + "".join(
        f"| `STREAMS_{name.upper()}` | {_default(field.get_default(call_default_factory=True))} "
        f"| {(field.description or '').replace('|', chr(92) + '|')} |\n"
        for name, field in Settings.model_fields.items()
    )


def main() -> None:
    """Put the table in the place of the old one."""
    readme = ROOT / "README.md"
    before, _, rest = readme.read_text("utf-8").partition(HEAD)
    after = rest.partition("\n\n")[2]
    readme.write_text(f"{before}{table()}\n{after}", "utf-8")


def _default(value: object) -> str:
    if isinstance(value, Path) and value.is_absolute():
        return "the user's cache folder"
    return "" if value in (None, (), {}, "") else f"`{value}`"


if __name__ == "__main__":
    main()
