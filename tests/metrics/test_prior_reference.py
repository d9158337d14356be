"""Which sentences refer to an earlier study, and the rate of reports that do."""

import numpy as np
import pytest

from medvl.metrics.prior_reference import prior_reference, refers_to_prior


@pytest.mark.parametrize(
    "text",
    [
        "Compared to the prior study, the effusion is larger.",
        "Unchanged cardiomegaly.",
        "No change.",
        "No significant interval change.",
        "No new consolidation.",
        "No pneumothorax compared with the previous film.",
        "No change from prior.",
        "The heart remains enlarged.",
        "Pneumonia has resolved.",
        "Increased opacity at the left base.",
        "The tube has been advanced.",
        "No pneumothorax. Worsening edema.",
    ],
)
def test_words_of_comparison_persistence_and_change_refer_to_a_prior(text):
    assert refers_to_prior(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "No effusion or pneumothorax.",
        "No prior studies are available for comparison.",
        "Comparison: None. Clear lungs.",
        "Without any prior imaging, the age of the opacity is unknown.",
        "There are no films available to compare.",
        "There are no increased interstitial markings.",
        "No evidence of worsening edema.",
        "Renewed interest.",
    ],
)
def test_denied_change_and_an_absent_prior_do_not(text):
    assert not refers_to_prior(text)


@pytest.mark.parametrize(("text", "refers"), [("Sin cambios respecto al estudio previo.", True), ("Derrame estable.", True)])
def test_spanish_cues(text, refers):
    assert refers_to_prior(text, language="es") is refers


@pytest.mark.parametrize("text", ["Sin derrame pleural.", "No hay estudios previos para comparar.", "Sin aumento de la silueta."])
def test_spanish_denials(text):
    assert not refers_to_prior(text, language="es")


def test_the_rate_counts_reports():
    result = prior_reference(["Unchanged effusion.", "No effusion.", "No prior studies. Clear lungs."], ["New effusion."] * 3)

    assert result.corpus == {"prior_reference_rate": pytest.approx(1 / 3), "prior_reference_rate_of_references": 1}


def test_the_rate_is_split_by_whether_a_prior_was_shown():
    result = prior_reference(["Stable.", "Stable.", "Clear."], ["Clear."] * 3, has_prior=[True, False, False])

    assert result.corpus["prior_reference_rate_with_prior"] == 1
    assert result.corpus["prior_reference_rate_without_prior"] == 0.5
    assert result.lower_is_better == {"prior_reference_rate_without_prior"}
    assert np.isnan(result.statistics["prior_reference_rate_with_prior"](np.array([[0.0, 1.0, 1.0]])))[0]
