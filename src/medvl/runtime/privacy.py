"""What may leave the machine. Each dataset carries a policy; whatever is derived from several inherits the strictest.

``local_only``: nothing leaves. ``zero_retention``: only to a service that keeps nothing, when the user says so for this dataset.
``public``: free. The rule follows PhysioNet's notice on language models of September 2025: derivatives count.
"""

from __future__ import annotations

from collections.abc import Iterable

from medvl.records import PrivacyPolicy
from medvl.runtime.errors import UserError

STRICTEST_FIRST: tuple[PrivacyPolicy, ...] = ("local_only", "zero_retention", "public")


class PrivacyError(UserError):
    """Data would leave the machine against its policy."""


def strictest(policies: Iterable[PrivacyPolicy]) -> PrivacyPolicy:
    """The strictest of several policies; ``local_only`` of none."""
    return min(policies, key=STRICTEST_FIRST.index, default="local_only")


def require_may_leave(policy: PrivacyPolicy, *, what: str, to: str) -> None:
    """Check that data may be sent to a service elsewhere.

    Raises:
        PrivacyError: naming what, where to, and the policy, unless the policy is ``public``.
    """
    if policy != "public":
        raise PrivacyError(f"{what} is {policy}: it must not be sent to {to}")
