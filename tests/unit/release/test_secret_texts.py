"""Secret values in what people and other programs say never enter the records of a release, in any form."""

from __future__ import annotations

import base64
import json
import os
import urllib.parse
from pathlib import Path
from typing import Any

import pytest

from meshkit.errors import Forbidden, NoData
from meshkit.kube.redaction import REDACTED
from meshkit.operations.change import apply
from meshkit.operations.progress import Event
from meshkit.operations.release.evidence_bundle.bundle import release_evidence
from meshkit.operations.release.evidence_bundle.secret_texts import SecretTexts
from meshkit.operations.release.evidence_bundle.verification import verify_evidence
from meshkit.operations.release.gates.approval import approve_gate
from meshkit.operations.release.notices.webhook import SECRET
from tests.unit.release.hooks import serving
from tests.unit.release.stage import Stage

TOKEN = "tok/5f1e2a:'x' &9"
FORMS = {
    "as it is": TOKEN,
    "as JSON": json.dumps(TOKEN),
    "percent-encoded": urllib.parse.quote(TOKEN, safe=""),
    "base64": base64.b64encode(f"ops:{TOKEN}".encode()).decode(),
}


def with_token(stage: Stage) -> None:
    secret = stage.fake.api.objects["Secret", "shop", "hook"]
    secret["data"]["token"] = base64.b64encode(TOKEN.encode()).decode()


def clean(text: str) -> None:
    for name, form in FORMS.items():
        assert form not in text, name
        assert json.dumps(form)[1:-1] not in text, name


def everything(stage: Stage) -> str:
    """All objects of the cluster but the Secret."""
    kept = [each for (kind, *_), each in stage.fake.api.objects.items() if kind != "Secret"]
    return json.dumps(kept, default=str)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
@pytest.mark.parametrize("word", ["approve", "reject"])
def test_no_text_of_the_evidence_has_a_secret_and_it_verifies(form: str, word: str, tmp_path: Path) -> None:
    file = tmp_path / "gate"
    by_file = {"name": "board", "before": 100, "by": "file", "file": str(file)}
    with serving((200, "ok")) as hook:
        stage = Stage(
            gates=[{"name": "approval", "before": 50}, by_file], notify={"name": "hook"}, look_s=3, rps=100
        )
        hook.secret_in(stage)
        with_token(stage)
        looked = stage.observer.counters
        failures = iter([NoData(f"The source says {form}.", remedy="")])

        def counters(*args: Any) -> Any:
            if stage.fake.weights() == (90, 10) and (error := next(failures, None)):
                raise error
            return looked(*args)

        stage.observer.counters = counters  # type: ignore[method-assign]

        def seen(event: Event) -> None:
            state = stage.state
            if state.waits and not file.exists():
                if state.gates[-1].gate.name == "approval":
                    approve_gate("web-v2", stage.cluster, why=f"by {form}")
                    clean(everything(stage))
                else:
                    file.write_text(f"{word} because of {form}")
                    os.utime(file, (stage.clock.now(), stage.clock.now()))

        outcome = apply(stage.plan(), stage.cluster, why=f"ticket {form}", progress=seen)
    assert outcome.result == ("promoted" if word == "approve" else "rolled_back")
    text = release_evidence("web-v2", stage.cluster)
    for each in (text, everything(stage), json.dumps(hook.bodies), str(outcome)):
        clean(each)
    verified = verify_evidence(text, stage.cluster)
    assert verified.intact, verified
    records = [each["record"] for each in json.loads(text)["records"]]
    assert REDACTED in records[0]["why"]
    assert REDACTED in next(each["text"] for each in records if each.get("kind") == "note")
    assert [REDACTED in each["why"] for each in records if each.get("why") and each.get("kind") == "gate"]
    assert any(REDACTED in each["look"].get("refused", "") for each in records if each.get("kind") == "look")
    if word == "reject":
        (end,) = [each for each in records if each.get("kind") == "end"]
        assert REDACTED in " ".join(end["sentences"])


def test_the_path_and_the_password_of_an_address_are_secret_and_its_host_is_not() -> None:
    stage = Stage(notify={"name": "hook"})
    address = "https://ops:pass%40word@hooks.example.com/T0/B1?key=abcdef"
    data = {"url": base64.b64encode(address.encode()).decode()}
    meta = {"name": "hook", "namespace": "shop"}
    stage.fake.api.create({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": data})
    texts = SecretTexts(stage.release, stage.cluster)
    said = f"{address} - pass@word - /T0/B1 - key=abcdef - hooks.example.com"
    assert texts.text(said) == f"{REDACTED} - {REDACTED} - {REDACTED} - {REDACTED} - hooks.example.com"


def test_values_that_were_replaced_or_can_no_longer_be_read_stay_secret(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with serving((200, "ok")) as hook:
        stage = Stage(notify={"name": "hook"})
        hook.secret_in(stage)
    with_token(stage)
    texts = SecretTexts(stage.release, stage.cluster)
    assert texts.text(TOKEN) == REDACTED
    stage.fake.api.objects["Secret", "shop", "hook"]["data"]["token"] = base64.b64encode(b"another").decode()
    assert texts.text(f"{TOKEN} another") == f"{REDACTED} {REDACTED}"
    get = stage.fake.api.get

    def refused(kind: Any, *args: Any) -> Any:
        if kind == SECRET:
            raise Forbidden("no", remedy="")
        return get(kind, *args)

    monkeypatch.setattr(stage.fake.api, "get", refused)
    assert texts.text(TOKEN) == REDACTED


def test_the_token_for_prometheus_is_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("eyJhbGciOi\n")
    monkeypatch.setenv("MESHKIT_PROMETHEUS_TOKEN_FILE", str(path))
    stage = Stage()
    assert SecretTexts(stage.release, stage.cluster).text("Bearer eyJhbGciOi") == f"Bearer {REDACTED}"


def test_numbers_and_names_are_left_as_they_are() -> None:
    stage = Stage()
    record = {"kind": "weights", "step": 1, "change": {"v1": [100, 90], "v2": [0, 10]}, "asked_percent": 10.0}
    assert SecretTexts(stage.release, stage.cluster).record(record) == record
