"""Text metrics of reports, each equal to the implementation that papers used, with the tokeniser named in every result."""

from medvl.metrics.text.bleu import bleu
from medvl.metrics.text.cider import cider
from medvl.metrics.text.meteor import meteor
from medvl.metrics.text.rouge_l import rouge_l

__all__ = ["bleu", "cider", "meteor", "rouge_l"]
