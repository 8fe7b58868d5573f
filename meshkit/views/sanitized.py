"""HTML and SVG from the cells of a notebook, reduced to what shows something and runs or loads nothing.

A cell shows text of a cluster with whatever library its author chose, so its HTML is not trusted, and an
allow-list decides what stays.
"""

from __future__ import annotations

import re

import nh3
from markupsafe import Markup


def _names(text: str) -> set[str]:
    return set(text.split())


_SVG = _names(
    "svg g defs path line rect circle ellipse polyline polygon text tspan title desc use symbol marker "
    "pattern mask linearGradient radialGradient stop clipPath"
)
_TAGS = (nh3.ALLOWED_TAGS - {"area", "map"}) | {"tfoot"} | _SVG
_ANYWHERE = _names(
    "class id title role lang dir style open scope start datetime border colspan rowspan headers align "
    "alt width height"
)
_OF_SVG = _names(
    "viewBox xmlns preserveAspectRatio version d points transform fill stroke opacity x y x1 y1 x2 y2 "
    "cx cy r rx ry dx dy offset clip-path mask fill-opacity fill-rule stroke-width stroke-opacity "
    "stroke-dasharray stroke-linecap stroke-linejoin stroke-miterlimit font-size font-family "
    "font-weight font-style text-anchor dominant-baseline alignment-baseline gradientUnits "
    "gradientTransform stop-color stop-opacity clipPathUnits patternUnits markerWidth markerHeight refX "
    "refY orient marker-end marker-start href xlink:href vector-effect paint-order"
)
_STYLES = _names(
    "color background background-color fill stroke stroke-width opacity width height min-width "
    "max-width min-height max-height margin margin-left margin-right margin-top margin-bottom padding "
    "padding-left padding-right padding-top padding-bottom border border-collapse border-radius "
    "border-spacing text-align vertical-align font font-family font-size font-style font-weight "
    "line-height white-space display gap flex flex-wrap align-items justify-content left "
    "text-decoration text-anchor stroke-dasharray stroke-linecap stroke-linejoin fill-opacity "
    "stroke-opacity overflow overflow-x overflow-y clip-path letter-spacing"
)
_ADDRESSES = {"href", "xlink:href", "src"}
_WORDS = {"title", "alt", "class", "id"}
_OUTSIDE = re.compile(r"url\(\s*[\"']?\s*(?!#)|image-set|expression\s*\(|\\", re.IGNORECASE)
"""A value of an attribute that loads something, or hides by an escape of CSS that it does."""
_PICTURE = re.compile(r"data:image/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/=\s]*", re.IGNORECASE)
_LINK = re.compile(r"(?:https?://|mailto:|#)[^\s]*", re.IGNORECASE)


def sanitized(html: str) -> Markup:
    """The HTML without scripts, styles of the page, forms, frames, and anything that is loaded."""
    return Markup(_CLEANER.clean(html))


def _kept(tag: str, attribute: str, value: str) -> str | None:
    """The value of an attribute, None to drop it. A link may lead away; nothing else may leave the page."""
    if attribute in _ADDRESSES:
        allowed = _PICTURE if tag == "img" else _LINK if tag == "a" else re.compile("#.*")
        return value if allowed.fullmatch(value) else None
    if attribute in _WORDS or attribute.startswith(("aria-", "data-")):
        return value
    return None if _OUTSIDE.search(value) else value


_CLEANER = nh3.Cleaner(
    tags=_TAGS,
    clean_content_tags={"script", "style", "noscript", "template", "iframe", "object", "textarea", "select"},
    attributes={
        **dict.fromkeys(_SVG, _ANYWHERE | _OF_SVG),
        "*": _ANYWHERE,
        "a": {"href"},
        "img": {"src"},
        "blockquote": set(),
        "q": set(),
        "del": set(),
        "ins": set(),
    },
    attribute_filter=_kept,
    generic_attribute_prefixes={"aria-", "data-"},
    url_schemes={"http", "https", "mailto", "data"},
    filter_style_properties=_STYLES,
)
