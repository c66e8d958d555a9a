"""The address of an endpoint: what it may be, and whether a proxy stands before it."""

import ipaddress
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies_environment, proxy_bypass

_EXAMPLE = "http://127.0.0.1:8000/v1"
_COMPLETIONS = "/chat/completions"


def completions_address(url: str) -> str:
    """Where requests go: the address with `/chat/completions` at its end.

    Raises:
        ValueError: no http(s)://, no host or one that cannot be, a port that is no number from 1 to 65535, a space or
            invisible character, a user name or password, or a query or fragment.

    Example:
        >>> completions_address("http://127.0.0.1:8000/v1/")
        'http://127.0.0.1:8000/v1/chat/completions'
    """
    parts = _split(url)
    if "@" in parts.netloc:  # not shown: it holds a password
        raise ValueError("the endpoint's address must hold no user name or password; use an API key")
    if "?" in url or "#" in url:  # not shown: it may hold a key
        raise ValueError(
            f"the endpoint's address must end with its path, as {_EXAMPLE}: no query (?...) and no fragment (#...); "
            "use an API key and parameters"
        )
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"the endpoint must be an address like {_EXAMPLE}, got {url!r}")
    _check_host(url, parts.hostname)
    path = url.rstrip("/")
    return path if path.endswith(_COMPLETIONS) else path + _COMPLETIONS


def is_loopback(url: str) -> bool:
    """Whether the address is this machine.

    Example:
        >>> is_loopback("http://localhost:8000/v1"), is_loopback("http://[::1]/v1"), is_loopback("http://10.0.0.1/v1")
        (True, True, False)
    """
    host = (urlsplit(url).hostname or "").rstrip(".")
    address = _ip(host)
    return host == "localhost" or host.endswith(".localhost") if address is None else address.is_loopback


def proxy_for(url: str) -> str | None:
    """The proxy of the environment (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY) for an address; None for none.

    None for this machine, whatever the environment says, and for what NO_PROXY names: hosts, domains, networks
    (10.0.0.0/8) or `*`.
    """
    parts = urlsplit(url)
    proxies = getproxies_environment()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or is_loopback(url) or proxy_bypass(parts.netloc):
        return None
    address = _ip(parts.hostname or "")
    if address is not None and any(_is_in(address, name) for name in proxies.get("no", "").split(",")):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def shown_proxy(proxy: str) -> str:
    """A proxy's address without its user name and password.

    Example:
        >>> shown_proxy("http://me:secret@proxy.example:3128")
        'http://proxy.example:3128'
    """
    parts = urlsplit(proxy)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _split(url: str) -> SplitResult:
    if any(letter.isspace() or not letter.isprintable() for letter in url):
        raise ValueError(
            f"the endpoint must be an address like {_EXAMPLE}, without spaces or invisible characters, got {url!r}"
        )
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError(f"the endpoint must be an address like {_EXAMPLE}, got {url!r}") from None
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0 and "@" not in parts.netloc:
        raise ValueError(f"the port of the endpoint's address must be a number from 1 to 65535, got {url!r}")
    return parts


def _check_host(url: str, host: str) -> None:
    if ":" in host:  # an address of IP version 6, which urlsplit has checked on newer Pythons only
        known = _ip(host) is not None
    else:
        try:
            known = bool(host.encode("idna"))
        except UnicodeError:  # an empty label (a..b), or one of more than 63 characters
            known = False
    if not known:
        raise ValueError(f"the host of the endpoint's address cannot be, got {url!r}")


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _is_in(address: ipaddress.IPv4Address | ipaddress.IPv6Address, name: str) -> bool:
    try:
        return address in ipaddress.ip_network(name.strip(), strict=False)
    except ValueError:  # a host or a domain
        return False
