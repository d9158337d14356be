"""``python -m medvl``: the same as the ``medvl`` command."""

from medvl.cli.main import main

main()
