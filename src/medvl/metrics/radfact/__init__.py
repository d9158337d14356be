"""RadFact: is each phrase of a report entailed by the other report, and do its boxes agree (Bannur et al. 2024, MAIRA-2)?"""

from medvl.metrics.radfact.metric import RadFactMetric

__all__ = ["RadFactMetric"]
