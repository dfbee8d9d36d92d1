"""The API's document is the truth: what it says holds for requests made from it at random."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import pytest
from service_requests import case, film, post

from services.cases.schemas import EXAMPLE_CASE


@pytest.fixture
def document(api: httpx.Client) -> dict[str, Any]:
    return dict(api.get("/openapi.json").json())


def test_document_names_every_path_problem_and_limit(document: dict[str, Any]) -> None:
    assert set(document["paths"]) == {
        "/healthz", "/readyz", "/metrics", "/v1/cases", "/v1/cases:validate", "/v1/cases/{case_id}",
        "/v1/cases/{case_id}/inputs", "/v1/cases/{case_id}/modalities/{modality}", "/v1/cases/{case_id}/timeline",
        "/v1/cases/{case_id}/identity", "/v1/cases/{case_id}/reconciliations", "/v1/cases/{case_id}/results",
        "/v1/cases/{case_id}/results/{version}", "/v1/cases/{case_id}/results/{version}/reviews",
        "/v1/cases/{case_id}/results/{version}/withdrawal",
        "/v1/cases/{case_id}/reviews", "/v1/cases/{case_id}/report", "/v1/cases/{case_id}/similar",
        "/v1/cases/{case_id}/bundle",
        "/v1/jobs/{job_id}", "/v1/models", "/v1/models/{digest}/switch", "/v1/capabilities", "/v1/report-schema",
    }  # fmt: skip
    answers = document["paths"]["/v1/cases"]["post"]["responses"]
    assert {"202", "400", "401", "413", "415", "422", "503"} <= set(answers)
    assert "application/problem+json" in answers["422"]["content"]


def test_example_is_accepted(api: httpx.Client, document: dict[str, Any]) -> None:
    form = document["paths"]["/v1/cases"]["post"]["requestBody"]["content"]["multipart/form-data"]
    [example] = [example["value"]["case"] for example in form["examples"].values()]
    assert example == EXAMPLE_CASE
    assert post(api, example, [("image", film(patient=example["patient"]["id"]))]).status_code == 202


def test_what_is_answered_is_as_documented(api: httpx.Client, document: dict[str, Any]) -> None:
    case_id = post(api, case()).json()["id"]
    schemas = {"CaseOut": f"/v1/cases/{case_id}", "ResultsOut": f"/v1/cases/{case_id}/results", "Models": "/v1/models"}
    for name, path in schemas.items():
        schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        jsonschema_rs.validate(schema, api.get(path).json())


@pytest.mark.slow
def test_random_requests_break_nothing(api: httpx.Client) -> None:
    """Some thousand requests, valid and not, over every operation, by every check and in every phase of schemathesis.

    Left out is readiness, which is rightly 503 where no worker runs. What a schema cannot say, such as that a key is a
    fresh one, is said in `schemathesis_hooks.py`."""
    stored = post(api, case(), [("image", film())]).json()["parts"][-1]["sop_instance_uid"]
    here = Path(__file__).parent
    command = [str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(here / "schemathesis.toml")]
    command += ["run", f"{api.base_url}/openapi.json", "--exclude-path", "/readyz"]
    known = {**os.environ, "PYTHONPATH": str(here), "STORED_INSTANCE": stored}
    done = subprocess.run(command, capture_output=True, text=True, env=known)
    assert done.returncode == 0, done.stdout
