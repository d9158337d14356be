"""What may leave the machine. Each dataset carries a policy; whatever is derived from several inherits the strictest.

``local_only``: nothing leaves. ``zero_retention``: only to a service that keeps nothing, when the user says so for this dataset.
``public``: free. The rule follows PhysioNet's notice on language models of September 2025: derivatives count.

A service on this machine's loopback is no elsewhere: whatever the policy, a text may go there.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from urllib.parse import urlsplit

from medvl.records import PrivacyPolicy
from medvl.runtime.errors import UserError

STRICTEST_FIRST: tuple[PrivacyPolicy, ...] = ("local_only", "zero_retention", "public")


class PrivacyError(UserError):
    """Data would leave the machine against its policy."""


def strictest(policies: Iterable[PrivacyPolicy]) -> PrivacyPolicy:
    """The strictest of several policies; ``local_only`` of none."""
    return min(policies, key=STRICTEST_FIRST.index, default="local_only")


def require_may_leave(policy: PrivacyPolicy, *, what: str, to: str, allowed: bool = False, mend: str = "") -> None:
    """Check that data may be sent to a service elsewhere.

    Args:
        policy: of the data.
        what: the data, as the message names it.
        to: the service, as the message names it.
        allowed: the user has allowed this very data to leave, in so many words; whoever passes it records it in the results.
        mend: how to allow it, where that can be said.

    Raises:
        PrivacyError: naming what, where to, and the policy, unless the policy is ``public`` or the user has allowed it.
    """
    if policy != "public" and not allowed:
        raise PrivacyError(f"{what} is {policy}: it must not be sent to {to}" + (f". {mend}" if mend else ""))


def is_loopback(url: str) -> bool:
    """Whether a URL's host is this machine: an address in 127.0.0.0/8 or ``::1``, or a name all of whose addresses are.

    A name that is not known is not loopback. No connection is made.
    """
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        pass
    try:
        found = {str(address[4][0]) for address in socket.getaddrinfo(host, None)} if host else set()
    except OSError:
        return False
    return bool(found) and all(ipaddress.ip_address(address.partition("%")[0]).is_loopback for address in found)
