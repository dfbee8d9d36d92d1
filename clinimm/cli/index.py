"""`clinimm index`: what a backbone or a trained model sees in a manifest's cases, kept to be searched."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clinimm.cli.arguments import BackboneDir, DataDir, progress, shipped_config, show
from clinimm.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clinimm.config import Config, PretrainConfig
    from clinimm.retrieval.index import Index

Workers = Annotated[int, typer.Option(min=1, help="Threads that read pictures.")]
Folds = Annotated[
    list[str] | None, typer.Option("--fold", help="Only cases of this fold of the config's column; may be repeated.")
]


def index(
    model: Annotated[Path, typer.Argument(help="A backbone, or an artifact or the folder of the run that wrote it.")],
    manifest: Annotated[Path, typer.Argument(help="A CSV or Parquet file with one row per case.")],
    out: Annotated[Path, typer.Option(help="Folder of the index; what an older one holds is replaced.")],
    data: DataDir = None,
    config: Annotated[
        Path | None, typer.Option(help="For a backbone: a pretraining or training config that names the columns.")
    ] = None,
    fold: Folds = None,
    workers: Workers = 1,
    backbone: BackboneDir = None,
) -> None:
    """Embed a cohort: pictures and texts apart by a backbone, whole cases by a trained model. Keeps vectors and ids."""
    from clinimm.retrieval.index import save

    _check_place(out)
    root = data or manifest.parent
    if (model / "backbone.json").is_file():
        if config is None:
            raise ConfigError("a backbone does not say which columns to read", where="--config", mend="give a config")
        made = _by_backbone(model, manifest, root, column_config(config), fold or (), workers)
    else:
        if fold:
            raise ConfigError("an artifact's cases are all indexed", where="--fold", mend="give a manifest of them")
        made = _by_artifact(model, manifest, root, backbone)
    save(out, made)
    kinds = {kind: len(made.rows(kind)) for kind in dict.fromkeys(made.kinds)}
    show(f"wrote {out}: " + ", ".join(f"{n} vectors of kind {kind}" for kind, n in kinds.items()))
    show(*(f"{name}: {value}" for name, value in made.facts.items() if value))
    of_seen = "unknown" if made.seen is None else f"{sum(made.seen)} vectors"
    show(f"of patients that the model has seen: {of_seen}")


def column_config(path: Path) -> "Config | PretrainConfig":
    """The training or pretraining config at `path`, or the shipped one of that name. Raises ConfigError."""
    import tomllib

    from clinimm.config import Config, PretrainConfig, load_as

    if not path.exists() and shipped_config(path.name).exists():
        path = shipped_config(path.name)
    try:
        trains = "inputs" in tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        trains = True  # load_as says what is wrong with it
    return load_as(Config, path) if trains else load_as(PretrainConfig, path)


def _by_backbone(
    model: Path, manifest: Path, root: Path, config: "Config | PretrainConfig", folds: "Sequence[str]", workers: int
) -> "Index":
    from clinimm.backbone import directory
    from clinimm.data.pairs import picture_door, read_pairs, source_of
    from clinimm.io.sandbox import Sandbox
    from clinimm.retrieval.embed import embed_pairs

    source = source_of(config)
    cases = read_pairs(source, manifest, root, folds)
    backbone = directory.load(model)
    about: dict[str, Any] = {"path": str(model.resolve())}
    with Sandbox() as sandbox, progress("embedding") as advance:
        door = None
        if source.image is not None and backbone.image is not None:
            size = backbone.image.size or source.image.size
            about |= {"picture": source.image.model_dump(mode="json") | {"size": list(size)}}
            door = picture_door(source.image, size, sandbox)
        return embed_pairs(
            backbone, cases, door, about=about, workers=workers, on_done=lambda done: advance(done, len(cases))
        )


def _by_artifact(model: Path, manifest: Path, root: Path, backbone: Path | None) -> "Index":
    from clinimm.artifact import seen_patients
    from clinimm.data.cohort import read_cohort
    from clinimm.evaluation.judge import artifacts_in
    from clinimm.inference import Predictor
    from clinimm.retrieval.embed import embed_cases

    [directory] = artifacts_in(model)[:1]
    predictor = Predictor.load(directory, backbone=backbone)
    cases = read_cohort(predictor.config, root, manifest, labelled=False)
    about, seen = {"path": str(directory.resolve())}, seen_patients(directory)
    with progress("embedding") as advance:
        return embed_cases(predictor, cases, about=about, seen=seen, on_done=lambda done: advance(done, len(cases)))


def _check_place(out: Path) -> None:
    """Raises ConfigError for a folder that holds anything but an index."""
    if out.exists() and not (out / "index.json").is_file() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError("is not empty, and holds no index", where=str(out), mend="give an empty folder")
