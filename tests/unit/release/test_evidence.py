"""Evidence of a release: every verdict is recomputed from it, and one changed byte is found."""

from __future__ import annotations

import json
import random

import pytest

from meshkit.cluster.journal import Journal
from meshkit.errors import BadInput, NoData, UnknownName
from meshkit.operations.release.evidence_bundle.bundle import SEALED, chain, release_evidence, text_of
from meshkit.operations.release.evidence_bundle.verification import verify_evidence
from meshkit.operations.release.runner import send_command
from meshkit.operations.release.state.model import ReleaseState
from tests.unit.release.stage import BAD, Stage


@pytest.fixture(scope="module")
def stage() -> Stage:
    """A release that was held, resumed, taken over by another process, and promoted."""
    stage = Stage(baseline_s=5, watch_s=5, keep_percent=5)

    def command(state: ReleaseState) -> None:
        if state.step == 1 and not state.last_command:
            send_command("web-v2", "hold", stage.cluster)
        elif state.held and len(state.step_looks) == 8:
            send_command("web-v2", "resume", stage.cluster)

    def at_the_third_step(state: ReleaseState) -> bool:
        command(state)
        return state.step == 2

    stage.run_until_killed(at_the_third_step)
    assert stage.run().result == "promoted"
    return stage


@pytest.fixture(scope="module")
def text(stage: Stage) -> str:
    return release_evidence("web-v2", stage.cluster)


def test_every_verdict_is_recomputed_without_a_cluster(stage: Stage, text: str) -> None:
    found = verify_evidence(text)
    assert found.intact, found
    assert found.verdicts == len(stage.state.looks)
    assert (found.result, found.sealed) == ("promoted", True)
    assert found.sha256 == json.loads(text)["sha256"]


def test_a_release_that_was_rolled_back_is_recomputed() -> None:
    stage = Stage(canary_behaviour=BAD)
    stage.run()
    found = verify_evidence(release_evidence("web-v2", stage.cluster), stage.cluster)
    assert found.intact, found
    assert found.result == "rolled_back"
    assert found.compared.startswith("The records are those in the journal")


def test_one_changed_byte_is_found_anywhere_and_its_record_is_named(stage: Stage) -> None:
    records = Journal(stage.cluster).records(stage.state.change_id)
    text = text_of("web-v2", stage.state.change_id, chain(records)[:12])
    assert verify_evidence(text).intact
    lines = text.splitlines(keepends=True)
    starts = [sum(map(len, lines[:n])) for n in range(len(lines))]
    chosen = random.Random(1)
    for _ in range(60):
        at = chosen.randrange(len(text))
        other = chosen.choice([c for c in "0123456789abc \n\"'{},:" if c != text[at]])
        found = changed(text, at, other)
        line = max(n for n, start in enumerate(starts) if start <= at)
        if 1 <= line < len(lines) - 1 and other != "\n" and text[at] != "\n":
            assert f"Record {line - 1} " in found, (found, at, text[at - 20 : at + 20], other)


def changed(text: str, at: int, other: str) -> str:
    """What is said of a text with another character at one place."""
    try:
        found = verify_evidence(text[:at] + other + text[at + 1 :])
    except BadInput as refused:
        return str(refused)
    assert not found.intact, (at, text[at], other)
    return str(found)


def test_hashes_computed_anew_do_not_hide_a_changed_sample(stage: Stage) -> None:
    records = Journal(stage.cluster).records(stage.state.change_id)
    looks = [(n, record) for n, record in enumerate(records) if record.get("kind") == "look"]
    number, look = next((n, record) for n, record in looks if record["look"]["step"] == 2)
    look["look"]["canary"]["errors"] += 40
    forged = text_of("web-v2", stage.state.change_id, chain(records))
    offline = verify_evidence(forged)
    assert "sealed with another hash" in str(offline)
    assert any(f"Record {number} (look" in each and "the samples give" in each for each in offline.problems)
    against = verify_evidence(forged, stage.cluster)
    assert any("has another record" in each for each in against.problems)


def test_only_the_journal_tells_that_an_unsealed_file_was_made_anew(stage: Stage) -> None:
    records = Journal(stage.cluster).records(stage.state.change_id)
    for record in records:
        if record.get("who") == "ana":
            record["who"] = "eve"
    unsealed = [record for record in records if record.get("kind") != SEALED]
    forged = text_of("web-v2", stage.state.change_id, chain(unsealed))
    assert verify_evidence(forged).intact
    (problem,) = verify_evidence(forged, stage.cluster).problems
    assert problem.startswith("Record 0 (start ")
    assert "has another record" in problem


def test_a_result_that_no_verdict_gave_is_found(stage: Stage) -> None:
    records = Journal(stage.cluster).records(stage.state.change_id)
    end = next(record for record in records if record.get("kind") == "end")
    end["result"] = "rolled_back"
    found = verify_evidence(text_of("web-v2", stage.state.change_id, chain(records[:-1])))
    assert "it says rolled back, but the last verdict is 'promote' and nobody asked for it" in str(found)


def test_no_secret_of_the_journal_is_in_the_evidence(stage: Stage, text: str) -> None:
    salt = Journal(stage.cluster).salt(stage.state.change_id)
    assert salt not in text
    assert "managed_fields" not in text
    assert "fieldsV1" not in text


def test_evidence_says_who_asked_for_what_and_what_was_written(text: str) -> None:
    records = [each["record"] for each in json.loads(text)["records"]]
    asked = [(record["verb"], record["who"]) for record in records if record.get("kind") == "command"]
    assert asked == [("hold", "ana"), ("resume", "ana")]
    written = [record["change"] for record in records if record.get("kind") == "weights"]
    assert written[0] == {"v1": [100, 995], "v2": [0, 5]}
    begin = next(record for record in records if record.get("kind") == "begin")
    assert set(begin["versions"]) == {"meshkit", "images"}


def test_what_is_no_evidence_is_refused(stage: Stage) -> None:
    with pytest.raises(BadInput, match="no file of kind 'meshkit release evidence'"):
        verify_evidence("{}")
    with pytest.raises(UnknownName, match="web-v2"):
        release_evidence("web", stage.cluster)
    with pytest.raises(NoData, match="were deleted"):
        release_evidence("web-v2", stage.cluster, change_id="20200101-000000-0000")
