"""Open-I (IU X-Ray): one XML report per study and 8-bit PNGs (Demner-Fushman et al. 2016).

``ecgen-radiology/<number>.xml`` and ``NLMCXR_png/<image>.png``. The patient's first study; blanks of the report are ``XXXX``; only the
caption names the projection; the frontal comes first. MeSH terms are of the release's form ``term/side/degree``, the terms themselves a
small choice.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from medvl.phantom.export.pixels import png
from medvl.phantom.export.study import ExportedStudy, ExportedView, Rows
from medvl.phantom.export.tables import Parts
from medvl.phantom.statements import Statement
from medvl.runtime.files import write_bytes

SECTIONS = ("comparison", "indication", "findings", "impression")
MESH = {
    "atelectasis": "Pulmonary Atelectasis",
    "cardiomegaly": "Cardiomegaly",
    "consolidation": "Consolidation",
    "edema": "Pulmonary Edema",
    "enlarged_mediastinum": "Mediastinum/enlarged",
    "fracture": "Fractures, Bone",
    "nodule": "Nodule",
    "opacity": "Opacity",
    "pleural_effusion": "Pleural Effusion",
    "pleural_thickening": "Thickening/pleura",
    "pneumonia": "Pneumonia",
    "pneumothorax": "Pneumothorax",
    "endotracheal_tube": "Tube, Inserted/trachea",
    "nasogastric_tube": "Tube, Inserted/stomach",
    "central_venous_line": "Catheters, Indwelling",
    "chest_tube": "Tube, Inserted/thorax",
    "pacemaker": "Medical Device",
}


def export_study(study: ExportedStudy, out: Path) -> Rows:
    """Write the first study's report and images."""
    if study.visit.index != 0:
        return {}
    number = study.number + 1
    views = sorted(study.views, key=lambda v: not v.is_frontal)
    names = {f"CXR{number}_1_IM-{number:04d}-{1001 + i}": view for i, view in enumerate(views)}
    for name, view in names.items():
        write_bytes(out / "open-i" / "NLMCXR_png" / f"{name}.png", png(view.film.display, 8))
    write_bytes(out / "open-i" / "ecgen-radiology" / f"{number}.xml", _xml(study, number, names))
    return {}


def write_tables(out: Path, parts: Parts) -> None:
    """The release has no tables."""


def _xml(study: ExportedStudy, number: int, names: dict[str, ExportedView]) -> bytes:
    root = ElementTree.Element("eCitation")
    ElementTree.SubElement(root, "meta", type="rr")
    ElementTree.SubElement(root, "uId", id=f"CXR{number}")
    ElementTree.SubElement(root, "pmcId", id=str(number))
    abstract = ElementTree.SubElement(ElementTree.SubElement(ElementTree.SubElement(root, "MedlineCitation"), "Article"), "Abstract")
    sections = study.report.sections["en"]
    for name in SECTIONS:
        element = ElementTree.SubElement(abstract, "AbstractText", Label=name.upper())
        element.text = " ".join(sections.get(name, "").replace("___", "XXXX").split()) or None
    mesh = ElementTree.SubElement(root, "MeSH")
    positive = [s for sentence in study.report.sentences for s in sentence.statements if s.status == "positive" and s.subject in MESH]
    for term in dict.fromkeys(_term(s) for s in positive) or ["normal"]:
        ElementTree.SubElement(mesh, "major").text = term
    for term in dict.fromkeys(MESH[s.subject].split("/")[0].lower() for s in positive):
        ElementTree.SubElement(mesh, "automatic").text = term
    for i, (name, view) in enumerate(names.items(), start=1):
        image = ElementTree.SubElement(root, "parentImage", id=name)
        ElementTree.SubElement(image, "figureId").text = f"F{i}"
        ElementTree.SubElement(image, "caption").text = f"{view.acquisition.projection.capitalize()} view of the chest."
    ElementTree.indent(root)
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _term(statement: Statement) -> str:
    return "/".join(part for part in (MESH[statement.subject], statement.side, statement.severity_word) if part)
