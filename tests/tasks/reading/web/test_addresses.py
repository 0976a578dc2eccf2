import asyncio
import ipaddress
import socket
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.reading.web.addresses import (
    AllowedHosts,
    PrivateAddress,
    PublicResolver,
    check_literal_host,
    is_public,
    redacted_url,
    web_url,
    without_credentials,
)

PRIVATE = """127.0.0.1 127.9.9.9 10.1.2.3 172.16.0.1 172.31.255.255 192.168.1.1 169.254.169.254
100.64.0.1 100.127.255.254 0.0.0.0 0.1.2.3 224.0.0.1 239.1.1.1 240.0.0.1 255.255.255.255 192.0.0.8
192.0.2.1 198.18.0.1 198.51.100.7 203.0.113.5 192.88.99.1 ::1 :: fe80::1 fe80::1%eth0 fc00::1
fd00:ec2::254 ff02::1 fec0::1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 2002:7f00:1:: 64:ff9b::7f00:1
64:ff9b::a9fe:a9fe 64:ff9b:1::1 ::7f00:1 2001::1 2001:db8::1 3fff::1 100::1 nonsense""".split()
PUBLIC = "8.8.8.8 1.1.1.1 2606:4700::1111 ::ffff:8.8.8.8 64:ff9b::808:808 100.128.0.1".split()


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(address)


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_embedded_in_ipv6_is_public_if_it_is_public_itself(
    inner: ipaddress.IPv4Address,
) -> None:
    for prefix in ("::ffff:", "64:ff9b::"):
        assert is_public(f"{prefix}{inner}") == is_public(str(inner))
    assert not inner.is_private or not is_public(str(inner))


@pytest.mark.parametrize(
    "host",
    "127.0.0.1 127.1 2130706433 0x7f000001 0x7f.1 017700000001 0177.0.0.1 [::1] [::ffff:7f00:1] "
    "localhost LOCALHOST. a.localhost 127.0.0.1. ①②⑦.0.0.1 [fe80::1%25eth0]".split(),
)
def test_private_address_literals_are_rejected(host: str) -> None:
    with pytest.raises(PrivateAddress, match=r"leads to the private address .*--allow-host"):
        check_literal_host(URL(f"http://{host}:8080/"))


def test_public_hosts_pass_except_in_unusual_forms() -> None:
    for host in ("8.8.8.8", "[2606:4700::1111]", "example.org", "10.example.org"):
        check_literal_host(URL(f"http://{host}/"))
    with pytest.raises(UserError, match=r"8\.8\.8\.8 in an unusual form"):
        check_literal_host(URL("http://134744072/"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ftp://x/y", "ftp:"),
        ("file:///etc/passwd", "file:"),
        ("javascript:alert(1)", "javascript:"),
        ("example.org/a", "does not start with http://"),
        ("", "does not start with http://"),
        ("http:///a", "without a host"),
        ("http://h:0/", "without a host"),
        ("http://a b/", "without a host"),
        ("http://h:99999/", "not a valid URL"),
        ("http://[::1", "not a valid URL"),
    ],
)
def test_invalid_web_urls_are_rejected(text: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        web_url(text)


@given(st.text())
def test_any_text_is_parsed_or_rejected(text: str) -> None:
    for candidate in (text, f"http://{text}"):
        # Anything but a UserError fails this.
        with suppress(UserError):
            assert web_url(candidate).host


def test_a_redacted_url_contains_no_secret() -> None:
    assert (
        redacted_url("https://ann:secret@example.org/a?token=secret#secret")
        == "https://example.org/a"
    )
    assert "secret" not in redacted_url("http://ann:secret@[bad/")


def test_hosts_are_allowed_with_or_without_a_port() -> None:
    allowed = AllowedHosts(["Intranet", "box:8080", "[::1]:9", "10.0.0.1"])
    for url in ("http://intranet/", "https://intranet.:99/", "http://box:8080/", "http://[::1]:9/"):
        assert URL(url) in allowed
    for url in ("http://box/", "http://intranet.evil.org/", "http://[::1]/", "http://10.0.0.10/"):
        assert URL(url) not in allowed
    assert URL("http://anything/") in AllowedHosts(["*"])


def _resolve(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    def answer(host: str, port: int, *_: object) -> list[object]:
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses
        ]

    monkeypatch.setattr(socket, "getaddrinfo", answer)

    async def resolve() -> list[str]:
        return [each["host"] for each in await PublicResolver().resolve("example.org", 80)]

    return asyncio.run(resolve())


def test_a_name_is_resolved_only_to_its_public_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _resolve(monkeypatch, "10.0.0.1", "8.8.8.8") == ["8.8.8.8"]
    with pytest.raises(PrivateAddress, match=r"10\.0\.0\.1.*--allow-host example\.org"):
        _resolve(monkeypatch, "10.0.0.1")


def test_only_credentials_are_removed_from_a_url() -> None:
    assert without_credentials("http://u:p@h.example/a@b?c=d@e") == "http://h.example/a@b?c=d@e"
    assert without_credentials("http://h.example/@u") == "http://h.example/@u"
    assert without_credentials("u@h.example") == "u@h.example"
