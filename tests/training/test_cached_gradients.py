"""Cached gradients: those of the plain loss on the whole batch, at the memory of one chunk."""

import weakref

import lightning
import pytest
import torch
from small_pair import WIDTH, WORDS, Embeddings, Pair, assert_same, gradients, nearly, pairs, step
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from medvl.training.cached_gradients import embed_in_chunks, split_batch


@pytest.mark.parametrize("chunk", [1, 4, 5, 12, 50])
def test_gradients_are_those_of_the_plain_loss(chunk):
    model, batch = Pair(), pairs(12)
    plain = step(model, batch)

    model.chunk = chunk

    assert len(plain[1]) == 8  # every parameter, the temperature too
    assert_same(step(model, batch), plain)


def test_in_double_precision_they_are_the_same_to_its_rounding():
    model, batch = Pair().double(), pairs(12, kind=torch.float64)
    weights = torch.linspace(-1, 1, 12 * 12, dtype=torch.float64).view(12, 12)

    def loss_of(embedded):
        return ((embedded.image @ embedded.words.mean(dim=1).T / model.log_temperature.exp()) * weights).logsumexp(dim=1).sum()

    loss_of(model.embed(batch)).backward()
    plain = gradients(model)
    model.zero_grad()
    loss_of(embed_in_chunks(model.embed, split_batch(batch, 5))).backward()

    assert all(torch.allclose(gradient, plain[name], rtol=1e-12, atol=1e-14) for name, gradient in gradients(model).items())


def test_batch_norm_in_eval_mode_is_exact_and_stays_as_it_is():
    model, batch = Pair(norm=True), pairs(12)
    model(batch)  # gives the running statistics values of their own
    model.eval()
    statistics = model.image[1].running_mean.clone()
    plain = step(model, batch)

    model.chunk = 4

    assert_same(step(model, batch), plain)
    assert torch.equal(model.image[1].running_mean, statistics)


def test_dropout_is_replayed():
    """The plain step draws chunk by chunk here, so that both have the same masks."""
    model, batch = Pair(dropout=0.4), pairs(12)
    torch.manual_seed(5)
    image, _, words = (torch.cat(parts) for parts in zip(*map(model.embed, split_batch(batch, 4)), strict=True))
    (image * words.mean(dim=1)).mean().backward()
    plain, after = gradients(model), torch.rand(3)

    model.zero_grad()
    torch.manual_seed(5)
    embedded = embed_in_chunks(model.embed, split_batch(batch, 4))
    drawn = torch.rand(3)
    loss = (embedded.image * embedded.words.mean(dim=1)).mean()
    before = torch.get_rng_state()
    loss.backward(retain_graph=True)

    assert torch.equal(drawn, after)  # the same number of draws
    assert torch.equal(torch.get_rng_state(), before)  # and none left behind by backward
    assert all(nearly(gradient, plain[name]) for name, gradient in gradients(model).items())
    loss.backward()  # may run again
    assert all(nearly(gradient, 2 * plain[name]) for name, gradient in gradients(model).items())


def embedded_under_autocast(model, chunk):
    with torch.autocast("cpu", torch.bfloat16):
        return model.embed(chunk)


def test_autocast_is_entered_again_and_leaves_nothing_behind():
    """The plain step casts the weights anew for each chunk: then its sums over chunks are of float32, too."""
    model, batch = Pair(), pairs(12)
    parts = [embedded_under_autocast(model, chunk) for chunk in split_batch(batch, 4)]
    _, patches, words = (torch.cat(outputs) for outputs in zip(*parts, strict=True))
    (patches.float().mean() + words.float().square().mean()).backward()
    plain = gradients(model)
    model.zero_grad()

    with torch.autocast("cpu", torch.bfloat16):
        _, patches, words = embed_in_chunks(model.embed, split_batch(batch, 4))
        loss = patches.float().mean() + words.float().square().mean()
        after = model.mix(torch.ones(1, WIDTH))
    loss.backward()  # outside of autocast, as Lightning does

    assert patches.dtype == torch.bfloat16
    assert all(nearly(gradient, plain[name]) for name, gradient in gradients(model).items())
    assert torch.autograd.grad(after.float().sum(), model.mix.bias)[0].tolist() == [1.0] * WIDTH  # a cast weight still knows its parameter


def test_a_loss_that_is_scaled_scales_what_reaches_the_chunks():
    model, batch = Pair(chunk=4), pairs(12)
    _, plain = step(model, batch)
    model.zero_grad()

    (model(batch) * 1024).backward()

    assert all(nearly(gradient / 1024, plain[name]) for name, gradient in gradients(model).items())


def test_another_loss_in_the_same_step_adds_up():
    model, batch = Pair(), pairs(12)
    (model(batch) + model.text.weight.square().mean()).backward()
    plain = gradients(model)
    model.zero_grad()

    model.chunk = 5
    (model(batch) + model.text.weight.square().mean()).backward()

    assert all(nearly(gradient, plain[name]) for name, gradient in gradients(model).items())


def test_a_part_that_only_some_chunks_use_learns_from_them():
    model, batch = Pair(), pairs(12)

    def embed(chunk):
        image, patches, words = model.embed(chunk)
        return (
            (image * model.log_temperature if chunk["tokens"][0, 0] == batch["tokens"][4, 0] else image),
            words.detach(),
            patches[:, 0, 0] > 0,
        )

    image, words, mask = (torch.cat(parts) for parts in zip(*map(embed, split_batch(batch, 4)), strict=True))
    (image * words[:, 0] * mask[:, :1]).mean().backward()
    plain = gradients(model)
    model.zero_grad()

    image, words, mask = embed_in_chunks(embed, split_batch(batch, 4))
    (image * words[:, 0] * mask[:, :1]).mean().backward()

    assert plain["log_temperature"].abs() > 1e-4
    assert not words.requires_grad
    assert mask.dtype == torch.bool
    assert all(nearly(gradient, plain[name]) for name, gradient in gradients(model).items())
    assert gradients(model).keys() == plain.keys()


def test_outputs_may_differ_in_rows():
    """Such as the words of all texts one after the other."""
    model, batch = Pair(), pairs(12)

    def embed(chunk):
        return model.embed(chunk).image, model.embed(chunk).words.flatten(0, 1)

    weights = torch.linspace(-1, 1, 12 * WORDS)[:, None]
    (embed(batch)[1] * weights).mean().backward()
    plain = gradients(model)
    model.zero_grad()
    (embed_in_chunks(embed, split_batch(batch, 5))[1] * weights).mean().backward()

    assert gradients(model).keys() == plain.keys()  # none for the images, which no loss reads
    assert all(nearly(gradient, plain[name]) for name, gradient in gradients(model).items())


def test_frozen_parts_stay_frozen():
    model, batch = Pair(chunk=4), pairs(12)
    model.image.requires_grad_(False)

    _, found = step(model, batch)

    assert "image.0.weight" not in found
    assert found["project.weight"].abs().sum() > 0


@pytest.mark.parametrize(("gradient", "chunk", "calls"), [(True, 4, 6), (True, 12, 1), (False, 4, 3)])
def test_nothing_is_embedded_twice_without_need(gradient, chunk, calls):
    model, batch, seen = Pair(), pairs(12), []

    def embed(rows):
        seen.append(len(rows["image"]))
        return model.embed(rows)

    with torch.set_grad_enabled(gradient):
        embedded = embed_in_chunks(embed, split_batch(batch, chunk))
        if gradient:
            embedded.image.sum().backward()

    assert len(seen) == calls
    assert isinstance(embedded, Embeddings)
    assert torch.allclose(embedded.words, model.embed(batch).words, atol=1e-6)


class Memory(TorchDispatchMode):
    """Counts the bytes of tensors that operations have made and that are still alive."""

    def __init__(self):
        super().__init__()
        self.alive = self.peak = 0
        self.known = weakref.WeakSet()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor) and (storage := tensor.untyped_storage()) not in self.known:
                self.known.add(storage)
                self._add(storage.nbytes())
                weakref.finalize(storage, self._add, -storage.nbytes())
        return result

    def _add(self, size):
        self.alive += size
        self.peak = max(self.peak, self.alive)


def peak(rows, chunk):
    torch.manual_seed(0)
    network = nn.Sequential(*[layer for _ in range(8) for layer in (nn.Linear(64, 64), nn.Tanh())], nn.Linear(64, 4))
    batch = {"x": torch.rand(rows, 64)}
    with Memory() as memory:
        memory.known.add(batch["x"].untyped_storage())
        (whole,) = embed_in_chunks(lambda rows: (network(rows["x"]),), split_batch(batch, chunk))
        whole.square().mean().backward()
    return memory.peak


def test_memory_is_that_of_a_chunk_whatever_the_batch():
    small, large = peak(64, 32), peak(1024, 32)

    assert large - small <= 3 * 960 * 4 * 4  # 960 more embeddings, their concatenation and its gradient
    assert large < 1.2 * small
    assert peak(1024, 1024) > 5 * large


class Training(lightning.LightningModule):
    def __init__(self, chunk):
        super().__init__()
        self.pair = Pair(chunk=chunk)

    def training_step(self, batch, batch_idx):
        return self.pair(batch)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def trained(chunk):
    options = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = lightning.Trainer(accelerator="cpu", max_steps=3, gradient_clip_val=0.05, precision="bf16-mixed", **options)
    training = Training(chunk)
    trainer.fit(training, torch.utils.data.DataLoader([pairs(12)] * 3, batch_size=None))
    return training.pair


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*many workers.*")
def test_lightning_optimises_clips_and_casts_as_ever():
    ours, plain = trained(4).state_dict(), trained(None).state_dict()

    assert all(torch.allclose(ours[name], plain[name], atol=1e-3) for name in plain)  # bfloat16 rounds sums over chunks in another way
    assert not torch.allclose(ours["project.weight"], Pair().project.weight, atol=1e-3)


def test_chunks_that_do_not_fit_together_are_refused():
    model, batch = Pair(), pairs(4)
    shorter = {**pairs(4), "tokens": batch["tokens"][:, :3]}

    with pytest.raises(ValueError, match=r"chunks 0 and 1 do not fit together: .*\(4, 5, 6\).* and .*\(4, 3, 6\)"):
        embed_in_chunks(model.embed, [batch, shorter])
    with pytest.raises(ValueError, match="tuple of tensors, got Tensor"):
        embed_in_chunks(lambda chunk: model.embed(chunk).image, [batch, batch])
    with pytest.raises(ValueError, match="chunks 0 and 1 do not fit together"):
        embed_in_chunks(lambda chunk: tuple(model.embed(chunk))[: 2 if chunk is batch else 3], [batch, shorter])
    with pytest.raises(ValueError, match="no chunk"):
        embed_in_chunks(model.embed, [])


def test_a_batch_is_cut_by_rows():
    batch = {"image": torch.arange(5), "text": list("abcde"), "previous": None, "epoch": 2}

    first, second = split_batch(batch, 3)

    assert first["image"].tolist() == [0, 1, 2]
    assert second == {"image": second["image"], "text": ["d", "e"], "previous": None, "epoch": 2}


@pytest.mark.parametrize(
    ("batch", "size"), [({"a": [1, 2], "b": [1]}, 2), ({"epoch": 1}, 2), ({"a": [1, 2]}, 0)], ids=["uneven", "without rows", "size"]
)
def test_a_batch_that_cannot_be_cut_is_refused(batch, size):
    with pytest.raises(ValueError, match="cannot cut a batch"):
        split_batch(batch, size)
