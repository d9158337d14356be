"""What may leave the machine."""

import pytest

from medvl.runtime.privacy import PrivacyError, require_may_leave, strictest


def test_derivatives_inherit_the_strictest_policy():
    assert strictest(["public", "local_only", "zero_retention"]) == "local_only"
    assert strictest(["public", "zero_retention"]) == "zero_retention"


def test_nothing_known_means_nothing_leaves():
    assert strictest([]) == "local_only"


def test_only_public_data_leaves():
    require_may_leave("public", what="phantom", to="example.org")
    with pytest.raises(PrivacyError, match=r"mimic_cxr is local_only.*example\.org"):
        require_may_leave("local_only", what="mimic_cxr", to="example.org")
