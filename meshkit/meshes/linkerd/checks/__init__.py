"""What is checked of Linkerd alone, and the facts about Linkerd that every check uses (``table.py``)."""
