"""The record as one self-contained page of seventeen sections: no script, no request, nothing to load."""

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from clinimm.choose import choose
from clinimm.report import formats
from clinimm.report.canonical import Json, digest
from clinimm.report.first_schema import FIRST, modernized
from clinimm.report.schema import SCHEMA

_FOLDER = Path(__file__).parent / "templates"
SECTIONS_STYLE = _FOLDER / "sections.css"
"""What `sections` look like, on whatever page they stand; it names its colors by variables of that page."""


def render(record: Json) -> str:
    """The page of a record, which carries its digest. Raises ConfigError for a record of another schema."""
    style = (_FOLDER / "report.css").read_text(encoding="utf-8") + SECTIONS_STYLE.read_text(encoding="utf-8")
    policy = content_security_policy(style)
    page = _ENVIRONMENT.get_template("report.html")
    return page.render(record=readable(record), digest=digest(record), style=style, policy=policy)


def sections(record: Json) -> Iterator[tuple[Json, Markup]]:
    """Each section of a record as its contents name it, and as it is drawn without its title: for another page to hold.
    Raises ConfigError for a record of another schema."""
    read, named, template = readable(record), digest(record), _ENVIRONMENT.get_template("section.html")
    for section in read["contents"]:
        # Safe: what is drawn from the record was escaped by the template that drew it.
        yield section, Markup(template.render(record=read, digest=named, section=section))  # noqa: S704


def readable(record: Json) -> Json:
    """The record in the shape of the schema of now. Raises ConfigError for a record of another schema."""
    return choose(_SCHEMAS, str(record.get("schema")), "record.schema")(record)


def content_security_policy(style: str) -> str:
    """What the page may load: its own style sheet and the pictures inside it. Injected markup stays inert."""
    fingerprint = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii")
    return f"default-src 'none'; img-src data:; style-src 'sha256-{fingerprint}'; base-uri 'none'; form-action 'none'"


def _as_it_is(record: Json) -> Json:
    return record


_SCHEMAS = {FIRST: modernized, SCHEMA: _as_it_is}
_ENVIRONMENT = Environment(
    loader=FileSystemLoader(_FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
_ENVIRONMENT.filters |= {
    name: getattr(formats, name)
    for name in (
        "visible", "signed", "number", "plain", "percent", "moment", "level", "answer_set", "oddness", "estimate",
        "failed", "by_input", "by_size", "segments", "strongest", "largest",
    )
}  # fmt: skip
