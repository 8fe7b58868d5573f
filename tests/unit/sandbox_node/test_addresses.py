"""Addresses of pods."""

from __future__ import annotations

from meshkit.sandbox.node.addresses import Addresses, claim


def test_addresses_are_distinct_and_lie_in_the_net() -> None:
    addresses = Addresses(7)
    taken = [addresses.take() for _ in range(600)]
    assert len(set(taken)) == 600
    assert all(each.startswith("127.7.") for each in taken)
    assert not any(each.endswith((".0", ".255")) for each in taken)


def test_an_address_given_back_is_not_used_again_at_once() -> None:
    addresses = Addresses(7)
    first = addresses.take()
    addresses.give_back(first)
    assert addresses.take() != first


def test_a_restart_goes_on_after_the_addresses_used_before() -> None:
    assert Addresses(7, ["127.7.0.9", "127.7.0.3", "127.8.4.4"]).take() == "127.7.0.10"


def test_two_sandboxes_never_claim_the_same_net() -> None:
    first, held = claim(None)
    other, held_too = claim(first)
    try:
        assert other != first
    finally:
        held.close()
        held_too.close()
    again, held = claim(first)
    held.close()
    assert again == first
