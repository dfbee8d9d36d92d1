"""One table of faults: every word that the service and the reading of files refuse by is in it, and no other."""

import ast
import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic_core.core_schema import ErrorType

import clinimm.errors
import services.errors
from clinimm.errors import InputError, ResourceLimit, UnsupportedInput
from clinimm.io.lab_table import lab_table
from clinimm.io.transfer_syntaxes import SUPPORTED
from services.cases import hold
from services.cases.schemas import CaseIn, ModalityIn, ReconciliationIn
from services.errors import Refused, ServiceError
from services.faults import FAULTS
from services.faults.parts import PARTS
from services.faults.requests import PLACES, REQUESTS
from services.http.strict_json import document
from services.reviews.schemas import ReviewIn

ROOT = Path(__file__).parents[2]
MANIFESTS = {"manifest.py", "table.py", "row.py"}  # their faults are those of a training set: no door tells them
SOURCES = [
    ast.parse(path.read_text())
    for folder in ("services", "clinimm/io")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if path.name not in MANIFESTS and "faults" not in path.parts
]
ERRORS = {
    name: kind
    for module in (services.errors, clinimm.errors)
    for name, kind in inspect.getmembers(module, inspect.isclass)
    if issubclass(kind, ServiceError | InputError)
}
# Which argument of what is called is a code; whose result, or values, are codes; and codes that have a name.
PLACE_OF_CODE = dict.fromkeys([*ERRORS, "__init__", "PydanticCustomError", "_check", "damage_is_named"], 0)
PLACE_OF_CODE |= {"Issue": 1, "Reading": 1, "Verdict": 1, "_refused": 1, "JudgedLab": 2, "_mark": 3}
GIVES_CODES, HOLDS_CODES = {"fault", "_spoiled", "_character_faults"}, {"_WITHDRAWN"}
NAMED = {"hold.HELD": hold.HELD, "str(Abstention.IDENTITY_CONFLICT)": hold.HELD}
OUTCOMES = {"ACCEPTED", "QUARANTINED", "SUPERSEDED", "WITHDRAWN"}
# FHIR R4, http://hl7.org/fhir/ValueSet/issue-type
ISSUE_TYPES = """invalid structure required value invariant security login unknown expired forbidden suppressed
    processing not-supported duplicate multiple-matches not-found deleted too-long code-invalid extension too-costly
    business-rule conflict transient lock-error no-store exception timeout incomplete throttled informational"""


def said(node: ast.AST | None) -> Iterator[str]:
    """The codes that an expression may come to; of an f-string, all of the table that it may make."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value:
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        form = "".join(re.escape(part.value) if isinstance(part, ast.Constant) else ".+" for part in node.values)
        yield from [code for code in FAULTS if re.fullmatch(form, code)] or [form]
    elif isinstance(node, ast.IfExp):
        yield from (*said(node.body), *said(node.orelse))
    elif isinstance(node, ast.BoolOp):
        yield from (code for value in node.values for code in said(value))
    elif node is not None and (name := ast.unparse(node)) in NAMED:
        yield NAMED[name]


def told(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Every (what is called with it, code) of a module: all that stands where a code is given, noted or returned."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from ((_called(node), code) for code in _given(node))
        elif isinstance(node, ast.Assign):
            yield from (("", code) for code in _assigned(node.targets[0], node.value))
        elif isinstance(node, ast.For) and isinstance(node.iter, ast.Tuple):
            yield from (("", code) for row in node.iter.elts for code in _assigned(node.target, row))
        elif isinstance(node, ast.Tuple) and len(node.elts) == 2 and getattr(node.elts[0], "id", "") in OUTCOMES:
            yield from (("", code) for code in said(node.elts[1]))
        elif isinstance(node, ast.FunctionDef):
            yield from (("", code) for code in _returned(node))


def _called(node: ast.Call) -> str:
    return str(getattr(node.func, "id", getattr(node.func, "attr", "")))


def _given(node: ast.Call) -> Iterator[str]:
    """Of a call; `self.append` is how the reader of JSON notes its faults."""
    place = 0 if ast.unparse(node.func) == "self.append" else PLACE_OF_CODE.get(_called(node))
    if place is not None and len(node.args) > place:
        yield from said(node.args[place])
    yield from (code for word in node.keywords if word.arg == "code" for code in said(word.value))


def _assigned(target: ast.expr, value: ast.expr) -> Iterator[str]:
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        yield from (code for pair in zip(target.elts, value.elts, strict=True) for code in _assigned(*pair))
    elif getattr(target, "id", "") == "code":
        yield from said(value)
    elif getattr(target, "id", "") in HOLDS_CODES and isinstance(value, ast.Dict):
        yield from (code for one in value.values for code in said(one))


def _returned(node: ast.FunctionDef) -> Iterator[str]:
    defaults = zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
    yield from (code for arg, default in defaults if arg.arg == "code" for code in said(default))
    if node.name in GIVES_CODES:
        ends = (one for one in ast.walk(node) if isinstance(one, ast.Return | ast.Yield))
        yield from (code for one in ends for code in said(one.value))


TOLD = {pair for tree in SOURCES for pair in told(tree)}


def test_table_holds_every_code_that_is_told_and_no_other() -> None:
    codes = {code for _, code in TOLD}
    assert len(codes) > 120  # the walk sees what it is there to see
    assert codes - FAULTS.keys() == set()
    assert FAULTS.keys() - codes - set(get_args(ErrorType)) == set()
    assert len(FAULTS) == len(REQUESTS) + len(PLACES) + len(PARTS)


def test_status_of_a_code_is_that_of_the_class_it_is_raised_by() -> None:
    for name, code in TOLD:
        kind = ERRORS.get(name)
        if kind is not None and issubclass(kind, ServiceError):
            assert FAULTS[code].status == kind.status, code
        elif kind is ResourceLimit:
            assert FAULTS[code].status == 413, code
        elif kind is UnsupportedInput:
            assert (FAULTS[code].status, FAULTS[code].fhir) in ((415, "not-supported"), (422, "not-supported")), code
        elif kind is not None:
            assert FAULTS[code].status in (413, 422), code


def test_every_fault_has_a_word_at_every_door() -> None:
    for code, fault in FAULTS.items():
        assert fault.fhir in ISSUE_TYPES.split(), code
        assert re.fullmatch(r"[A-Z].*\.", fault.said), code
        assert (fault.dicom == 0) == (fault.hl7 == "AA") == (fault.status == 200), code
        assert (fault.hl7 == "AR") or fault.status < 500, code


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("decode_resource_limit", 0xA700),
        ("storage_full", 0xA700),
        ("missing_element", 0xA900),
        ("truncated_pixels", 0xC000),
        ("unsupported_transfer_syntax", 0xC122),
        ("internal", 0x0110),
        ("instance_conflict", 0x0111),
        ("not_an_image", 0x0122),
        ("unauthorized", 0x0124),
    ],
)
def test_failure_reasons_are_those_of_dicom(code: str, reason: int) -> None:
    """PS3.18 table I.2-2, PS3.4 table B.2-1, PS3.7 annex C."""
    assert FAULTS[code].dicom == reason


NAMES = [name for model in (CaseIn, ReconciliationIn) for name in str(model.model_json_schema()).split("'")]
WORDS = st.sampled_from([name for name in NAMES if name.isidentifier()]) | st.text(max_size=3)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | WORDS
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None, derandomize=True, max_examples=300)
@given(schema=st.sampled_from([CaseIn, ModalityIn, ReconciliationIn, ReviewIn]), value=JSON)
def test_whatever_a_schema_says_is_in_the_table(schema: type[BaseModel], value: object) -> None:
    codes: set[str] = set()
    try:
        document(schema, json.dumps(value).encode(), depth=50)
    except Refused as refusal:
        codes = {issue.code for issue in refusal.issues}
    assert codes <= FAULTS.keys()


def test_capabilities_tell_faults_limits_and_the_table_of_analytes(api: httpx.Client) -> None:
    told = api.get("/v1/capabilities").json()
    assert told["faults"] == {code: vars(fault) for code, fault in FAULTS.items()}
    assert told["analytes"] == {"version": lab_table().version, "sha256": lab_table().sha256}
    assert told["transfer_syntaxes"] == sorted(SUPPORTED)
