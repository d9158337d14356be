"""Texts of prepared reports and of corpora: what a sample holds, how it is drawn, and how sentences are packed."""

import dataclasses
from functools import partial

import numpy as np
import pytest
import torch
from cohort import write_cohort
from hypothesis import given
from hypothesis import strategies as st

from medvl.data.corpus import read_documents
from medvl.data.module import RadiographDataModule
from medvl.data.prepare import prepare
from medvl.data.prepared import PreparedDataset
from medvl.data.sampler import SampleIndex
from medvl.data.samples import NoSamples, collate
from medvl.data.sentence_packing import pack_sentences
from medvl.data.text_samples import PackedTextSamples, ReportTextSamples
from medvl.models.tokenizer import train_wordpiece
from medvl.records import Report
from medvl.runtime.errors import MissingFile, UserError

FINDINGS = "1. Heart {0} is normal. 2. No effusion. The lungs are clear."
TOKENIZER = train_wordpiece(["the heart is normal no effusion lungs are clear a b c d e f g h 0 1 2 3 4 5 6 7 8 9 . : ?"], 200)
CLS, SEP, PAD = (TOKENIZER.token_to_id(token) for token in ("[CLS]", "[SEP]", "[PAD]"))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Twenty studies of ten patients, without an image: a few lack a section, or the whole report, and two their split."""
    root = tmp_path_factory.mktemp("texts")
    studies = [dataclasses.replace(study, views=()) for study in write_cohort(root / "images")]
    for number, study in enumerate(studies):
        sections = {"findings": FINDINGS.format(number), "impression": f"Normal {number}.", "indication": "Cough."}
        if number in (2, 4):
            del sections["findings" if number == 2 else "impression"]
        report = Report(f"INDICATION: Cough {number}.\nFINDINGS: clear.", sections) if number != 5 else None
        studies[number] = dataclasses.replace(study, report=report, split=study.split if number < 18 else None)
    prepare(studies, root / "out", inputs={}, image_size=16, progress=False)
    return PreparedDataset(root / "out")


def test_a_sample_is_a_study_with_both_sections_and_their_text(prepared):
    sample = ReportTextSamples(prepared, split="train")[0]

    assert (sample["sample_id"], sample["study_id"], sample["patient_id"], sample["epoch"]) == ("s0000", "s0000", "p000", 0)
    assert sample["findings"] == FINDINGS.format(0)
    assert sample["impression"] == "Normal 0."
    assert sample["text"] == f"{FINDINGS.format(0)} Normal 0."


def test_studies_that_lack_what_is_required_are_left_out(prepared):
    both, some = (ReportTextSamples(prepared, require=require) for require in ("both", "any"))

    assert (len(both), len(some)) == (17, 19)
    without = next(sample for sample in (some[i] for i in range(len(some))) if sample["findings"] is None)
    assert without["text"] == without["impression"] == "Normal 2."
    assert list(both.texts()) == [both[i]["text"] for i in range(len(both))]


def test_sentences_are_shuffled_within_their_section_as_a_function_of_seed_epoch_and_sample(prepared):
    first, same, other = (ReportTextSamples(prepared, split="train", shuffle_splits=["train"], seed=seed) for seed in (1, 1, 2))

    shown = [first[SampleIndex(epoch, 0)]["findings"] for epoch in range(40)]

    sentences = {"Heart 0 is normal.", "No effusion.", "The lungs are clear."}
    assert len(set(shown)) == 6  # all orders of three sentences, whose list numbers are gone
    assert all(set(text.replace(". ", ".|").split("|")) == sentences for text in shown)
    assert shown == [same[SampleIndex(epoch, 0)]["findings"] for epoch in range(40)]
    assert shown != [other[SampleIndex(epoch, 0)]["findings"] for epoch in range(40)]
    assert first[SampleIndex(7, 0)]["text"] == f"{shown[7]} Normal 0."


def test_other_splits_are_not_shuffled(prepared):
    samples = ReportTextSamples(prepared, split="validate", shuffle_splits=["train"])

    assert samples[SampleIndex(5, 0)]["findings"] == FINDINGS.format(6)


def test_studies_without_a_split_are_split_by_their_patient_if_shares_are_given(prepared):
    everyone = ReportTextSamples(prepared, split="train", shares={"train": 1.0})
    named = ReportTextSamples(prepared, split="train")

    assert [everyone[i]["study_id"] for i in range(len(everyone)) if everyone[i]["patient_id"] == "p009"] == ["s0090", "s0091"]
    assert len(everyone) == len(named) + 2


def test_a_split_without_texts_is_an_error_that_offers_shares(prepared):
    with pytest.raises(NoSamples, match=r"both findings and impression in split 'val' .*shares"):
        ReportTextSamples(prepared, split="val")
    with pytest.raises(NoSamples, match="no report in split 'val'"):
        PackedTextSamples(prepared, split="val")


def test_a_data_module_makes_batches_of_texts(prepared):
    module = RadiographDataModule(folder=prepared.folder, samples=ReportTextSamples, batch_size=4, crop=1, seed=3)

    batch = next(iter(module.train_dataloader()))

    assert len(batch["findings"]) == len(batch["impression"]) == len(batch["sample_id"]) == 4


def sequences(documents, length):
    packed = pack_sentences(documents, TOKENIZER, max_length=length)
    return [part.tolist() for part in np.split(packed.pieces, packed.ends[:-1])]


def ids(text):
    return TOKENIZER.encode(text, add_special_tokens=False).ids


def test_sentences_fill_a_sequence_and_documents_are_separated():
    documents = ["A b. C d.", "E f.", "G h a b c d."]  # sentences of 3, 3, 3 and 7 pieces

    found = sequences(documents, 12)

    assert found == [[CLS, *ids("a b. c d."), SEP, *ids("e f."), SEP], [CLS, *ids("g h a b c d."), SEP]]


def test_a_sentence_longer_than_a_sequence_is_cut_into_several():
    found = sequences(["a b c d e f g h"], 5)

    assert found == [[CLS, *ids("a b c"), SEP], [CLS, *ids("d e f"), SEP], [CLS, *ids("g h"), SEP]]


@given(st.lists(st.text("ab .", max_size=30), max_size=8), st.integers(3, 20))
def test_no_piece_is_lost_and_no_sequence_is_too_long(documents, length):
    packed = pack_sentences(documents, TOKENIZER, max_length=length)

    split = [part.tolist() for part in np.split(packed.pieces, packed.ends)][:-1]
    assert all(part[0] == CLS and part[-1] == SEP and 3 <= len(part) <= length for part in split)
    spoken = [piece for part in split for piece in part if piece not in (CLS, SEP)]
    assert spoken == [piece for text in documents if set("ab") & set(text) for piece in ids(text)]


def test_a_sequence_without_room_is_refused():
    with pytest.raises(UserError, match="no room"):
        sequences(["a"], 2)


def test_packed_samples_hold_reports_and_in_training_corpora(prepared, tmp_path):
    (tmp_path / "a.txt").write_text("A b.\n\nC d.")
    corpora = [partial(read_documents, path=tmp_path / "a.txt")]
    options = {"sections": ["impression"], "corpora": corpora}
    train, held_out = (PackedTextSamples(prepared, split=split, **options) for split in ("train", "validate"))

    assert list(train.texts())[-3:] == ["Normal 15.", "A b.\n", "C d."]
    assert list(held_out.texts()) == ["Normal 6.", "Normal 7.", "Normal 16.", "Normal 17."]


def test_packed_samples_are_made_once_and_read_back(prepared, tmp_path):
    options = {"split": "train", "max_length": 16}
    first, again = PackedTextSamples(prepared, **options), PackedTextSamples(prepared, **options)
    with pytest.raises(UserError, match="call pack first"):
        len(first)

    facts = first.pack(TOKENIZER, tmp_path)
    written = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}

    assert again.pack(TOKENIZER, tmp_path) == facts
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == written
    assert facts["sequences"] == len(first) > 10
    batch = collate([first[SampleIndex(2, i)] for i in range(3)])
    assert batch["token_ids"].shape == (3, 16)
    assert batch["token_ids"].dtype == torch.int64
    assert (batch["epoch"], batch["sample_id"]) == (2, ["train/0", "train/1", "train/2"])
    assert torch.equal(first[1]["token_ids"], again[1]["token_ids"])
    last = first[len(first) - 1]["token_ids"]
    assert (last[(last == SEP).nonzero()[-1, 0] + 1 :] == PAD).all()


def test_a_corpus_that_is_not_there_is_named(prepared, tmp_path):
    samples = PackedTextSamples(prepared, split="train", corpora=[partial(read_documents, path=tmp_path / "nowhere.txt")])

    with pytest.raises(MissingFile, match="nowhere"):
        list(samples.texts())
