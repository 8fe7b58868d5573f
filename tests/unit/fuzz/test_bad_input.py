"""Whatever a user hands to meshkit is read, or refused in one sentence at once; there is no traceback."""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from meshkit import settings as environment
from meshkit.cluster.connect import connect
from meshkit.errors import BadInput, MeshkitError
from meshkit.intent.document import KINDS, load_intents, load_values
from meshkit.kube.documents import read_objects
from meshkit.runbooks.parameters import convert_parameters, read_parameter_file, read_parameters
from meshkit.runbooks.secrets import resolved
from tests.unit.fuzz.inputs import (
    ENCODINGS,
    KUBECONFIG,
    NUMBERS,
    OBJECTS,
    RELEASE,
    ROUTE,
    SEEDS,
    TOKENS,
    aliased,
    mutated,
    nested,
)

EACH, EACH_IN_SOAK = 112, 2250
"""Inputs for each of the nine targets: a thousand in all, and twenty thousand."""
MOST_S = 5.0
"""Of the processor: a busy machine stands still for longer."""
CELL = """\
word: str = "one"  # a word
count: int = 1
share: float = 0.5
yes: bool = False
steps: list[float] = [1.0]
"""
VARIABLES = (
    *("MESHKIT_HOME", "KUBECONFIG", "MESHKIT_HELM", "MESHKIT_DOCS", "MESHKIT_PROMETHEUS"),
    *("MESHKIT_PROMETHEUS_TOKEN_FILE", "MESHKIT_PROMETHEUS_CA_FILE"),
)


def read(call: Callable[[], Any]) -> None:
    """Call a reader, which may refuse its input in a sentence and within MOST_S."""
    began_s, refused = time.process_time(), None
    try:
        call()
    except BadInput as error:
        refused = error
    assert refused is None or (refused.field and refused.problem and refused.remedy)
    assert len(str(refused)) < 3000, str(refused)
    assert time.process_time() - began_s < MOST_S


def read_file(text: str | bytes, *readers: Callable[[Path], Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "input.yaml"
        file.write_bytes(text if isinstance(text, bytes) else text.encode(errors="surrogatepass"))
        for reader in readers:
            read(lambda reader=reader: reader(file))  # type: ignore[misc]


def document(text: str) -> None:
    read(lambda: load_intents(text + "\n"))
    read_file(text, lambda file: read_objects([file]), load_values)


def encoding(data: bytes) -> None:
    read_file(data, load_intents, lambda file: read_objects([file]), load_values, read_parameter_file)


def parameters(drawn: tuple[str, str, str]) -> None:
    cell, name, value = drawn
    known = read_parameters(CELL)
    read(lambda: read_parameters(cell))
    read(lambda: convert_parameters(known, {name: value}))
    read_file(f"{name}: {value}\n{cell}", read_parameter_file)


def reference(text: str) -> None:
    def call() -> None:
        with resolved({"word": f"secret:{text}", "kubeconfig": f"{text}/none", "context": text}):
            pass

    with mock.patch.dict(os.environ, {"PLAIN": "a-value", "BYTES": "a-\udcff-value"}):
        read(call)


def kubeconfig(text: str) -> None:
    read_file(
        text,
        lambda file: connect(kubeconfig=file),
        lambda file: connect("one", file),
        lambda file: connect(text, file),
    )
    read(lambda: connect(kubeconfig=text))


def variables(drawn: dict[str, str]) -> None:
    with mock.patch.dict(os.environ, drawn):
        read(lambda: connect())
        read(lambda: connect("one"))
        for known in (
            *(environment.home, environment.kubeconfig_files, environment.docs, environment.helm),
            *(environment.prometheus, environment.prometheus_token_file, environment.prometheus_ca_file),
        ):
            read(known)


PARAMETERS = st.tuples(
    mutated(
        CELL,
        tokens=(*TOKENS, "(", ")", "lambda: 0", "f'{x}'", "[" * 300, "\\", "'''", "-", "**", "1_0", "\f"),
    ),
    st.sampled_from(("word", "count", "share", "yes", "steps", "other")) | st.text(max_size=9),
    st.sampled_from((*NUMBERS, "[" * 50_000, "[1, [2]]", '["a"', "[NaN]", "[1e999]", "[null]"))
    | mutated("[1, 2.5]", "true"),
)
REFERENCES = mutated(
    *(
        "env:PLAIN",
        "env:BYTES",
        "file:/dev/null",
        "file:~/x",
        "file:~nobody-here/x",
        "cluster:a/b/c",
        "cluster:",
        "file:/",
    ),
    tokens=(*TOKENS, "/", ":", "~", "..", "secret:", "\x00", "a" * 5000),
)
ENVIRONMENT = st.dictionaries(
    st.sampled_from(VARIABLES),
    mutated(
        *(
            "/dev/null",
            "~nobody-here/x",
            "",
            ":",
            "http://[::1",
            "https://user:pw@host:99999/x",
            "a:b::c",
            "/",
        ),
        tokens=(
            *(token for token in TOKENS if "\x00" not in token and "\ud800" not in token),
            "a" * 5000,
            "~",
            "%",
            "[::1]",
        ),
    ).map(lambda text: text.replace("\x00", "").encode("utf-8", "ignore").decode()),
    min_size=1,
    max_size=4,
)
FIELDS = st.builds(
    lambda kind, fields: f"kind: {kind}\n" + "".join(f"{name}: {value}\n" for name, value in fields.items()),
    st.sampled_from(sorted(KINDS)),
    st.dictionaries(
        st.sampled_from(sorted({name for model in KINDS.values() for name in model.model_fields})),
        st.sampled_from((*NUMBERS, "[]", "{}", "shop", "[[]]", "{a: {b: c}}", '""')),
        max_size=6,
    ),
)
TARGETS: dict[str, tuple[st.SearchStrategy[Any], Callable[[Any], None]]] = {
    "documents": (mutated(ROUTE, RELEASE, OBJECTS) | FIELDS, document),
    "parameters": (PARAMETERS, parameters),
    "references": (REFERENCES, reference),
    "kubeconfigs": (mutated(KUBECONFIG) | nested(), kubeconfig),
    "environment": (ENVIRONMENT, variables),
    "numbers": (mutated(ROUTE, RELEASE, tokens=NUMBERS) | FIELDS, document),
    "encodings": (
        st.binary(max_size=60)
        | st.builds(
            lambda text, codec: text.encode(codec, "surrogatepass" if codec.startswith("utf") else "replace"),
            mutated(ROUTE, tokens=ENCODINGS),
            st.sampled_from(
                ("utf-8", "utf-16", "utf-32", "utf-8-sig", "latin-1", "cp1252", "utf-16-be", "shift_jis")
            ),
        ),
        encoding,
    ),
    "nesting": (nested(), document),
    "aliases": (
        aliased() | mutated(ROUTE, tokens=("&a ", "*a", "<<: *a", "&a [*a]", "{<<: &a {<<: *a}}")),
        document,
    ),
}


@pytest.fixture(autouse=True, scope="module")
def no_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep away from the files of this user, and from login programs that a kubeconfig names."""
    folder = str(tmp_path_factory.mktemp("home"))
    changed = {"HOME": folder, "MESHKIT_HOME": folder, "PATH": folder}
    with (
        mock.patch.dict(os.environ, changed),
        mock.patch("subprocess.Popen", side_effect=OSError("not in a test")),
    ):
        yield


def run(target: str, examples: int, number: int) -> None:
    strategy, reads = TARGETS[target]

    @seed(number)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def fuzz(drawn: Any) -> None:
        reads(drawn)

    fuzz()


@pytest.mark.parametrize("target", TARGETS)
def test_a_thousand_inputs_are_read_or_refused(target: str) -> None:
    run(target, EACH, 20)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("target", TARGETS)
def test_twenty_thousand_inputs_are_read_or_refused(target: str, seed: int) -> None:
    run(target, EACH_IN_SOAK, random.Random(seed).randrange(2**32))


@pytest.mark.parametrize("file", sorted(SEEDS.iterdir()), ids=lambda file: file.name)
def test_an_input_that_once_broke_a_reader_is_refused_by_name_or_line(file: Path) -> None:
    began_s = time.process_time()
    with pytest.raises(MeshkitError) as refused:
        load_intents(file)
    assert time.process_time() - began_s < MOST_S
    assert isinstance(refused.value, BadInput)
    assert str(file) in refused.value.field
