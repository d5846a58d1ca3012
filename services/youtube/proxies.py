"""The proxies that the environment names: HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, but for NO_PROXY.

Read here instead of by each client: of those one wants a package for it, and one would send the
passwords of the user's netrc along.
"""

import base64
import http.client
import ipaddress
import ssl
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies_environment, proxy_bypass

import httplib2

from services.errors import TransientError


def environment_proxy(address: str) -> str | None:
    """Return the proxy for an address; None for this machine's own and where there is none."""
    parts = urlsplit(address)
    host = parts.hostname or ""
    proxies = getproxies_environment()
    if is_here(host) or proxy_bypass(parts.netloc.rpartition("@")[2], proxies):
        return None
    return proxies.get(parts.scheme) or proxies.get("all") or None


def http_proxy(address: str) -> str | None:
    """Return the proxy for an address, fit for clients that know those of HTTP alone.

    Raises:
        TransientError: It is one of another kind (``badProxy``); its password is not in it.
    """
    proxy = environment_proxy(address)
    if proxy is None:
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    parts = urlsplit(proxy)
    if parts.scheme != "http" or not parts.hostname:
        raise TransientError(
            f"the proxy for {urlsplit(address).scheme} addresses is not http://host:port",
            reason="badProxy",
            hint="set HTTPS_PROXY to an HTTP proxy, or except the host by NO_PROXY",
        )
    return proxy


def is_here(host: str) -> bool:
    """Tell whether a host is this machine, to which no proxy leads."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


class TunnelledConnection(http.client.HTTPSConnection):
    """httplib2's way to an https address through the environment's proxy."""

    def __init__(self, authority: str, *, timeout: float | None = None, **_: Any) -> None:
        """Take what httplib2 gives; its own idea of a proxy is not asked."""
        host, port, headers = _proxy(f"https://{authority}")
        context = ssl.create_default_context(cafile=httplib2.CA_CERTS)
        super().__init__(host, port, timeout=timeout, context=context)
        self.set_tunnel(authority, headers=headers)


class ForwardedConnection(http.client.HTTPConnection):
    """The same to an http address: the proxy is asked for the whole of it."""

    def __init__(self, authority: str, *, timeout: float | None = None, **_: Any) -> None:
        """Take what httplib2 gives."""
        self._site = f"http://{authority}"
        host, port, self._headers = _proxy(self._site)
        super().__init__(host, port, timeout=timeout)

    def request(
        self, method: str, url: str, body: Any = None, headers: Any = None, **options: Any
    ) -> None:
        """Send a request for a path of the site."""
        given = {**(headers or {}), **self._headers}
        super().request(method, self._site + url, body, given, **options)


def _proxy(site: str) -> tuple[str, int, dict[str, str]]:
    """Return host, port and credentials of the proxy for a site that has one."""
    parts = urlsplit(http_proxy(site) or "")
    headers = {}
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Proxy-Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    return str(parts.hostname), parts.port or 80, headers
