"""Into how many word pieces vocabularies split a report, beside the number of its words, as the CXR-BERT model card has it.

    python scripts/fertility.py CORPUS NAME=VOCABULARY … [--cased NAME …] [--column text] [--sections findings impression]

CORPUS is a folder of Open-I's XML reports, a prepared dataset, or a file or folder of ``medvl.data.corpus``. A VOCABULARY is a
``vocab.txt``, a ``tokenizer.json``, or a folder that holds one. Published rows stand below for comparison, of MIMIC-CXR's reports.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.normalizers import BertNormalizer

from medvl.data.corpus import read_documents, read_reports
from medvl.data.open_i import read_studies
from medvl.data.prepared import PreparedDataset
from medvl.metrics.fertility import PUBLISHED, fertility
from medvl.models.tokenizer import read_vocabulary


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("vocabularies", nargs="+", metavar="NAME=VOCABULARY")
    parser.add_argument("--cased", nargs="*", default=[], metavar="NAME", help="vocabularies that keep upper case")
    parser.add_argument("--column", default="text", help="of tables")
    parser.add_argument("--sections", nargs="*", default=["findings", "impression"], help="of reports; none: the whole report")
    options = parser.parse_args()
    texts = list(reports(options.corpus, options.column, options.sections or None))
    print(f"{len(texts):,} reports\n\n| vocabulary | pieces | tokens a report | above words |\n|---|---|---|---|")
    for named in options.vocabularies:
        name, _, path = named.rpartition("=")
        tokenizer = vocabulary(Path(path), cased=name in options.cased)
        found = fertility(texts, partial(pieces, tokenizer))
        show(name or path, tokenizer.get_vocab_size(), found.pieces, found.above_words)
    for name, (size, tokens, above) in PUBLISHED.items():
        show(f"{name}, published", size, tokens, above)


def reports(corpus: Path, column: str, sections: Sequence[str] | None) -> Iterator[str]:
    if (corpus / "manifest.parquet").is_file():
        return read_reports(lambda: PreparedDataset(corpus).studies, sections=sections)
    if corpus.is_dir() and next(corpus.glob("**/*.xml"), None) is not None:
        return read_reports(partial(read_studies, corpus), sections=sections)
    return read_documents(corpus, column=column)


def vocabulary(path: Path, *, cased: bool) -> Tokenizer:
    own = path / "tokenizer.json" if path.is_dir() else path
    if own.suffix == ".json" and own.is_file():
        return Tokenizer.from_file(str(own))
    tokenizer = read_vocabulary(path / "vocab.txt" if path.is_dir() else path)
    if cased:
        tokenizer.normalizer = BertNormalizer(lowercase=False)
    return tokenizer


def pieces(tokenizer: Tokenizer, text: str) -> int:
    return len(tokenizer.encode(text, add_special_tokens=False))


def show(name: str, size: int, tokens: float, above: float) -> None:
    print(f"| {name} | {size:,} | {tokens:.2f} | {above:+.2f} % |")


if __name__ == "__main__":
    main()
