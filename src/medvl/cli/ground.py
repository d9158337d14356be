"""medvl ground trained=FOLDER image=FILE phrases=[TEXT,…] [previous=FILE] [crop=448] [fit=crop] [out=FILE]

Shows where a trained image-text model sees each phrase in a radiograph (DICOM, PNG or JPG): heat maps over the original film, as one HTML
page that asks for nothing from outside. `fit=pad` or `fit=stretch` shows the model the whole film, `fit=crop` its centre, as published.

  medvl ground trained=outputs/train/quickstart/model image=film.dcm 'phrases=["There is a left pleural effusion."]' crop=160
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from medvl.cli import app
from medvl.runtime.config import run_folder
from medvl.runtime.errors import UserError


def main(overrides: list[str]) -> None:
    """Run the verb."""
    app.run("ground", task, overrides)


def task(config: DictConfig) -> dict[str, Any] | None:
    """Ground phrases in one film, or plan it."""
    page = Path(config.out) if config.out else run_folder(config, "ground") / "page.html"
    films = [Path(path) for path in (config.image, config.previous) if path]
    if config.dry_run:
        missing = [str(path) for path in (Path(config.trained), *films) if not path.exists()]
        return app.show_plan(config, {"page": str(page), "missing": missing})
    return _ground(config, page)


def _ground(config: DictConfig, page: Path) -> dict[str, Any]:
    import numpy as np

    from medvl.benchmarks.inference import ImageTextInference
    from medvl.data.dicom import read_radiograph
    from medvl.models.checkpoints import load_image_text
    from medvl.runtime.provenance import provenance
    from medvl.viewer.page import Example, write_page

    options = {name: config[name] for name in ("short_side", "fit", "intensity", "interpolation", "geometry", "precision")}
    engine = ImageTextInference(load_image_text(Path(config.trained)), config.crop, **options)
    phrases = list(config.phrases)
    try:
        maps = engine.ground(config.image, phrases, previous=config.previous)
    except ValueError as error:
        raise UserError(str(error)) from error
    films = [(read_radiograph(path, config.intensity).pixels * 255).astype(np.uint8) for path in (config.image, config.previous) if path]
    write_page(
        page,
        title="Where the model sees it",
        summary=[f"{Path(config.image).name}, seen by {config.trained}: the cosine of each phrase with each place. Not for clinical use."],
        examples=[
            Example(phrase=phrase, image=films[0], similarity=map_, prior=films[1] if len(films) > 1 else None)
            for phrase, map_ in zip(phrases, maps, strict=True)
        ],
        provenance=provenance(seed=config.seed),
        privacy=config.privacy,
    )
    found = [_highest(phrase, map_) for phrase, map_ in zip(phrases, maps, strict=True)]
    if not config.json:
        for each in found:
            print(f"{each['cosine']:.3f} at {each['x']:.2f}, {each['y']:.2f}  {each['phrase']}")
        print(f"The page is {page}")
    return {"page": str(page), "phrases": found}


def _highest(phrase: str, similarity: Any) -> dict[str, Any]:
    """The map's greatest cosine, and where it is, as shares of the film's width and height."""
    import numpy as np

    y, x = np.unravel_index(np.nanargmax(similarity), similarity.shape)
    height, width = similarity.shape
    return {
        "phrase": phrase,
        "cosine": round(float(similarity[y, x]), 4),
        "x": round((float(x) + 0.5) / width, 4),
        "y": round((float(y) + 0.5) / height, 4),
    }
