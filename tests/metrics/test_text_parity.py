"""Text metrics give the numbers of the implementations that papers used, on invented pairs and on any text."""

import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medvl.metrics.text import bleu, cider, meteor, rouge_l
from medvl.metrics.text.porter import stem
from medvl.metrics.text.tokenizers import tokenize

PREDICTIONS = [
    "No focal consolidation, pleural effusion, or pneumothorax.",
    "Heart size is mildly enlarged (unchanged). The ET tube terminates 3.5 cm above the carina.",
    "There are small bilateral effusions , larger on the right .",
    "normal",
    "Lungs are clear. Lungs are clear. Lungs are clear.",
    "",
]
REFERENCES = [
    "There is no pleural effusion or pneumothorax. No focal consolidation.",
    "Mild cardiomegaly is unchanged. The ET tube terminates 4 cm above the carina.",
    "There are small bilateral effusions , larger on the left , and no pneumothorax .",
    "Normal chest.",
    "Lungs are clear. The heart isn't enlarged.",
    "No acute process.",
]
WORDS = st.text(alphabet="abc -.,'9/", max_size=40)
PAIRS = st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=5)


def coco(scorer, predictions, references):
    spaced = [" ".join(t.split()) for t in predictions], [" ".join(t.split()) for t in references]
    said, wanted = ({i: [text] for i, text in enumerate(texts)} for texts in spaced)
    return scorer.compute_score(wanted, said)


@given(PAIRS)
def test_bleu_equals_pycocoevalcap(pairs):
    from pycocoevalcap.bleu.bleu import BleuScorer

    scorer = BleuScorer(n=4)
    for prediction, reference in pairs:
        scorer += (prediction, [reference])
    corpus, per_report = scorer.compute_score(option="closest")

    ours = bleu(*zip(*pairs, strict=True))

    for n in (1, 2, 3, 4):
        assert ours.corpus[f"bleu_{n}"] == pytest.approx(corpus[n - 1], abs=1e-9)
        np.testing.assert_allclose(ours.per_sample[f"bleu_{n}"], per_report[n - 1], atol=1e-9, rtol=0)


@given(PAIRS)
def test_rouge_l_equals_pycocoevalcap(pairs):
    from pycocoevalcap.rouge.rouge import Rouge

    predictions, references = zip(*pairs, strict=True)
    corpus, per_report = coco(Rouge(), predictions, references)

    ours = rouge_l(predictions, references)

    assert ours.corpus["rouge_l"] == pytest.approx(corpus, abs=1e-9)
    np.testing.assert_allclose(ours.per_sample["rouge_l"], per_report, atol=1e-9, rtol=0)


@given(PAIRS)
def test_cider_equals_pycocoevalcap(pairs):
    from pycocoevalcap.cider.cider_scorer import CiderScorer

    scorer = CiderScorer()
    for prediction, reference in [*pairs, ("no effusion", "no effusion")]:
        scorer += (prediction, [reference])
    corpus, per_report = scorer.compute_score()

    ours = cider(*zip(*pairs, ("no effusion", "no effusion"), strict=True))

    assert ours.corpus["cider"] == pytest.approx(corpus, abs=1e-9)
    np.testing.assert_allclose(ours.per_sample["cider"], per_report, atol=1e-9, rtol=0)


@pytest.mark.parametrize("tokenizer", ["whitespace", "13a", "r2gen", "coco_ptb_like"])
def test_corpus_values_of_invented_reports_equal_pycocoevalcap_for_every_tokenizer(tokenizer):
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider

    said, wanted = ([" ".join(words) for words in tokenize(texts, tokenizer)] for texts in (PREDICTIONS, REFERENCES))
    expected, _ = Bleu(4).compute_score({i: [t] for i, t in enumerate(wanted)}, {i: [t] for i, t in enumerate(said)}, verbose=0)
    expected_cider, _ = coco(Cider(), said, wanted)

    ours = bleu(PREDICTIONS, REFERENCES, tokenizer=tokenizer)

    assert list(ours.corpus.values()) == pytest.approx(expected, abs=1e-9)
    assert cider(PREDICTIONS, REFERENCES, tokenizer=tokenizer).corpus["cider"] == pytest.approx(expected_cider, abs=1e-9)


@pytest.mark.parametrize("lowercase", [False, True])
def test_sacrebleu_by_name_equals_sacrebleu(lowercase):
    from sacrebleu.metrics import BLEU

    expected = BLEU(lowercase=lowercase).corpus_score(PREDICTIONS, [REFERENCES]).score
    per_report = [
        BLEU(lowercase=lowercase, effective_order=True).sentence_score(p, [r]).score for p, r in zip(PREDICTIONS, REFERENCES, strict=True)
    ]

    ours = bleu(PREDICTIONS, REFERENCES, implementation="sacrebleu", tokenizer="13a_lower" if lowercase else "13a")

    assert ours.corpus["bleu"] == pytest.approx(expected, abs=1e-9)
    np.testing.assert_allclose(ours.per_sample["bleu"], per_report, atol=1e-9)


@given(st.text(max_size=60))
def test_13a_splits_any_text_as_sacrebleu_does(text):
    from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

    assert tokenize([text], "13a") == [Tokenizer13a()(text.rstrip()).split()]


@pytest.mark.parametrize("stemmer", [False, True])
def test_rouge_score_by_name_equals_rouge_score(stemmer):
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rougeL"], use_stemmer=stemmer)
    expected = [scorer.score(r, p)["rougeL"].fmeasure for p, r in zip(PREDICTIONS, REFERENCES, strict=True)]

    ours = rouge_l(PREDICTIONS, REFERENCES, implementation="rouge_score", stemmer=stemmer)

    np.testing.assert_allclose(ours.per_sample["rouge_l"], expected, atol=1e-12)


@given(
    st.text(alphabet="abcdefgilmnoprstuvyz", max_size=12),
    st.sampled_from(["", "ies", "ied", "ational", "logi", "fully", "alli", "eed", "ing", "ement"]),
)
def test_porter_stems_as_nltk_does(word, suffix):
    from nltk.stem.porter import PorterStemmer

    assert stem(word + suffix) == PorterStemmer().stem(word + suffix)


def test_porter_stems_the_words_of_reports_as_nltk_does():
    from nltk.stem.porter import PorterStemmer

    words = {word for text in PREDICTIONS + REFERENCES for word in tokenize([text], "words")[0]}
    words |= {
        "opacities",
        "opacity",
        "worsening",
        "dying",
        "skies",
        "hazy",
        "agreed",
        "hopping",
        "geology",
        "radically",
        "controll",
        "adoption",
    }

    assert {word: stem(word) for word in words} == {word: PorterStemmer().stem(word) for word in words}


@given(PAIRS)
def test_exact_stem_meteor_equals_nltk_without_synonyms(pairs):
    from nltk.translate.meteor_score import single_meteor_score

    class NoSynonyms:
        def synsets(self, word):
            return []

    expected = [single_meteor_score(r.split(), p.split(), wordnet=NoSynonyms()) for p, r in pairs]

    ours = meteor(*zip(*pairs, strict=True))

    np.testing.assert_allclose(ours.per_sample["meteor"], expected, atol=1e-12)


java = pytest.mark.skipif(shutil.which("java") is None, reason="needs Java")


@java
@pytest.mark.slow
def test_java_meteor_equals_pycocoevalcap():
    from pycocoevalcap.meteor.meteor import Meteor

    said, wanted = ([" ".join(words) for words in tokenize(texts, "coco_ptb_like")] for texts in (PREDICTIONS[:5], REFERENCES[:5]))
    scorer = Meteor()
    corpus, per_report = coco(scorer, said, wanted)
    for stream in (scorer.meteor_p.stdout, scorer.meteor_p.stderr):
        stream.close()

    ours = meteor(PREDICTIONS[:5], REFERENCES[:5], tokenizer="coco_ptb_like", implementation="java")

    np.testing.assert_allclose(ours.per_sample["meteor"], per_report, atol=1e-12)
    assert ours.protocol["corpus_of_summed_statistics"] == pytest.approx(corpus, abs=1e-12)


@java
def test_the_python_treebank_tokens_of_reports_are_the_stanford_tokenizers():
    texts = [
        *PREDICTIONS,
        *REFERENCES,
        "1. Small right-sided effusion. 2. No pneumonia. s/p CABG, w/o change, i.e. atelectasis vs. pneumonia...",
        "The patient's 4-mm nodule can't be seen; \"ground-glass\" opacity <50% [**2018-3-4**] at 3:15 p.m. on 01/02/2020.",
        "A 1.2 x 3.4cm mass -- cannot exclude malignancy. Compared to ___, ___-year-old, AP/lateral, 10,000 mL, T10-T11.\nNo. 3 tube.",
    ]

    assert tokenize(texts, "coco_ptb_like") == tokenize(texts, "ptb")
