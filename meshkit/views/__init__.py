"""ipywidgets and plotly on immutable snapshots. No logic."""
