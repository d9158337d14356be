"""A judge that is a causal language model in a folder on this machine, run with transformers: the endpoint's prompts and replies.

Greedy decoding in batches padded on the left, through the model's own chat template; a template that knows no system message gets it at the
head of the first question. Nothing is downloaded, and no code of the model's folder is run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from medvl.judges.language_model import Exchange, LanguageModelJudge
from medvl.judges.progress import progress_bar
from medvl.records import PrivacyPolicy
from medvl.runtime.errors import InvalidValue, MissingFile

EDGE = 2**20  # bytes at each end of a file that its fingerprint covers


class LocalJudge(LanguageModelJudge):
    """Asks a transformers model in a folder; see the module. The model is loaded at the first question that the cache cannot answer."""

    def __init__(
        self,
        model: Path | str,
        *,
        device: str = "cpu",
        dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto",
        batch_size: int = 8,
        max_new_tokens: int = 1024,
        template: Mapping[str, Any] | None = None,
        batch: int = 1,
        retries: int = 1,
        cache: Path | str | None = None,
        prompt_folder: Path | str | None = None,
        progress: bool = True,
    ) -> None:
        """Name the model; it is not loaded yet.

        Args:
            model: a folder in transformers' layout with an instruction model and its tokenizer.
            device: e.g. ``cpu``, ``cuda``, ``mps``.
            dtype: of the weights; ``auto`` as they are stored.
            batch_size: conversations decoded at once.
            max_new_tokens: a reply's longest.
            template: further values for the chat template, e.g. ``{enable_thinking: false}``.
            batch, retries, cache, prompt_folder: see ``LanguageModelJudge``.
            progress: show a bar on a terminal.

        Raises:
            MissingFile: if the folder holds no model.
        """
        self.folder = Path(model)
        if not (self.folder / "config.json").is_file():
            raise MissingFile(self.folder / "config.json", "judge.model is a folder; fetch one with hf download NAME --local-dir FOLDER")
        self.device, self.dtype, self.batch_size, self.max_new_tokens = device, dtype, batch_size, max_new_tokens
        self.template, self.progress = dict(template or {}), progress
        name = self.folder.resolve().name
        settings = {"weights": fingerprint(self.folder), "dtype": dtype, "max_new_tokens": max_new_tokens, "template": self.template}
        super().__init__(f"local:{name}", name, settings=settings, retries=retries, batch=batch, cache=cache, prompt_folder=prompt_folder)

    def admit(self, policy: PrivacyPolicy, *, dataset: str) -> None:
        """Any policy: the model runs in this process."""

    def complete(self, exchanges: Sequence[Exchange], finished: Callable[[Exchange], None]) -> None:
        """Decode in batches, those with complaints again at the end of the queue."""
        waiting = list(exchanges)
        with progress_bar(len(waiting), f"asking {self.model}", shown=self.progress) as advance:
            while waiting:
                some, waiting = waiting[: self.batch_size], waiting[self.batch_size :]
                self.counters["calls"] += len(some)
                conversations = [e.question.prompt.conversation(e.question.text, e.unusable) for e in some]
                for exchange, (reply, usage) in zip(some, self._generate(conversations), strict=True):
                    exchange.take(reply, usage)
                    if exchange.finished:
                        finished(exchange)
                        advance()
                    else:
                        waiting.append(exchange)

    def _generate(self, conversations: Sequence[list[dict[str, str]]]) -> list[tuple[str, dict[str, int]]]:
        """The reply to each conversation, and its tokens."""
        import torch

        tokenizer, model = self._loaded
        texts = [self._rendered(tokenizer, conversation) for conversation in conversations]
        batch = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False).to(self.device)
        with torch.inference_mode():
            tokens = model.generate(
                input_ids=batch["input_ids"],
                attention_mask=batch["attention_mask"],
                max_new_tokens=self.max_new_tokens,
                do_sample=False,
                pad_token_id=tokenizer.pad_token_id,
            )
        new = tokens[:, batch["input_ids"].shape[1] :]  # (B, T)
        texts = tokenizer.batch_decode(new, skip_special_tokens=True)
        asked = batch["attention_mask"].sum(dim=1).tolist()
        said = (new != tokenizer.pad_token_id).sum(dim=1).tolist()
        return [(text, {"prompt_tokens": p, "completion_tokens": c}) for text, p, c in zip(texts, asked, said, strict=True)]

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        """The tokenizer and the model."""
        from transformers import AutoModelForCausalLM, AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(self.folder, local_files_only=True, padding_side="left")
        if not tokenizer.chat_template:
            raise InvalidValue(self.folder, "tokenizer", "has no chat template: a judge needs an instruction model")
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        model: Any = AutoModelForCausalLM.from_pretrained(self.folder, local_files_only=True, dtype=self.dtype)
        model.generation_config.update(temperature=None, top_p=None, top_k=None)  # greedy; those of sampling would only warn
        model.to(self.device)
        return tokenizer, model.eval()

    def _rendered(self, tokenizer: Any, conversation: list[dict[str, str]]) -> str:
        from jinja2 import TemplateError

        options = {"tokenize": False, "add_generation_prompt": True, **self.template}
        try:
            return str(tokenizer.apply_chat_template(conversation, **options))
        except TemplateError:
            if conversation[0]["role"] != "system":
                raise
            system, first, *rest = conversation
            merged = {"role": "user", "content": f"{system['content']}\n\n{first['content']}"}
            return str(tokenizer.apply_chat_template([merged, *rest], **options))


def fingerprint(folder: Path) -> str:
    """SHA-256 over a model's files: names, sizes and both ends of each, enough to tell two trainings of one model apart in no time."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.iterdir() if p.suffix in (".json", ".safetensors", ".bin", ".model", ".jinja")):
        size = path.stat().st_size
        digest.update(f"{path.name} {size}\n".encode())
        with path.open("rb") as file:
            digest.update(file.read(EDGE))
            file.seek(max(0, size - EDGE))
            digest.update(file.read(EDGE))
    return digest.hexdigest()
