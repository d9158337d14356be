"""Files of predicted and reference reports, in the shapes of this project and of its public peers, told apart by what is in them.

    table     .csv[.gz|.zip]   RadFact (example_id, prediction, target), CXR-Report-Metric (study_id, report), and the aliases below
    records   .json, .jsonl    RadFact's grounded list and NLI examples, RadEval's ref and hyp, this project's predictions.jsonl
    columns   .json            RadEval: {"references": […], "hypotheses": […]}
    by study  .json            ReXrank: {study: {"model_prediction", "section_findings", …}}, or {study: report}
    lines     .txt, .tok       one report a line
    folder                     a PadChest-GR release, or its grounded_reports_*.json (its reader), for references

A report is text, a list of phrases (any form of ``records.phrase_of``, MAIRA-2's pairs among them), or MAIRA-2's decoded string; the
boxes of the latter are mapped to the original image where the record tells its ``height`` and ``width``. Lines and columns without
identifiers are numbered from 0. A report that is null or empty is an empty report, kept and counted later. Fields that no one here knows
are kept in ``meta``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from medvl.data import padchest_gr
from medvl.data.documents import naming, read_json, read_json_lines
from medvl.data.grounded_text import is_grounded, parse
from medvl.data.report_samples import Report, ReportSample, from_studies
from medvl.data.tables import SUFFIXES, column_names, read_table
from medvl.records import PrivacyPolicy, phrase_of
from medvl.runtime.errors import InvalidValue, MissingColumns, MissingFile

Side = Literal["prediction", "reference"]

IDENTIFIERS = ("example_id", "study_id", "id")
PREDICTIONS = ("prediction", "candidate", "hypothesis", "hyp", "generated", "model_prediction")
REFERENCES = ("target", "reference", "ref")
EITHER = ("report", "findings", "phrases", "text")
"""Fields that hold the reference beside a prediction, and otherwise whichever side the file is given as."""
PATIENTS = ("patient_id", "subject_id")
COLUMNS = {"predictions": "prediction", "hypotheses": "prediction", "hyps": "prediction", "references": "reference", "refs": "reference"}
REXRANK = "Findings: {section_findings} Impression: {section_impression}"


def read_reports(path: Path | str, side: Side, *, language: str | None = None, privacy: PrivacyPolicy = "local_only") -> list[ReportSample]:
    """The reports of a file, in its order; both sides of a sample where the file has both.

    Args:
        path: a file of one of the shapes above, or the folder of a PadChest-GR release.
        side: what the file is given as, where it does not say itself.
        language: of the reports; ``None`` if unknown.
        privacy: the policy of the reports, where a record does not carry its own.

    Raises:
        MissingFile: if it is not there.
        MissingColumns: naming the table, if no column is an identifier, or none a report.
        InvalidValue: naming the record: no report, a box out of range, an identifier that comes twice, …
    """
    path = Path(path)
    if path.is_dir() or path.match(padchest_gr.REPORTS):
        release = path if path.is_dir() else path.parent
        return from_studies(padchest_gr.read_studies(release, language=language or "en", privacy=privacy))
    if not path.exists():
        raise MissingFile(path, f"it was given as the {side}s")
    samples: dict[str, ReportSample] = {}
    for where, record in _records(path, side):
        with naming(path, where):
            sample = _sample(record, side, language, privacy)
            if sample.example_id in samples:
                raise ValueError(f"example {sample.example_id!r} comes twice")
        samples[sample.example_id] = sample
    if not samples:
        raise InvalidValue(path, "document", "holds no report")
    return list(samples.values())


def _records(path: Path, side: Side) -> Iterator[tuple[str, Any]]:
    """Every record of a file with its place, as one mapping with the fields above."""
    if path.name.endswith(SUFFIXES):
        yield from _rows(path, side)
    elif path.suffix in (".txt", ".tok"):
        with naming(path, "document"):
            lines = path.read_text("utf-8-sig").removesuffix("\n").split("\n")
        yield from ((f"line {number + 1}", {"id": number, side: line}) for number, line in enumerate(lines))
    elif path.suffix == ".jsonl":
        for position, (number, record) in enumerate(read_json_lines(path)):
            yield f"line {number}", _numbered(record, position)
    elif path.suffix == ".json":
        yield from _document(path, read_json(path), side)
    else:
        raise InvalidValue(path, "name", f"ends in none of {', '.join((*SUFFIXES, '.json', '.jsonl', '.txt', '.tok'))}")


def _rows(path: Path, side: Side) -> Iterator[tuple[str, Any]]:
    found = column_names(path)
    for wanted, names in (("example_id", IDENTIFIERS), (side, (*PREDICTIONS, *REFERENCES, *EITHER))):
        if not set(found) & set(names):
            raise MissingColumns(path, [wanted], found, f"It may also be called {', '.join(n for n in names if n != wanted)}")
    for number, row in enumerate(read_table(path, found).to_pylist()):
        yield f"row {number + 1}", row


def _document(path: Path, value: Any, side: Side) -> Iterator[tuple[str, Any]]:
    if isinstance(value, list):
        yield from ((f"record {number}", _numbered(record, number)) for number, record in enumerate(value))
    elif not isinstance(value, dict):
        raise InvalidValue(path, "document", "is neither a list nor an object")
    elif columns := {name: value[name] for name in COLUMNS if isinstance(value.get(name), list)}:
        if len({len(column) for column in columns.values()}) > 1:
            raise InvalidValue(path, "document", f"has lists of different lengths: {', '.join(columns)}")
        for number, row in enumerate(zip(*columns.values(), strict=True)):
            yield f"entry {number}", {"id": number, **dict(zip((COLUMNS[name] for name in columns), row, strict=True))}
    else:
        for study, record in value.items():
            yield f"study {study!r}", {"id": study, **_by_study(record, side)}


def _by_study(record: Any, side: Side) -> Mapping[str, Any]:
    """A ReXrank entry, its reference worded as ReXrank words it; or a report itself."""
    if not isinstance(record, dict):
        return {side: record}
    sections = ("section_findings", "section_impression")
    if any(name in record for name in sections) and not any(name in record for name in (*REFERENCES, *EITHER)):
        return record | {"reference": REXRANK.format(**{name: record.get(name) for name in sections})}
    return record


def _numbered(record: Any, position: int) -> Any:
    if isinstance(record, dict) and not any(name in record for name in IDENTIFIERS):
        return {"id": position, **record}
    return record


def _sample(record: Any, side: Side, language: str | None, privacy: PrivacyPolicy) -> ReportSample:
    if not isinstance(record, dict):
        raise ValueError("is not an object")
    fields = dict(record)
    identifier = _take(fields, IDENTIFIERS)
    if not isinstance(identifier, (str, int)) or isinstance(identifier, bool) or identifier == "":
        raise ValueError(f"the identifier is {identifier!r}")
    height, width = fields.get("height"), fields.get("width")
    original = (int(height), int(width)) if height and width else None
    meta: dict[str, Any] = {}
    reports = {name: _report(value, original, meta, name) for name, value in _sides(fields, side).items()}
    policy = fields.pop("privacy", None) or privacy
    if policy not in get_args(PrivacyPolicy):
        raise ValueError(f"the privacy policy is {policy!r}, not one of {', '.join(get_args(PrivacyPolicy))}")
    patient = _take(fields, PATIENTS)
    return ReportSample(
        str(identifier),
        **reports,
        patient_id=None if patient is None else str(patient),
        dataset=_name(fields, "dataset"),
        language=_name(fields, "language") or language,
        privacy=policy,
        meta={**(fields.pop("meta", None) or {}), **fields, **meta},
    )


def _sides(fields: dict[str, Any], side: Side) -> dict[str, Any]:
    """Take the reports out of a record, by side."""
    if isinstance(fields.get("input"), dict):  # RadFact's NLI examples: A is the candidate, B the reference
        phrases = fields.pop("input")
        return {"prediction": phrases["phrases_A"], "reference": phrases["phrases_B"]}
    names = {"prediction": PREDICTIONS, "reference": REFERENCES}
    reports = {name: _take(fields, aliases) for name, aliases in names.items() if any(alias in fields for alias in aliases)}
    open_side = "reference" if "prediction" in reports else "prediction" if "reference" in reports else side
    if open_side not in reports and any(name in fields for name in EITHER):
        phrases = fields.pop("phrases", None)
        whole = _take(fields, tuple(name for name in EITHER if name != "phrases"))
        reports[open_side] = phrases or whole
    if not reports:
        raise ValueError(f"has no report (fields: {', '.join(map(str, fields))})")
    return reports


def _name(fields: dict[str, Any], field: str) -> str | None:
    value = fields.pop(field, None)
    if not isinstance(value, (str, type(None))):
        raise ValueError(f"the {field} is {value!r}")
    return value or None


def _take(fields: dict[str, Any], names: tuple[str, ...]) -> Any:
    """Remove and return the first of these fields that has a value; further ones stay, as ``meta``."""
    present = [name for name in names if name in fields]
    chosen = next((name for name in present if fields[name] is not None), present[0] if present else None)
    return None if chosen is None else fields.pop(chosen)


def _report(value: Any, original: tuple[int, int] | None, meta: dict[str, Any], side: str) -> Report:
    if value is None:
        return ""
    if isinstance(value, str):
        if not is_grounded(value):
            return value
        grounded = parse(value, original=original)
        faults = {"malformed_boxes": grounded.malformed, "truncated": grounded.truncated}
        meta |= {f"{side}_{name}": fault for name, fault in faults.items() if fault}
        return grounded.report
    if isinstance(value, list):
        return tuple(map(phrase_of, value))
    raise ValueError(f"the {side} is neither text nor a list of phrases, but {type(value).__name__}")
