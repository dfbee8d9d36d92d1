"""Families of foreign checkpoints by name. To add one: a module with a Family, and its line here."""

from clinimm.backbone.family import Family

FAMILIES: dict[str, Family] = {}
