"""Names in every character set of DICOM come back as they were written, or with a flag."""

import re
from pathlib import Path

import numpy as np
import pytest
from dicom_files import dataset, save
from hypothesis import given
from hypothesis import strategies as st
from pydicom.charset import python_encoding

from clinimm.io.dicom_inspection import inspect_dicom
from clinimm.io.dicom_text import decode
from clinimm.io.scan import Limits

SINGLE = {
    "ISO_IR 100": "latin_1",
    "ISO_IR 101": "iso8859_2",
    "ISO_IR 109": "iso8859_3",
    "ISO_IR 110": "iso8859_4",
    "ISO_IR 144": "iso8859_5",
    "ISO_IR 127": "iso8859_6",
    "ISO_IR 126": "iso8859_7",
    "ISO_IR 138": "iso8859_8",
    "ISO_IR 148": "iso8859_9",
    "ISO_IR 166": "tis_620",
}
WHOLE = {"ISO_IR 192": "utf-8", "GB18030": "gb18030", "GBK": "gbk"}
FILLER = "\u3164"
# The codec, the escape that it writes itself, and the one that we write where it writes none.
EXTENSIONS = {
    "ISO 2022 IR 87": ("iso2022_jp", b"\x1b$B", b""),
    "ISO 2022 IR 159": ("iso2022_jp_2", b"\x1b$(D", b""),
    "ISO 2022 IR 149": ("euc_kr", b"", b"\x1b$)C"),
    "ISO 2022 IR 58": ("gb2312", b"", b"\x1b$)A"),
}


def letters(codec: str, begins: bytes = b"") -> str:
    """Those that the codec has beyond ASCII, written after the escape `begins`; but the filler of Hangul, which the
    codec of Korean writes and takes for the beginning of a syllable."""
    found = []
    for one in map(chr, range(0xC0, 0x10000)):
        try:
            written = one.encode(codec)
        except UnicodeError:
            continue
        if one.isalpha() and one != FILLER and written.startswith(begins):
            found.append(one)
    assert len(found) > 20
    return "".join(found)


def words(alphabet: str, longest: int = 8) -> st.SearchStrategy[str]:
    """By number, since drawing from tens of thousands of letters by themselves is slow."""
    numbers = st.integers(0, len(alphabet) - 1)
    return st.lists(numbers.map(alphabet.__getitem__), min_size=1, max_size=longest).map("".join)


WORDS = {name: words(letters(codec) + "abcXYZ") for name, codec in (SINGLE | WHOLE).items()}
EXTENDED = {name: words(letters(codec, begins)) for name, (codec, begins, _) in EXTENSIONS.items()}


@pytest.mark.parametrize("charset", SINGLE | WHOLE)
@given(data=st.data())
def test_names_come_back_in_sets_of_their_own(charset: str, data: st.DataObject) -> None:
    name = "^".join(data.draw(st.lists(WORDS[charset], min_size=1, max_size=4)))
    assert decode(name.encode((SINGLE | WHOLE)[charset]), [charset]) == (name, True)


@given(st.text(st.characters(min_codepoint=0xFF61, max_codepoint=0xFF9F), max_size=20))
def test_half_width_katakana_come_back(name: str) -> None:
    assert decode(f"YAMADA^{name}".encode("shift_jis"), ["ISO_IR 13"]) == (f"YAMADA^{name}", True)


@pytest.mark.parametrize("charset", EXTENSIONS)
@given(data=st.data())
def test_names_come_back_by_code_extensions(charset: str, data: st.DataObject) -> None:
    """Each part begins with its escape, as the standard asks; two-byte letters may hold the bytes of ^ and =."""
    codec, _, before = EXTENSIONS[charset]
    parts = data.draw(st.lists(EXTENDED[charset], min_size=1, max_size=3))
    raw = b"Name^Given=" + b"^".join(before + one.encode(codec) for one in parts)
    assert decode(raw, ["", charset]) == ("Name^Given=" + "^".join(parts), True)


@pytest.mark.parametrize(
    ("charsets", "raw", "name"),
    [
        (
            ["", "ISO 2022 IR 87"],
            b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
            "Yamada^Tarou=山田^太郎=やまだ^たろう",
        ),
        (
            ["ISO 2022 IR 13", "ISO 2022 IR 87"],
            b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J=\x1b$B$d$^$@\x1b(J^\x1b$B$?$m$&\x1b(J",
            "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
        ),
        (
            ["", "ISO 2022 IR 149"],
            b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
            "Hong^Gildong=洪^吉洞=홍^길동",
        ),
        (["ISO_IR 192"], b"Wang^XiaoDong=\xe7\x8e\x8b^\xe5\xb0\x8f\xe6\x9d\xb1", "Wang^XiaoDong=王^小東"),
        (["GB18030"], b"Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab", "Wang^XiaoDong=王^小东"),
        (["", "ISO 2022 IR 58"], b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab=", "Zhang^XiaoDong=张^小东="),
        (["ISO_IR 100"], b"Buc^J\xe9r\xf4me", "Buc^Jérôme"),
        (["ISO_IR 144"], b"\xbb\xee\xdace\xdc\xd1yp\xd3", "Люкceмбypг"),  # noqa: RUF001
    ],
)
def test_the_examples_of_the_standard_are_read(charsets: list[str], raw: bytes, name: str) -> None:
    """PS3.5 annexes H to K."""
    assert decode(raw, charsets) == (name, True)


@pytest.mark.parametrize(
    ("charsets", "raw", "value"),
    [
        (["ISO_IR 999"], b"Mu\xcc\x88ller", "Mu\u0308ller"),
        (["ISO_IR 999"], b"M\xfcller", "Müller"),
        (["utf8"], "Müller".encode(), "Müller"),
        ([""], "Müller".encode(), "Müller"),
        ([""], b"M\xfcller", "Müller"),
        (["ISO_IR 6"], b"M\xfcller", "Müller"),
        (["ISO_IR 192"], b"M\xfcller", "Müller"),
        (["ISO_IR 100"], "Müller".encode(), "Müller"),
        (["ISO_IR 100"], b"M\x9cller", "M\x9cller"),
        (["ISO_IR 100"], b"\x1b$B;3ED\x1b(B", "\x1b$B;3ED\x1b(B"),
        (["GB18030"], b"\xff\xff", "ÿÿ"),
        (["ISO_IR 13"], "山田".encode("shift_jis"), "山田"),
        (["", "ISO 2022 IR 149"], b"\x1b$)C\xd1\xce^\xd4\xd7", "\x1b$)CÑÎ^Ô×"),  # noqa: RUF001
    ],
)
def test_bytes_of_another_set_than_declared_are_told(charsets: list[str], raw: bytes, value: str) -> None:
    assert decode(raw, charsets) == (value, False)


@given(st.binary(max_size=40), st.lists(st.sampled_from([*python_encoding, "ISO_IR 999"]), min_size=1, max_size=3))
def test_any_bytes_in_any_set_give_a_value(raw: bytes, charsets: list[str]) -> None:
    text, is_sure = decode(raw, charsets)
    assert text or not raw or is_sure
    assert not (is_sure and "ISO_IR 999" in charsets)
    assert not (is_sure and re.search("[\x80-\x9f]", text))
    if raw.isascii() and b"\x1b" not in raw and "ISO_IR 999" not in charsets:
        assert (text, is_sure) == (raw.decode("ascii"), True)


@pytest.mark.parametrize(
    ("charsets", "name", "flags"),
    [
        ("ISO_IR 192", "Müller^Zoë", ()),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう", ()),
        ("GB18030", "Wang^XiaoDong=王^小东", ()),
        ("ISO_IR 100", "Buc^Jérôme", ()),
    ],
)
def test_a_name_written_by_pydicom_is_read_from_the_file(
    tmp_path: Path, charsets: str | list[str], name: str, flags: tuple[str, ...]
) -> None:
    made = dataset(np.eye(4, dtype=np.uint8), SpecificCharacterSet=charsets, PatientName=name)
    seen = inspect_dicom(save(made, tmp_path / "film"), Limits())
    assert (seen.identity.name, seen.flags) == (name, flags)


def test_a_wrong_set_is_a_flag_of_the_file(tmp_path: Path) -> None:
    made = dataset(np.eye(4, dtype=np.uint8), SpecificCharacterSet="ISO_IR 192", PatientName="Müller")
    path = save(made, tmp_path / "film")
    path.write_bytes(path.read_bytes().replace(b"ISO_IR 192", b"ISO_IR 777"))
    seen = inspect_dicom(path, Limits())
    assert (seen.identity.name, seen.flags) == ("Müller", ("charset_fallback",))
