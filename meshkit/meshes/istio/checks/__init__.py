"""What is checked of Istio alone, and the facts about Istio that every check uses (``table.py``)."""
