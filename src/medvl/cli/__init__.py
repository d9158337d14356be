"""The ``medvl`` command: one small file per verb; a verb's code is imported only when it runs."""
