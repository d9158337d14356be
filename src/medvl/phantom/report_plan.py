"""What one report says and in which order: the statements of a visit, grouped into the sentences of findings and impression.

A radiologist does not tell everything: present findings are told, about 45 % of the absent common ones are denied by name or by a sweep
over a normal organ, resolved lesions and removed devices are mentioned when there is a prior study. The impression repeats what matters,
reads a consolidation in a fever as pneumonia, or says that there is nothing acute.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from medvl.phantom.facts import ChangeLabel, Device, FindingName, Patient, Visit
from medvl.phantom.statements import (
    DEVICES,
    LUNG,
    PLEURA,
    SWEEPS,
    Organ,
    Statement,
    Subject,
    finding_statements,
    infectious,
    prior_visit,
)  # fmt: skip

Group = tuple[Statement, ...]
"""The statements of one sentence."""

DENIED: dict[Subject, float] = {
    "pneumothorax": 0.6, "pleural_effusion": 0.55, "consolidation": 0.45, "edema": 0.35, "pneumonia": 0.25, "cardiomegaly": 0.15,
    "atelectasis": 0.08, "nodule": 0.1, "fracture": 0.12, "pleural_thickening": 0.06, "enlarged_mediastinum": 0.08,
}  # fmt: skip
"""How often an absent finding is denied by name; sweeps come on top."""

SWEPT: dict[Organ, float] = {"lungs": 0.35, "heart": 0.4, "mediastinum": 0.35, "pleura": 0.08, "bones": 0.25}


def plan_findings(patient: Patient, visit: Visit, random: np.random.Generator) -> list[Group]:
    """The sentences of the findings section, in the order in which they are told."""
    prior = prior_visit(patient, visit)
    chest = _lung_groups(visit, prior, random) + _pleura_groups(visit, prior, random)
    told = {s.subject for group in chest for s in group}
    swept = {name for organ, names in SWEEPS.items() if organ in told for name in names}
    names: tuple[Subject, ...] = ("pneumonia", *LUNG, *PLEURA)
    denials = grouped(_denials(visit, [n for n in names if n not in swept or random.random() < 0.4], random), random)
    chest, denials = _compounds(chest, denials, random)
    blocks = [
        chest + denials if random.random() < 0.7 else denials + chest,
        _heart_groups(visit, prior, random),
        _bone_groups(visit, prior, random),
    ]
    devices = device_groups(visit, prior, random)
    if random.random() < 0.3:
        blocks = [blocks[i] for i in random.permutation(len(blocks))]
    blocks = [devices, *blocks] if random.random() < 0.5 else [*blocks, devices]
    return [group for block in blocks for group in block]


def plan_impression(visit: Visit, findings: Sequence[Group], random: np.random.Generator) -> list[Group]:
    """The sentences of the impression: the findings that matter, interpreted, or that there is nothing acute."""
    told = [s for group in findings for s in group if s.status == "positive" and s.subject != "lung_volumes"]
    worth = [s for s in told if s.placement != "proper" and (s.subject in DEVICES or random.random() < 0.85)]
    worth = worth or [s for s in told if s.subject not in DEVICES]
    groups: list[Group] = [_impression_group(s, visit, random) for s in worth[:5]]
    resolved = [s for group in findings for s in group if s.change == "resolved" and s.subject not in DEVICES]
    groups += [(replace(s, section="impression"),) for s in resolved if random.random() < 0.5]
    if not visit.findings:
        normal = Statement("chest", "negative", section="impression")
        groups = [(normal,), *groups] if random.random() < 0.5 else [*groups, (normal,)]
    elif random.random() < 0.3:
        absent = _denials(visit, ("pneumothorax", "pneumonia"), random, scale=1.5)
        groups += [(replace(s, section="impression"),) for s in absent[:1]]
    return groups


def device_groups(visit: Visit, prior: Visit | None, random: np.random.Generator) -> list[Group]:
    """Devices in place, removed since the prior, and now and then the ones that are not there."""
    before = {d.device_id: d for d in prior.devices} if prior else {}
    present = [_device(d, before.get(d.device_id), prior is not None, random) for d in visit.devices]
    here = {d.name for d in visit.devices}
    gone = [
        Statement(d.name, "negative", side=d.side, change="resolved", lesion_ids=(d.device_id,))
        for d in before.values()
        if d.name not in here and random.random() < 0.8
    ]
    rate = 0.15 if visit.setting == "icu" else 0.06
    removed = {d.name for d in before.values()}
    absent = [Statement(n, "negative") for n in DEVICES if n not in here | removed and random.random() < rate]
    groups: list[Group] = [(s,) for s in [*present, *gone]]
    if len(absent) > 1:
        return [*groups, tuple(absent)]
    return groups + [(s,) for s in absent]


def grouped(statements: Sequence[Statement], random: np.random.Generator) -> list[Group]:
    """Plain negatives joined into sentences of one to three."""
    order = [statements[i] for i in random.permutation(len(statements))]
    groups: list[Group] = []
    while order:
        size = int(random.choice([1, 2, 3], p=[0.3, 0.35, 0.35]))
        groups.append(tuple(order[:size]))
        order = order[size:]
    return groups


def _lung_groups(visit: Visit, prior: Visit | None, random: np.random.Generator) -> list[Group]:
    statements = finding_statements(visit, prior, LUNG, random)
    calls = [_as_opacity(s) if _called_opacity(s, random) else s for s in statements]
    groups: list[Group] = [(s,) for s in calls]
    inspiration = min((a.inspiration for a in visit.acquisitions if a.projection != "LATERAL"), default=0.0)
    if inspiration < -0.4 and random.random() < 0.6:
        groups.insert(0, (Statement("lung_volumes", "positive"),))
    elif not any(f.name in LUNG for f in visit.findings) and random.random() < SWEPT["lungs"]:
        groups.append((Statement("lungs", "negative"),))
    return groups


def _pleura_groups(visit: Visit, prior: Visit | None, random: np.random.Generator) -> list[Group]:
    groups: list[Group] = [(s,) for s in finding_statements(visit, prior, PLEURA, random)]
    if not any(f.name in PLEURA for f in visit.findings) and random.random() < SWEPT["pleura"]:
        groups.append((Statement("pleura", "negative"),))
    return groups


def _heart_groups(visit: Visit, prior: Visit | None, random: np.random.Generator) -> list[Group]:
    names: tuple[FindingName, ...] = ("cardiomegaly", "enlarged_mediastinum")
    groups: list[Group] = [(s,) for s in finding_statements(visit, prior, names, random)]
    present = {f.name for f in visit.findings}
    normal: list[Organ] = ["heart"] if "cardiomegaly" not in present and random.random() < SWEPT["heart"] else []
    if "enlarged_mediastinum" not in present and random.random() < SWEPT["mediastinum"]:
        normal.append("mediastinum")
    if normal:
        groups.append(tuple(Statement(organ, "negative") for organ in normal))
    unswept = [n for n in names if n not in [x for organ in normal for x in SWEEPS[organ]]]
    return groups + [(s,) for s in _denials(visit, unswept, random)]


def _bone_groups(visit: Visit, prior: Visit | None, random: np.random.Generator) -> list[Group]:
    groups: list[Group] = [(s,) for s in finding_statements(visit, prior, ("fracture",), random)]
    if not any(f.name == "fracture" for f in visit.findings):
        if random.random() < SWEPT["bones"]:
            groups.append((Statement("bones", "negative"),))
        else:
            groups += [(s,) for s in _denials(visit, ("fracture",), random)]
    return groups


def _compounds(groups: list[Group], denials: list[Group], random: np.random.Generator) -> tuple[list[Group], list[Group]]:
    """Now and then two plain findings, or one and what is not there, share a sentence."""
    joined: list[Group] = []
    for group in groups:
        if joined and _plain(joined[-1]) and _plain(group) and random.random() < 0.3:
            joined[-1] += group
        else:
            joined.append(group)
    plain = [i for i, group in enumerate(joined) if _plain(group)]
    if plain and denials and random.random() < 0.3:
        return [g + denials[0] if i == plain[-1] else g for i, g in enumerate(joined)], denials[1:]
    return joined, denials


def _plain(group: Group) -> bool:
    return [(s.status, s.certain, s.change) for s in group] == [("positive", True, None)] and group[0].subject != "lung_volumes"


def _called_opacity(statement: Statement, random: np.random.Generator) -> bool:
    rate = {"consolidation": 0.25, "atelectasis": 0.12}.get(statement.subject, 0.0)
    return statement.status == "positive" and random.random() < rate


def _as_opacity(statement: Statement) -> Statement:
    """The same lesion called by its look; the grade of an atelectasis is no size, so it is left out."""
    grade = statement.severity_word if statement.subject == "consolidation" else None
    return replace(statement, subject="opacity", severity_word=grade)


def _denials(visit: Visit, names: Iterable[Subject], random: np.random.Generator, scale: float = 1.0) -> list[Statement]:
    present: set[str] = {f.name for f in visit.findings}
    if "consolidation" in present:
        present.add("pneumonia")
    return [Statement(n, "negative") for n in names if n not in present and random.random() < DENIED[n] * scale]


def _device(device: Device, before: Device | None, compared: bool, random: np.random.Generator) -> Statement:
    change: ChangeLabel | None = None
    if compared and random.random() < 0.7:
        if before is None:
            change = "new"
        elif before.error == device.error and abs(before.tip_offset - device.tip_offset) < 5:
            change = "stable"
    placement = device.error or "proper"
    tip = round(device.tip_offset / 5) / 2 if device.name == "endotracheal_tube" and device.error != "right_main_bronchus" else None
    return Statement(
        device.name, "positive", side=device.side, change=change, placement=placement, tip_cm=tip, lesion_ids=(device.device_id,)
    )


def _impression_group(statement: Statement, visit: Visit, random: np.random.Generator) -> Group:
    told = replace(statement, section="impression")
    lesions = {f.lesion_id: f.name for f in visit.findings}
    if (
        all(lesions.get(i) == "consolidation" for i in told.lesion_ids)
        and told.lesion_ids
        and random.random() < (0.6 if infectious(visit) else 0.15)
    ):
        certain = told.certain and random.random() < 0.35
        bare = replace(told, subject="pneumonia", certain=certain, severity_word=None, change=None)
        if random.random() < 0.5:
            return (replace(told, subject="opacity", severity_word=None, change=None, certain=True), bare)
        return (bare,)
    return (told,)
