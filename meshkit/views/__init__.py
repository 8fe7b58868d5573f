"""What people look at, drawn from immutable snapshots. No decision and no request to a cluster is made here.

Here live the chart of a release (chart.py, chart_svg.py), the pieces of HTML it is shown with
(release_html.py, icons.py, style.css), the widget that lets a chart grow in a notebook (live_chart.py,
live_chart.js), the panel made of them (panel.py), and the pages that open offline (report.py, demo_page.py).
Each shows a widget where there is a kernel, HTML or SVG where there is none, and text where there is neither.
"""
