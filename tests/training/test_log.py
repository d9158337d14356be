"""log.csv holds each step once, through resumes."""

from types import SimpleNamespace

from medvl.training.log import CsvLog, read_log


def trainer(step, **metrics):
    return SimpleNamespace(global_step=step, callback_metrics={k.replace("_", "/", 1): v for k, v in metrics.items()}, is_global_zero=True)


def test_what_is_written_is_read_back(tmp_path):
    log = CsvLog(tmp_path / "log.csv", every_steps=5)

    for step in (1, 5, 10):
        log.on_train_batch_end(trainer(step, train_loss=1 / step), None, None, None, 0)
    log.on_validation_end(trainer(10, train_loss=0.1, val_loss=0.5), None)

    assert read_log(tmp_path / "log.csv") == {"train/loss": [(5, 0.2), (10, 0.1)], "val/loss": [(10, 0.5)]}


def test_a_resumed_run_goes_back_to_its_checkpoint(tmp_path):
    log = CsvLog(tmp_path / "log.csv", every_steps=1)
    log.on_train_batch_end(trainer(1, train_loss=1.0), None, None, None, 0)
    kept = log.state_dict()

    resumed = CsvLog(tmp_path / "log.csv", every_steps=1)
    resumed.load_state_dict(kept)
    resumed.on_train_batch_end(trainer(2, train_loss=0.5), None, None, None, 0)
    resumed.on_train_end(trainer(2), None)

    assert read_log(tmp_path / "log.csv") == {"train/loss": [(1, 1.0), (2, 0.5)]}
