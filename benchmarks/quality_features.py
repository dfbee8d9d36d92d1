"""Whether the quality features of pictures tell what they are named for, and what they cost.

    python benchmarks/quality_features.py --data DIR --out quality.json

Every film of `DIR/cases.csv` is read as the model's door reads it and measured twice, as it is and spoiled in one way
before it is put on the grid. For each way: the AUROC of the feature that is named for it, of spoiled against whole
films (0.5 is blind, 1 tells them all); in how many of the films it moves the way it mostly moves; and the best of all
the others. The films are taken as they come: what the whole ones have of blur, letters (about half of the films of
covid_cxr) and collimation counts against us. Time is processor time of one thread.
"""

import argparse
import csv
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter
from sklearn.metrics import roc_auc_score

from clinimm.data.picture import onto_grid, place
from clinimm.data.quality.picture import PICTURE, picture_quality
from clinimm.io.sandbox import Sandbox

Film = np.ndarray
Spoil = Callable[[Film, np.random.Generator], Film]


def blurred(film: Film, rng: np.random.Generator, share: float = 0.015) -> Film:
    return np.asarray(gaussian_filter(film, share * max(film.shape)))


def noisy(film: Film, rng: np.random.Generator, sigma: float = 0.1) -> Film:
    return np.clip(film + rng.normal(0, sigma, film.shape), 0, 1)


def flat(film: Film, rng: np.random.Generator) -> Film:
    return 0.5 + 0.3 * (film - film.mean())


def underexposed(film: Film, rng: np.random.Generator) -> Film:
    return np.asarray(film**2.5)


def overexposed(film: Film, rng: np.random.Generator) -> Film:
    return np.asarray(film**0.4)


def clipped(film: Film, rng: np.random.Generator) -> Film:
    return np.clip(0.5 + 2.5 * (film - 0.5), 0, 1)


def cropped(film: Film, rng: np.random.Generator) -> Film:
    high, wide = (n // 5 for n in film.shape)
    return film[high : film.shape[0] - high, wide : film.shape[1] - wide]


def bordered(film: Film, rng: np.random.Generator) -> Film:
    high, wide = (n // 8 for n in film.shape)
    return np.pad(film, ((high, high), (wide, wide)))


def strip(film: Film, rng: np.random.Generator) -> Film:
    return film[: film.shape[0] // 2]


def lettered(film: Film, rng: np.random.Generator) -> Film:
    """Two lines in one corner, white on black, in letters of a thirtieth of the picture."""
    size, (height, width) = min(film.shape) // 30, film.shape
    label = Image.new("L", (6 * size, 3 * size))
    ImageDraw.Draw(label).text((size // 3, 0), "DOE JANE\n1950-03-02", 255, ImageFont.load_default(size))
    drawn = np.asarray(label)[: height // 4, : width // 2] / 255
    top = int(rng.integers(2)) * (height - drawn.shape[0])
    left = int(rng.integers(2)) * (width - drawn.shape[1])
    made = film.copy()
    made[top : top + drawn.shape[0], left : left + drawn.shape[1]] = drawn
    return made


WAYS: dict[str, tuple[Spoil, str]] = {
    "blurred": (blurred, "sharpness"),
    "noisy": (noisy, "noise"),
    "flat": (flat, "contrast"),
    "underexposed": (underexposed, "dark"),
    "overexposed": (overexposed, "bright"),
    "clipped": (clipped, "clipped"),
    "cropped": (cropped, "cut_off"),
    "bordered": (bordered, "border"),
    "half": (strip, "aspect"),
    "lettered": (lettered, "lettering"),
}


def measured(film: Film, size: tuple[int, int]) -> np.ndarray:
    stored = torch.from_numpy(np.ascontiguousarray(film, dtype=np.float32))
    placed = place(tuple(stored.shape), size)
    grid = onto_grid(stored, placed)[0]
    (top, left), (high, wide) = placed.offset, placed.resized
    return picture_quality(grid[top : top + high, left : left + wide], stored, {}).numpy()


def films(data: Path, column: str, size: tuple[int, int], most: int) -> list[Film]:
    with (data / "cases.csv").open(encoding="utf-8") as lines:
        paths = [data / row[column] for row in csv.DictReader(lines) if row[column]]
    chosen = np.random.default_rng(0).permutation(len(paths))[:most]
    with Sandbox() as sandbox:
        return [np.asarray(sandbox.read([paths[i]], at_least=4 * max(size)).pixels) for i in sorted(chosen)]


def told(whole: np.ndarray, spoiled: np.ndarray) -> np.ndarray:
    """The AUROC of every feature, whichever way it points."""
    truth = np.repeat([0, 1], [len(whole), len(spoiled)])
    found = [roc_auc_score(truth, both) for both in np.concatenate([whole, spoiled]).T]
    return np.maximum(found, 1 - np.asarray(found))


def judged(way: str, feature: str, whole: np.ndarray, spoiled: np.ndarray) -> dict[str, str | float]:
    aurocs, own = told(whole, spoiled), PICTURE.index(feature)
    best = max((i for i in range(len(PICTURE)) if i != own), key=lambda i: aurocs[i])
    change = spoiled[:, own] - whole[:, own]
    moves = float(np.mean(change * np.sign(change.mean()) > 0))
    return {
        "way": way, "feature": feature, "auroc": round(float(aurocs[own]), 3), "moves": round(moves, 3),
        "best_other": PICTURE[best], "its_auroc": round(float(aurocs[best]), 3),
    }  # fmt: skip


def cost_ms(side: int, size: tuple[int, int], times: int = 15) -> float:
    """Median processor time of the features of a picture of `side` squared."""
    film = torch.from_numpy(np.random.default_rng(0).random((side, side), dtype=np.float32))
    grid = onto_grid(film, place(tuple(film.shape), size))[0]
    spent = []
    for _ in range(times):
        start = time.thread_time()
        picture_quality(grid, film, {})
        spent.append(time.thread_time() - start)
    return 1e3 * float(np.median(spent))


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--data", type=Path, required=True)
    asked.add_argument("--column", default="image")
    asked.add_argument("--size", type=int, default=64)
    asked.add_argument("--films", type=int, default=200)
    asked.add_argument("--out", type=Path, default=Path("quality_features.json"))
    given = asked.parse_args()
    torch.set_num_threads(1)
    size = (given.size, given.size)
    pictures = films(given.data, given.column, size, given.films)
    whole = np.stack([measured(film, size) for film in pictures])
    rows = []
    for name, (spoil, feature) in WAYS.items():
        rng = np.random.default_rng(0)
        spoiled = np.stack([measured(spoil(film, rng), size) for film in pictures])
        rows.append(judged(name, feature, whole, spoiled))
        print("{way:13} {feature:10} {auroc:.3f} {moves:4.0%}   {best_other:11} {its_auroc:.3f}".format(**rows[-1]))
    quantiles = np.quantile(whole, [0, 0.05, 0.5, 0.95, 1], axis=0).round(3).T
    spread = dict(zip(PICTURE, quantiles.tolist(), strict=True))
    sizes = ((1024, 224), (2048, 224), (2048, 512))
    costs = {f"{side} on {grid}": round(cost_ms(side, (grid, grid)), 2) for side, grid in sizes}
    print("ms of one thread:", costs)
    for name, row in spread.items():
        print(f"{name:13}", *(f"{q:7.3f}" for q in row))
    given.out.write_text(json.dumps({"films": len(pictures), "ways": rows, "ms": costs, "whole": spread}, indent=2))


if __name__ == "__main__":
    main()
