"""The order of versions within a group, whose first one clients prefer."""

from __future__ import annotations

from meshkit.sandbox.api.schema.registry import version_order


def test_stable_versions_come_before_beta_and_alpha_and_higher_before_lower() -> None:
    given = ["foo1", "v1alpha1", "v1beta3", "v2", "v1", "v1beta10", "v11alpha2", "v10", "v1beta1", "bar"]
    expected = ["v10", "v2", "v1", "v1beta10", "v1beta3", "v1beta1", "v11alpha2", "v1alpha1", "bar", "foo1"]
    assert sorted(given, key=version_order) == expected
