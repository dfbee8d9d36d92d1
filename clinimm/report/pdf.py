"""The record as tagged PDF (PDF/UA-1), drawn by WeasyPrint from the very page, in a child process that has limits.

`python -m clinimm.report.pdf` is that child: a record on standard input, its PDF on standard output. It is drawn from
what patients and senders wrote, so it gives up network, writing and other processes before it reads any of it."""

import logging
import subprocess
import sys

from clinimm.errors import ReportError
from clinimm.io.sandbox_process import child_environment
from clinimm.io.sandbox_walls import allow_seconds, raise_walls
from clinimm.report.canonical import Json, parsed
from clinimm.report.html import render

MEMORY_BYTES = 3 << 30
SECONDS = 60.0
NO_LIBRARIES = 3
PACKAGES = "libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0 fonts-dejavu-core"


def draw(record: bytes, *, seconds: float = SECONDS) -> bytes:
    """The PDF of a record in canonical form; the same record gives the same bytes on the same machine.

    Raises ReportError where it takes too long or too much memory, or where the libraries it needs are not there."""
    command = [sys.executable, "-m", "clinimm.report.pdf", str(seconds)]
    try:
        done = subprocess.run(
            command, input=record, capture_output=True, timeout=seconds, env=child_environment(), cwd="/", check=False
        )
    except subprocess.TimeoutExpired:
        raise ReportError("the PDF took too long to draw", mend="read the HTML page") from None
    if done.returncode == NO_LIBRARIES:
        raise ReportError("the PDF needs Pango", mend=f"type: sudo apt-get install {PACKAGES}")
    if done.returncode or not done.stdout.startswith(b"%PDF-"):
        raise ReportError("the PDF could not be drawn", mend="read the HTML page")
    return done.stdout


def pdf_of(record: Json) -> bytes:
    """The PDF, in this process. Nothing is loaded but what the page holds. Raises ConfigError for a record of another
    schema."""
    import weasyprint  # in no process but the child: it loads Pango, which not every machine has

    fetcher = weasyprint.urls.URLFetcher(allowed_protocols=["data"], allow_redirects=False)
    page = weasyprint.HTML(string=render(record), url_fetcher=fetcher, media_type="print")
    return bytes(page.write_pdf(pdf_variant="pdf/ua-1", custom_metadata=True))


def main() -> int:
    try:
        import weasyprint  # noqa: F401  (before the walls: it looks for libraries by other processes)
    except (ImportError, OSError):
        return NO_LIBRARIES
    logging.disable()  # WeasyPrint's warnings quote the page
    raise_walls(MEMORY_BYTES)
    allow_seconds(float(sys.argv[1]))
    sys.stdout.buffer.write(pdf_of(parsed(sys.stdin.buffer.read())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
