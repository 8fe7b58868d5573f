"""A chart for notebooks: plotly where scripts run, SVG and text where they do not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from meshkit.views.charts.rows import Figure
from meshkit.views.charts.svg import svg_chart


@dataclass(frozen=True)
class Chart:
    """A chart with three representations for notebooks: plotly, SVG and text."""

    figure: Figure
    text: str

    @property
    def svg(self) -> Markup:
        """The figure as a self-contained SVG document."""
        return svg_chart(self.figure, self.text)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return {
            "application/vnd.plotly.v1+json": {**self.figure, "config": {"displayModeBar": False}},
            "image/svg+xml": self.svg,
            "text/plain": self.text,
        }

    def __repr__(self) -> str:
        return self.text
