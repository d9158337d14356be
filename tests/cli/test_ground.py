"""The verb that shows where a model sees phrases: a page and the highest places, or one line of error."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from medvl.cli.main import main
from medvl.models.biovil import BioVilImageModel
from medvl.models.checkpoints import save_image_text
from medvl.models.cxr_bert import CxrBert
from medvl.models.image_text import ImageTextModel
from medvl.models.resnet import SmallResNet
from medvl.models.tokenizer import train_wordpiece

SENTENCES = ["No pleural effusion.", "Small left pleural effusion."]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An untrained model and a film beside it."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("ground")
    text = CxrBert(64, width=8, layers=1, heads=1, feed_forward=8, max_length=16, projection_size=8)
    model = ImageTextModel(BioVilImageModel(SmallResNet((4, 4, 8, 8)), projection_size=8), text).eval()
    model.set_tokenizer(train_wordpiece(SENTENCES, 64))
    save_image_text(model, folder / "model")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (80, 96)).astype(np.uint8)).save(folder / "film.png")
    return folder


def words(folder, *more, phrases=SENTENCES):
    return ["ground", f"trained={folder}/model", f"image={folder}/film.png", f"phrases={json.dumps(phrases)}", "crop=64", *more]


@pytest.mark.slow
def test_the_page_shows_each_phrase_and_the_answer_its_highest_place(folder, tmp_path, capsys):
    main([*words(folder), f"out={tmp_path}/page.html", "--json"])

    answer = json.loads(capsys.readouterr().out)
    page = (tmp_path / "page.html").read_text()
    assert [each["phrase"] for each in answer["phrases"]] == SENTENCES
    assert all(0 <= each["x"] <= 1 and 0 <= each["y"] <= 1 and -1 <= each["cosine"] <= 1 for each in answer["phrases"])
    assert all(sentence in page for sentence in SENTENCES)
    assert page.count("Where the model sees it") >= 2


@pytest.mark.slow
def test_a_film_before_is_shown_beside(folder, tmp_path, capsys):
    main([*words(folder, f"previous={folder}/film.png", "fit=pad"), f"out={tmp_path}/page.html"])

    assert "The earlier radiograph" in (tmp_path / "page.html").read_text()
    assert "The page is" in capsys.readouterr().out


def test_a_plan_writes_nothing(folder, tmp_path, capsys):
    main([*words(folder), f"out={tmp_path}/page.html", "previous=nowhere.png", "--json", "--dry-run"])

    assert json.loads(capsys.readouterr().out)["missing"] == ["nowhere.png"]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("phrases", "more", "message"),
    [
        (["effusion [SEP]"], [], "medvl ground: text 1 of 1 holds the special token"),
        ([""], [], "is empty"),
        (SENTENCES, ["image=nowhere.png"], "nowhere.png: cannot be opened"),
        (SENTENCES, ["fit=squash"], "no fit 'squash'"),
        (SENTENCES, ["crops=3"], "did you mean 'crop'"),
    ],
)
def test_a_mistake_is_answered_in_one_line(folder, phrases, more, message):
    with pytest.raises(SystemExit, match=message):
        main(words(folder, *more, phrases=phrases))
