# Sourced by the other scripts: makes .venv if need be and installs this checkout with the tested versions. Idempotent.
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PYTHON=${PYTHON:-python3}
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "medvl needs Python 3.11 or later (found $("$PYTHON" -V)); set PYTHON=" >&2; exit 1; }
[ -x .venv/bin/python ] || { echo "== making .venv"; "$PYTHON" -m venv .venv; }
stamp=.venv/.installed-$(cat pyproject.toml scripts/constraints.txt | cksum | cut -d' ' -f1)
if [ ! -e "$stamp" ]; then
  echo "== installing medvl and what it needs (once; several minutes and about 7 GB with GPU libraries)"
  .venv/bin/python -m pip install --quiet --disable-pip-version-check -e '.[dev]' -c scripts/constraints.txt
  rm -f .venv/.installed-*
  touch "$stamp"
fi
export PATH="$PWD/.venv/bin:$PATH"
