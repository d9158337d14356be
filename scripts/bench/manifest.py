"""Part of the data benchmark: write a manifest of MIMIC-CXR's size, or open one and report seconds and peak memory as JSON."""

from __future__ import annotations

import json
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

from medvl.records import Report, Study, View, to_arrow

STUDIES, VIEWS = 227_835, 377_110
CHUNK = 512


def write(folder: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from medvl.data.image_cache import entry_type
    from medvl.data.prepare_shard import manifest_schema
    from medvl.runtime.files import write_json

    with pq.ParquetWriter(folder / "manifest.parquet", manifest_schema(), compression="zstd") as writer:
        for start in range(0, STUDIES, CHUNK):
            studies = [study(number) for number in range(start, min(STUDIES, start + CHUNK))]
            places = [[place(view.view_id) for view in s.views] for s in studies]
            table = to_arrow(studies, Study).append_column("cache", pa.array(places, pa.list_(entry_type())))
            writer.write_table(table.cast(writer.schema), row_group_size=CHUNK)
    write_json(folder / "fingerprint.json", {"fingerprint": "0" * 64, "privacy": "public"})


def study(number: int) -> Study:
    """An invented study with a report of about 700 characters, some labels, and one or two views."""
    pair = ("PA", "LATERAL")[: 1 + (number < VIEWS - STUDIES)]
    views = (View(f"{number:040x}-{name}", f"files/{number:08d}/{name}.dcm", name, 3056, 2544) for name in pair)
    words = " ".join(f"word{(number * 31 + i * 7) % 4999}" for i in range(80))
    return Study(
        dataset="bench",
        patient_id=f"{10_000_000 + number // 4}",
        study_id=f"{50_000_000 + number}",
        time=datetime(2150, 1, 1) + timedelta(minutes=number),
        views=tuple(views),
        report=Report(words, {"findings": words[:400], "impression": words[400:600], "indication": words[600:680]}),
        labels={"chexpert": {f"label {i}": "positive" for i in range(number % 5)}},
        split=("train", "validate", "test")[min(2, number % 50)] if number % 50 < 2 else "train",
        prior_study_id=f"{50_000_000 + number - 1}" if number % 4 else None,
    )


def place(view_id: str) -> dict[str, object]:
    return {"view_id": view_id, "shard": 0, "offset": 0, "height": 622, "width": 518, "original_height": 3056, "original_width": 2544}


def peak_mebibytes() -> float:
    """Peak resident memory of this program; ``ru_maxrss`` would count what its parent held when it started it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def open_it(folder: Path) -> None:
    from medvl.data.prepared import PreparedDataset

    began = time.perf_counter()
    dataset = PreparedDataset(folder)
    opened = time.perf_counter() - began
    mebibytes = peak_mebibytes()
    began = time.perf_counter()
    assert len(dataset) == STUDIES
    assert dataset.studies[STUDIES // 2].study_id == f"{50_000_000 + STUDIES // 2}"
    first = time.perf_counter() - began

    from medvl.data.samples import Crop, ImageTextSamples

    began = time.perf_counter()
    samples = ImageTextSamples(dataset, crop=Crop(448), split="train")
    made = time.perf_counter() - began
    peak = peak_mebibytes()
    facts = {"seconds": opened, "mebibytes": mebibytes, "first_study_seconds": first}
    print(json.dumps({**facts, "text_samples": len(samples), "text_samples_seconds": made, "text_samples_mebibytes": peak}))


if __name__ == "__main__":
    {"write": write, "open": open_it}[sys.argv[1]](Path(sys.argv[2]))
