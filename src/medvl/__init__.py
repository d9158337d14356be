"""medvl: the medical vision-language stack on chest radiographs."""

__version__ = "0.1.0"
