"""Every way into a private network that we know of, each refused before a socket is opened."""

from __future__ import annotations

import re

import pytest

from streams.define import Reject
from streams.tools.errors import FetchError, FetchRefusedError
from streams.tools.guard import Policy, admit, is_public, socket_factory
from tests.unit.tools._site import Names

PUBLIC = "93.184.216.34"
INSIDE = {
    "metadata.google.internal": ["169.254.169.254"],
    "localhost": ["127.0.0.1", "::1"],
    "inside.example": ["10.0.0.7"],
    "mixed.example": [PUBLIC, "10.0.0.7"],
    "mixed6.example": [PUBLIC, "fd00::7"],
    "mapped.example": ["::ffff:10.0.0.7"],
    "printer": [PUBLIC],
    "box.internal": [PUBLIC],
}
REFUSED = [
    "http://127.0.0.1/",
    "http://127.1/",
    "http://0x7f000001/",
    "http://017700000001/",
    "http://2130706433/",
    "http://0.0.0.0/",
    "http://0/",
    "http://[::1]/",
    "http://[::]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:a9fe:a9fe]/",
    "http://[::127.0.0.1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://[2002:7f00:1::]/",
    "http://[2001:0:7f00:1::]/",
    "http://[fe80::1%25eth0]/",
    "http://[fec0::1]/",
    "http://[ff02::1]/",
    "http://100.64.0.1/",
    "http://100.100.100.200/",
    "http://169.254.169.254/latest/meta-data/",
    "http://168.63.129.16/",
    "http://192.0.0.192/",
    "http://[fd00:ec2::254]/",
    "http://10.1.2.3/",
    "http://172.16.0.1/",
    "http://192.168.1.1/",
    "http://224.0.0.1/",
    "http://255.255.255.255/",
    "http://metadata.google.internal/computeMetadata/v1/",
    "http://localhost/",
    "http://localhost./",
    "http://127.0.0.1./",
    "http://LOCALHOST/",
    "http://inside.example/",
    "http://inside.example./",
    "http://mixed.example/",
    "http://mixed6.example/",
    "http://mapped.example/",
    "http://printer/",
    "http://box.internal/",
    "http://user@public.example/",
    "http://user:password@127.0.0.1/",
    "http://public.example@127.0.0.1/",
    "http://127\u30020\u30020\u30021/",
    "http://127\uff0e0\uff0e0\uff0e1/",
    "http://\uff11\uff12\uff17.0.0.1/",
    "http://\u2460\u2461\u2466.0.0.1/",
    "http://public.example\\@127.0.0.1/",
    "http://public.example /",
    "http://public.example\t.127.0.0.1/",
    "http://public.example:22/",
    "http://public.example:6379/",
    "http://public.example:99999/",
    "http://1.2.3.4.5/",
    "http://public..example/",
    "http:///etc/passwd",
    "http://",
    "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_FLUSHALL",
    "ftp://public.example/",
    "dict://127.0.0.1:11211/",
    "javascript:alert(1)",
    "//127.0.0.1/",
    "127.0.0.1",
    "http://[::1",
]


@pytest.mark.parametrize("url", REFUSED)
async def test_refused(url: str) -> None:
    with pytest.raises(FetchRefusedError) as caught:
        await admit(url, Policy(), Names({"public.example": [PUBLIC], **INSIDE}))
    assert isinstance(caught.value, Reject)


@pytest.mark.parametrize(
    ("url", "host", "dialled"),
    [
        ("http://public.example/a?b=c#d", "public.example", (PUBLIC,)),
        ("https://public.example./", "public.example", (PUBLIC,)),
        ("https://PUBLIC.example:8443/", "public.example", (PUBLIC,)),
        ("http://public.example#@127.0.0.1", "public.example", (PUBLIC,)),
        ("http://public.example?@127.0.0.1", "public.example", (PUBLIC,)),
        ("http://b\u00fccher.example/", "xn--bcher-kva.example", (PUBLIC,)),
        ("http://both.example/", "both.example", (PUBLIC, "2606:2800:220:1:248:1893:25c8:1946")),
        (f"http://{PUBLIC}/", PUBLIC, (PUBLIC,)),
        ("http://[2606:4700::1111]/", "2606:4700::1111", ("2606:4700::1111",)),
    ],
)
async def test_public_hosts_are_admitted_with_the_addresses_to_dial(
    url: str, host: str, dialled: tuple[str, ...]
) -> None:
    both = [PUBLIC, "2606:2800:220:1:248:1893:25c8:1946"]
    names = Names({"public.example": [PUBLIC], "both.example": both, "xn--bcher-kva.example": [PUBLIC]})
    admitted = await admit(url, Policy(), names)
    assert (admitted.host, admitted.addresses) == (host, dialled)
    assert len(names.asked) <= 1, "a name is looked up once"
    assert "#" not in admitted.url


async def test_an_allow_listed_host_is_admitted_by_its_own_name_and_port_only() -> None:
    names = Names({"friend.example": ["127.0.0.1"], "other.example": ["127.0.0.1"]})
    policy = Policy(frozenset({"127.0.0.1:8123", "friend.example"}))
    assert (await admit("http://127.0.0.1:8123/", policy, names)).addresses == ("127.0.0.1",)
    for url in ("http://friend.example/", "https://friend.example/", "https://friend.example:80/"):
        assert (await admit(url, policy, names)).addresses == ("127.0.0.1",)
    for url in ("http://127.0.0.1:8124/", "http://other.example:8123/", "http://127.0.0.2:8123/"):
        with pytest.raises(FetchRefusedError):
            await admit(url, policy, names)


@pytest.mark.parametrize("port", [9, 22, 5432, 8080])
@pytest.mark.parametrize(("allowed", "host"), [("friend.example", "friend.example"), ("[fd00::1]", "[fd00::1]")])
async def test_an_allow_listed_host_without_a_port_is_for_web_ports_only(allowed: str, host: str, port: int) -> None:
    names = Names({"friend.example": ["127.0.0.1"]})
    with pytest.raises(FetchRefusedError, match=f"add {re.escape(host)}:{port}"):
        await admit(f"http://{host}:{port}/", Policy(frozenset({allowed})), names)
    assert await admit(f"http://{host}:{port}/", Policy(frozenset({allowed, f"{host}:{port}"})), names)


async def test_a_name_that_cannot_be_resolved_may_be_tried_again() -> None:
    with pytest.raises(FetchError):
        await admit("http://gone.example/", Policy(), Names())


async def test_the_socket_goes_to_a_checked_address_or_is_never_opened() -> None:
    admitted = await admit("http://public.example/", Policy(), Names({"public.example": [PUBLIC]}))
    opened = socket_factory(admitted)
    opened((2, 1, 6, "", (PUBLIC, 80))).close()
    with pytest.raises(FetchRefusedError):
        opened((2, 1, 6, "", ("127.0.0.1", 80)))


def test_what_is_no_address_is_not_public() -> None:
    assert not is_public("somewhere")
