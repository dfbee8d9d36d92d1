"""Every report can be computed again from what is kept, to the bit; where it cannot, the cause is named."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
import torch
from service_requests import case, cohort_film, film, post
from typer.testing import CliRunner
from ward import CRP, Ward, add, open_ward

from clinimm.io.sandbox import Sandbox
from clinimm.registry import digest_of
from clinimm.report.canonical import canonical, parsed
from services import fsck
from services import replay as replaying
from services.blobs import Blobs
from services.cli import cli
from services.errors import NotFound
from services.replay import Models, Verdict, replay
from services.settings import Settings
from services.tables import EventRow, ReportRow, ResultRow


@pytest.fixture
def ward(database_url: str, tiny_artifact: Path, tmp_path: Path) -> Iterator[Ward]:
    (tmp_path / "data").mkdir()
    with open_ward(database_url, tiny_artifact, tmp_path / "data") as ward:
        yield ward


@pytest.fixture
def own_ward(migrated_sqlite: Path, tiny_artifact: Path, tmp_path: Path) -> Iterator[Ward]:
    (tmp_path / "data").mkdir()
    shutil.copy(migrated_sqlite, tmp_path / "data" / "clinimm.db")
    with open_ward(f"sqlite:///{tmp_path / 'data' / 'clinimm.db'}", tiny_artifact, tmp_path / "data") as ward:
        yield ward


def asked(ward: Ward, artifact: Path, *options: str) -> tuple[int, list[list[str]]]:
    """The exit code of the command, and the fields of each line."""
    data, url = ward.worker.blobs.root.parent, ward.database.url
    place = ["--data", str(data), "--database-url", url, "--artifact", str(artifact)]
    done = CliRunner().invoke(cli, ["audit", "replay", *place, *options])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, [line.split("\t") for line in done.output.splitlines()]


def answered(ward: Ward, cohort: Path) -> str:
    """A case with all three inputs, the labs of which came after the answer to the others."""
    case_id = str(post(ward.api, case(labs=None), [("image", cohort_film(cohort))]).json()["id"])
    ward.work()
    add(ward.api, case_id, {"labs": [CRP]})
    ward.work()
    return case_id


def film_of(ward: Ward, case_id: str) -> Path:
    [part] = [one for one in ward.api.get(f"/v1/cases/{case_id}").json()["parts"] if one["part"] == "images/0"]
    return ward.worker.blobs.path(part["sha256"])


@pytest.mark.slow
def test_rep_02_both_answers_to_a_case_that_grew_are_the_same_to_the_bit(
    ward: Ward, tiny_artifact: Path, tiny_cohort: Path
) -> None:
    case_id = answered(ward, tiny_cohort)
    assert asked(ward, tiny_artifact, "--all") == (0, [[f"{case_id}-2", "same"], [f"{case_id}-1", "same"]])
    assert asked(ward, tiny_artifact, "--all", "--limit", "1") == (0, [[f"{case_id}-2", "same"]])
    assert asked(ward, tiny_artifact, case_id) == (0, [[f"{case_id}-2", "same"]])
    with ward.database.read() as session:
        told = list(session.scalars(sa.select(EventRow).where(EventRow.action == "report.replayed")))
        records = {row.result_id: row.record_sha256 for row in session.scalars(sa.select(ReportRow))}
    assert [(one.object_id, one.outcome, one.facts) for one in told[:2]] == [
        (name, "done", {"record": records[name], "verdict": "same"}) for name in (f"{case_id}-2", f"{case_id}-1")
    ]


@pytest.mark.slow
def test_rep_02_an_old_answer_is_replayed_with_what_was_then_said_of_its_modalities(
    own_ward: Ward, tiny_artifact: Path
) -> None:
    shown = post(own_ward.api, case(labs=None))
    own_ward.work()
    where = f"/v1/cases/{shown.json()['id']}/modalities/labs"
    told = {"complete": True, "absent_reason": "not_ordered"}
    assert own_ward.api.put(where, json=told, headers={"If-Match": "*"}).status_code == 200
    own_ward.work()
    first, second = (own_ward.api.get(f"/v1/cases/{shown.json()['id']}/results/{n}").json() for n in (1, 2))
    assert first["inputs"]["labs"] != second["inputs"]["labs"]
    assert [line[1:] for line in asked(own_ward, tiny_artifact, "--all")[1]] == [["same"], ["same"]]


@pytest.mark.slow
def test_a_film_is_decoded_again_whatever_a_worker_kept_of_it(
    own_ward: Ward, tiny_artifact: Path, tiny_cohort: Path, tmp_path: Path
) -> None:
    case_id = answered(own_ward, tiny_cohort)
    with Sandbox(processes=1) as sandbox:
        models = Models(Settings(data=tmp_path / "data", artifact=tiny_artifact), sandbox)
        found = replay(own_ward.database, own_ward.worker.blobs, models.of, f"{case_id}-2")
        assert found.verdict is Verdict.SAME
        assert sum(child.reads for child in sandbox._children) >= 1
    assert not (tmp_path / "data" / "features").exists()


def test_rep_02_what_was_changed_is_named_with_its_place_and_never_its_value(
    own_ward: Ward, tiny_artifact: Path
) -> None:
    case_id = str(post(own_ward.api, case(labs=None)).json()["id"])
    own_ward.work()
    blobs, result_id = own_ward.worker.blobs, f"{case_id}-1"
    with own_ward.database.write() as session:
        report = session.get_one(ReportRow, result_id)
        told = parsed(blobs.read(report.record_sha256))
        told["explanations"][0]["logit"] += 0.5
        report.record_sha256 = blobs.put(canonical(told))
    assert asked(own_ward, tiny_artifact, case_id) == (
        1,
        [[result_id, "differs", "explanation", "/explanations/0/logit"]],
    )
    with own_ward.database.write() as session:
        result = session.get_one(ResultRow, result_id)
        target = result.record["targets"][0]
        result.record = result.record | {"targets": [target | {"logit": 9.0}, *result.record["targets"][1:]]}
    code, [[_, verdict, stage, pointers]] = asked(own_ward, tiny_artifact, case_id)
    assert (code, verdict, stage, pointers) == (1, "differs", "answer", "/result/targets/0/logit")


@pytest.mark.slow
def test_rep_02_another_platform_may_differ_in_last_digits_and_no_more(
    own_ward: Ward, tiny_artifact: Path, tiny_cohort: Path
) -> None:
    case_id = answered(own_ward, tiny_cohort)
    with torch.backends.mkldnn.flags(enabled=False):
        code, [line] = asked(own_ward, tiny_artifact, f"{case_id}-2")
    assert (code, line[1], line[2]) == (0, "within tolerance", "settings")
    assert "/settings/onednn" in line[3].split()
    with own_ward.database.write() as session:
        report = session.get_one(ReportRow, f"{case_id}-2")
        told = parsed(own_ward.worker.blobs.read(report.record_sha256))
        told["prediction"]["targets"][0]["probability"] += 0.002
        report.record_sha256 = own_ward.worker.blobs.put(canonical(told))
    with torch.backends.mkldnn.flags(enabled=False):
        code, [line] = asked(own_ward, tiny_artifact, f"{case_id}-2")
    assert (code, line[1]) == (1, "differs")


@pytest.mark.slow
def test_what_cannot_be_replayed_is_told_by_report_and_the_others_go_on(
    own_ward: Ward, tiny_artifact: Path, tiny_cohort: Path, tmp_path: Path
) -> None:
    gone, held, sound = answered(own_ward, tiny_cohort), str(post(own_ward.api, case("b")).json()["id"]), ""
    sound = str(post(own_ward.api, case("c", labs=None)).json()["id"])
    own_ward.work()
    assert add(own_ward.api, held, images=[("image", film(3, patient="p-2"))]).status_code == 409
    path = film_of(own_ward, gone)
    path.rename(tmp_path / "film")
    code, lines = asked(own_ward, tiny_artifact, "--all")
    verdicts = {line[0]: line[1:] for line in lines}
    assert (code, len(lines)) == (2, 4)
    assert verdicts[f"{sound}-1"] == ["same"]
    assert verdicts[f"{held}-1"][0] == verdicts[f"{gone}-1"][0] == verdicts[f"{gone}-2"][0] == "cannot be told"
    assert path.name in verdicts[f"{gone}-2"][1]
    assert "name different patients" in verdicts[f"{held}-1"][1]
    damaged = bytearray((tmp_path / "film").read_bytes())
    damaged[-1] ^= 1
    path.write_bytes(damaged)
    assert asked(own_ward, tiny_artifact, f"{gone}-2")[0] == 2
    shutil.move(tmp_path / "film", path)
    assert asked(own_ward, tiny_artifact, gone) == (0, [[f"{gone}-2", "same"]])
    with own_ward.database.read() as session:
        outcomes = session.scalars(sa.select(EventRow.outcome).where(EventRow.action == "report.replayed"))
        assert sorted(outcomes) == ["done"] * 2 + ["refused"] * 4


def test_the_digest_that_is_wanted_is_told_where_its_model_is_not_at_hand(
    own_ward: Ward, tiny_artifact: Path, tmp_path: Path
) -> None:
    case_id = str(post(own_ward.api, case(labs=None)).json()["id"])
    own_ward.work()
    other = shutil.copytree(tiny_artifact, tmp_path / "other")
    manifest = other / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"x": 1}))
    code, [[_, verdict, why]] = asked(own_ward, other, case_id)
    assert (code, verdict) == (2, "cannot be told")
    assert digest_of(tiny_artifact) in why
    assert "--artifact DIR" in why
    shutil.copytree(tiny_artifact, tmp_path / "registry" / "artifacts" / digest_of(tiny_artifact))
    assert asked(own_ward, other, case_id, "--registry", str(tmp_path / "registry"))[0] == 0
    with pytest.raises(NotFound):  # said as an error, with exit code 2
        replaying.asked(own_ward.database, f"{case_id}-7")


@pytest.mark.slow
def test_an_answer_from_before_a_film_was_lost_and_those_since_are_replayed_once_it_is_back(
    own_ward: Ward, tiny_artifact: Path, tiny_cohort: Path, tmp_path: Path
) -> None:
    case_id = str(post(own_ward.api, case(), [("image", cohort_film(tiny_cohort))]).json()["id"])
    own_ward.work()
    path, blobs = film_of(own_ward, case_id), own_ward.worker.blobs
    path.rename(tmp_path / "film")
    repaired(own_ward, blobs)
    own_ward.work()
    assert [line[1] for line in asked(own_ward, tiny_artifact, "--all")[1]] == ["same", "cannot be told"]
    shutil.move(tmp_path / "film", path)
    repaired(own_ward, blobs)
    own_ward.work()
    assert [line[1] for line in asked(own_ward, tiny_artifact, "--all")[1]] == ["same", "same"]


def repaired(ward: Ward, blobs: Blobs) -> None:
    fsck.repair(ward.database, blobs, fsck.check(ward.database, blobs), blobs.root.parent)
