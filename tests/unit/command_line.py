"""meshkit's command line, run in the process of the test."""

from __future__ import annotations

import pytest

from meshkit.cli import main


def run(*arguments: str) -> int:
    """Run a command; its exit code."""
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    assert isinstance(ended.value.code, int)
    return ended.value.code
