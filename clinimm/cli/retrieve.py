"""`clinimm retrieve`: what in an index is nearest to a picture, a text or a case; and how well that works."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clinimm.cli.arguments import AsJson, Seen, show
from clinimm.errors import ClinimmError, ConfigError

if TYPE_CHECKING:
    import numpy as np

    from clinimm.backbone.directory import Backbone
    from clinimm.retrieval.index import Index

KINDS = ("image", "text", "case")


def retrieve(
    index: Annotated[Path, typer.Argument(help="An index, as `clinimm index` writes it.")],
    text: Annotated[str | None, typer.Option(help="Find what is like this text.")] = None,
    image: Annotated[Path | None, typer.Option(help="Find what is like this picture.")] = None,
    case_id: Annotated[str | None, typer.Option("--case", help="Find what is like this case of the index.")] = None,
    to: Annotated[
        str | None, typer.Option(help="What is looked for: image, text or case; by default the other kind.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="How many.")] = 10,
    same_patient: Annotated[bool, typer.Option("--same-patient", help="Show the case's own patient, too.")] = False,
    backend: Annotated[str, typer.Option(help="exact, faiss or faiss-hnsw.")] = "exact",
    model: Annotated[Path | None, typer.Option(help="Where the backbone is now, if it was moved.")] = None,
    evaluate: Annotated[bool, typer.Option("--evaluate", help="Judge both directions over all pairs.")] = False,
    resamples: Annotated[int, typer.Option(min=10, help="Resamples of patients for an interval.")] = 1000,
    seen: Seen = False,
    as_json: AsJson = False,
) -> None:
    """Search an index: text to image, image to text, case to case. A case's own patient is left out by default.

    The model is judged on patients that it has not seen."""
    from clinimm.retrieval.index import load

    asked = [name for name, given in (("text", text), ("image", image), ("case", case_id)) if given is not None]
    if len(asked) + evaluate != 1:
        raise ConfigError("give one of --text, --image, --case and --evaluate", where="command line")
    kept = load(index)
    if evaluate:
        _evaluate(kept, resamples, seen, as_json)
        return
    if case_id is not None:
        kind, vector, left_out = _of_case(kept, case_id, to, same_patient)
    else:
        backbone = _backbone(kept, model)
        kind = to or ("image" if text is not None else "text")
        vector = _of_text(backbone, text) if text is not None else _of_image(backbone, kept, image or Path())
        left_out = []
    _print(kept, _nearest(kept, kind, vector, top, left_out, backend), as_json)


def _evaluate(kept: "Index", resamples: int, seen: bool, as_json: bool) -> None:
    from clinimm.retrieval.pairs import judge_pairs, pairs_grid, record

    found = judge_pairs(kept, resamples=resamples, seen=seen)
    if as_json:
        typer.echo(json.dumps(record(found), indent=1))
    else:
        show(pairs_grid(found).rich())


def _of_case(kept: "Index", case_id: str, to: str | None, same_patient: bool) -> "tuple[str, np.ndarray, list[int]]":
    """What to look for, from which vector, and which rows are not to be shown. Raises ConfigError."""
    rows = {kind: row for kind in KINDS if (row := kept.row(case_id, kind)) is not None}
    if not rows:
        raise ConfigError("no such case in the index", where="--case", mend="see its items.json for what it holds")
    kind = to or next(kind for kind in ("case", "image", "text") if kind in rows)
    row = rows.get(kind, next(iter(rows.values())))
    patient = kept.patient_ids[row]
    own = [i for i, other in enumerate(kept.patient_ids) if other == patient]
    hidden = [i for i in own if not same_patient or kept.case_ids[i] == case_id]
    return kind, kept.vectors[row], hidden


def _backbone(kept: "Index", model: Path | None) -> "Backbone":
    """The backbone that made the index. Raises ClinimmError if it is another one."""
    from clinimm.backbone import directory

    place = model or Path(str(kept.about.get("path", "")))
    if len(kept.rows("case")):
        raise ConfigError("a trained model's index holds whole cases", where="--text, --image", mend="give --case")
    backbone = directory.load(place)
    if backbone.digest != kept.model:
        raise ClinimmError("is not the backbone that made the index", where=str(place), mend="give --model")
    return backbone


def _of_text(backbone: "Backbone", text: str) -> "np.ndarray":
    from clinimm.backbone.encode import encode_texts
    from clinimm.io.text import clean_note

    vectors, cut = encode_texts(backbone, [clean_note(text).text])
    if cut[0]:
        typer.echo(f"the text is longer than the model reads: its last {cut[0]} word pieces were left out", err=True)
    return vectors[0].cpu().numpy()


def _of_image(backbone: "Backbone", kept: "Index", path: Path) -> "np.ndarray":
    from clinimm.backbone.encode import encode_pictures
    from clinimm.config.inputs import Picture
    from clinimm.data.pairs import picture_door
    from clinimm.io.sandbox import Sandbox
    from clinimm.types import ImageFile

    if "picture" not in kept.about:
        raise ConfigError("the index does not say how pictures are read", where="--image", mend="index pictures, too")
    section = Picture.model_validate({k: v for k, v in kept.about["picture"].items() if k in Picture.model_fields})
    with Sandbox() as sandbox:
        pixels, _ = picture_door(section, section.size, sandbox).pixels(ImageFile((path,)))
    return encode_pictures(backbone, pixels[None])[0].cpu().numpy()


def _nearest(
    kept: "Index", kind: str, vector: "np.ndarray", top: int, left_out: list[int], backend: str
) -> list[tuple[int, float]]:
    """(row of the index, similarity) of the nearest of that kind. Raises ConfigError."""
    import numpy as np

    from clinimm.choose import choose
    from clinimm.retrieval.search import build_searcher, neighbors

    rows = kept.rows(choose(dict.fromkeys(KINDS, kind), kind, "--to"))
    if not len(rows):
        raise ConfigError(f"the index holds nothing of kind {kind}", where="--to", mend="look for another kind")
    hidden = np.flatnonzero(np.isin(rows, np.array(left_out, dtype=np.int64)))
    [found] = neighbors(build_searcher(backend, kept.vectors[rows]), vector[None], top, [hidden])
    return [(int(rows[place]), similarity) for place, similarity in found]


def _print(kept: "Index", found: list[tuple[int, float]], as_json: bool) -> None:
    from clinimm.evaluation.grid import Grid

    lines = [(rank, kept.case_ids[row], kept.kinds[row], similarity) for rank, (row, similarity) in enumerate(found, 1)]
    if as_json:
        names = ("rank", "case_id", "kind", "similarity")
        records = [dict(zip(names, (*line[:3], round(line[3], 6)), strict=True)) for line in lines]
        typer.echo(json.dumps(records, indent=1))
        return
    rows = tuple((str(rank), case_id, kind, f"{similarity:.4f}") for rank, case_id, kind, similarity in lines)
    show(Grid("Nearest first", ("rank", "case", "kind", "similarity"), rows).rich())
