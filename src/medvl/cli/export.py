"""medvl export encoder=PATH out=PATH [layout=hf|dinov2|timm|medvl]

Writes a vision transformer in another layout: `hf` is a folder that AutoModel.from_pretrained opens, `dinov2` and `timm` are state dicts
with the official names, `medvl` is our own folder. The features are equal; only the interpolation of position embeddings away from the
native size belongs to each library. What a state dict cannot hold (a number of heads other than one for 64 channels, grey levels other
than ImageNet's) is said: whoever reads the file has to give it.

  medvl export encoder=outputs/train/rad_dino/model out=rad-dino-hf layout=hf
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from medvl.cli import app


def main(overrides: list[str]) -> None:
    """Run the verb."""
    app.run("export", task, overrides)


def task(config: DictConfig) -> dict[str, Any]:
    """Write the encoder, or plan it."""
    source, out = Path(config.encoder), Path(config.out)
    if config.dry_run:
        return app.show_plan(config, {"out": str(out), "missing": [] if source.exists() else [str(source)]})
    from medvl.models.checkpoints import load_vit, save_vit
    from medvl.models.vit_checkpoints import unsaid

    model = load_vit(source, allow_partial=config.allow_partial)
    save_vit(model, out, layout=config.layout)
    left_out = unsaid(model, config.layout)
    if not config.json:
        print(f"{source} → {out} ({config.layout})")
        if left_out:
            print(f"The file cannot say these, whoever reads it must: {', '.join(f'{name}={value}' for name, value in left_out.items())}")
    return {"out": str(out), "layout": config.layout, "unsaid": left_out}
