"""Words for people other than the patient: what stands beside them is not said of the patient."""

import re

_KIN = (
    r"(?:step|grand|god|foster)?[- ]?(?:mother|father|mom|mum|dad|parent|son|daughter|child|brother|sister|sibling)s?|"
    r"(?:grand|great)[- ]?(?:ma|pa|aunt|uncle)|husband|wife|wives|spouse|partner|fianc[eé]e?|aunt|uncle|cousin|niece|"
    r"nephew|twin|relative|familial|family(?! (?:name|medicine|practice|physician|doctor))|maternal|paternal|kin|"
    r"mutter|vater|eltern|bruder|schwester|sohn|tochter|ehemann|ehefrau|gatte|gattin|angehörige[rn]?"
)
_STRANGERS = (
    r"donors?|guardian|caregiver|carer|contact|friend|roommate|neighbou?r|colleague|co-?worker|boss|guarantor|"
    r"subscriber|insured|policy ?holder|interpreter|index (?:case|patient)|another|other patient"
)

KIN_OR_STRANGER = re.compile(rf"\b(?:{_KIN}|{_STRANGERS})(?:'?s|s)?\b", re.I)
