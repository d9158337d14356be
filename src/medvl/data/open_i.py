"""Open-I, the Indiana University chest X-rays (Demner-Fushman et al. 2016): one XML report per study, and its PNGs.

``ecgen-radiology/<number>.xml`` names the study (``uId``), its sections (``AbstractText`` by ``Label``), its MeSH terms and its images
(``parentImage``); ``<image>.png`` lies anywhere below the root. Words that were taken out are ``XXXX``. The XML knows neither patients
nor projections: a study counts as its own patient, and projections come from the Kaggle twin's ``indiana_projections.csv`` if it is
there (its ``Frontal`` is taken as PA), else from a caption that names one view, else they are unknown. MeSH terms are cut at the
first slash: ``Cardiomegaly/mild`` is Cardiomegaly.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import parse

from medvl.data.tables import find_table, read_table
from medvl.records import LabelValue, PrivacyPolicy, Report, Study, View
from medvl.runtime.errors import InvalidValue, MissingFile

PROJECTIONS = "indiana_projections"
WORDS = {"frontal": "PA", "pa": "PA", "ap": "AP", "lateral": "LATERAL"}
NO_INDEXING = "no indexing"  # stands where nobody assigned terms


def read_studies(root: Path | str, *, privacy: PrivacyPolicy = "public") -> Iterator[Study]:
    """Yield one Study per report, by number. Labels have the sources ``mesh`` (assigned by people) and ``mesh_automatic``.

    Raises:
        MissingFile: if there are no reports.
        InvalidValue: naming the file, if it is not such a report.
    """
    root = Path(root)
    reports = sorted(root.glob("**/*.xml"), key=lambda path: (len(path.stem), path.stem))
    if not reports:
        raise MissingFile(root / "ecgen-radiology" / "1.xml", "give the folder that holds the XML reports")
    images = {path.stem.removesuffix(".dcm"): str(path) for path in sorted(root.glob("**/*.png"))}
    projections = _projections(root)
    for path in reports:
        yield _study(_root(path), images, projections, privacy)


def _root(path: Path) -> Element:
    try:
        root = parse(path).getroot()
    except (ParseError, DefusedXmlException, OSError, ValueError, LookupError) as error:
        raise InvalidValue(path, "report", f"is not readable XML ({error})") from error
    if root is None or not _study_id(root):
        raise InvalidValue(path, "uId", "has no study identifier")
    return root


def _study_id(root: Element) -> str:
    element = root.find("uId")
    return "" if element is None else element.get("id", "")


def _study(root: Element, images: Mapping[str, str], projections: Mapping[str, str], privacy: PrivacyPolicy) -> Study:
    sections = _sections(root)
    text = "\n".join(f"{name.upper()}: {section}" for name, section in sections.items())
    labels = {"mesh": _terms(root, "major"), "mesh_automatic": _terms(root, "automatic")}
    return Study(
        dataset="open_i",
        patient_id=_study_id(root),
        study_id=_study_id(root),
        views=tuple(_view(image, images, projections) for image in root.iter("parentImage") if image.get("id")),
        report=Report(text, sections) if sections else None,
        labels={source: terms for source, terms in labels.items() if terms},
        privacy=privacy,
    )


def _sections(root: Element) -> dict[str, str]:
    texts = {e.get("Label", "").lower(): " ".join("".join(e.itertext()).split()) for e in root.iter("AbstractText")}
    return {name: text for name, text in texts.items() if name and text}


def _terms(root: Element, kind: str) -> dict[str, LabelValue]:
    terms = ((element.text or "").split("/")[0].strip() for element in root.iterfind(f"MeSH/{kind}"))
    return {term: "positive" for term in terms if term and term.lower() != NO_INDEXING}


def _view(image: Element, images: Mapping[str, str], projections: Mapping[str, str]) -> View:
    view_id = image.get("id", "")
    named = {WORDS[word] for word in re.findall(r"[a-z]+", (image.findtext("caption") or "").lower()) if word in WORDS}
    caption = next(iter(named)) if len(named) == 1 else None
    path = images.get(view_id) or images.get(view_id.partition("_")[2])  # the Kaggle twin's names lack the study
    return View(view_id, path, projections.get(view_id, caption))


def _projections(root: Path) -> dict[str, str]:
    """Image → projection, from the Kaggle twin's table; whose file names lack the study and end in ``.dcm.png``."""
    path = find_table(root, PROJECTIONS)
    if path is None:
        return {}
    rows = read_table(path, ("uid", "filename", "projection")).to_pylist()
    known = [row for row in rows if None not in row.values() and row["projection"].lower() in WORDS]
    return {f"CXR{row['uid']}_{row['filename'].split('.')[0]}": WORDS[row["projection"].lower()] for row in known}
