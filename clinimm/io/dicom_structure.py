"""A bounded walk over a DICOM data set's bytes, before any parser recurses into them.

pydicom recurses into sequences and trusts lengths; 200 nested items end it. This walk keeps its own stack, reads no
values, and stops at the pixel data, so that depth, number of elements and every length are known to be sane."""

from dataclasses import dataclass
from struct import Struct
from typing import NamedTuple

from clinimm.errors import DamagedInput
from clinimm.io.scan_types import Limits

UNDEFINED, DELIMITERS = 0xFFFFFFFF, 0xFFFE
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
PIXEL_TAGS = {0x7FE00008: "FloatPixelData", 0x7FE00009: "DoubleFloatPixelData", 0x7FE00010: "PixelData"}
LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
SHORT_VRS = frozenset(b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())
ENCAPSULATED_FORMS = frozenset(b"OB OD OF OL OV OW".split())
SMALL = 1 << 16


@dataclass(frozen=True)
class PixelElement:
    """Where the pixel data are: `start` of the value, `length` in bytes (UNDEFINED if encapsulated)."""

    keyword: str
    vr: bytes | None
    start: int
    length: int


class Element(NamedTuple):
    tag: int
    vr: bytes | None
    start: int
    length: int


class Walk:
    """One pass over `data` from `start`; `find_pixels` answers where the pixel data are, or None.

    Raises DamagedInput `nested_too_deep`, `too_many_elements` or `bad_length`."""

    def __init__(self, data: bytes, start: int, *, implicit: bool, little: bool, limits: Limits, where: str) -> None:
        self.data, self.at, self.implicit, self.limits, self.where = data, start, implicit, limits, where
        order = "<" if little else ">"
        self._short, self._long, self._tag = Struct(f"{order}HH2sH"), Struct(f"{order}L"), Struct(f"{order}HHL")
        self._item_tag = b"\xfe\xff\x00\xe0" if little else b"\xff\xfe\xe0\x00"
        self._left = limits.elements
        # Where each open sequence or item ends, None when a delimiter ends it; two entries a level.
        self._open_ends: list[int | None] = []

    def find_pixels(self) -> PixelElement | None:
        last = len(self.data) - 8
        while self.at <= last:
            self._skip_plain(last)
            self._close_what_ended()
            if self.at > last:
                break
            element = self._next()
            if element.tag in (ITEM_END, SEQUENCE_END):
                del self._open_ends[-1:]
            elif not self._open_ends and element.tag in PIXEL_TAGS:
                return PixelElement(PIXEL_TAGS[element.tag], element.vr, element.start, element.length)
            else:
                self._enter_or_skip(element)
        if self.at > len(self.data):
            raise DamagedInput("bad_length", "an element is longer than the file", where=self.where)
        return None

    def _close_what_ended(self) -> None:
        while self._open_ends and (end := self._open_ends[-1]) is not None and self.at >= end:
            self._open_ends.pop()

    def _skip_plain(self, last: int) -> None:
        """Past explicit elements of short length, which most are; in one loop, since a hostile file has many."""
        if self.implicit:
            return
        end = self._open_ends[-1] if self._open_ends else None
        stop, at, left = min(last, (end or last + 1) - 1), self.at, self._left
        unpack, data = self._short.unpack_from, self.data
        while at <= stop and left > 0:
            group, _, vr, length = unpack(data, at)
            if vr not in SHORT_VRS or group == DELIMITERS:
                break
            at, left = at + 8 + length, left - 1
        self.at, self._left = at, left

    def _next(self) -> Element:
        self._left -= 1
        if self._left < 0:
            raise DamagedInput("too_many_elements", f"has more than {self.limits.elements} elements", where=self.where)
        group, number, vr, short = self._short.unpack_from(self.data, self.at)
        tag = group << 16 | number
        if self.implicit or group == DELIMITERS or not (vr.isalpha() and vr.isupper()):
            length = self._tag.unpack_from(self.data, self.at)[2]
            self.at += 8
            return Element(tag, None, self.at, length)
        if vr not in LONG_VRS:
            self.at += 8
            return Element(tag, vr, self.at, short)
        if self.at + 12 > len(self.data):
            raise DamagedInput("truncated_header", "ends inside an element", where=self.where)
        length = self._long.unpack_from(self.data, self.at + 8)[0]
        self.at += 12
        return Element(tag, vr, self.at, length)

    def _enter_or_skip(self, element: Element) -> None:
        end = None if element.length == UNDEFINED else element.start + element.length
        if end is not None and end > len(self.data):
            raise DamagedInput("bad_length", "an element is longer than the file", where=self.where)
        if element.tag == ITEM or self._holds_items(element):
            self._enter(element, end)
        elif end is not None:
            self.at = end
        elif element.vr in ENCAPSULATED_FORMS:
            self._skip_fragments()
        else:
            raise DamagedInput("bad_length", "an element that is no sequence has no length", where=self.where)

    def _enter(self, element: Element, end: int | None) -> None:
        if end is not None and self._is_shallow(element.start, end):
            self.at = end
            return
        self._open_ends.append(end)
        if len(self._open_ends) > 2 * self.limits.depth:
            raise DamagedInput(
                "nested_too_deep", f"nests sequences more than {self.limits.depth} deep", where=self.where
            )

    def _holds_items(self, element: Element) -> bool:
        if element.vr == b"SQ":
            return True
        starts_with_item = self.data[element.start : element.start + 4] == self._item_tag
        ends_at_once = self.data[element.start : element.start + 2] == self._item_tag[:2]
        return element.vr in (None, b"UN") and (starts_with_item or (element.length == UNDEFINED and ends_at_once))

    def _skip_fragments(self) -> None:
        """Past an encapsulated value that is not the pixel data, such as a compressed icon."""
        while self.at + 8 <= len(self.data):
            element = self._next()
            if element.tag != ITEM or element.length > len(self.data) - element.start:
                return
            self.at = element.start + element.length

    def _is_shallow(self, start: int, end: int) -> bool:
        """True where so few bytes and item tags lie in between that no limit can be broken inside."""
        room = self.limits.depth - len(self._open_ends) // 2 - 1
        return end - start <= SMALL and self.data.count(self._item_tag, start, end) < room
