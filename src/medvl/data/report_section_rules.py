"""Tables of the official MIMIC-CXR section rules: header spellings, and the studies whose conclusion was found by hand.

Source: MIT-LCP/mimic-cxr, ``txt/section_parser.py`` at revision 3190146. ``ndication`` counts as an impression there, and so it does here.
"""

from __future__ import annotations

# Section name → every spelling of its header.
SPELLINGS: dict[str, tuple[str, ...]] = {
    "impression": (
        "impression", "conclusion", "findings and impression", "findings/impression", "findings/ impression", "ndication", "impresson",
        "imprression", "imoression", "impressoin", "imprssion", "impresion", "imperssion", "mpression", "impession",
    ),
    "findings": (
        "findings", "chest, two views", "finding", "findins", "findindgs", "findgings", "findngs", "findnings", "finidngs",
        "reference findings",
    ),
    "comparison": (
        "comparison", "comparisons", "reference exam", "comparison exam", "comparison film", "comparision", "comparsion", "comparrison",
        "comparisions",
    ),
    "indication": ("indication", "reason for examination", "reason for exam", "clinical indication", "idication"),
    "history": ("history", "clinical history", "patient history", "clinical information", "pfi"),
    "examination": ("examination", "exam", "type of examination"),
    "recommendations": ("recommendations", "recommendation(s)", "recommendation"),
    "wet read": ("wet read", "wetread"),
    "technique": ("technique",),
    "notification": ("notification",),
    "addendum": ("addendum",),
    "date": ("date",),
    "comment": ("comment",),
    "preamble": ("preamble",),
}  # fmt: skip

# A header that is none of these spellings has the first of these names that it contains …
CONTAINED_NAMES = ("impression", "findings", "history", "comparison", "addendum")

# … or, if it describes the examination ("portable ap chest"), stands over its findings.
FINDINGS_TITLES = (
    "chest", "portable", "pa and lateral", "lateral and pa", "ap and lateral", "lateral and ap", "frontal and", "two views",
    "frontal view", "pa view", "ap view", "one view", "lateral view", "bone window", "frontal upright", "frontal semi-upright",
    "ribs", "pa and lat",
)  # fmt: skip

# The section that holds the conclusion → the studies in which it does.
MISNAMED_CONCLUSIONS: dict[str, tuple[str, ...]] = {
    "recommendations": ("50913680", "59768032", "59067458", "59087630", "58157373", "56482935", "58375018"),
    "examination": ("59363654", "53356173", "50743547", "59215320", "55157853"),
    "technique": ("59279892", "53202765", "50808053"),
    "indication": ("57936451", "50058765", "51966317", "55124749", "54365831", "54654948"),
    "note": ("56451190",),
    "history": ("51491012",),
}

# Study → the characters [start, end) of the report's text that are its conclusion; (0, 0) where it has none.
CONCLUSION_RANGES: dict[str, tuple[int, int]] = {
    "50525523": (201, 349), "57564132": (233, 554), "59982525": (313, 717), "53488209": (149, 475), "54875119": (234, 988),
    "50196495": (59, 399), "56579911": (59, 218), "52648681": (292, 631), "59889364": (172, 453), "53514462": (73, 377),
    "59505494": (59, 450), "53182247": (59, 412), "51410602": (47, 320), "56412866": (522, 822), "54986978": (59, 306),
    "59003148": (262, 505), "57150433": (61, 394), "56760320": (219, 457), "59562049": (158, 348), "52674888": (145, 296),
    "55258338": (192, 568), "59330497": (140, 655), "52119491": (179, 454),
    "58235663": (0, 0), "50798377": (0, 0), "54168089": (0, 0), "53071062": (0, 0), "56724958": (0, 0),
    "54231141": (0, 0), "53607029": (0, 0), "52035334": (0, 0),
}  # fmt: skip
