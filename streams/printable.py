"""Makes text from outside harmless for a terminal: data must not move the cursor, set the clipboard or forge a line."""

from __future__ import annotations

from typing import Final

# C0, DEL, C1 (ECMA-48) and the characters that reorder text (Unicode TR 36, "bidirectional spoofing").
_BIDI: Final = (0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_CONTROLS: Final = (*range(0x20), *range(0x7F, 0xA0), *_BIDI)
_LINE_ENDS: Final = frozenset("\n\t")


def _escape(code: int) -> str:
    return {0x0A: "\\n", 0x0D: "\\r", 0x09: "\\t"}.get(code, f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")


_LINE: Final = {code: _escape(code) for code in _CONTROLS if chr(code) != "\t"} | {0x2028: "\\u2028", 0x2029: "\\u2029"}
_BLOCK: Final = {code: text for code, text in _LINE.items() if chr(code) not in _LINE_ENDS}
_JSON: Final = {code: f"\\u{code:04x}" for code in (*_BLOCK, 0x2028, 0x2029) if code >= 0x20}


def one_line(text: str) -> str:
    """Return `text` with control characters, line ends among them, written as escapes; tabs stay."""
    return text.translate(_LINE)


def block(text: str) -> str:
    """Return `text` with control characters other than line ends and tabs written as escapes."""
    return text.translate(_BLOCK)


def json_text(text: str) -> str:
    """Return JSON with the control characters that JSON allows in strings written as escapes; the value is the same."""
    return text.translate(_JSON)
