"""What a compressed frame says of itself, read from its first markers without decoding."""

from dataclasses import dataclass

JP2, J2K = b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"
# Of the analysis low-pass: 5/3 is (-1 2 6 2 -1) / 8; 9/7 from ISO/IEC 15444-1 table F.4.
REVERSIBLE_VARIANCE, IRREVERSIBLE_VARIANCE = -0.5, 0.4604
START_OF_TILE = b"\xff\x90\x00\x0a"
END, PADDING = b"\xff\xd9", 64
STANDALONE = frozenset([0x01, *range(0xD0, 0xD9)])
FRAME_HEADERS = frozenset([*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0), 0xF7])


@dataclass(frozen=True)
class Codestream:
    """`precision` is bits a sample, `signed` is known for JPEG 2000 alone, as is `levels`, the wavelet's
    halvings, and the variance of its low-pass in pixels squared."""

    rows: int
    columns: int
    components: int
    precision: int
    signed: bool = False
    levels: int = 0
    low_pass_variance: float = 0.0


def read_codestream(frame: bytes) -> Codestream | None:
    """The size of a JPEG, JPEG-LS or JPEG 2000 frame; None where its markers cannot be followed."""
    if frame[:3] == b"\xff\xd8\xff":
        return _jpeg(frame)
    start = frame.find(J2K, 0, 1 << 12) if frame.startswith(JP2) else 0
    return _jpeg2000(frame[start : start + (1 << 12)]) if frame[start : start + 4] == J2K else None


def is_cut_off(frame: bytes) -> bool:
    """True for a JPEG or JPEG-LS frame without its end marker, and for JPEG 2000 whose tiles end beyond the frame.

    Decoders fill in what is missing without a word, or search for it for seconds."""
    if frame[:3] == b"\xff\xd8\xff":
        return END not in frame.rstrip(b"\0")[-PADDING:]
    start = frame.find(J2K, 0, 1 << 12)
    if start != 0 and not frame.startswith(JP2):
        return False
    at = frame.find(START_OF_TILE, start)
    while at >= 0 and frame[at : at + 4] == START_OF_TILE:
        length = int.from_bytes(frame[at + 6 : at + 10])
        if length == 0 or at + length > len(frame):
            return length > 0 or END not in frame.rstrip(b"\0")[-PADDING:]
        at += length
    return at < 0


def _jpeg(frame: bytes) -> Codestream | None:
    at = 2
    while at + 10 <= len(frame):
        if frame[at] != 0xFF:
            return None
        marker = frame[at + 1]
        if marker in STANDALONE or marker == 0xFF:
            at += 1 if marker == 0xFF else 2
            continue
        if marker in FRAME_HEADERS:
            rows, columns = int.from_bytes(frame[at + 5 : at + 7]), int.from_bytes(frame[at + 7 : at + 9])
            return Codestream(rows, columns, components=frame[at + 9], precision=frame[at + 4])
        at += 2 + int.from_bytes(frame[at + 2 : at + 4])
    return None


def _jpeg2000(main: bytes) -> Codestream | None:
    """SIZ follows SOC at once; COD stands somewhere after it."""
    if len(main) < 45:
        return None
    right, bottom, left, top = (int.from_bytes(main[at : at + 4]) for at in (8, 12, 16, 20))
    components, depth = int.from_bytes(main[40:42]), main[42]
    at, levels, variance = 4 + int.from_bytes(main[4:6]), 0, 0.0
    while at + 14 <= len(main) and main[at] == 0xFF and main[at + 1] != 0x90:
        if main[at + 1] == 0x52:
            levels, variance = main[at + 9], REVERSIBLE_VARIANCE if main[at + 13] == 1 else IRREVERSIBLE_VARIANCE
        at += 2 + int.from_bytes(main[at + 2 : at + 4])
    return Codestream(bottom - top, right - left, components, (depth & 0x7F) + 1, bool(depth & 0x80), levels, variance)
