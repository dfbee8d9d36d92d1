"""Down-sampling by whole numbers, before a picture becomes floating point."""

import numpy as np
from jaxtyping import Shaped


def shrink_factor(rows: int, columns: int, at_least: int | None) -> int:
    """The largest whole number by which the shorter side may be divided and still have `at_least` pixels."""
    if at_least is None:
        return 1
    return max(1, min(rows, columns) // max(1, at_least))


def block_mean(frame: Shaped[np.ndarray, "h w"], factor: int) -> Shaped[np.ndarray, "H W"]:
    """The mean of each `factor` x `factor` block, float32. Rows and columns that fill no block are cut off, half at
    each end."""
    if factor == 1:
        return frame.astype(np.float32, copy=False)
    height, width = frame.shape[0] // factor, frame.shape[1] // factor
    top, left = (frame.shape[0] - height * factor) // 2, (frame.shape[1] - width * factor) // 2
    block = frame[top : top + height * factor, left : left + width * factor]
    wide = np.float32 if frame.dtype.kind == "f" else np.int64 if frame.dtype.itemsize > 2 else np.int32
    # Rows first: adding whole rows runs along memory, and the strided sum then has `factor` times less to do.
    rows_added = block.reshape(height, factor, -1).sum(axis=1, dtype=wide)
    sums = rows_added.reshape(height, width, factor).sum(axis=2, dtype=wide)
    return np.multiply(sums, np.float32(1 / factor**2), dtype=np.float32)
