"""A causal language model in a folder as a judge: a tiny random one, which answers nonsense, and one that is told what to say."""

import json

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from medvl.judges.judge import EntailmentQuery
from medvl.judges.local import LocalJudge
from medvl.runtime.errors import MissingFile

TEMPLATE = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>"
WITHOUT_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no system message') }}{% endif %}" + TEMPLATE
QUERY = EntailmentQuery(("No effusion.",), "No effusion.")


def model_folder(path, template=TEMPLATE):
    torch.manual_seed(0)
    vocabulary = {"<pad>": 0, "</s>": 1, "<unk>": 2, **{chr(code): code - 29 for code in range(32, 127)}}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")
    fast.chat_template = template
    fast.save_pretrained(path)
    config = LlamaConfig(
        vocab_size=len(vocabulary), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=16384, bos_token_id=None, eos_token_id=1, pad_token_id=0,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(path)
    return path


def test_a_model_that_answers_nonsense_fails_visibly_and_greedily(tmp_path):
    judge = LocalJudge(model_folder(tmp_path / "tiny"), max_new_tokens=4, retries=1, progress=False)

    first, again = judge.entail([QUERY]), judge.entail([QUERY])

    assert (first[0].status, first[0].failure) == ("not_entailment", "unparseable")
    assert first == again
    assert judge.counters["calls"] == 4
    assert 0 < judge.counters["completion_tokens"] <= 16


def test_replies_are_read_complained_of_and_kept(tmp_path, monkeypatch):
    judge = LocalJudge(model_folder(tmp_path / "tiny"), cache=tmp_path / "answers.sqlite", progress=False)
    good = json.dumps({"phrase": "No effusion.", "evidence": ["No effusion."], "status": "entailment"})
    said, asked = iter(["nonsense", good]), []
    monkeypatch.setattr(judge, "_generate", lambda chats: [(next(said), {}) for chat in chats if asked.append(chat) is None])

    (verdict,) = judge.entail([QUERY])

    assert verdict.status == "entailment"
    assert "not a JSON object" in asked[1][-1]["content"]
    assert judge.entail([QUERY]) == [verdict]
    assert len(asked) == 2


def test_a_template_without_system_messages_gets_it_before_the_first_question(tmp_path):
    judge = LocalJudge(model_folder(tmp_path / "tiny", WITHOUT_SYSTEM), max_new_tokens=2, retries=0, progress=False)
    tokenizer, _ = judge._loaded

    text = judge._rendered(tokenizer, [{"role": "system", "content": "RULES"}, {"role": "user", "content": "QUESTION"}])

    assert text == "<user>RULES\n\nQUESTION<assistant>"


def test_other_weights_are_another_judge(tmp_path):
    folder = model_folder(tmp_path / "tiny")
    before = LocalJudge(folder).prompt_hash
    model = LlamaForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        model.lm_head.weight[0, 0] += 1
    model.save_pretrained(folder)

    assert LocalJudge(folder).prompt_hash != before


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(MissingFile, match=r"config\.json"):
        LocalJudge(tmp_path)
