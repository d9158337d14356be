"""Benchmarks of sentence pairs from the command line: a text model, pairs on disk, and no images."""

import json

import pytest
import torch

from medvl.cli.main import main
from medvl.models.checkpoints import save_cxr_bert
from medvl.models.cxr_bert import CxrBert
from medvl.models.tokenizer import train_wordpiece

NAMES = ("edema", "effusion", "nodule", "fracture")
WORDS = {"entailment": "Yes, {}.", "neutral": "Perhaps {}.", "contradiction": "Never {}."}


@pytest.fixture
def root(tmp_path):
    """A text model in ``model``, and pairs in the two layouts."""
    pairs = [(f"There is {name}.", words.format(name), relation) for name in NAMES for relation, words in WORDS.items()]
    (tmp_path / "radnli").mkdir()
    for split, some in (("dev", pairs[:6]), ("test", pairs[6:])):
        lines = [json.dumps({"sentence1": a, "sentence2": b, "gold_label": relation}) for a, b, relation in some]
        (tmp_path / "radnli" / f"radnli_{split}_v1.jsonl").write_text("\n".join(lines))
    (tmp_path / "ms-cxr-t").mkdir()
    rows = [
        f"Swaps,Worse {name}.,{word} {name}.,{category}"
        for name in NAMES
        for word, category in (("Larger", "paraphrase"), ("Better", "contradiction"))
    ]
    table = tmp_path / "ms-cxr-t" / "MS_CXR_T_temporal_sentence_similarity_v1.0.0.csv"
    table.write_text("\n".join(["subset_name,sentence_1,sentence_2,category", *rows]))
    torch.manual_seed(0)
    model = CxrBert(200, width=16, layers=1, heads=2, feed_forward=32, max_length=32, projection_size=8)
    model.set_tokenizer(train_wordpiece([text for pair in pairs for text in pair[:2]], 200))
    save_cxr_bert(model, tmp_path / "model")
    return tmp_path


def evaluate(root, benchmark, *more):
    roots = [f"data.ms_cxr_t={root / 'ms-cxr-t'}", f"data.radnli={root / 'radnli'}"]
    main(["evaluate", f"benchmark={benchmark}", "data=ms_cxr_t", f"trained={root / 'model'}", f"outputs={root / 'out'}", *roots, *more])


@pytest.mark.parametrize(
    ("benchmark", "more", "names"),
    [
        ("sentence_similarity", ["benchmark.folds=2"], {"sentence_similarity_accuracy", "sentence_similarity_auroc"}),
        ("radnli_two_class", ["benchmark.folds=2"], {"radnli_two_class_accuracy", "radnli_two_class_auroc"}),
        ("radnli_entailment", ["benchmark.epochs=1", "benchmark.seeds=[0]"], {"radnli_entailment_accuracy", "radnli_entailment_macro_f1"}),
    ],
)
def test_a_text_model_is_measured_without_prepared_images(root, capsys, benchmark, more, names):
    evaluate(root, benchmark, "benchmark.replicates=20", "--json", *more, f"untrained={root / 'model'}")

    found = json.loads(capsys.readouterr().out)
    assert set(found["metrics"]) == names
    assert all(entry["difference"]["value"] == 0 for entry in found["metrics"].values())
    (folder,) = (root / "out" / "evaluate").iterdir()
    assert (folder / f"{benchmark}_pairs.parquet").is_file()


def test_data_that_names_no_pairs_says_which_key_to_set(root):
    with pytest.raises(SystemExit, match=r"data=ms_cxr_t, radnli: names no folder of such pairs; set data\.radnli=…"):
        evaluate(root, "radnli_two_class", "data.radnli=null")


def test_a_fine_tuned_classifier_is_qualified_as_a_judge(root, capsys):
    saved = root / "classifier"
    evaluate(root, "radnli_entailment", "benchmark.epochs=1", "benchmark.replicates=20", f"benchmark.save={saved}", "--json")
    capsys.readouterr()

    main(["judge", "qualify", "judge=entailment", f"judge.model={saved}", f"gold={root / 'radnli'}", f"outputs={root / 'out'}", "--json"])

    found = json.loads(capsys.readouterr().out)
    assert found["protocol"]["judge_qualification"]["judge"] == "callable:entailment"
    assert found["metrics"]["repeat_agreement"]["value"] == 1.0


def test_a_judge_without_its_folder_is_one_clear_line(root):
    with pytest.raises(SystemExit, match=r"model\.safetensors does not exist"):
        main(["judge", "qualify", "judge=entailment", "judge.model=nowhere", f"gold={root / 'radnli'}", f"outputs={root / 'out'}"])
