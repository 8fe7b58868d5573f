"""The whole glance as one picture, for readers without a kernel: figures, graph, certificates."""

from __future__ import annotations

import math

from markupsafe import Markup

from meshkit.decide.formatting import count, percent, rate
from meshkit.operations.glance.model import Certificate, Glance, left, running, tls_share
from meshkit.views.glance.graph_scene import graph_scene
from meshkit.views.glance.shapes import Role, Scene, Shape, Text, box, icon, moved
from meshkit.views.glance.svg import svg

_HEAD, _STEP, _TRACK = 64.0, 34.0, 420.0
_MOST = 12
"""Certificates in the picture; the next to end."""
SOON_DAYS, NOW_DAYS = 60, 7
_HOUR_S, _TEN_YEARS_S = 3600.0, 10 * 365 * 86400.0
_TICKS = (("1 h", 3600), ("1 d", 86400), ("30 d", 30 * 86400), ("1 y", 365 * 86400), ("10 y", _TEN_YEARS_S))


def figures(glance: Glance) -> list[tuple[str, str]]:
    """The five figures of a glance: what, and how much."""
    slowest, failed = glance.slowest, glance.error_percent
    answered = glance.sidecars - glance.unread_sidecars
    p99 = "no data" if slowest is None else f"{count(slowest.p99_ms or 0)}\N{NO-BREAK SPACE}ms"
    return [
        ("Requests", f"{rate(glance.requests_per_s)} req/s"),
        ("Errors", "no requests" if failed is None else percent(round(failed, 2))),
        ("Slowest p99", p99),
        ("Mutual TLS", tls_share(glance)),
        ("Sidecars that answered", f"{count(answered)} of {count(glance.sidecars)}"),
    ]


def picture(glance: Glance) -> Markup:
    """The picture of a glance as an SVG document."""
    graph = graph_scene(glance)
    scene = moved(graph, 0, _HEAD)
    scene.width = graph.width
    for number, (name, value) in enumerate(figures(glance)):
        x = 18 + number * (graph.width - 36) / 5
        scene.texts.append(Text((x, 22), name, "muted"))
        scene.texts.append(Text((x, 48), value, size=20, bold=True))
    scene.shapes.append(Shape(((14, _HEAD), (graph.width - 14, _HEAD)), "line", 1))
    _certificates(scene, glance)
    return svg(scene)


def tone(certificate: Certificate, glance: Glance) -> Role:
    """The state of a certificate by its days left."""
    days = (certificate.ends - glance.taken).total_seconds() / 86400
    return "bad" if days < NOW_DAYS else "warn" if days < SOON_DAYS else "good"


def track_share(certificate: Certificate, glance: Glance) -> float:
    """How far a certificate's end lies along an axis of time from one hour to ten years, from 0 to 1."""
    return _along((certificate.ends - glance.taken).total_seconds())


def _along(seconds: float) -> float:
    inside = min(max(seconds, _HOUR_S), _TEN_YEARS_S)
    return math.log(inside / _HOUR_S) / math.log(_TEN_YEARS_S / _HOUR_S)


def _certificates(scene: Scene, glance: Glance) -> None:
    """A bar for each certificate on one axis of time, and the versions, below the graph."""
    top = scene.height + 26
    scene.shapes.append(Shape(((14, top - 24), (scene.width - 14, top - 24)), "line", 1))
    scene.texts.append(Text((18, top), "Certificates, time left", size=13, bold=True))
    track = scene.width - 130 - _TRACK
    shown = glance.certificates[:_MOST]
    for name, seconds in _TICKS if shown else ():
        x = track + _TRACK * _along(seconds)
        scene.texts.append(Text((x, top), name, "muted", 11, "middle"))
        scene.shapes.append(Shape(((x, top + 6), (x, top + 8 + _STEP * len(shown))), "line", 1))
    for number, each in enumerate(shown):
        y, role = top + 26 + _STEP * number, tone(each, glance)
        scene.shapes += icon(role, 25, y - 4, 2)
        scene.texts.append(Text((40, y - 4), each.what))
        scene.texts.append(Text((40, y + 10), each.where, "muted", 11))
        length = max(2.0, _TRACK * track_share(each, glance))
        scene.shapes.append(Shape(box(track, y - 6, length, 8, 1), role, 1, fill=role, level=1))
        scene.texts.append(Text((scene.width - 18, y), left(each, glance.taken), anchor="end"))
    y = top + 26 + _STEP * len(shown)
    if not shown:
        scene.texts.append(Text((18, y - 6), "No certificate was read.", "muted"))
        y += 18
    told = " · ".join(f"{each.what}: {running(each)}" for each in glance.versions)
    scene.texts.append(Text((18, y), told or "No version was read.", "muted"))
    scene.height = y + 18
