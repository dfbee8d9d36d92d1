"""What a note says of its own patient: sex, ages, sides. What it denies, doubts or says of others counts for nothing.

Source of the scope rule: NegEx (Chapman et al. 2001), without its terminators: here a denial anywhere before in the
sentence, or after within the clause, silences a phrase. A missed contradiction costs a flag, a false one trust."""

import re
from collections.abc import Iterator
from typing import Literal

from clinimm.identity.others import KIN_OR_STRANGER

_SENTENCE_END = re.compile(r"(?<=[.!?;])\s+|\n+")
_FAMILY_SECTION = re.compile(
    r"(?:family (?:medical )?history|family hx|fam\.? hx|fhx?|familienanamnese)\s*:.*?(?=\n\s*\n|\n[^\n:]{2,40}:|\Z)",
    re.I | re.S,
)
_SILENCED = re.compile(
    r"\b(?:no|not|non|never|nor|neither|without|w/o|denie[sd]|denying|negative|absent|absence|excluded?|rule[sd]?|r/o|"
    r"unlikely|if|in case|should|could|may|might|possible|possibly|probable|suspected|query|screen(?:ing)?|risk|avoid|"
    r"contraindicated|versus|vs|n/a|none|unknown|applicable|unremarkable for|women|men|patients|people|persons|kein\w*|"
    r"nicht|ohne|verneint)\b|n't\b|\?",
    re.I,
)
_CLAUSE_END = re.compile(r"[,.;)]|\bbut\b|\band\b")
_LONGEST_CLAUSE = 80

_MALE = re.compile(
    r"\b(?:prostat(?:e|es|ic|itis|ism|ectomy)|prostatakarzinom|bph|testic(?:le|les|ular)|testis|testes|scrot(?:um|al)|"
    r"penis|penile|epididym\w*|seminal vesicles?|vasectomy|orchi(?:tis|ectomy|dectomy|opexy)|undescended testis)\b",
    re.I,
)
_FEMALE = re.compile(
    r"\b(?:pregnan(?:t|cy)|gravida|primigravida|multigravida|g\d{1,2}\s?p\d{1,2}|postpartum|pre-?eclampsia|"
    r"ovar(?:y|ies|ian)|uter(?:us|ine)|hysterectomy|endometri\w+|fallopian|salpingo\w*|c(?:a)?esarean|vagina|vaginal|"
    r"cervix|cervical (?:smear|cytology|dysplasia)|menses|menstrua\w+|(?:peri|pre|post)?-?menopaus\w+|"
    r"schwanger\w*|gebärmutter\w*)\b",
    re.I,
)
_NOUN = r"man|male|gentleman|boy|woman|female|lady|girl"
_AGED = re.compile(
    rf"(?:\b(?P<before>{_NOUN})(?: patient)?,?\s+)?"
    r"\b(?P<age>\d{1,3})[\s-]?(?:years?|yrs?|y)[\s-]?(?:old|/?o)\b\.?"
    rf"(?:(?:[\s,]+[\w-]+){{0,3}}?[\s,]+(?P<after>{_NOUN})\b)?",
    re.I,
)
_MALE_NOUNS = frozenset(("man", "male", "gentleman", "boy"))
_HE, _SHE = re.compile(r"\b(?:he|his|him)\b", re.I), re.compile(r"\b(?:she|her|hers)\b", re.I)
_FEWEST_PRONOUNS = 2
_OLDEST = 120

_PARTS = {
    "BREAST": r"breasts?|mamm\w+",
    **dict.fromkeys(("HAND", "FINGER", "THUMB"), r"hands?|thumb|(?:\w+ )?fingers?|metacarpals?"),
    "WRIST": r"wrists?|scaphoid|distal radius",
    "FOREARM": r"forearms?|radius|ulna",
    "ELBOW": r"elbows?|olecranon",
    **dict.fromkeys(("HUMERUS", "ARM", "UPPERARM"), r"humerus|(?:upper )?arms?"),
    **dict.fromkeys(("SHOULDER", "CLAVICLE", "SCAPULA"), r"shoulders?|clavicle|scapula|rotator cuff"),
    "HIP": r"hips?|femoral (?:head|neck)",
    **dict.fromkeys(("FEMUR", "THIGH"), r"femur|thighs?"),
    "KNEE": r"knees?|patella|menisc(?:us|al|i)",
    **dict.fromkeys(("LEG", "LOWERLEG", "TIBIA", "TIBFIB", "FIBULA"), r"(?:lower )?legs?|tibia|fibula|shin|calf"),
    "ANKLE": r"ankles?|malleol\w+",
    **dict.fromkeys(("FOOT", "TOE", "CALCANEUS", "HEEL"), r"foot|feet|heel|(?:\w+ )?toes?|calcaneus|metatarsals?"),
    **dict.fromkeys(("EYE", "ORBIT"), r"eyes?|orbit"),
    "EAR": r"ears?",
}
_SIDES: dict[Literal["L", "R"], str] = {"L": r"left|lt|l", "R": r"right|rt|r"}
_BOTH = re.compile(r"\b(?:bilateral(?:ly)?|both|contralateral|opposite|other side)\b", re.I)
_FORMERLY = re.compile(
    r"\b(?:history|h/o|hx|s/p|status post|previous(?:ly)?|prior|past|ago|former(?:ly)?|old|replacement|arthroplasty|"
    r"operated|in (?:19|20)\d\d|compar\w+|dominant|handed)\b",
    re.I,
)


def names_other_sex(note: str, sex: Literal["M", "F"]) -> bool:
    """Whether the note tells of a patient who is not of `sex`."""
    theirs, ours = (_FEMALE, _MALE) if sex == "M" else (_MALE, _FEMALE)
    own = list(_own_sentences(note))
    aged = (found["before"] or found["after"] for one in own for found in _AGED.finditer(one))
    nouns = {noun.lower() in _MALE_NOUNS for noun in aged if noun}
    # A noun settles it, one way or the other; a pronoun can be anyone's.
    called_other = nouns == {sex == "F"} if nouns else _called_by_pronouns(note, sex)
    return called_other or any(_affirms(one, theirs) for one in own if not ours.search(one))


def _called_by_pronouns(note: str, sex: Literal["M", "F"]) -> bool:
    """Whether all pronouns are of the other sex, in a note that speaks of no one else who could be meant."""
    theirs, ours = (_SHE, _HE) if sex == "M" else (_HE, _SHE)
    if KIN_OR_STRANGER.search(note) or ours.search(note):
        return False
    return sum(1 for _ in theirs.finditer(note)) >= _FEWEST_PRONOUNS


def ages(note: str) -> tuple[int, ...]:
    """The ages in years that the note gives its patient."""
    told = (int(found["age"]) for one in _own_sentences(note) for found in _AGED.finditer(one))
    return tuple(age for age in told if age <= _OLDEST)


def one_sided(note: str, body_part: str | None) -> Literal["L", "R"] | None:
    """The side that the note speaks of where it speaks of that side alone; None for body parts that are not paired.
    `body_part` as DICOM has it (KNEE)."""
    part = _PARTS.get((body_part or "").upper().replace(" ", ""))
    if part is None or _BOTH.search(note):
        return None
    sides: list[Literal["L", "R"]] = [side for side in ("L", "R") if _names_side(note, part, side)]
    if len(sides) != 1:
        return None
    other = _SIDES["R" if sides[0] == "L" else "L"].rpartition("|")[0]
    return None if re.search(rf"\b(?:{other})\b", note, re.I) else sides[0]


def _names_side(note: str, part: str, side: Literal["L", "R"]) -> bool:
    words, _, letter = _SIDES[side].rpartition("|")
    named = re.compile(
        rf"\b(?:(?:{words})\b\.?(?:[\s-]+\w+){{0,2}}?[\s-]+(?:{part})\b|{letter}\.?\s(?:{part})\b|"
        rf"(?:{part})\b[\s,]*\(?(?:{words})\b)",
        re.I,
    )
    return any(_affirms(one, named) for one in _own_sentences(note) if not _FORMERLY.search(one))


def _own_sentences(note: str) -> Iterator[str]:
    """The sentences that speak of nobody but the patient."""
    for sentence in _SENTENCE_END.split(_FAMILY_SECTION.sub("", note)):
        if not KIN_OR_STRANGER.search(sentence):
            yield sentence


def _affirms(sentence: str, phrase: re.Pattern[str]) -> bool:
    """Whether the phrase stands in the sentence without denial or doubt."""
    silenced = _SILENCED.search(sentence)
    open_until = silenced.start() if silenced else len(sentence)
    for found in phrase.finditer(sentence, 0, open_until):
        rest = _CLAUSE_END.split(sentence[found.end() : found.end() + _LONGEST_CLAUSE], maxsplit=1)[0]
        if not _SILENCED.search(rest):
            return True
    return False
