"""The words that deny a finding or leave it open, in classes; where two begin at one place, the earlier class wins.

Sources: NegEx (Chapman et al. 2001) for triggers before and after, false triggers and terminators; the CheXpert labeler
(Irvin et al. 2019) for what counts as uncertain. We part from NegEx in that scope ends at a clause, not after five
words, and `unlikely` leaves open rather than denies; from CheXpert in that `no new` denies, `likely` leaves open, and
a past illness (`history of`) is left open rather than denied."""

import re
from collections.abc import Mapping

_SEEN = (
    r"(?:seen|identified|visuali[sz]ed|present|evident|noted|appreciated|detected|demonstrated|found|observed|"
    r"apparent|shown|visible|discerned|recogni[sz]ed|delineated|documented|noticed|revealed|there|reported|displayed|"
    r"suspected)"
)
_BE = r"(?:is|are|was|were|be|being|has been|have been|had been)"
_SHOW = r"(?:show|demonstrate|reveal|display|suggest|indicate|disclose|exhibit|have|detect|identify|find|see)"
_DEGREE = r"(?:significant|interval|appreciable|substantial|definite|great|material|much|major)(?:ly)?"
_SHIFT = (
    r"(?:change[sd]?|increased?|decreased?|worsening|worsened|improvement|improved|progression|progressed|reduction|"
    r"resolution|regression|clearing|resolved|cleared)"
)
_DOUBT = r"(?:possibl[ey]|probabl[ey]|likely|presum(?:ed|ably|ptive)|perhaps|maybe|conceivabl[ey]|potential(?:ly)?)"
_BAR = r"(?:excluded?|ruled? out|discount(?:ed)?)"
_CANNOT = r"(?:cannot|can not|can't|could not|couldn't|not|never|difficult|hard|impossible|unable)"
_WHOLLY = r"(?:be|been|to|entirely|completely|definitively|fully|reliably|confidently|safely|necessarily|help|further)"
_CLOSE = r"(?= ?(?:[.,;)?]|$|(?:in|at|on|but|and|with|given|here|by|as|based|from|over|radiographically|clinically)\b))"

CUES: Mapping[str, tuple[str, ...]] = {
    # Looks like a trigger and is none.
    "false": (
        rf"(?:no|without|not)(?: any)?(?: {_DEGREE}){{0,2}} {_SHIFT}(?: (?:in|of|from|to))?",
        rf"(?:is|are|has|have|had) not(?: (?:yet|{_DEGREE}|completely|fully|entirely)){{0,2}} {_SHIFT}",
        r"not (?:yet )?(?:completely |fully |entirely )?(?:resolved|cleared)",
        r"(?:nearly|almost|partially|partly|incompletely|largely|mostly)(?: completely)? (?:resolved|cleared)",
        r"(?:near|nearly|almost|partial|incomplete)(?:[ -]complete)?(?: a)? (?:resolution|clearing|regression) of",
        r"not (?:only|just|merely|simply)|no doubt(?: that)?",
        r"no (?:other|additional|further) (?:change|abnormalit(?:y|ies)|findings?)",
        r"c(?:an|ould) be (?:seen|observed|found|noted|appreciated|identified|visuali[sz]ed)",
    ),
    # After the finding, and leaving it open.
    "open after": (
        rf"(?:(?:is|are|was|were|has|have) )?{_CANNOT}(?: {_WHOLLY}){{0,3}} {_BAR}{_CLOSE}",
        rf"(?:may|might|could|would)(?: (?:also|well|still))? be (?:{_SEEN}|considered|possible|developing|hidden|"
        rf"masked|missed|superimposed|contributing)",
        r"(?:may|might|could|can) (?:also )?have (?:this|a similar|similar) appearance",
        rf"(?:is|are|was|were|remains?|seems?|appears?)(?: (?:also|still|thought|felt|considered|deemed|highly|very|"
        rf"less|more|quite|strongly|a|to be|clinically|not)){{0,3}} (?:possible|possibility|probable|likely|unlikely|"
        rf"suspected|questionable|questioned|doubtful|equivocal|uncertain|indeterminate|presumed|conceivable|"
        rf"plausible|consideration|considered|favou?red|concern){_CLOSE}",
        r"(?:should|must|can|needs? to|has to|have to|to)(?: also)? be (?:considered|suspected|ruled out|excluded|"
        r"entertained|kept in mind)",
        rf"(?:(?:is|are|was|were) )?not (?:clearly|definitely|well|definitively|convincingly|optimally|adequately|"
        rf"reliably) (?:{_SEEN}|assessed|evaluated)",
        r"(?:poorly|incompletely|suboptimally) (?:evaluated|assessed|visuali[sz]ed|seen)",
        r"(?:(?:less |more |very |most |un)?likely|questionable|suspected|questioned|possible|equivocal)"
        r"(?= ?(?:[.,;)?]|$))",
        r"in the (?:appropriate|proper|right|correct) clinical (?:setting|context|scenario)",
        r"(?:if|as|where) clinically (?:suspected|indicated|appropriate)",
        r"if (?:any|present)(?= ?(?:[.,;)]|$))|in the differential",
        r"\?(?= ?(?:[.,;)]|$| and| or))",
    ),
    # After the finding, and denying it.
    "no after": (
        rf"{_BE}(?: (?:now|currently))? (?:no longer|not|never)(?: (?:been|being|be|currently|otherwise|"
        rf"radiographically|any longer)){{0,3}} {_SEEN}",
        rf"(?:not|never|no longer)(?: (?:be|been|being|currently))? {_SEEN}(?! (?:any|an?|to) )",
        rf"(?:cannot|can not|could not) be {_SEEN}",
        r"(?:has|have|had)(?: (?:since|now|completely|fully|entirely|also|both|all|subsequently|essentially|slowly|"
        r"been|spontaneously)){0,3} (?:resolved|cleared|disappeared|gone|vanished|evacuated|removed|excluded|"
        r"ruled out)",
        r"(?:is|are|was|were)(?: (?:now|completely|fully|entirely|since|also|all|both)){0,2} (?:resolved|absent|"
        r"excluded|ruled out|cleared|gone|removed|negative(?! for)|discontinued|withdrawn)",
        r"(?:resolved|cleared|disappeared|removed|removal|ruled out|excluded|absent)"
        r"(?= ?(?:[.,;)]|$|(?:on|by|after|since|completely|with|at|within|in)\b))",
        r": ?(?:none|no|absent|negative|nil|not)(?: (?:seen|identified|present|detected))?(?= ?(?:[.,;)]|$))",
        r"with (?:interval |complete ){1,2}resolution",
    ),
    # Between two findings, leaving both open.
    "versus": (r"versus|vs\.?",),
    # Before the finding, and leaving it open whatever stood before.
    "open": (
        rf"(?:{_CANNOT}|(?:does|do|did) not|to)(?: {_WHOLLY}){{0,2}} (?:exclude|rule out|discount)",
        r"no (?:\w+ ){0,3}to (?:exclude|rule out)|rule[ -]out|r/o|exclude",
        r"(?:question|possibility|likelihood|suspicion|suggestion|risk|chance) (?:of|for)|"
        r"question(?:able|ably|ing|ed)?|query",
        r"equivocal|indeterminate|\?(?= ?[a-z])|may(?! \d)(?: not)?|(?:might|could|would)(?: not)?",
        rf"(?:(?:most|more|very|less|quite) |un)?{_DOUBT}",
        r"suspect(?:s|ed|ing)?|favou?r(?:s|ed|ing)?(?: to represent)?|borderline",
        r"(?:evaluat(?:e|ion)|assess(?:ment)?|eval|look|check|monitor|screen(?:ing)?|work-?up|correlate|correlation)"
        r"(?: clinically)? for",
        r"(?:differential|ddx)(?: (?:diagnos[ie]s|considerations?))?(?: (?:includes?|including|of|remains|"
        r"would include|is))?:?",
        r"(?:indications?|reason for (?:the )?(?:exam(?:ination)?|study|request|test)|clinical (?:question|concern)):",
        rf"{_CANNOT}(?: to)? (?:distinguish|differentiate)",
        r"(?<=favored )over|(?<=favoured )over|argu(?:es?|ing) against|evidence against|if any",
        r"(?:rais(?:es?|ing|ed)) (?:the )?(?:possibility|concern|question|suspicion)(?: (?:of|for))?",
        r"(?:not certain|uncertain|unclear)(?: (?:if|whether))?|whether",
    ),
    # Before the finding, and leaving it open unless a denial reaches that far ("no opacity suspicious for pneumonia").
    "hint": (
        r"(?:suspicious|concern(?:ing|ed)?|worrisome|worry(?:ing)?) (?:for|of|about)",
        r"(?:to )?suggest(?:s|ed|ing|ive)?(?: of| that| for)?",
        r"(?:(?:past |prior |previous |remote )?(?:medical |surgical |clinical )?history|hx|h/o)"
        r"(?:: ?| (?:of|for|significant for))?",
        r"(?:previous|prior|past|remote|childhood)(?: (?:episodes?|bouts?))?(?: of)?(?= (?:pneumonia|heart failure|"
        r"lung cancer))",
    ),
    # Before the finding, and denying it.
    "no": (
        r"no(?! doubt)|without|w/o|absence of|lack of|lacks|neither|nor|never|neg(?:ative)? for|nothing|none of",
        rf"(?:did|does|do|has|have|could|had) not {_SHOW}|\w{{2,6}}n't(?: {_SHOW})?",
        r"(?:free|clear|cleared|devoid) (?:of|from)|not|denie[sd]|denying|fail(?:s|ed)? to \w+",
        r"(?:resolution|clearing|disappearance|removal|evacuation) of",
        r"mimic(?:s|king)?|simulat(?:es|ing)|rather than|instead of|as opposed to|excluding|excludes|excluded|"
        r"ruled out(?: for)?|rules out|resolved",
    ),
    # A new clause: nothing reaches across it.
    "stop": (
        r"[.!?;](?= |$)|: |but|however|although|though|yet|except(?:ing)?(?: for)?|save for|aside from|apart from|"
        r"other than|otherwise|while|whilst|whereas|nevertheless|nonetheless|despite|in spite of|superimposed on",
        r"(?:, |,? ?and )?there(?:'s| (?:is|are|was|were|has|have|remains?|appears?))(?: been)?",
        r"(?:,|,? and) (?:the|a|an|his|her|its|he|she|it|this|that)|and (?:patient|osseous)",
        r"(?:,|,? and) (?=(?:heart|lungs?|cardiac (?:silhouette|size)|mediastinum|cardiomediastinal|trachea|aorta|"
        r"bones|bony|hila|diaphragm)\b)",
    ),
    # The end of a trigger's reach; a later trigger can still reach back across it.
    "end": (
        r", (?:which|who|where)",
        rf"(?:is|are|was|were|remains?)(?: (?:again|also|still|now|then|best|currently))? (?:{_SEEN}|unchanged|stable|"
        rf"persistent|redemonstrated|more|increasing|worse)",
        r"shows?|showed|demonstrat(?:es|ed|ing)|reveal(?:s|ed|ing)|following|after|status post|presents?|presented|"
        r"presenting|developed|develops|found|admitted|showing|exhibited|had|has|persists?|underwent|diagnosed|"
        r"because|now",
        r"(?<!consistent )(?<!compatible )(?<!associated )(?<!presented )with",
    ),
    # Where a list of denied or doubted things turns to something that is there.
    "fresh": (
        r"(?:,|,? and|,? plus) (?:very )?(?:small|mild|mildly|minimal|trace|tiny|stable|unchanged|persistent|"
        r"bibasilar|moderate|moderately|chronic|large|left|right|bilateral|severe|increas(?:ed|ing)|worsening|"
        r"improv(?:ed|ing)|extensive|diffuse|patchy|multifocal|scattered|again|post|status|marked|known|slight|"
        r"slightly|subtle|new|progressive|residual|multiple)",
    ),
    # One finding explains the other: no list.
    "relation": (
        r"(?:consistent|compatible|in keeping|associated) with|(?:due|secondary|related) to|caused by|"
        r"represent\w{0,4}|reflect\w{0,4}",
    ),
    "or": (r"and/or|or",),
    "list": (r",|and|/|as well as|plus",),
}  # fmt: skip

# Boundaries that also fit a phrase which begins or ends with a mark.
_START, _END = r"(?:\b|(?=\W))", r"(?:\b|(?<=\W))"

FINDER = re.compile(
    "|".join(f"(?P<{kind.replace(' ', '_')}>{_START}(?:{'|'.join(phrases)}){_END})" for kind, phrases in CUES.items())
)
"""Finds every cue; the name of the group that matched is its class, with `_` for spaces."""
