"""Which bytes are which text, when a server names the encoding."""

from __future__ import annotations

import codecs
import encodings
import pkgutil

import pytest

from streams.tools.charset import ENCODINGS, decoded
from tests.unit.cpu import cpu_seconds

OTHERS = sorted({module.name for module in pkgutil.iter_modules(encodings.__path__)} - set(ENCODINGS))


@pytest.mark.parametrize("label", OTHERS)
def test_codecs_of_python_that_no_browser_knows_are_not_used(label: str) -> None:
    """`punycode` is quadratic, `idna`, `undefined` and `zlib_codec` raise, `utf_7` reads `+ADw-` as `<`."""
    body = b"<p>+ADw-ok" + b"a-b\xc3\xa4" * 20_000
    with cpu_seconds(5):
        assert decoded(body, f"text/html; charset={label}") == body.decode()


@pytest.mark.parametrize("label", sorted(set(ENCODINGS)))
def test_every_label_names_a_codec_that_decodes_anything_in_linear_time(label: str) -> None:
    body = bytes(range(256)) * 2_000
    assert codecs.lookup(ENCODINGS[label])
    with cpu_seconds(5):
        assert decoded(body, f"text/html; charset={label.upper()}")
        assert decoded(b"<meta charset='%b'>" % label.encode() + body, "text/html")


@pytest.mark.parametrize(
    ("body", "content_type", "text"),
    [
        ("Grüße".encode("latin-1"), "text/html; charset=ISO-8859-1", "Grüße"),
        ("“quoted”".encode("cp1252"), "text/html; charset=us-ascii", "“quoted”"),
        ("漢字".encode("gb18030"), "text/html; charset=gb2312", "漢字"),
        ("日本".encode("shift_jis"), "text/plain;charset='Shift_JIS'", "日本"),
        ("Grüße".encode(), "text/html; charset=hz-gb-2312", "Grüße"),
        ("Grüße".encode("latin-1"), "application/json", "Grüße"),
        (b"", "text/html; charset=punycode", ""),
        (b"x" * 10, "charset" * 100_000, "x" * 10),
    ],
)
def test_the_text_is_what_a_browser_shows(body: bytes, content_type: str, text: str) -> None:
    with cpu_seconds(5):
        assert decoded(body, content_type) == text
