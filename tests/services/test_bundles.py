"""A bundle holds all that is on record of a case, proves itself with no service at hand, and names what was changed."""

import io
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from service_processes import new_database, running_api
from service_requests import case, cohort_film, film, post
from typer.testing import CliRunner
from ward import CRP, Ward, add, open_ward

from services.audit.heads import HEADS, KEY, Signer
from services.auth import Role, add_client
from services.blind import NOBODY
from services.bundles import verify as verifier
from services.bundles.service import Bundles
from services.cli import cli
from services.errors import Conflict, TooLarge
from services.settings import Settings
from services.tables import EventRow

CANARY = b"Canary"  # the patient of the films


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def ward(
    request: pytest.FixtureRequest, tiny_artifact: Path, tiny_cohort: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ward]:
    data = tmp_path_factory.mktemp("bundles")
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("migrated_sqlite"), data / "clinimm.db")
        url = f"sqlite:///{data / 'clinimm.db'}"
    else:
        url = new_database(request.getfixturevalue("postgres_url"), "bundles", "clinimm_template")
    Signer(data / "heads")
    with open_ward(url, tiny_artifact, data) as ward:
        yield ward


@pytest.fixture(scope="module")
def case_id(ward: Ward, tiny_cohort: Path) -> str:
    """A case with two answers, the first of which was signed off, among the events of others."""
    post(ward.api, case("before"))
    case_id = str(post(ward.api, case(labs=None), [("image", cohort_film(tiny_cohort))]).json()["id"])
    ward.work()
    path = f"/v1/cases/{case_id}/results/1/reviews"
    assert ward.api.post(path, json={"verdict": "signed_off"}, headers={"Idempotency-Key": "s"}).status_code == 201
    post(ward.api, case("amid"))
    add(ward.api, case_id, {"labs": [CRP]})
    ward.work()
    post(ward.api, case("after"))
    return case_id


def data_of(ward: Ward) -> Path:
    return ward.worker.blobs.root.parent


@pytest.fixture(scope="module")
def bundle(ward: Ward, case_id: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As the command writes it, films and all."""
    to = tmp_path_factory.mktemp("exported") / "case.zip"
    place = ["--data", str(data_of(ward)), "--database-url", ward.database.url]
    done = CliRunner().invoke(cli, ["audit", "export", case_id, "--to", str(to), "--with-inputs", *place])
    assert done.exit_code == 0, done.output
    return to


def run(folder: Path, *arguments: Path, isolated: bool = False) -> tuple[int, list[str]]:
    """What the verifier that came with the bundle says, by itself in a folder: nothing of clinimm can be imported."""
    command = [sys.executable, *(["-S"] if isolated else []), "-E", str(folder / "verify.py"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env={})
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()


def taken_out(bundle: Path, folder: Path) -> Path:
    (folder / "verify.py").write_bytes(members(bundle)["verify.py"])
    return folder


def members(bundle: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(bundle) as file:
        return {name: file.read(name) for name in file.namelist()}


def written(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, data in files.items():
            file.writestr(name, data)
    return path


def test_rep_12_a_bundle_proves_itself_with_nothing_else_at_hand(ward: Ward, bundle: Path, tmp_path: Path) -> None:
    folder = taken_out(bundle, tmp_path)
    assert run(folder, bundle) == (0, ["sound, and proven"])
    assert run(folder, bundle, data_of(ward) / "heads" / "signing.pub") == (0, ["sound, and proven"])
    code, [line] = run(folder, bundle, isolated=True)
    assert (code, line.split("\t")[1]) == (2, "pip install cryptography")
    Signer(tmp_path / "other")
    code, lines = run(folder, bundle, tmp_path / "other" / "signing.pub")
    assert (code, {line.split("\t")[0] for line in lines}) == (1, {"head_forged", "forged"})
    assert len(members(bundle)["verify.py"].splitlines()) <= 130


def test_a_bundle_holds_the_record_and_of_others_digests_alone(ward: Ward, case_id: str, bundle: Path) -> None:
    files = members(bundle)
    assert {name for name in files if name.startswith("re")} == {
        *(f"results/{n}.json" for n in (1, 2)),
        *(f"reports/{n}.{kind}" for n in (1, 2) for kind in ("json", "html")),
        "reviews.json",
    }
    assert files["reports/2.json"] == ward.api.get(f"/v1/cases/{case_id}/report").content
    with ward.database.read() as session:
        others = session.scalars(sa.select(EventRow.case_id).where(EventRow.case_id != case_id)).all()
        own = session.scalars(sa.select(EventRow.seq).where(EventRow.case_id == case_id)).all()
    assert [json.loads(line)["seq"] for line in files["events.jsonl"].splitlines()] == sorted(own)
    assert len(files["chain.bin"]) > 32 * len(own)
    assert others
    assert not any(str(one).encode() in data for one in others for data in files.values())


def test_patients_are_named_only_by_the_files_that_were_asked_for(ward: Ward, case_id: str, bundle: Path) -> None:
    sent = ward.api.get(f"/v1/cases/{case_id}/bundle")
    assert (sent.status_code, sent.headers["content-type"]) == (200, "application/zip")
    assert CANARY not in sent.content
    assert [name for name, data in members(bundle).items() if CANARY in data] == [
        name for name in members(bundle) if name.startswith("inputs/")
    ]


def test_the_same_record_gives_the_same_bytes(ward: Ward, case_id: str) -> None:
    first, second = (ward.api.get(f"/v1/cases/{case_id}/bundle") for _ in range(2))
    assert first.content == second.content
    assert first.headers["etag"] == second.headers["etag"]
    known = {"If-None-Match": first.headers["etag"]}
    assert ward.api.get(f"/v1/cases/{case_id}/bundle", headers=known).status_code == 304


def test_one_turned_bit_of_any_member_is_named(bundle: Path, tmp_path: Path) -> None:
    whole = bundle.read_bytes()
    with zipfile.ZipFile(bundle) as file:
        infos = file.infolist()
    for number, info in enumerate(infos):
        start = info.header_offset + whole[info.header_offset :].index(info.filename.encode()) + len(info.filename)
        start = whole.index(members(bundle)[info.filename], start)
        for sample in range(6):
            place = start + (info.file_size - 1) * sample // 5
            spoiled = bytearray(whole)
            spoiled[place] ^= 1 << (number + sample) % 8
            (tmp_path / "spoiled.zip").write_bytes(spoiled)
            wrong, _ = verifier.check(str(tmp_path / "spoiled.zip"), None)
            assert f"changed\t{info.filename}" in wrong, (info.filename, place, wrong)


def test_members_that_were_changed_added_or_taken_out_are_named(bundle: Path, tmp_path: Path) -> None:
    files, folder = members(bundle), taken_out(bundle, tmp_path)
    for name in [name for name in files if name != "manifest.sig"]:
        left = {other: data for other, data in files.items() if other != name}
        assert run(folder, written(tmp_path / "less.zip", left)) == (1, [f"missing\t{name}"])
    more = written(tmp_path / "more.zip", files | {"results/3.json": b"{}"})
    assert run(folder, more) == (1, ["added\tresults/3.json"])
    unsigned = {name: data for name, data in files.items() if name != "manifest.sig"}
    assert run(folder, written(tmp_path / "unsigned.zip", unsigned)) == (2, ["not signed\tmanifest.json"])


def forged(files: dict[str, bytes], changes: dict[str, bytes]) -> dict[str, bytes]:
    """With a manifest that fits what was changed, as a forger would write it."""
    files = files | changes
    manifest = json.loads(files["manifest.json"])
    manifest["files"] |= {name: verifier.sha256(data) for name, data in changes.items()}
    return files | {"manifest.json": json.dumps(manifest).encode()}


def test_a_forger_who_mends_the_manifest_is_found_by_chain_and_signatures(bundle: Path, tmp_path: Path) -> None:
    files = members(bundle)
    changed = {
        "results/1.json": (files["results/1.json"].replace(b"0.", b"1.", 1), "not as stored\tresults/1.json"),
        "reports/2.html": (files["reports/2.html"] + b" ", "not as stored\treports/2.html"),
        "reviews.json": (files["reviews.json"].replace(b"signed_off", b"rejected"), "not as given\treviews.json"),
        "events.jsonl": (files["events.jsonl"].replace(b'"role":"local"', b'"role":"nobody"', 1), "event_changed\t"),
        "chain.bin": (files["chain.bin"][:-1] + b"\0", "chain_rewritten\t"),
        "heads.jsonl": (files["heads.jsonl"].replace(b'"time": "2', b'"time": "3'), "head_forged\t"),
    }
    for name, (data, said) in changed.items():
        assert data != files[name], name
        wrong, _ = verifier.check(str(written(tmp_path / "forged.zip", forged(files, {name: data}))), None)
        assert "forged\tmanifest.sig" in wrong
        assert any(line.startswith(said) for line in wrong), (name, wrong)


def test_what_is_not_yet_signed_is_said_to_be_unproven(ward: Ward, case_id: str, tmp_path: Path) -> None:
    """As where the key lies on another machine."""
    heads = shutil.copytree(data_of(ward) / "heads", tmp_path / "heads")
    (heads / KEY).unlink()
    with (tmp_path / "whole.zip").open("wb") as file:
        Bundles(ward.database, ward.worker.blobs, heads).write(case_id, file)
    assert verifier.check(str(tmp_path / "whole.zip"), None) == ([], ["not signed\tmanifest.json"])
    (heads / HEADS).unlink()
    with (tmp_path / "open.zip").open("wb") as file:
        Bundles(ward.database, ward.worker.blobs, heads).write(case_id, file)
    wrong, unproven = verifier.check(str(tmp_path / "open.zip"), None)
    assert wrong == []
    assert {line.split("\t")[0] for line in unproven} == {"under no signed head", "not signed"}


def test_nothing_is_exported_of_a_held_case_nor_over_what_may_be_sent(ward: Ward, case_id: str) -> None:
    held = post(ward.api, case("held"), [("image", film(3, patient="p-2"))]).headers["location"]
    assert ward.api.get(f"{held}/bundle").status_code == 409
    bundles = Bundles(ward.database, ward.worker.blobs, data_of(ward) / "heads")
    with pytest.raises(Conflict):
        bundles.of_case(held.rpartition("/")[2], NOBODY)
    with pytest.raises(TooLarge):
        bundles.write(case_id, io.BytesIO(), limit=10_000)
    place = ["--data", str(data_of(ward)), "--database-url", ward.database.url]
    to = data_of(ward) / "held.zip"
    done = CliRunner().invoke(cli, ["audit", "export", held.rpartition("/")[2], "--to", str(to), *place])
    assert isinstance(done.exception, Conflict)
    assert not to.exists()


def test_each_export_is_one_event_by_either_door(ward: Ward, case_id: str, bundle: Path) -> None:
    def told() -> list[tuple[str, dict[str, object]]]:
        with ward.database.read() as session:
            query = sa.select(EventRow).where(EventRow.action == "case.exported", EventRow.object_id == case_id)
            return [(one.actor, one.facts) for one in session.scalars(query.order_by(EventRow.seq))]

    assert told().count(("operator", {"inputs": True})) == 1
    before = len(told())
    ward.api.get(f"/v1/cases/{case_id}/bundle")
    assert told()[before:] == [("local", {})]


def test_auditors_and_clinicians_may_export_and_nobody_else(settings: Settings, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    roles = (Role.SYSTEM, Role.CLINICIAN, Role.AUDITOR, Role.RESEARCHER)
    headers = {role: {"Authorization": f"Bearer {add_client(tokens, role.value, role)}"} for role in roles}
    with running_api(settings.model_copy(update={"tokens_file": tokens})) as api:
        where = post(api, case(), headers=headers[Role.SYSTEM]).json()["id"]
        codes = [api.get(f"/v1/cases/{where}/bundle", headers=headers[role]).status_code for role in roles]
    assert codes == [403, 200, 200, 403]
