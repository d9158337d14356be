"""The collapse alarm speaks early, once, and only when the teacher has collapsed."""

import pytest

from medvl.training.collapse import CollapseAlarm


def observed(alarm, pairs, start=1):
    return [found for step, pair in enumerate(pairs, start) if (found := alarm.observe(step, *pair))]


def test_uniform_outputs_are_named_within_a_few_steps_of_the_grace():
    alarm = CollapseAlarm(after=20)

    assert observed(alarm, [(0.9999, 1.0)] * 40) == ["uniform"]
    assert alarm.warned == {"uniform": 20}


def test_a_drift_to_uniform_is_named_while_it_happens():
    alarm = CollapseAlarm(after=20)

    assert observed(alarm, [(min(1.0, 0.8 + 0.004 * step), 0.99) for step in range(100)]) == ["uniform"]
    assert alarm.warned["uniform"] < 65


def test_one_prototype_for_all_is_a_point():
    alarm = CollapseAlarm(after=5)

    assert observed(alarm, [(0.0, 0.01)] * 30) == ["point"]


def test_sharp_targets_that_differ_between_images_are_no_collapse():
    assert observed(CollapseAlarm(after=5), [(0.02, 0.8)] * 200) == []


def test_one_odd_batch_is_no_collapse():
    assert observed(CollapseAlarm(after=5), [*[(0.8, 0.95)] * 50, (1.0, 1.0), *[(0.8, 0.95)] * 50]) == []


@pytest.mark.parametrize("value", [0.9999, 0.0])
def test_a_resumed_alarm_does_not_repeat_itself(value):
    alarm = CollapseAlarm(after=5)
    observed(alarm, [(value, value)] * 10)

    resumed = CollapseAlarm(after=5)
    resumed.load_state_dict(alarm.state_dict())

    assert observed(resumed, [(value, value)] * 10, start=11) == []
    assert resumed.warned == alarm.warned
