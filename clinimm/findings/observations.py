"""What the reader looks for: the 14 CheXpert observations and the phrases that name, deny or half-state each of them.

Phrases are regular expressions over lower-case text with single spaces, matched between word boundaries. Every repeat
in them is bounded or possessive, so that no text takes more than linear time.

Source: the mention lists of the CheXpert labeler (Irvin et al. 2019), from which we part where a clinical note would
mislead (`infection`, `line` and `tube` count only with a word that ties them to the chest, a nasal cannula is no device
on a film) and where its sense is another: lung fibrosis is not pleural, sternal wires and stents are devices, a
silhouette called merely stable says nothing of its size, and one at the upper limits of normal is left open."""

from collections.abc import Mapping

NO_FINDING = "No Finding"
SUPPORT_DEVICES = "Support Devices"

OBSERVATIONS = (
    NO_FINDING,
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Lesion",
    "Lung Opacity",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    SUPPORT_DEVICES,
)
"""In MedCLIP's order, which is that of its label vectors."""

# A structure and the word for its state stand in one clause: up to eight words between them, none of which may start
# another clause or name another structure.
_GAP = (
    r"(?:[ ,:]++(?!(?:but|however|although|though|with|without|lungs?|there|while|shows?|stable|unchanged)\b)[\w'/-]++)"
)
_BETWEEN = rf"{_GAP}{{0,8}}?[ ,:]++"
_BEFORE = r" (?:of |in )?(?:the |his |her )?(?:overall )?"

_HEART = (
    r"(?:heart(?! (?:failure|disease|rate|border|sounds?|attack|transplant))(?: size| shadow| silhouette| contours?)?|"
    r"cardiac (?:size|shadow|silhouettes?|contours?|area)|cardiac(?= and mediastinal)|cardiothoracic (?:ratio|index)|"
    r"ctr)"
)
_MEDIASTINUM = (
    r"(?:(?:cardio-?)?mediastinum|(?:cardio-?|cardiac[ -])?mediastinal(?: and (?:hilar|cardiac))? (?:silhouettes?|"
    r"contours?|shadow|width|structures|size|borders?|configuration)|(?:hilar|hila|cardiac|heart|aortic)"
    r" and mediastinal (?:silhouettes?|contours?|structures|borders?)|mediastinal(?=,? (?:and|or)"
    r" (?:hilar|pleural)[\w ]{0,20} (?:contours?|silhouettes?|structures|surfaces)))"
)
_LARGE = r"(?:(?:en)?larged?|bigger|big|widen(?:ed|ing)|dilated|prominent|generous|increased|broadened|boot-shaped)"
_LARGE_BEFORE = (
    r"(?:enlarged|widened|dilated|prominent|big|large|enlargement|widening|prominence|broadening|increased?)"
)
_NORMAL = (
    r"(?:within (?:the )?(?:normal|physiologic(?:al)?)(?: limits)?|(?<!limits of )(?<!limit of )(?<!top )(?<!top-)"
    r"(?<!borderline )(?<!not )(?<!high-)(?<!high )(?:normal|unremarkable)|"
    r"not (?:\w+ )?(?:enlarged|widened|dilated|increased)|(?<!not )(?:wnl|midline and normal))"
)
_NORMAL_BEFORE = r"(?:normal|unremarkable)(?: size(?: and shape)?| sized| contour| appearance)?"
_BORDERLINE = (
    r"(?:borderline|(?:at |near |towards? )?(?:the )?upper (?:limits?|end|range) of (?:the )?normal(?: range)?|"
    r"top[ -]normal|high[ -]normal|upper normal)"
)


def _stated(structure: str) -> Mapping[int, tuple[str, ...]]:
    """Value -> phrases in which the structure is called large, of doubtful size, or normal."""
    states = {+1: (_LARGE, _LARGE_BEFORE), 0: (_BORDERLINE, _BORDERLINE), -1: (_NORMAL, _NORMAL_BEFORE)}
    return {
        value: (f"{structure}{_BETWEEN}{after}", f"{before}{_BEFORE}{structure}")
        for value, (after, before) in states.items()
    }


_DIVISION = r"(?:(?:left|right|upper|lower|middle|entire|whole|both) ){0,3}(?:lobes?|lungs?|lingula|[lr][ulm]l)"
_CATHETER = (
    r"(?:central|venous|arterial|picc|jugular|ij|subclavian|femoral|hickman|dialysis|swan[ -]ganz|monitoring|support|"
    r"pulmonary artery|umbilical|epidural|central venous)"
)
_CHECK = r"(?:process|disease|abnormalit(?:y|ies)|findings?|pathology|infiltrative process|changes|illness|lesions?)"
_ADVERB = r"(?:(?:definite|convincing|radiographic|radiological|significant|obvious|plain film|clear|any|x-ray|focal) )"
_CHEST_WORD = (
    r"(?:cardiopulmonary|cardio-pulmonary|cardiac|pulmonary|intrathoracic|intra-thoracic|thoracic|cardiothoracic|"
    r"pleuropulmonary|pleuroparenchymal|chest|lung|airspace|and|or|parenchymal|pathological|abnormal)"
)
_FILM = (
    r"(?:(?:chest|thoracic|lung) (?:x-?rays?|radiographs?|radiography|films?|ct(?: scan)?|roentgenogram|imaging|scan|"
    r"skiagram)|(?:x-?rays?|radiographs?|films?|ct)(?: scan)? of the (?:chest|thorax)|cxr|(?:chest|thorax)"
    r"(?! tube| pain| wall))"
)
_WHOLLY = (
    r"(?:(?:completely|essentially|entirely|initially|all|within|perfectly|also|both|grossly|again|read|reported|as) )"
)

LEXICON: Mapping[str, tuple[str, ...]] = {
    NO_FINDING: (
        rf"(?:no|without|free of|negative for|absence of|nor)(?: {_ADVERB}?(?:evidence|signs?|features|indication)"
        rf" (?:of|for))? {_ADVERB}{{0,2}}(?:(?:acute|active|other acute|new|actionable)"
        rf" )?{_ADVERB}?(?:{_CHEST_WORD} ){{0,4}}{_CHECK}(?! (?:of|to|suggest\w*|suspicious|consistent|compatible|"
        rf"concerning|in(?! the (?:chest|lungs|thorax))|at|affecting|involving|for))",
        r"(?:lungs|lung fields|both lung fields)(?:,? (?:and|pleural|spaces|heart|mediastinum|fields|"
        r"bilaterally)){0,4}:?(?: (?:are|appear|remain|were|is|look|seem|have remained))?(?: (?:well|hyper|fully|"
        r"adequately|expanded|inflated|hyperinflated|aerated|and|but|now|both|grossly|symmetrically|bilaterally|"
        r"essentially|completely|hyperexpanded|to be|radiographically)){0,5} (?:clear|normal|unremarkable)"
        r"(?! (?:of|from|to|on)\b)(?: bilaterally)?",
        r"(?:clear|normal) (?:heart and )?(?:lungs|lung fields)",
        r"nad",
        rf"(?<!otherwise ){_FILM}(?: (?:on|at|obtained|taken|performed|done)"
        rf"(?: [\w-]++){{1,5}}?)?(?: (?:is|was|are|were|appears?|appeared|remains?|being|proved|looks?|showed|shows|"
        rf"(?:has |had )?returned to))? {_WHOLLY}{{0,3}}(?:normal(?! (?:heart|cardiac|size|lung volumes?))|"
        rf"unremarkable|negative(?! for)|clear(?! (?:to|on|of)\b))",
        rf"(?:normal|unremarkable|negative|clear) (?:\w+ ){{0,4}}(?:{_FILM}|study|examination of the chest)",
    ),
    "Enlarged Cardiomediastinum": (
        r"mediastinal (?:widening|enlargement|prominence)",
        r"(?:cardiomediastinal|cardio-mediastinal) (?:enlargement|widening|prominence)",
    ),
    "Cardiomegaly": (
        r"cardiomegaly",
        r"cardiac (?:enlargement|dilatation|dilation)",
        r"heart enlargement",
        r"(?:left|right) ventric(?:le|ular) (?:enlargement|dilatation)",
        r"(?:bi|left |right )?(?:atrial|ventricular) enlargement",
    ),
    "Lung Lesion": (
        r"mass(?:es)?",
        r"mass-like (?:opacit(?:y|ies)|densit(?:y|ies)|lesions?|consolidation)",
        r"(?:micro)?nodul(?:es?|arity)",
        r"nodular (?:densit(?:y|ies)|opacit(?:y|ies)|opacifications?|lesions?|shadow(?:s|ing)?|infiltrates?)",
        r"tumou?rs?",
        r"neoplasms?",
        r"(?:lung|bronchogenic|bronchial|pulmonary) (?:cancer|carcinoma|malignancy|adenocarcinoma)",
        r"(?:pulmonary|lung) metastas[ei]s",
        r"metastatic (?:lung|pulmonary) (?:disease|lesions?|deposits)",
        r"(?:cavitary|cavitating|pulmonary|lung|coin|lytic lung|parenchymal) lesions?",
        r"(?:lung|pulmonary) abscess(?:es)?",
    ),
    "Lung Opacity": (
        r"(?:pan)?opacit(?:y|ies)",
        r"opacifications?",
        r"opacifi(?:ed|es)",
        r"(?:micro)?infiltrat(?:es?|ions?|ive changes?)",
        r"ground[ -]?glass(?:(?: |-)(?:opacit(?:y|ies)|opacifications?|attenuation|changes?|densit(?:y|ies)|"
        r"appearance))?",
        r"ggos?",
        r"air ?-?space (?:disease|changes?|shadow(?:s|ing)?|process|filling)",
        r"(?:patchy|hazy|diffuse|alveolar|fluffy|interstitial|reticular|inflammatory|pulmonary|lung|bilateral|basal)"
        r" shadows?|shadowing",
        r"interstitial (?:lung )?(?:pattern|markings?|disease|changes?|thickening|prominence|abnormalit(?:y|ies)|"
        r"densit(?:y|ies)|involvement|process)",
        r"reticul(?:ar|o)[ -]?nodular(?: (?:pattern|changes?|densit(?:y|ies)|opacit(?:y|ies)|infiltrates?))?",
        r"reticular (?:pattern|markings?|changes?|densit(?:y|ies)|shadowing|thickening)",
        r"reticulations?",
        r"(?:increased|abnormal|patchy|hazy|parenchymal|alveolar|ill-defined|basilar|streaky|pulmonary|lung|lobe|"
        r"basal|base|airspace|perihilar) densit(?:y|ies)",
        r"decreased translucency",
        r"parenchymal (?:thickenings?|infiltrat\w+|disease|changes|abnormalit(?:y|ies)|involvement)",
        r"(?:parenchymal|pulmonary|lung|apical|basal|linear|basilar|biapical|bibasilar) scar(?:s|ring)?",
        r"scarring",
        r"white-?outs?|white out",
        r"haziness",
        r"inflammatory (?:lung |pulmonary )?(?:changes?|infiltrat\w+|patches)",
        r"crazy[ -]paving",
        r"(?:peri)?bronch(?:ial|ovascular) (?:wall )?(?:thickening|cuffing)",
    ),
    "Edema": (
        r"(?:o?edema|oedematous changes|edematous changes)",
        r"(?:congestive )?(?:heart|cardiac|biventricular|left ventricular|lv|overt) failure",
        r"chf",
        r"cardiac decompensation",
        r"kerley(?:[ -](?:a|b|c|a and b))?(?:[ -]lines?)?",
        r"fluid overload",
    ),
    "Consolidation": (r"consolidat(?:ions?|ive|ed|ing)",),
    "Pneumonia": (
        r"(?:broncho|pleuro)?-?pneumonias?",
        r"pna",
        r"pneumonic (?:infiltrat\w+|process|consolidations?|changes?|focus|foci)",
        r"(?:pulmonary|lung|chest|superimposed|parenchymal|lower respiratory tract|bronchopulmonary) infections?",
        r"(?:(?<=versus )|(?<=vs )|(?<=vs\. )|(?<=or )|(?<=underlying )|(?<=over )|(?<=exclude )|(?<=focal )|"
        r"(?<=atypical )|(?<=evidence of ))infections?",
        r"infection(?= (?:cannot|can not|is not) )",
        r"infectious (?:process|infiltrat\w+|etiology|aetiology|consolidations?|disease process|pneumonitis)",
    ),
    "Atelectasis": (
        r"(?:micro)?atelecta(?:sis|ses|tic)",
        r"collapse",
        rf"collapsed {_DIVISION}",
    ),
    "Pneumothorax": (r"(?:hydro|ha?emo|tension )?-?pneumothora(?:x|xes|ces)", r"ptx"),
    "Pleural Effusion": (
        r"(?:hydro|ha?emo)-?(?:pneumo)?thora(?:x|ces)",
        r"pleural fluid(?: collections?)?",
        r"(?:pleural |parapneumonic |subpulmonic |interlobar )?effusions?",
        r"fluid (?:in|within|along|tracking in) the (?:\w+ ){0,3}(?:pleural spaces?|fissures?|pleural cavit(?:y|ies))",
        r"pleural collections?",
        r"empyemas?",
    ),
    "Pleural Other": (
        r"pleural(?:[ -](?:apical|based|parenchymal))? (?:thickenings?|plaques?|scar(?:s|ring)?|calcifications?|"
        r"fibrosis)",
        r"thicken(?:ing|ed)(?: of)? (?:the )?(?:\w+ )?pleura",
        r"fibrothorax|(?:apical|pleural) caps?",
        r"pleuro-?(?:parenchymal|pericardial|pulmonary) (?:scar(?:s|ring)?|thickenings?|adhesions?)",
        r"pleural adhesions?",
    ),
    "Fracture": (r"fractur(?:es?|ed|ing)", r"fx"),
    SUPPORT_DEVICES: (
        rf"{_CATHETER} (?:lines?|access|catheters?)",
        r"(?:endotracheal|nasogastric|orogastric|enteric|feeding|gastric|ng|og|et|chest|thoracostomy|tracheostomy|"
        r"drainage|intercostal|dobb?hoff|pleural|nasoenteric|tracheal|intubation|support|pigtail|thoracic|jejunal|"
        r"gastrostomy) (?:tubes?|drains?|drainage tubes?|catheters?)",
        r"(?:lines and tubes|tubes and lines|lines or tubes|tubes or lines|tubes)",
        r"ett|ngt|ogt|picc|cvc|cvl|iabp|lvad|aicd|icd|vp shunt",
        r"pacemakers?|pacers?|pacing (?:leads?|wires?|device)|(?:pacemaker|icd|pacer|ventricular|atrial|ecg|ekg)"
        r" (?:leads?|wires?)",
        r"(?:cardioverter[ -])?defibrillators?",
        r"port-?a-?caths?|mediports?|medi-ports?|chemoports?|chest ports?|infusion ports?",
        r"catheters?|pigtails?|cannulas?|swan-?ganz",
        r"tracheostom(?:y|ies)",
        r"(?:sternotomy|sternal|cerclage) (?:wires?|sutures)",
        r"(?:spinal|orthopa?edic|surgical|fixation|metallic|thoracic|harrington) (?:hardware|rods?|plates?|screws?)",
        r"hardware|stents?|(?:support|monitoring|implanted|medical|electronic|assist|cardiac) devices?",
        r"(?:prosthetic|mechanical|bioprosthetic|artificial) (?:\w+ )?valves?|valve (?:prosthes[ei]s|replacements?)",
        r"intra-?aortic balloon pump|ecmo(?: cannulas?)?|arthroplast(?:y|ies)|chest drains?|drains|(?<=the )drain|"
        r"(?<=a )drain|(?:ij|jugular|femoral|introducer|vascular) sheaths?",
    ),
}  # fmt: skip
"""Phrases that name an observation. What stands around them decides whether it is asserted, denied or left open; those
of No Finding assert it themselves."""

STATED: Mapping[str, Mapping[int, tuple[str, ...]]] = {
    "Enlarged Cardiomediastinum": _stated(_MEDIASTINUM),
    "Cardiomegaly": _stated(_HEART),
}
"""Observations about the state of a structure: value -> phrases that join the structure and such a state."""

DENIED: Mapping[str, tuple[str, ...]] = {
    "Pleural Effusion": (
        r"costo-?phrenic (?:angles?|sulc(?:i|us)|recess(?:es)?) (?:is|are|appears?|remains?)"
        r" (?:\w+ )?(?:sharp|clear|free|preserved)",
        r"(?:sharp|clear|free) costo-?phrenic (?:angles?|sulci|recesses)",
        r"pleural (?:spaces?|cavit(?:y|ies)|recesses) (?:is|are|remains?|appears?) (?:clear|free|normal|dry)",
    ),
    "Fracture": (
        r"(?:ribs|bones|osseous structures|bony structures|bony thorax|clavicles?|bony thoracic cage)"
        r" (?:is|are|appears?|remains?) (?:grossly )?intact",
    ),
}
"""Phrases that deny an observation by calling the structure normal."""

LEFT_OPEN: Mapping[str, tuple[str, ...]] = {
    "Edema": (
        r"(?:vascular|pulmonary|venous|pulmonary (?:venous|vascular)|perihilar|central)(?: vascular)? congestion",
        r"vascular (?:indistinctness|prominence|engorgement|redistribution)",
        r"engorge(?:d|ment of)(?: the)? (?:central |pulmonary ){0,2}(?:vasculature|vessels|veins)",
        r"indistinct(?:ness of)? (?:the )?(?:pulmonary )?(?:vasculature|vessels|vascular markings)",
        r"cephali[sz]ation",
    ),
    "Pleural Effusion": (
        r"blunt(?:ing|ed)(?: of)?(?: (?:the|both|bilateral|left|right|lateral|"
        r"posterior)){0,4} costo-?phrenic (?:angles?|sulc(?:i|us)|recess(?:es)?)",
        r"costo-?phrenic (?:angles?|sulc(?:i|us)|recess(?:es)?) (?:is|are|appears?|"
        r"remains?)?(?: \w+)? ?(?:blunt(?:ed|ing)|obscured)",
    ),
}  # fmt: skip
"""Phrases that point to an observation without stating it: what the CheXpert labeler calls uncertain."""

UNRELATED = (
    r"pericardial (?:effusions?|fluid)",
    r"(?:joint|knee|subdural|middle ear|peritoneal) effusions?",
    r"(?:peripheral|pedal|leg|ankle|cerebral|brain|limb|pitting|periorbital|facial|soft[ -]tissue|laryngeal|"
    r"subcutaneous|lower extremity|extremity|bone marrow|scrotal|macular|disc|lower limb) o?edema",
    r"o?edema of the (?:legs?|ankles?|feet|face|lower (?:limbs|extremities)|brain|larynx)",
    r"(?:body|bone|muscle|lean) mass(?: index)?",
    r"mass effect",
    r"nasal cannula",
    r"(?:circulatory|cardiovascular|hemodynamic|haemodynamic|vertebral|endplate|vertebral body|airway|tracheal)"
    r" collapse",
    r"(?:a|his|her|after|following) collapse(?! of)|collapse at (?:home|work)",
    r"(?:fat|fatty|liver|skin|bone marrow|marrow) infiltration",
    r"(?:breast|brain|liver|adrenal|renal|kidney|thyroid|abdominal|pelvic|ovarian|skin|scalp|neck)"
    r" (?:mass(?:es)?|nodules?|tumou?rs?|neoplasms?|lesions?)",
    r"nodular goit(?:er|re)",
    r"(?:lens|corneal|lenticular) opacit(?:y|ies)",
    r"(?:surgical|skin|operative|abdominal) scar(?:s|ring)?",
)
"""Phrases that hold a word of the lexicon and mean something else."""
