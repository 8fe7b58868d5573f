"""``python -m meshkit`` is the command line."""

from __future__ import annotations

from meshkit.cli import main

if __name__ == "__main__":
    main()
