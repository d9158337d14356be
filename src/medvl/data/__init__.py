"""One dataset layer: readers, sections, pixels, the prepared dataset and the samples that models see."""
