"""The exam taken blind: the phantom's frozen phrasings, which the rules were written without."""

import time

import pytest
from phantom_exam import examine

from medvl.lexicon.structure import structure
from medvl.phantom.reports import write_report
from medvl.phantom.world import sample_patient

GOAL = 0.90


@pytest.mark.slow
@pytest.mark.parametrize("language", ["en", "es"])
def test_entity_and_status_f1_on_frozen_phrasings(language):
    tally, _ = examine(language, "test", seed=3, patients=100)

    assert tally.statements > 1500
    assert tally.f1 >= GOAL


def test_an_exam_with_a_flipped_answer_scores_less(monkeypatch):
    right, _ = examine("en", "train", seed=3, patients=3)

    monkeypatch.setattr("phantom_exam.structure", lambda text, language: structure("No " + text, language=language))
    flipped, _ = examine("en", "train", seed=3, patients=3)

    assert flipped.f1 < right.f1 - 0.2


def test_a_report_takes_less_than_six_milliseconds():
    reports = [write_report(sample_patient(i, seed=3), sample_patient(i, seed=3).visits[0], seed=3).text() for i in range(20)]
    structure(reports[0])

    times = []
    for report in reports:
        start = time.process_time()
        structure(report)
        times.append(time.process_time() - start)

    assert sorted(times)[len(times) // 2] < 0.006
