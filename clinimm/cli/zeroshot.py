"""`clinimm zeroshot`: targets scored from prompts alone, and judged where the manifest knows the answers."""

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clinimm.cli.arguments import DataDir, Overrides, Seen, progress, shipped_config, show
from clinimm.cli.index import Folds, Workers
from clinimm.errors import BackboneError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clinimm.backbone.directory import Backbone
    from clinimm.config import ZeroShotConfig
    from clinimm.retrieval.scored import Scored
    from clinimm.retrieval.zeroshot import Prompted
    from clinimm.types import Case


def zeroshot(
    backbone: Annotated[Path, typer.Argument(help="A backbone with an image and a text tower.")],
    manifest: Annotated[Path, typer.Argument(help="A CSV or Parquet file with one row per case.")],
    config: Annotated[Path, typer.Option(help="Targets and their prompts.")] = Path("zeroshot_cxr.toml"),
    data: DataDir = None,
    out: Annotated[Path | None, typer.Option(help="A CSV file for the scores.")] = None,
    fold: Folds = None,
    workers: Workers = 1,
    seen: Seen = False,
    overrides: Overrides = None,
) -> None:
    """Score targets that nothing was trained on, by how near each picture is to sentences that state them.

    Cases of patients that the backbone was pretrained on are left out."""
    from clinimm.backbone import directory
    from clinimm.config import ZeroShotConfig, load_as
    from clinimm.data.pairs import read_pairs, source_of
    from clinimm.pseudonyms import known
    from clinimm.retrieval.scored import judge_scores, judged_grid
    from clinimm.retrieval.unseen import choose_cases
    from clinimm.retrieval.zeroshot import embed_prompts

    shipped = shipped_config(config.name)
    settings = load_as(ZeroShotConfig, shipped if not config.exists() and shipped.exists() else config, overrides or ())
    cases = read_pairs(source_of(settings), manifest, data or manifest.parent, fold or ())
    loaded = directory.load(backbone)
    prompts = embed_prompts(loaded, settings.targets)
    chosen = choose_cases(known([case.patient_id for case in cases], loaded.seen), len(cases), seen=seen)
    found = _score(loaded, [cases[row] for row in chosen.rows], prompts, settings, workers)
    judged = judge_scores(found, resamples=settings.bootstrap, seed=settings.seed)
    show(judged_grid(judged, settings, prompts).rich(), chosen.sentence())
    show(*(f"{number} cases were left out: {why}" for why, number in found.refused.items()))
    if out is not None:
        _write(out, found)
        show(f"wrote {out}: the scores of {len(found.cases)} cases")


def _score(
    backbone: "Backbone", cases: "Sequence[Case]", prompts: "Prompted", settings: "ZeroShotConfig", workers: int
) -> "Scored":
    from clinimm.data.pairs import picture_door
    from clinimm.io.sandbox import Sandbox
    from clinimm.retrieval.scored import score_cases

    if backbone.image is None:
        raise BackboneError("has no image tower", where=backbone.family, mend="give a backbone that has both towers")
    with Sandbox() as sandbox, progress("scoring") as advance:
        door = picture_door(settings.image, backbone.image.size or settings.image.size, sandbox)
        return score_cases(
            backbone, cases, door, prompts, settings, workers=workers, on_done=lambda done: advance(done, len(cases))
        )


def _write(path: Path, found: "Scored") -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["case_id", *found.targets])
        for case, scores in zip(found.cases, found.scores, strict=True):
            lines.writerow([case.case_id, *(f"{score:.6f}" for score in scores)])
