"""Protection against server-side request forgery (SSRF) by URLs found in data and redirects.

Without it, one line of an untrusted dataset could make us fetch ``http://169.254.169.254/`` and
store the cloud's credentials as an article.
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

CREDENTIALS_PATTERN = r"^(\s*[A-Za-z][A-Za-z0-9+.-]{0,20}://)[^/?#@\s]*@"
"""Pattern (`re` and RE2) of a URL up to its host: group 1 is the scheme, the rest credentials."""
ANY_HOST = "*"
"""In a list of allowed hosts: trust all hosts, and use the environment's proxies for them."""

_NETWORKS = "192.0.0.0/24 192.88.99.0/24 2001::/23 2001:db8::/32 2002::/16 3fff::/20"
_SPECIAL = tuple(map(ipaddress.ip_network, _NETWORKS.split()))
"""Networks that are not public, but pass `is_global` of Python 3.11 or the test for IPv6.

IETF protocol assignments, former 6to4 relays; Teredo, benchmarking, ORCHIDs, documentation, 6to4
(which embeds any IPv4 address). Source: IANA's registries of special-purpose addresses.
"""
_GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class PrivateAddress(UserError):
    """A URL leads to an address that may only be fetched from if the user allows it."""

    def __init__(self, address: str, host: str) -> None:
        super().__init__(
            f"leads to the private address {address}; if that is intended, allow it with "
            f"--allow-host {host}"
        )


def is_public(address: str) -> bool:
    """Return whether an IP address is on the public internet.

    Not public: private, loopback, link-local, shared (CGNAT), multicast, reserved and
    documentation addresses; IPv6 addresses that embed one of these (mapped, NAT64); and the
    tunnels 6to4 and Teredo, which may lead anywhere.

    Example:
        >>> is_public("8.8.8.8"), is_public("::ffff:10.0.0.1")
        (True, False)
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
    """Parse an http or https URL.

    Raises:
        UserError: The text is not such a URL with a host. The message is the rest of a sentence
            that begins with the URL, and does not contain it.
    """
    try:
        url = URL(text.strip())
        # yarl parses lazily: an invalid port raises here.
        has_host = url.absolute and bool(url.host) and url.port != 0
        has_host = has_host and not any(each.isspace() for each in url.host or "")
    except (ValueError, TypeError):
        raise UserError("is not a valid URL") from None
    if url.scheme not in ("http", "https"):
        scheme = f"{url.scheme}:" if url.scheme else "it does not start with http://"
        raise UserError(f"is not an http or https URL ({scheme})")
    if not has_host:
        raise UserError("is a URL without a host")
    return url


def without_credentials(url: str) -> str:
    """Return a URL, even an invalid one, without the user and password before its host."""
    return re.sub(CREDENTIALS_PATTERN, r"\1", url)


def redacted_url(url: URL | str) -> str:
    """Return a URL for messages, without its possibly secret parts (user, password, query)."""
    try:
        url = URL(url) if isinstance(url, str) else url
        bare = url.with_user(None) if url.user or url.password else url
        return str(bare.with_query(None).with_fragment(None))
    except (ValueError, TypeError):
        return "the URL"


class AllowedHosts:
    """The set of hosts that a user trusts: ``intranet``, ``intranet:8080`` or `ANY_HOST`."""

    def __init__(self, hosts: Collection[str] = ()) -> None:
        self._hosts = frozenset(_normalized_host(host) for host in hosts)

    def __contains__(self, url: URL) -> bool:
        host = _normalized_host(url.host or "")
        return not self._hosts.isdisjoint({host, f"{host}:{url.port}", ANY_HOST})


def _normalized_host(text: str) -> str:
    """Return a host in lower case, IPv6 without brackets, names without a trailing dot."""
    text = text.strip().lower().removeprefix("http://").removeprefix("https://").rstrip("/")
    if text.startswith("["):
        text = text[1:].replace("]", "", 1)
    return text.rstrip(".")


def check_literal_host(url: URL) -> None:
    """Check a host that is an IP address, which `PublicResolver` is never called for.

    Recognizes every form that the C library accepts: ``127.1``, ``0x7f000001``.

    Raises:
        PrivateAddress: The host is a private address.
        UserError: It is a public address in an unusual form.
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
            raise UserError(f"has the address {address} in an unusual form; use that") from None
    if not is_public(address):
        raise PrivateAddress(address, host)


class PublicResolver(AbstractResolver):
    """A resolver that returns public addresses only.

    aiohttp connects to exactly the addresses that were checked, so a name that resolves to a public
    address first and to a private one later (DNS rebinding) is rejected.
    """

    def __init__(self) -> None:
        self._resolver = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Resolve a host name to its public addresses.

        Raises:
            PrivateAddress: All of its addresses are private.
            OSError: It has none.
        """
        resolved = await self._resolver.resolve(host, port, family)
        public = [each for each in resolved if is_public(each["host"])]
        if resolved and not public:
            raise PrivateAddress(resolved[0]["host"], host)
        return public

    async def close(self) -> None:
        """Close the wrapped resolver."""
        await self._resolver.close()
