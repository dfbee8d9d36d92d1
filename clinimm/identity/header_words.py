"""What ends a note's header, and what is no name though it stands where one could."""

import re

_HEADINGS = (
    r"history|hx|hpi|pmh|psh|chief complaint|cc|presenting|presentation|reason for|indications?|clinical|anamnese|"
    r"diagnos[ie]s|impression|findings?|assessment|plan|subjective|objective|examination|exam|physical|vitals?|"
    r"medications?|meds|drugs?|prescriptions?|rx|allerg\w*|social|past|review of systems|ros|labs?|laboratory|results?|"
    r"procedures?|technique|comparison|course|hospital course|discharge (?:diagnos|medic|instruct|condition)\w*|"
    r"dear|sehr geehrte\w*|befund\w*|beurteilung|medikation|diagnosen?|verlauf|therapie|"
    r"(?:referring|attending|ordering|consulting|primary care)\b.*|physician|doctor|provider|surgeon|radiologist|"
    r"insurance|study subject|trial"
)
SECTION = re.compile(rf"\s*(?:\d{{1,2}}[.)]\s*)?(?:{_HEADINGS})\b", re.I)

TITLE = re.compile(r"[^:]*\b(?:notes?|report|summary|record|letter|physical|department|brief|bericht)\W*", re.I)
"""A line that only says what the document is: no heading, though it may begin as one ("Clinical note")."""

_NO_NAME = """
a the this that as at by for from in is of on or and to was with without has had have no not none see same above
below yes who denies denied reports reported states stated complains complaining admits endorses presents
presented presenting feels doing seen examined evaluated received remains underwent tolerated returns returning
requests refuses refused agrees understands male female man woman boy girl baby infant newborn child adult elderly
gentleman lady old year years yo aged age sex gender caucasian hispanic stable unstable alert awake oriented well
unwell ill sick critical deceased fair guarded improved improving resting comfortable comfortably cooperative
sedated intubated ambulatory ambulating unresponsive responsive confused anxious pleasant appearing supine prone
sitting standing lying upright position positioning bed admitted discharged transferred inpatient outpatient
emergency hospital clinic ward unit room department care education instructions information demographics details
summary report note history status condition consent consented identity identified identification verified
confirmed satisfaction safety transport new established known follow followup up name names date dob mrn id number
provider physician doctor nurse patient drug drugs medication medications dose route frequency tablet tablets
capsule oral iv mg ml insulin sodium chloride acid sulfate hydrochloride succinate tartrate potassium calcium
vitamin pain chest fever cough dyspnea breath complaints complaint symptoms abdominal headache nausea vomiting
diabetic hypertensive smoker pregnant distress acute chronic normal abnormal test sample example anonymous
anonymized anonymised unknown redacted withheld confidential deidentified pending recorded given available
applicable klagt berichtet und mit ohne ist wurde keine unbekannt wach orientiert stabil männlich weiblich
"""
NO_NAME = frozenset(_NO_NAME.split())
"""Words that no one bears as a name, or so few that their names may go unread."""
