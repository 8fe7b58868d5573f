"""Inputs that are nearly right: valid texts in which hypothesis writes what breaks readers."""

from __future__ import annotations

from pathlib import Path

from hypothesis import strategies as st

SEEDS = Path(__file__).parent / "seeds"
"""Inputs that once ended in a traceback, or in no end at all."""
ROUTE = """\
kind: Route
namespace: shop
service: web
port: 8080
versions: [{name: v1}, {name: v2}]
split: {v1: 90, v2: 10}
timeout_s: 2.5
"""
RELEASE = """\
kind: Release
name: web-v2
namespace: shop
service: web
port: 8080
stable: v1
canary: v2
steps: [1, 10, 50, 100]
step_s: 60
margins: {error_points: 1, p99_percent: 20}
"""
OBJECTS = """\
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {selector: {app: web}, ports: [{port: 8080, name: http}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c, image: web}]}}
"""
KUBECONFIG = """\
apiVersion: v1
kind: Config
current-context: one
contexts: [{name: one, context: {cluster: c, user: u, namespace: shop}}]
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1", certificate-authority-data: QUJD}}]
users: [{name: u, user: {token: abc, client-certificate-data: QUJD, client-key-data: QUJD}}]
"""
NUMBERS = (
    *(
        "0",
        "-1",
        "1e999",
        "-.inf",
        ".nan",
        "0x7fffffffffffffff",
        "0o17",
        "1_000",
        "1:59:59",
        "190:20:30.15",
        "010",
    ),
    *(
        "9" * 41,
        "1e308",
        "5e-324",
        "0.1e-400",
        "+1",
        "１２",
        "½",
        "Ⅷ",
        "1.0.0",
        "--1",
        "1e",
        "0b1",
        "NaN",
        "Infinity",
    ),
    *(
        "99999999999999999999",
        "-0.0",
        "1" + "0" * 4400,
        "true",
        "~",
        "2001-99-99",
        "2001-12-14t21:59:43.10-05:00",
    ),
)
ENCODINGS = (
    "\u00a0",
    "\u2028",
    "\ufeff",
    "\x00",
    "\x1b[2J",
    "\x7f",
    "\x85",
    "\ud800",
    "\U000e0041",
    "é",
    "\u202e",
    "\r",
)
STRUCTURES = (
    *(
        "[",
        "]",
        "{",
        "}",
        "- ",
        ": ",
        "? ",
        "| ",
        "> ",
        "&a ",
        "*a",
        "<<: *a",
        "!!binary ",
        "!!python/name:os ",
        "!x ",
    ),
    *(
        "---\n",
        "...\n",
        "#",
        '"',
        "'",
        "\n",
        "\t",
        ",",
        "%YAML 9.9\n",
        "!!set {a}",
        "!!omap [a: 1]",
        "null",
        "=",
        "@",
    ),
    *(
        "kind: [Route]",
        "? [a, b]\n: 1\n",
        "!!timestamp x",
        "!!float x",
        "!!int 0x",
        "!!bool maybe",
        "<<: 7",
        "1: 2",
    ),
)
TOKENS = (*NUMBERS, *ENCODINGS, *STRUCTURES)


def mutated(*seeds: str, tokens: tuple[str, ...] = TOKENS) -> st.SearchStrategy[str]:
    """A seed with some tokens written into it, or over a part of it."""
    edits = st.lists(
        st.tuples(st.floats(0, 1), st.integers(0, 12), st.sampled_from(tokens) | st.text(max_size=4)),
        max_size=4,
    )
    return st.builds(_edited, st.sampled_from(seeds), edits)


def _edited(seed: str, edits: list[tuple[float, int, str]]) -> str:
    for place, length, token in edits:
        at = int(place * len(seed))
        seed = seed[:at] + token + seed[at + length :]
    return seed


def nested() -> st.SearchStrategy[str]:
    """Deep collections of every kind, closed or not."""
    pairs = st.sampled_from(
        (("[", "]"), ("{a: ", "}"), ("- ", ""), ("? ", ""), ("{[", "]}"), ("'", "'"), ("!x ", ""))
    )
    return st.builds(
        lambda pair, depth, closed: f"kind: Route\na: {pair[0] * depth}{pair[1] * depth * closed}\n",
        pairs,
        st.integers(1, 20_000) | st.integers(90, 110),
        st.booleans(),
    )


def aliased() -> st.SearchStrategy[str]:
    """Anchors that contain each other, or expand to more than a machine can hold."""
    line = st.builds(
        lambda name, of, merge: f"k{name}: &k{name} " + (f"{{<<: [{of}]}}" if merge else f"[{of}]"),
        st.integers(0, 9),
        st.lists(st.integers(0, 9).map(lambda name: f"*k{name}"), max_size=9).map(", ".join),
        st.booleans(),
    )
    return st.lists(line, min_size=1, max_size=40).map(
        lambda lines: "\n".join(("kind: Route", "k0: &k0 [x]", *lines))
    )
