import dataclasses
import json
import sys
from itertools import islice

import pyarrow.parquet as pq
import pytest
from cohort import contents, make_study, write_cohort
from PIL import Image

from medvl.data import prepare as module
from medvl.data.fingerprint import DifferentFingerprint
from medvl.data.prepare import PreparationFailed, TooManyUnreadable, prepare
from medvl.data.prepare_shard import prepare_shard
from medvl.runtime.errors import InvalidValue


@pytest.fixture
def studies(tmp_path):
    return write_cohort(tmp_path / "images")


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(module, "VIEWS_PER_SHARD", (4,))


def run(studies, out, **options):
    defaults = {"inputs": {"root": "here"}, "image_size": 16, "progress": False}
    return prepare(studies, out, **(defaults | options))


def test_every_study_has_a_row_and_every_view_an_image(studies, tmp_path):
    summary = run(studies, tmp_path / "out")

    assert summary.studies == len(studies)
    assert summary.images == sum(len(s.views) for s in studies)
    assert summary.rejected == 0
    assert pq.read_table(tmp_path / "out" / "manifest.parquet")["study_id"].to_pylist() == [s.study_id for s in studies]


def test_the_folder_holds_nothing_but_its_four_kinds_of_files(studies, tmp_path):
    run(studies, tmp_path / "out")

    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"manifest.parquet", "rejected.parquet", "fingerprint.json", "images"}


def test_worker_processes_write_the_same_bytes_as_one(studies, tmp_path):
    run(studies, tmp_path / "one")
    run(studies, tmp_path / "two", workers=2)

    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_worker_processes_do_not_spend_their_start_on_importing_pandas(studies, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "prepare_shard", prepare_without_pandas)

    run(studies[:4], tmp_path / "out", workers=2)


def prepare_without_pandas(job):
    rejected = prepare_shard(job)
    assert "pandas" not in sys.modules
    return rejected


def test_a_run_that_stopped_continues_to_the_same_bytes_without_repeating_shards(studies, tmp_path, monkeypatch):
    run(studies, tmp_path / "whole")
    real, done = module.prepare_shard, []
    monkeypatch.setattr(module, "prepare_shard", lambda job: stop() if len(done) == 3 else (done.append(job.shard), real(job))[1])

    with pytest.raises(KeyboardInterrupt):
        run(studies, tmp_path / "out")
    monkeypatch.setattr(module, "prepare_shard", lambda job: (done.append(job.shard), real(job))[1])
    run(lambda: pytest.fail("the plan is read again"), tmp_path / "out")

    assert done == sorted(set(done))
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def stop():
    raise KeyboardInterrupt


def test_a_run_that_stopped_while_planning_plans_again(studies, tmp_path):
    run(studies, tmp_path / "whole")

    with pytest.raises(KeyboardInterrupt):
        run((s if i < 9 else stop() for i, s in enumerate(studies)), tmp_path / "out")
    run(studies, tmp_path / "out")

    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_a_complete_folder_is_left_as_it_is(studies, tmp_path):
    first = run(studies, tmp_path / "out")
    before = contents(tmp_path / "out")

    again = run(lambda: pytest.fail("read again"), tmp_path / "out")

    assert again == first
    assert contents(tmp_path / "out") == before


def test_other_options_never_share_a_folder_and_the_message_names_them(studies, tmp_path):
    run(studies, tmp_path / "out")

    with pytest.raises(DifferentFingerprint, match=r"options\.image_size is 16 there and 24 here"):
        run(studies, tmp_path / "out", image_size=24)
    with pytest.raises(DifferentFingerprint, match=r"inputs\.root is 'here' there and 'there' here"):
        run(studies, tmp_path / "out", inputs={"root": "there"})


def test_other_options_never_share_an_unfinished_folder(studies, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "prepare_shard", lambda job: stop())
    with pytest.raises(KeyboardInterrupt):
        run(studies, tmp_path / "out")

    with pytest.raises(DifferentFingerprint):
        run(studies, tmp_path / "out", image_size=24)


def test_an_unreadable_image_is_left_out_and_listed_with_its_reason(studies, tmp_path):
    bad = studies[0].views[1]
    (tmp_path / "images" / f"{bad.view_id}.png").write_bytes(b"not an image")

    summary = run(studies, tmp_path / "out", max_rejected_share=0.1)

    rejected = pq.read_table(tmp_path / "out" / "rejected.parquet").to_pylist()
    assert summary.rejected == 1
    assert (rejected[0]["study_id"], rejected[0]["view_id"], rejected[0]["path"]) == (studies[0].study_id, bad.view_id, bad.path)
    assert rejected[0]["reason"]
    assert summary.studies == len(studies)


def test_an_image_of_one_grey_level_is_left_out_and_listed(studies, tmp_path):
    blank = studies[0].views[1]
    Image.new("L", (30, 40), 117).save(tmp_path / "images" / f"{blank.view_id}.png")

    run(studies, tmp_path / "out", max_rejected_share=0.1)

    (rejected,) = pq.read_table(tmp_path / "out" / "rejected.parquet").to_pylist()
    assert rejected["view_id"] == blank.view_id
    assert "every pixel has the same grey level" in rejected["reason"]


def test_a_study_without_a_readable_image_is_left_out(studies, tmp_path):
    for view in studies[2].views:
        (tmp_path / "images" / f"{view.view_id}.png").unlink()

    run(studies, tmp_path / "out", max_rejected_share=0.1)

    kept = pq.read_table(tmp_path / "out" / "manifest.parquet")["study_id"].to_pylist()
    assert studies[2].study_id not in kept
    assert len(kept) == len(studies) - 1


def test_a_study_that_never_had_images_keeps_its_row(studies, tmp_path):
    text_only = dataclasses.replace(studies[3], views=())

    run([*studies[:3], text_only], tmp_path / "out")

    assert pq.read_table(tmp_path / "out" / "manifest.parquet")["study_id"].to_pylist()[3] == text_only.study_id


def test_too_many_unreadable_images_fail_and_a_mended_run_tries_them_again(studies, tmp_path):
    run(studies, tmp_path / "whole")
    broken = tmp_path / "images" / f"{studies[5].views[0].view_id}.png"
    content = broken.read_bytes()
    broken.write_bytes(content[:20])

    with pytest.raises(TooManyUnreadable, match=r"1 of 27 images .*rejected\.parquet.*"):
        run(studies, tmp_path / "out")
    broken.write_bytes(content)
    run(studies, tmp_path / "out")

    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_an_identifier_that_occurs_twice_is_an_error(studies, tmp_path):
    with pytest.raises(InvalidValue, match=f"study {studies[0].study_id} occurs twice"):
        run([*studies, studies[0]], tmp_path / "out")


def test_two_runs_never_prepare_one_folder_at_once(studies, tmp_path):
    def reader():
        with pytest.raises(PreparationFailed, match="another process"):
            run(studies, tmp_path / "out")
        yield from islice(studies, 2)

    assert run(reader, tmp_path / "out").studies == 2


def test_the_strictest_policy_is_inherited(studies, tmp_path):
    private = dataclasses.replace(make_study(tmp_path, 99, 0, lateral=False), privacy="zero_retention")

    summary = run([*studies, private], tmp_path / "out")

    assert summary.privacy == "zero_retention"
    assert json.loads((tmp_path / "out" / "fingerprint.json").read_text())["privacy"] == "zero_retention"


def test_the_fingerprint_changes_with_the_pixels(studies, tmp_path):
    first = run(studies, tmp_path / "one")
    make_study(tmp_path / "images", 0, 0, lateral=True, height=41)

    assert run(studies, tmp_path / "two").fingerprint != first.fingerprint


def test_shards_start_small_and_grow(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "VIEWS_PER_SHARD", (1, 3))
    studies = write_cohort(tmp_path, patients=20, visits=1)

    sizes = [len(shard) for shard in module._shards(studies)]

    assert sum(sizes) == 20
    assert max(sizes[:8]) == 1
    assert max(sizes[8:]) > 1


@pytest.mark.slow
@pytest.mark.distributed
@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_ray_writes_the_same_bytes_as_the_process_engine(studies, tmp_path):
    import ray

    run(studies, tmp_path / "process")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    try:
        run(studies, tmp_path / "ray", engine="ray", workers=2)
    finally:
        ray.shutdown()

    assert contents(tmp_path / "ray") == contents(tmp_path / "process")
