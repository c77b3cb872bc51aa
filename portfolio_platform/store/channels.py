"""Where users are notified: an address is vetted and sealed before it is stored."""

from __future__ import annotations

import base64
import ipaddress
import re
import secrets
from dataclasses import dataclass
from typing import Literal

import httpx
from cryptography.fernet import Fernet, MultiFernet

from portfolio_platform.store.addresses import is_public
from portfolio_platform.store.secrets import seal

MAX_ADDRESS = 2000
# Services of apprise that would act on the machine that sends.
LOCAL_SCHEMES = frozenset(
    {"dbus", "file", "glib", "gnome", "kde", "macosx", "qt", "syslog", "windows"}
)
# What a URL may be written with (RFC 3986, loosely): names of other scripts come as Punycode.
ADDRESS_PATTERN = r"^[A-Za-z][A-Za-z0-9+.-]{0,30}://[!-~]+$"


class BadChannel(ValueError):
    """The address cannot be used for notifications."""


@dataclass(frozen=True)
class Sealed:
    """A channel's address as it is stored.

    Attributes
    ----------
    kind : str
        An https address is a signed webhook, anything else an address of apprise.
    secret : str
        The address and, of a webhook, the signing secret; encrypted.
    hint : str
        What may be shown of the address.
    signing_secret : str or None
        Made here and shown once; receivers verify webhooks with it.
    """

    kind: Literal["webhook", "apprise"]
    secret: str
    hint: str
    signing_secret: str | None


def sealed(cipher: Fernet | MultiFernet, address: str) -> Sealed:
    """Vet an address and encrypt it.

    What a name resolves to is looked at when a notification is sent, not here.

    Raises
    ------
    BadChannel
        Not an address, a plain http one, one with a password that would not be sent, or one of
        this machine or a private network.
    """
    if re.fullmatch(ADDRESS_PATTERN, address) is None or len(address) > MAX_ADDRESS:
        raise BadChannel("give an https:// address, or an apprise address such as tgram://…")
    scheme = address.partition(":")[0].lower()
    if scheme == "http":
        raise BadChannel("webhooks are sent to https:// addresses only")
    if scheme in LOCAL_SCHEMES:
        raise BadChannel(f"{scheme}:// would notify the machine that sends, not you")
    if scheme != "https":
        return Sealed("apprise", seal(cipher, {"url": address}), f"{scheme}://…", None)
    host = _webhook_host(address)
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    return Sealed("webhook", seal(cipher, {"url": address, "secret": secret}), host, secret)


def _webhook_host(address: str) -> str:
    try:
        url = httpx.URL(address)
    except httpx.InvalidURL as error:
        raise BadChannel(f"this is no address: {error}") from error
    if not url.host:
        raise BadChannel("the address names no host")
    if url.userinfo:
        raise BadChannel("webhooks carry a signature; leave user and password out of the address")
    try:
        public = is_public(ipaddress.ip_address(url.host))
    except ValueError:
        public = url.host.rstrip(".") != "localhost" and not url.host.endswith(".localhost")
    if not public:
        raise BadChannel(f"notifications do not go to {url.host}, which is not a public address")
    return url.host
