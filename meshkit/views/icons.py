"""The icons of states, as inline SVG. Each state has its own shape, so that colour is not needed."""

from __future__ import annotations

from markupsafe import Markup

_SHAPES = {
    "good": Markup(
        '<circle cx="8" cy="8" r="8" fill="var(--mk-good)"/><path d="M4.5 8.3l2.4 2.3 4.6-4.9" {line}/>'
    ),
    "bad": Markup(
        '<path d="M4.7 0h6.6L16 4.7v6.6L11.3 16H4.7L0 11.3V4.7z" fill="var(--mk-bad)"/>'
        '<path d="M5 5l6 6M11 5l-6 6" {line}/>'
    ),
    "warn": Markup(
        '<path d="M8 .8L16 15H0z" fill="var(--mk-warn-fill)"/>'
        '<path d="M8 5.5v4.6M8 11.9v1.3" stroke="#1b1c1e" stroke-width="1.7"/>'
    ),
    "note": Markup('<circle cx="8" cy="8" r="7" {ring}/><path d="M8 7v4.5M8 4.2v1.5" {mark}/>'),
    "waiting": Markup('<circle cx="8" cy="8" r="7" {ring}/><path d="M8 4v4.3l2.6 1.6" {mark}/>'),
    "running": Markup(
        '<circle cx="8" cy="8" r="7" fill="none" stroke="var(--mk-action)" stroke-width="1.6"/>'
        '<path d="M8 3.5a4.5 4.5 0 0 1 0 9z" fill="var(--mk-action)"/>'
    ),
    "todo": Markup('<circle cx="8" cy="8" r="7" fill="none" stroke="var(--mk-mark)" stroke-width="1.6"/>'),
    "skipped": Markup('<circle cx="8" cy="8" r="7" {ring} stroke-dasharray="3 2"/><path d="M5 8h6" {mark}/>'),
    "shift": Markup('<path d="M2 8h11M9 4l4 4-4 4" {mark}/>'),
    "person": Markup(
        '<circle cx="8" cy="4.5" r="3.2" fill="currentColor"/>'
        '<path d="M1.8 15c.4-4 2.8-6 6.2-6s5.8 2 6.2 6z" fill="currentColor"/>'
    ),
    "stable": Markup('<circle cx="8" cy="8" r="6" fill="var(--mk-stable)"/>'),
    "canary": Markup('<path d="M8 1l7 7-7 7-7-7z" fill="var(--mk-canary)"/>'),
}
_LINES = {
    "line": Markup('fill="none" stroke="var(--mk-card)" stroke-width="1.8"'),
    "ring": Markup('fill="none" stroke="currentColor" stroke-width="1.4"'),
    "mark": Markup('fill="none" stroke="currentColor" stroke-width="1.5"'),
}
_ICONS = {
    name: Markup('<svg class="mk-icon" viewBox="0 0 16 16" aria-hidden="true">{}</svg>').format(
        shape.format(**_LINES)
    )
    for name, shape in _SHAPES.items()
}


def icon(name: str) -> Markup:
    """The SVG of a state's icon. It is hidden from screen readers, which read the word beside it."""
    return _ICONS[name]
