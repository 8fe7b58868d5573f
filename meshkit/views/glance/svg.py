"""Draws a scene as an SVG document, for pages, print and readers without scripts.

It brings its own colours, for light and dark, so that it can stand alone.
"""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup

from meshkit.views.glance.shapes import Scene, Shape, Text, in_levels

_FONT = "system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif"
_DASHES = {"dash": Markup(' stroke-dasharray="6 4"'), "dot": Markup(' stroke-dasharray="2 3"')}
_LIGHT = Markup(
    "--s-text:#1b1c1e;--s-muted:#595959;--s-line:#c3c7cc;--s-mark:#7f7f7f;--s-card:#fff;"
    "--s-good:#00687A;--s-bad:#B42318;--s-warn:#9A7400;"
)
_DARK = Markup(
    "--s-text:#e8e9ea;--s-muted:#B5B5B5;--s-line:#4a4e53;--s-mark:#9a9a9a;--s-card:#17181a;"
    "--s-good:#45C7C7;--s-bad:#FF8A80;--s-warn:#E8C34A;"
)
_STYLE = Markup(
    "<style>.mk-scene{{{0}}}@media screen and (prefers-color-scheme:dark){{.mk-scene{{{1}}}}}"
    'body[data-jp-theme-light="true"] .mk-scene{{{0}}}body[data-jp-theme-light="false"] .mk-scene{{{1}}}'
    "@media print{{.mk-scene{{{0}}}}}</style>"
).format(_LIGHT, _DARK)


def svg(scene: Scene) -> Markup:
    """The scene as SVG, as wide as its place and at most as wide as it was drawn."""
    parts = [*map(_shape, in_levels(scene)), *map(_text, scene.texts), *_titles(scene)]
    return Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" class="mk-scene" viewBox="0 0 {0} {1}" width="{0}" '
        'height="{1}" style="max-width:100%;height:auto;background:var(--s-card)" role="img" '
        'aria-label="{2}" font-family="{3}">{4}{5}</svg>'
    ).format(scene.width, scene.height, scene.label, _FONT, _STYLE, Markup("").join(parts))


def _colour(role: str) -> Markup:
    return Markup("var(--s-{})").format(role) if role else Markup("none")


def _shape(shape: Shape) -> Markup:
    path = "M" + "L".join(f"{x:g} {y:g}" for x, y in shape.points)
    return Markup(
        '<path d="{}" style="fill:{};stroke:{}" stroke-width="{}" stroke-linejoin="round"{}/>'
    ).format(path, _colour(shape.fill), _colour(shape.stroke), shape.width, _DASHES.get(shape.dash, ""))


def _text(text: Text) -> Markup:
    weight = Markup(' font-weight="650"') if text.bold else ""
    return Markup('<text x="{}" y="{}" style="fill:{}" font-size="{}" text-anchor="{}"{}>{}</text>').format(
        *text.at, _colour(text.role), text.size, text.anchor, weight, text.text
    )


def _titles(scene: Scene) -> Iterator[Markup]:
    """What is told under the pointer."""
    for target in scene.targets:
        yield Markup('<circle cx="{}" cy="{}" r="{}" fill="transparent"><title>{}</title></circle>').format(
            *target.at, target.size / 2, "\n".join(target.lines)
        )
