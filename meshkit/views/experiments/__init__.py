"""The panel and the chart of an experiment."""
