"""Which addresses may be fetched from: URLs found in data must not reach what is private.

A dataset is written by strangers, and so is every redirect. Without this guard one line of it
could make us fetch ``http://169.254.169.254/`` and store the cloud's credentials as an article.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Collection

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from article_flows.tasks.common.errors import UserError

USER = r"^(\s*[A-Za-z][A-Za-z0-9+.-]{0,20}://)[^/?#@\s]*@"
"""What is in front of a URL's host, as a pattern of `re` and RE2: all but group 1 is a secret."""
ANY_HOST = "*"
"""In a list of allowed hosts: all hosts are trusted, and proxies of the environment are used."""

_NETWORKS = "192.0.0.0/24 192.88.99.0/24 2001::/23 2001:db8::/32 2002::/16 3fff::/20"
_SPECIAL = tuple(map(ipaddress.ip_network, _NETWORKS.split()))
"""What is not public though `is_global` of Python 3.11 or the rule for IPv6 lets it pass.

IETF protocol assignments, former 6to4 relays; Teredo, benchmarking, ORCHIDs, documentation, 6to4
(which embeds any IPv4 address). Source: IANA's registries of special-purpose addresses.
"""
_GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class PrivateAddress(UserError):
    """A URL leads to an address that only a user may name."""

    def __init__(self, address: str, host: str) -> None:
        super().__init__(
            f"leads to the private address {address}; if that is meant, allow it by "
            f"--allow-host {host}"
        )


def is_public(address: str) -> bool:
    """Tell whether an IP address is one of the public internet.

    Private, loopback, link-local, shared (CGNAT), multicast, reserved and documentation addresses
    are not, nor is an IPv6 address that has one of them inside (mapped, NAT64), nor are the
    tunnels 6to4 and Teredo, whose other end can be anywhere.
    """
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address):
        inner = ipaddress.IPv4Address(parsed.packed[-4:]) if parsed in _NAT64 else None
        parsed = inner or parsed.ipv4_mapped or parsed
    if any(parsed in network for network in _SPECIAL):
        return False
    if isinstance(parsed, ipaddress.IPv6Address):
        return parsed in _GLOBAL_V6
    return parsed.is_global and not (parsed.is_multicast or parsed.is_reserved)


def web_url(text: str) -> URL:
    """Parse a URL that a page can be fetched from.

    Raises UserError, without the URL's text, for what is no http or https URL with a host.
    """
    try:
        url = URL(text.strip())
        # Parts of a URL are parsed when they are asked for: a bad port shows here.
        usable = url.absolute and bool(url.host) and url.port != 0
        usable = usable and not any(each.isspace() for each in url.host or "")
    except (ValueError, TypeError):
        raise UserError("is no valid URL") from None
    if url.scheme not in ("http", "https"):
        named = f"{url.scheme}:" if url.scheme else "no http:// in front"
        raise UserError(f"is no http or https URL ({named})")
    if not usable:
        raise UserError("is a URL without a host")
    return url


def without_user(url: str) -> str:
    """Return a URL, or what should be one, without the user and password in front of its host."""
    return re.sub(USER, r"\1", url)


def shown(url: URL | str) -> str:
    """Return a URL for messages: without what may be secret in it (user, password, query)."""
    try:
        url = URL(url) if isinstance(url, str) else url
        bare = url.with_user(None) if url.user or url.password else url
        return str(bare.with_query(None).with_fragment(None))
    except (ValueError, TypeError):
        return "the URL"


class AllowedHosts:
    """The hosts that a user trusts by name: ``intranet``, ``intranet:8080`` or `ANY_HOST`."""

    def __init__(self, hosts: Collection[str] = ()) -> None:
        self._hosts = frozenset(_plain_host(host) for host in hosts)

    def __contains__(self, url: URL) -> bool:
        host = _plain_host(url.host or "")
        return not self._hosts.isdisjoint({host, f"{host}:{url.port}", ANY_HOST})


def _plain_host(text: str) -> str:
    """A host as it is compared: IPv6 without brackets, names without a dot at their end."""
    text = text.strip().lower().removeprefix("http://").removeprefix("https://").rstrip("/")
    if text.startswith("["):
        text = text[1:].replace("]", "", 1)
    return text.rstrip(".")


def check_literal(url: URL) -> None:
    """Refuse a host that is a private address as it stands: no name is resolved for those.

    Knows the forms that the C library takes for an address: ``127.1``, ``0x7f000001``.
    Raises PrivateAddress, or UserError for an odd form of a public address.
    """
    host = (url.host or "").rstrip(".")
    if host.lower() == "localhost" or host.lower().endswith(".localhost"):
        raise PrivateAddress("localhost", host)
    try:
        address = str(ipaddress.ip_address(host.partition("%")[0]))
    except ValueError:
        try:
            address = socket.inet_ntoa(socket.inet_aton(host))
        except (OSError, ValueError):
            return
        if is_public(address):
            raise UserError(f"has the address {address} in an unusual form; write it so") from None
    if not is_public(address):
        raise PrivateAddress(address, host)


class PublicResolver(AbstractResolver):
    """Resolves names to their public addresses only, at the moment of connecting.

    The check is on the very addresses that aiohttp then connects to: a name that is public when
    looked at and private when connected to (DNS rebinding) does not get by.
    """

    def __init__(self) -> None:
        self._resolver = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Resolve a name.

        Raises PrivateAddress if it has private addresses only, OSError if it has none.
        """
        found = await self._resolver.resolve(host, port, family)
        public = [each for each in found if is_public(each["host"])]
        if found and not public:
            raise PrivateAddress(found[0]["host"], host)
        return public

    async def close(self) -> None:
        """Nothing to release."""
        await self._resolver.close()
