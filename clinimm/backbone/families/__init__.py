"""Families of foreign checkpoints by name. To add one: a module with a Family, and its line here."""

from clinimm.backbone.families.bert import BERT
from clinimm.backbone.families.biomedclip import BIOMEDCLIP
from clinimm.backbone.families.clip import CLIP
from clinimm.backbone.families.medclip import MEDCLIP
from clinimm.backbone.families.siglip import SIGLIP
from clinimm.backbone.families.torchvision import TORCHVISION
from clinimm.backbone.family import Family

FAMILIES: dict[str, Family] = {
    family.name: family for family in (MEDCLIP, CLIP, SIGLIP, BIOMEDCLIP, BERT, *TORCHVISION)
}
