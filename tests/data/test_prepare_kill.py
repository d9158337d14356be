import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "kill_prepare.py"


@pytest.mark.slow
@pytest.mark.distributed
def test_a_preparation_killed_twice_ends_with_the_bytes_of_an_uninterrupted_one():
    command = [sys.executable, str(SCRIPT), "--kills", "2", "--studies", "300", "--seed", "1"]

    result = subprocess.run(command, capture_output=True, text=True, timeout=240)

    assert "2 kills, every byte equal" in result.stdout, result.stdout + result.stderr
