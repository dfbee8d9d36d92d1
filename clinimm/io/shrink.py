"""Down-sampling by whole numbers, before a picture becomes floating point."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, Shaped


def shrink_factor(rows: int, columns: int, at_least: int | None) -> int:
    """The largest power of two by which the shorter side may be divided and still have `at_least` pixels.

    A power of two, so that a picture comes out on the same grid whether or not it was stored as a wavelet."""
    if at_least is None:
        return 1
    most = max(1, min(rows, columns) // max(1, at_least))
    return 1 << (most.bit_length() - 1)


def block_mean(frame: Shaped[np.ndarray, "h w"], factor: int) -> Float32[np.ndarray, "H W"]:
    """The mean of each `factor` x `factor` block, float32. Rows and columns at the end that fill no block are
    left out."""
    if factor == 1:
        return frame.astype(np.float32, copy=False)
    height, width = frame.shape[0] // factor, frame.shape[1] // factor
    block = frame[: height * factor, : width * factor]
    # 128 x 128 pixels of 16 bits still fit 32 bits; twice as quick to add as 64.
    narrow = frame.dtype.itemsize <= 2 and factor <= 128
    wide = np.float64 if frame.dtype.kind == "f" else np.int32 if narrow else np.int64
    # Rows first: adding whole rows runs along memory, and the strided sum then has `factor` times less to do.
    rows_added = _added([block[start::factor] for start in range(factor)], wide)
    sums = _added([rows_added[:, start::factor] for start in range(factor)], wide)
    return np.multiply(sums, 1 / factor**2).astype(np.float32)


def last_halving(band: Shaped[np.ndarray, "h w"], levels: int, low_pass_variance: float) -> Float32[np.ndarray, "H W"]:
    """Half the rows and columns of a wavelet's low band, so as to stand for means over blocks of the stored pixels.

    `band` has been halved `levels` times by low-passes of the given variance (in pixels squared of their own level).
    Its sample n lies on stored pixel n s, s = 2**levels, while a block of 2 s pixels has its center at s - 1/2 and the
    variance (4 s**2 - 1) / 12. Three weights on samples 2n, 2n + 1, 2n + 2 that sum to 1 give both; with no levels
    they are 1/2, 1/2, 0, the block mean itself."""
    s = 1 << levels
    third = (1 / 3 - 1 / (2 * s) + 1 / (6 * s**2) - low_pass_variance * (1 - 1 / s**2) / 3) / 2
    second = 1 - 1 / (2 * s) - 2 * third
    weights = 1 - second - third, second, third
    return _halve_rows(_halve_rows(band.astype(np.float32), weights).T, weights).T


def _halve_rows(band: Float32[np.ndarray, "h w"], weights: tuple[float, float, float]) -> Float32[np.ndarray, "H w"]:
    first, second, third = (np.float32(weight) for weight in weights)
    count = band.shape[0] // 2
    after = np.concatenate([band[2::2], band[-1:]])[:count]
    return first * band[0::2][:count] + second * band[1::2] + third * after


def _added(parts: Sequence[Shaped[np.ndarray, "h w"]], dtype: type[np.generic]) -> Shaped[np.ndarray, "h w"]:
    total = parts[0].astype(dtype)
    for part in parts[1:]:
        total += part
    return total
