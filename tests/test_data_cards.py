"""Every dataset has a card, and the cards say what the code checks: counts, privacy, files that exist."""

import re
from pathlib import Path

import pytest
import yaml
from huggingface_hub import DatasetCard

from medvl.data.verify import PUBLISHED
from medvl.runtime.config import compose, config_folder

CARDS = Path(__file__).parent.parent / "data_cards"
NAMES = sorted(path.stem for path in CARDS.glob("*.md"))
CONFIGS = sorted(path.stem for path in (config_folder() / "data").glob("*.yaml"))


def load(name):
    return DatasetCard((CARDS / f"{name}.md").read_text("utf-8"), ignore_metadata_errors=False)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_dataset_that_can_be_prepared_has_a_card_with_its_privacy_policy(name):
    data = compose("prepare", [f"data={name}"]).data

    assert data.name in NAMES
    assert load(data.name).data.to_dict()["privacy"] == data.privacy


@pytest.mark.parametrize("path", sorted((config_folder() / "data").glob("*.yaml")), ids=lambda path: path.stem)
def test_cards_that_a_configuration_points_to_exist(path):
    assert set(re.findall(r"data_cards/(\w+)\.md", path.read_text("utf-8"))) <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_card_parses_and_says_what_a_hub_asks_for(name):
    card = load(name)

    assert card.data.pretty_name
    assert card.data.license
    assert card.data.size_categories
    assert "chest-xray" in card.data.tags
    assert card.data.license != "other" or {"license_name", "license_link"} <= card.data.to_dict().keys()
    assert yaml.safe_load(card.data.to_yaml()) == card.data.to_dict()


@pytest.mark.parametrize("name", NAMES)
def test_a_card_has_a_title_a_citation_and_links_that_exist(name):
    text = load(name).text

    assert text.lstrip().startswith("# ")
    assert "## Citation" in text
    assert all((CARDS / target).is_file() for target in re.findall(r"\]\((\w+\.md)\)", text))


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_the_counts_of_a_card_are_those_that_verify_expects(name):
    section = load(name).text.split("| expected | count |\n|---|---|\n")[1].split("\n\n")[0]

    printed = {what: int(count.replace(",", "")) for what, count in re.findall(r"^\| (.+?) \| ([\d,]+) \|$", section, re.MULTILINE)}

    assert printed == PUBLISHED[name]
