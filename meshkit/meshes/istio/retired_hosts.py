"""The hosts of images and charts that Istio switches off in December 2026, and the places that replace them.

By Istio's announcements "An update on our move to AWS" (2026-08-21) and of release 1.31: images of all
versions are on Docker Hub, charts of all versions at ghcr.io and blob.istio.io. 1.31 is nowhere else.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence

OFF_FROM = dt.datetime(2026, 12, 1, tzinfo=dt.UTC)
"""From then on, a pull may fail."""
IMAGES = "docker.io/istio"
CHARTS = "https://blob.istio.io/istio-release/charts"
OCI_CHARTS = "oci://ghcr.io/istio/release/charts"
_CHARTS: Mapping[str, str] = {
    "istio-release.storage.googleapis.com/charts": CHARTS,
    "gcr.io/istio-release/charts": OCI_CHARTS,
    "registry.istio.io/release/charts": OCI_CHARTS,
}
_IMAGES = ("gcr.io/istio-release", "registry.istio.io/release")


def new_place(text: str) -> str:
    """The place that replaces a hub, image or chart repository; empty if it is on none of these hosts.

    >>> new_place("gcr.io/istio-release/pilot:1.30.2"), new_place("docker.io/istio/pilot:1.31.4")
    ('docker.io/istio/pilot:1.30.2', '')
    """
    plain = text.partition("://")[2] or text
    for old, new in _CHARTS.items():
        if _is_below(plain, old):
            return new + plain[len(old) :].rstrip("/")
    if _is_below(plain, "istio-release.storage.googleapis.com"):
        return f"https://blob.istio.io/istio-release/{plain.partition('/')[2]}".rstrip("/")
    for old in _IMAGES:
        if _is_below(plain, old):
            return IMAGES + plain[len(old) :].rstrip("/")
    return ""


def retired(value: object, path: str = "") -> Iterator[tuple[str, str]]:
    """Path and text of each string in a value of JSON or YAML that is on one of these hosts."""
    if isinstance(value, str):
        if new_place(value):
            yield path, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from retired(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, Sequence):
        for number, inner in enumerate(value):
            yield from retired(inner, f"{path}[{number}]")


def _is_below(text: str, place: str) -> bool:
    return text == place or text.startswith((f"{place}/", f"{place}:", f"{place}@"))
