"""The PDF is the same record on paper: tagged, with the record's hash, drawn by a child that can do nothing else."""

import re
import subprocess
import sys
import zlib
from dataclasses import replace

import pytest

from clinimm.errors import ReportError
from clinimm.report.canonical import canonical, digest
from clinimm.report.pdf import NO_LIBRARIES, PACKAGES, draw
from clinimm.types import Note

LOADED = subprocess.run([sys.executable, "-c", "import weasyprint"], capture_output=True).returncode == 0
needs_pango = pytest.mark.skipif(not LOADED, reason=f"needs {PACKAGES}")


def streams(pdf: bytes) -> bytes:
    """All that is in a PDF, its compressed parts unpacked."""
    found = [pdf]
    for match in re.finditer(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL):
        try:
            found.append(zlib.decompress(match[1]))
        except zlib.error:
            found.append(match[1])
    return b"\n".join(found)


@pytest.fixture(scope="module")
def record(predictor, complete_case):
    from clinimm.report.record import build

    hostile = "<script>alert(1)</script> <img src='https://example.org/x'> \u202ereversed " + "word " * 10_000
    case = replace(complete_case, inputs={**complete_case.inputs, "note": Note(hostile)})
    [prediction] = predictor.predict([case])
    return build(predictor, case, prediction, predictor.explain(case, "pneumonia"))


@pytest.mark.slow
@needs_pango
def test_rep_01_the_pdf_is_tagged_and_carries_the_record_s_hash(record):
    pdf = draw(canonical(record))
    inside = streams(pdf)
    assert b"/MarkInfo" in inside
    assert b"/StructTreeRoot" in inside
    assert b"pdfuaid:part" in inside
    assert b"/Lang" in inside
    assert digest(record).encode() in inside
    for sign in (b"/JavaScript", b"/URI", b"/Launch", b"/EmbeddedFile"):
        assert sign not in inside
    assert draw(canonical(record)) == pdf


@pytest.mark.slow
@needs_pango
def test_a_pdf_that_takes_too_long_is_given_up(record):
    with pytest.raises(ReportError, match="took too long"):
        draw(canonical(record), seconds=0.5)


@needs_pango
def test_what_is_no_record_is_not_drawn_and_not_quoted():
    with pytest.raises(ReportError) as refusal:
        draw(b'{"schema": "clinimm.report/9", "note": "CANARY"}')
    assert "CANARY" not in str(refusal.value)


def test_without_its_libraries_the_child_says_so():
    code = "import sys; sys.modules['weasyprint'] = None\nfrom clinimm.report.pdf import main\nsys.exit(main())"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == NO_LIBRARIES


def test_drawing_loads_no_net():
    code = "import sys, clinimm.report.pdf\nprint(*{'torch', 'scipy', 'weasyprint'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
