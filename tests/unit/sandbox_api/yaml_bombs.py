"""YAML documents whose aliases multiply when they are expanded."""

from __future__ import annotations


def doubling(first: str, each: str, levels: int = 27) -> bytes:
    """Each line refers twice to the one before it."""
    lines = [f"k0: &k0 {first}"]
    lines += [f"k{n}: &k{n} {each.replace('*', f'*k{n - 1}')}" for n in range(1, levels)]
    return "\n".join(lines).encode()
