"""A folder of ours is read strictly, and a refusal names the file and what is wrong."""

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from medvl.models.cxr_bert import CxrBert
from medvl.models.model_folders import load_strictly, own_config, own_tensors, read_config, save_folder
from medvl.runtime.errors import InvalidValue, MissingFile

FILES = ("config.json", "model.safetensors")


@pytest.fixture
def folder(tmp_path):
    save_folder(nn.Linear(3, 2), tmp_path, {"architecture": "line", "width": 3})
    return tmp_path


def test_what_was_saved_is_read_again(folder):
    model = nn.Linear(3, 2)

    load_strictly(model, own_tensors(folder / "model.safetensors"), folder / "model.safetensors")
    save_folder(model, folder / "again", {"architecture": "line"})

    assert own_config(folder, "line", FILES) == {"width": 3}
    assert (folder / "again" / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()


def test_tied_tensors_are_written_once(tmp_path):
    model = CxrBert(vocabulary_size=9, width=8, layers=1, heads=2, feed_forward=8, max_length=8, projection_size=4)

    save_folder(model, tmp_path, {})

    assert model.state_dict().keys() - load_file(tmp_path / "model.safetensors").keys() == {
        "cls.predictions.decoder.weight",
        "cls.predictions.decoder.bias",
    }


@pytest.mark.parametrize(
    ("tensors", "problem"),
    [
        ({"weight": torch.zeros(2, 3)}, r"1 missing \(bias\)"),
        ({"weight": torch.zeros(2, 3), "bias": torch.zeros(2), "scale": torch.zeros(1)}, r"1 unexpected \(scale\)"),
        ({"weight": torch.zeros(2, 4), "bias": torch.zeros(2)}, r"weight \(2, 4\), expected \(2, 3\)"),
    ],
)
def test_a_tensor_that_does_not_fit_is_named(tmp_path, tensors, problem):
    with pytest.raises(InvalidValue, match=rf"model\.safetensors.*{problem}"):
        load_strictly(nn.Linear(3, 2), tensors, tmp_path / "model.safetensors")


@pytest.mark.parametrize("name", FILES)
def test_an_incomplete_folder_is_refused(folder, name):
    (folder / name).unlink()

    with pytest.raises(MissingFile, match=name):
        own_config(folder, "line", FILES)


def test_the_folder_of_another_model_is_refused(folder):
    with pytest.raises(InvalidValue, match="is 'line', expected 'curve'"):
        own_config(folder, "curve", FILES)


@pytest.mark.parametrize(("name", "read"), [("config.json", read_config), ("model.safetensors", own_tensors)])
def test_damaged_files_are_refused(folder, name, read):
    (folder / name).write_bytes(b'{"architecture')

    with pytest.raises(InvalidValue, match=name):
        read(folder / name)
