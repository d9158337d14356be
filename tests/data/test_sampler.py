import pytest
from hypothesis import given
from hypothesis import strategies as st

from medvl.data.sampler import DifferentOrder, ResumableSampler, SampleIndex
from medvl.runtime.errors import UserError


def epoch_of(sampler):
    return [index.number for batch in sampler for index in batch]


@given(length=st.integers(1, 60), batch_size=st.integers(1, 20), epochs=st.integers(1, 3), seed=st.integers(0, 2**31))
def test_every_sample_is_seen_exactly_once_per_epoch(length, batch_size, epochs, seed):
    sampler = ResumableSampler(length, seed=seed, batch_size=batch_size)

    for _ in range(epochs):
        assert sorted(epoch_of(sampler)) == list(range(length))


def test_the_order_is_a_function_of_seed_and_epoch():
    first, same, other = (ResumableSampler(50, seed=seed, batch_size=7) for seed in (1, 1, 2))

    assert list(first) == list(same)
    assert list(first.order(0)) != list(first.order(1))
    assert list(first.order(0)) != list(other.order(0))


def test_indices_carry_their_epoch():
    sampler = ResumableSampler(4, seed=0, batch_size=4)

    assert [{index.epoch for batch in sampler for index in batch} for _ in range(3)] == [{0}, {1}, {2}]


@given(length=st.integers(8, 60), shares=st.integers(2, 4), done=st.integers(0, 30), ranks=st.sampled_from([1, 2, 4]))
def test_a_resumed_order_is_the_rest_of_the_whole_one_with_any_number_of_ranks(length, shares, done, ranks):
    batch_size = shares * 4
    length -= length % 4
    whole = ResumableSampler(length, seed=3, batch_size=batch_size, last_batch="even")
    expected = [batch for _ in range(4) for batch in whole]
    done %= len(expected) // 2

    before = ResumableSampler(length, seed=3, batch_size=batch_size, last_batch="even", trained_batches=lambda: done)
    parts = [
        ResumableSampler(length, seed=3, batch_size=batch_size, rank=rank, world_size=ranks, last_batch="even") for rank in range(ranks)
    ]
    for part in parts:
        part.load_state_dict(before.state_dict())
    rest = [[i for share in shares for i in share] for _ in range(2) for shares in zip(*parts, strict=True)]

    assert rest == expected[done : done + len(rest)]


def test_state_counts_trained_batches_not_fetched_ones():
    trained = 0
    sampler = ResumableSampler(40, seed=0, batch_size=4, trained_batches=lambda: trained)
    fetched = iter(sampler)
    for _ in range(5):
        next(fetched)

    trained = 2

    assert sampler.state_dict() == {"seed": 0, "epoch": 0, "position": 8, "length": 40}


def test_a_state_at_the_end_of_an_epoch_begins_the_next():
    sampler = ResumableSampler(10, seed=0, batch_size=4, last_batch="drop", trained_batches=lambda: 2)

    assert sampler.where() == (1, 0)
    assert next(iter(sampler))[0].epoch == 1


def test_an_iteration_cut_short_goes_on_where_training_stopped():
    trained = 0
    sampler = ResumableSampler(12, seed=0, batch_size=4, trained_batches=lambda: trained)
    next(iter(sampler))

    trained = 1

    assert [len(batch) for batch in sampler] == [4, 4]


@pytest.mark.parametrize(("last_batch", "sizes"), [("keep", [4, 4, 3]), ("even", [4, 4, 2]), ("drop", [4, 4])])
def test_an_incomplete_last_batch_is_kept_cut_to_even_shares_or_dropped(last_batch, sizes):
    ranks = [ResumableSampler(11, seed=0, batch_size=4, rank=rank, world_size=2, last_batch=last_batch) for rank in range(2)]

    assert [sum(map(len, shares)) for shares in zip(*ranks, strict=True)] == sizes
    assert {len(sampler) for sampler in ranks} == {len(sizes)}


def test_without_shuffling_the_order_is_that_of_the_samples():
    sampler = ResumableSampler(3, seed=0, batch_size=2, shuffle=False)

    assert list(sampler) == [[SampleIndex(0, 0), SampleIndex(0, 1)], [SampleIndex(0, 2)]]


def test_a_state_of_another_order_is_refused():
    state = ResumableSampler(10, seed=0, batch_size=2).state_dict()

    with pytest.raises(DifferentOrder, match="seed 0, this run's has 1"):
        ResumableSampler(10, seed=1, batch_size=2).load_state_dict(state)
    with pytest.raises(DifferentOrder, match="length 10, this run's has 11"):
        ResumableSampler(11, seed=0, batch_size=2).load_state_dict(state)


def test_a_batch_that_cannot_be_shared_is_refused():
    with pytest.raises(UserError, match="multiple of 2"):
        ResumableSampler(10, seed=0, batch_size=3, world_size=2)
    with pytest.raises(UserError, match="last batch of 1"):
        ResumableSampler(9, seed=0, batch_size=4, world_size=2)


def test_too_few_samples_for_one_batch_are_refused():
    with pytest.raises(UserError, match="3 samples do not make one batch of 4"):
        ResumableSampler(3, seed=0, batch_size=4, last_batch="drop")
