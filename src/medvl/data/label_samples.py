"""Images with texts of two kinds, for contrastive learning over images, texts and labels (UniCL, Yang et al. 2022).

A study gives a row with its report, whose label is its own, and a row with its structured labels fed as text: the findings that are
positive, in one prompt. Rows with the same positive findings have the same label. A study without report, or without a positive finding
(``No Finding`` is one), gives the other row only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from medvl.data.prepared import PreparedDataset
from medvl.data.sampler import SampleIndex
from medvl.data.samples import Crop, ImageTextSamples, Sample, Views
from medvl.data.transforms import Augmentation

PROMPT = "Chest radiograph: {findings}."


class ImageTextLabelSamples(ImageTextSamples):
    """Frontal images with a report or a prompt.

    A sample has ``text`` and ``label``: rows of the same label are each other's positives. Reports come first, then prompts.

    Args:
        labels: the source of the structured labels, as the dataset names it; reports alone if not given.
        prompt: with ``{findings}``: the positive findings in lower case and alphabetical order.
    """

    def __init__(
        self,
        prepared: PreparedDataset,
        *,
        crop: Crop,
        split: str | None = None,
        views: Views = "frontal",
        seed: int = 0,
        augmentation: Augmentation | None = None,
        sections: Sequence[str] = ("findings", "impression"),
        labels: str | None = "chexpert",
        prompt: str = PROMPT,
    ) -> None:
        super().__init__(prepared, crop=crop, split=split, views=views, seed=seed, augmentation=augmentation, sections=sections)
        self._reports_end = len(self.items)
        self._prompts: dict[int, str] = {}
        if labels is not None:
            rows = [row for row, name in enumerate(prepared.column("split")) if split is None or name == split]
            self._prompts = _prompts(prepared, rows, labels, prompt)
            self.items += [(row, view) for row in self._prompts for view in self._views(row, views)]

    def __getitem__(self, index: int | SampleIndex) -> Sample:
        epoch, position = index if isinstance(index, SampleIndex) else (0, index)
        row, view_id = self.items[position]
        sample = self._sample(row, view_id, epoch)
        sample.pop("phrases")
        if position < self._reports_end:
            return {**sample, "label": f"study/{sample['study_id']}"}
        text = self._prompts[row]
        return {**sample, "text": text, "label": f"class/{text}"}

    def texts(self) -> Iterator[str]:
        """The text of each sample, in order."""
        rows = [row for row, _ in self.items]
        yield from (self._text(row) or "" for row in rows[: self._reports_end])
        yield from (self._prompts[row] for row in rows[self._reports_end :])


def _prompts(prepared: PreparedDataset, rows: Sequence[int], source: str, prompt: str) -> dict[int, str]:
    """Row → its positive findings as text, for those that have any."""
    given = prepared.columns("labels")["labels"].combine_chunks()
    found: dict[int, str] = {}
    for row in rows:
        values = next((item["value"] for item in given[row].as_py() or () if item["key"] == source), ())
        positive = sorted(finding["key"].lower() for finding in values if finding["value"] == "positive")
        if positive:
            found[row] = prompt.format(findings=", ".join(positive))
    return found
