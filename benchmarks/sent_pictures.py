"""Pictures for the guard of a chest-film model: right films as other devices and hands give them, and wrong ones.

Those are films inverted and turned, photographs, pages, noise, and knees, CT slices and ultrasound drawn by other means
than the guard's own. All are gray and in [0, 1]."""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter, rotate
from sklearn.datasets import load_sample_images
from torch import Tensor

FINE = 256  # side of the pictures that are cut and turned before they are put on the model's grid


# Right pictures of other devices and hands.


def shifted(fine: Tensor, rng: np.random.Generator) -> dict[str, list[np.ndarray]]:
    films = [unpadded(film) for film in fine[:, 0].numpy()]
    return {
        "brighter": [(film * 0.85 + 0.15).clip(0, 1) for film in films],
        "darker": [film * 0.75 for film in films],
        "less contrast": [film * 0.6 + 0.2 for film in films],
        "gamma 0.7": [film**0.7 for film in films],
        "gamma 1.5": [film**1.5 for film in films],
        "turned by up to 10 degrees": [rotate(f, rng.uniform(-10, 10), reshape=False, order=1) for f in films],
        "cut by up to 8 % at each side": [cut(film, rng, 0.08) for film in films],
        "a quarter of the resolution": [film[::4, ::4] for film in films],
        "grainy": [(film + rng.normal(0, 0.05, film.shape)).clip(0, 1) for film in films],
        "blurred": [gaussian_filter(film, 2) for film in films],
    }


def unpadded(film: np.ndarray) -> np.ndarray:
    rows, columns = np.flatnonzero((film > 0).any(1)), np.flatnonzero((film > 0).any(0))
    return film[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def cut(film: np.ndarray, rng: np.random.Generator, share: float) -> np.ndarray:
    top, bottom, left, right = (
        int(rng.uniform(0, share) * n) for n in (film.shape[0], film.shape[0], film.shape[1], film.shape[1])
    )
    return film[top : film.shape[0] - bottom, left : film.shape[1] - right]


# Wrong pictures.


def spoiled(fine: Tensor) -> dict[str, list[np.ndarray]]:
    films = [unpadded(film) for film in fine[:, 0].numpy()]
    return {
        "inverted film": [1 - film for film in films],
        "inverted film, darker": [(1 - film) ** 1.5 for film in films],
        "film on its side": [np.rot90(film, 1 + 2 * (i % 2)) for i, film in enumerate(films)],
        "film upside down": [film[::-1, ::-1] for film in films],
    }


def photographs(n: int, rng: np.random.Generator) -> list[np.ndarray]:
    found = []
    for photo in load_sample_images().images:
        gray = photo.mean(2) / 255
        for _ in range(n // 2):
            h, w = (int(rng.uniform(0.15, 1) * side) for side in gray.shape)
            top, left = rng.integers(0, gray.shape[0] - h + 1), rng.integers(0, gray.shape[1] - w + 1)
            found.append(gray[top : top + h, left : left + w])
    return found


WORDS = "patient admitted with cough fever since days chest film shows no effusion heart size normal follow up"


def pages(n: int, rng: np.random.Generator) -> list[np.ndarray]:
    found = []
    for _ in range(n):
        paper, ink = (255, 0) if rng.random() < 0.6 else (int(rng.integers(0, 60)), 230)
        page = Image.new("L", (int(rng.integers(300, 700)), int(rng.integers(300, 700))), paper)
        draw, size = ImageDraw.Draw(page), int(rng.integers(12, 40))
        for top in range(10, page.height - size, int(size * 1.4)):
            draw.text((10, top), " ".join(rng.choice(WORDS.split(), 12)), fill=ink, font=ImageFont.load_default(size))
        found.append(np.asarray(page, dtype=np.float64) / 255)
    return found


def noises(n: int, rng: np.random.Generator) -> list[np.ndarray]:
    make: list[Callable[[], np.ndarray]] = [
        lambda: rng.random((FINE, FINE)),
        lambda: rng.normal(0.5, 0.15, (64, 64)).clip(0, 1),
        lambda: np.kron(rng.random((16, 16)), np.ones((8, 8))),
        lambda: stretched(gaussian_filter(rng.normal(size=(128, 128)), rng.uniform(2, 20))),
        lambda: (rng.poisson(3, (128, 128)) / 10).clip(0, 1),
    ]
    return [make[i % len(make)]() for i in range(n)]


def stretched(values: np.ndarray) -> np.ndarray:
    return (values - values.min()) / np.ptp(values)


def bump(y: np.ndarray, x: np.ndarray, at: tuple[float, float], size: tuple[float, float], edge: float) -> np.ndarray:
    """1 within a soft ellipse, 0 without."""
    return 1 / (1 + np.exp((np.hypot((y - at[0]) / size[0], (x - at[1]) / size[1]) - 1) / edge))


def knee(rng: np.random.Generator) -> np.ndarray:
    """Femur, tibia, fibula and kneecap as sums of attenuations, exposed like a film; from the front or the side."""
    y, x = np.mgrid[-1:1:256j, -0.7:0.7:180j]
    side, tilt = rng.random() < 0.5, rng.normal(0, 0.08)
    x = x + tilt * y + rng.normal(0, 0.05)
    width = rng.uniform(0.11, 0.17)
    thick = 0.8 * np.sqrt(np.clip(1 - (x / rng.uniform(0.45, 0.65)) ** 2, 0, 1))
    femur = bump(y, x, (-0.9, 0), (0.75, width), 0.08) + 0.7 * bump(y, x, (-0.16, -0.13), (0.16, 0.2), 0.08)
    femur += 0.7 * bump(y, x, (-0.16, 0.13), (0.16, 0.2), 0.08)
    tibia = bump(y, x, (0.9, 0), (0.72, width * 0.9), 0.08) + 0.9 * bump(y, x, (0.16, 0), (0.1, 0.32), 0.08)
    fibula = bump(y, x, (0.8, 0.3), (0.6, 0.04), 0.15)
    patella = bump(y, x, (-0.2, -0.42 if side else 0.0), (0.14, 0.07 if side else 0.13), 0.15)
    dense = thick + 1.4 * (femur + tibia) + 0.8 * fibula + 0.6 * patella
    film = 1 - np.exp(-rng.uniform(0.5, 1.1) * dense)
    return (film + rng.normal(0, 0.015, film.shape)).clip(0, 1) ** rng.uniform(0.7, 1.5)


def chest_slice(rng: np.random.Generator, coronal: bool) -> np.ndarray:
    """Lungs with vessels, heart, spine, ribs and fat in Hounsfield units, through a lung or a soft tissue window."""
    y, x = np.mgrid[-1:1:256j, -1:1:256j]
    tall = rng.uniform(0.8, 1.1) if coronal else rng.uniform(0.55, 0.7)
    hounsfield = (
        -1000 + 900 * bump(y, x, (0, 0), (tall, 0.85), 0.01) + 140 * bump(y, x, (0, 0), (tall - 0.06, 0.78), 0.02)
    )
    lungs = sum(
        bump(y, x, (-0.02, sign * 0.38), (tall * rng.uniform(0.68, 0.8), rng.uniform(0.27, 0.33)), 0.03)
        for sign in (-1, 1)
    )
    heart = bump(y, x, (0.25 if coronal else -0.15, 0.12), (0.3, 0.28), 0.03)
    lungs = lungs * (1 - heart)
    vessels = gaussian_filter(rng.normal(size=x.shape), rng.uniform(1.5, 3))
    hounsfield += lungs * (-880 + 500 * (vessels > 2 * vessels.std()) + 150 * rng.random())
    spine = bump(y, x, (0, 0), (1.1, 0.09), 0.1) if coronal else bump(y, x, (0.72 * tall, 0), (0.12, 0.12), 0.1)
    hounsfield += 500 * spine + 20 * rng.normal(size=x.shape)
    if not coronal:
        hounsfield += 300 * (abs(np.hypot(x, (y + 0.6) * 0.8) - 1.12) < 0.02)
    center, width = (-600, 1500) if rng.random() < 0.5 else (40, 400)
    return ((hounsfield - center) / width + 0.5).clip(0, 1)


def sonogram(rng: np.random.Generator) -> np.ndarray:
    y, x = np.mgrid[0:1:200j, -0.7:0.7:260j]
    angle, depth = np.arctan2(x, y + 0.2), np.hypot(x, y + 0.2)
    speckle = np.hypot(*(gaussian_filter(rng.normal(size=x.shape), (1, 2)) for _ in range(2)))
    organ = 1 - 0.8 * bump(y, x, (rng.uniform(0.3, 0.7), rng.uniform(-0.2, 0.2)), (0.15, 0.2), 0.1)
    return stretched(speckle * organ * (abs(angle) < 0.7) * (depth > 0.25) * (depth < 1.1))


def drawn(rng: np.random.Generator) -> dict[str, list[np.ndarray]]:
    return {
        "photograph, cropped (real)": photographs(200, rng),
        "page of text": pages(60, rng),
        "noise": noises(100, rng),
        "black": [np.zeros((64, 64)), np.full((64, 64), 0.01), np.full((64, 64), 1e-3) * rng.random((64, 64))],
        "white": [np.ones((64, 64)), np.full((64, 64), 0.97), 1 - 1e-3 * rng.random((64, 64))],
        "knee (drawn)": [knee(rng) for _ in range(60)],
        "chest CT, axial (drawn)": [chest_slice(rng, False) for _ in range(60)],
        "chest CT, coronal (drawn)": [chest_slice(rng, True) for _ in range(60)],
        "ultrasound (drawn)": [sonogram(rng) for _ in range(30)],
    }
