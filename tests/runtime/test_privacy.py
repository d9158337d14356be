"""What may leave the machine."""

import socket

import pytest

from medvl.runtime.privacy import PrivacyError, is_loopback, require_may_leave, strictest


def test_derivatives_inherit_the_strictest_policy():
    assert strictest(["public", "local_only", "zero_retention"]) == "local_only"
    assert strictest(["public", "zero_retention"]) == "zero_retention"


def test_nothing_known_means_nothing_leaves():
    assert strictest([]) == "local_only"


def test_only_public_data_leaves():
    require_may_leave("public", what="phantom", to="example.org")
    with pytest.raises(PrivacyError, match=r"mimic_cxr is local_only.*example\.org"):
        require_may_leave("local_only", what="mimic_cxr", to="example.org")


def test_what_the_user_allows_leaves_and_the_refusal_says_how_to_allow_it():
    require_may_leave("local_only", what="mimic_cxr", to="example.org", allowed=True)
    with pytest.raises(PrivacyError, match="allow it so"):
        require_may_leave("zero_retention", what="mimic_cxr", to="example.org", mend="allow it so")


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000/v1", "http://127.9.9.9", "http://[::1]:8000", "https://localhost/v1"])
def test_loopback_is_this_machine(url):
    assert is_loopback(url)


@pytest.mark.parametrize(
    "url", ["http://10.0.0.1", "http://0.0.0.0:8000", "http://[fe80::1]", "http://127.0.0.1@93.184.216.34", "nonsense", ""]
)
def test_everything_else_is_elsewhere(url):
    assert not is_loopback(url)


def test_a_name_is_loopback_only_if_all_its_addresses_are(monkeypatch):
    addresses = {"here": ["127.0.0.1", "::1"], "both": ["127.0.0.1", "10.0.0.1"]}
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, port: [(0, 0, 0, "", (a, 0)) for a in addresses[host]])

    assert is_loopback("http://here/v1")
    assert not is_loopback("http://both/v1")
