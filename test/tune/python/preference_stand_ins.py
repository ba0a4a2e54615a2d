"""Stand-ins for what reward_trl.py and rlhf_trl.py need besides: classifiers, and trainers that sample and score."""

import json
import types
from pathlib import Path

import stand_ins
from stand_ins import module, record, recorded_class


class Numbers(list):
    """As much of a tensor as the scripts touch."""

    def __getitem__(self, key):
        return self if isinstance(key, tuple) else super().__getitem__(key)

    def float(self):
        return self

    def tolist(self):
        return list(self)


class Scorer:
    """Gives the number of tokens that are no padding, over ten."""

    def __call__(self, input_ids, attention_mask):
        return types.SimpleNamespace(logits=Numbers(sum(mask) / 10 for mask in attention_mask))

    def parameters(self):
        return iter([types.SimpleNamespace(device=types.SimpleNamespace(type="cpu"))])

    def eval(self):
        return self

    def requires_grad_(self, _):
        return self

    def to(self, _):
        return self


class Context:
    def __enter__(self):
        return self

    def __exit__(self, *_):
        return False


class RewardTrainer(stand_ins.Trainer):
    NAME = "trl.RewardTrainer"

    def __init__(self, *args, **kwargs):
        record(self.NAME, args, kwargs)
        self.kwargs, self.args, self.state = kwargs, kwargs["args"].kwargs, stand_ins.State()
        self.model = kwargs["model"]


class RLOOTrainer(RewardTrainer):
    """Samples two answers to each prompt, has them scored, and saves its copy of the start beside the result."""

    NAME = "trl.RLOOTrainer"
    rewards = []

    def train(self, *args, **kwargs):
        prompts = [row["prompt"] for row in self.kwargs["train_dataset"]]
        RLOOTrainer.rewards = self.kwargs["reward_funcs"](
            prompts=prompts, completions=["x"] * len(prompts), completion_ids=[[11, 5]] * len(prompts), trainer_state=None
        )
        (watch,) = self.kwargs["callbacks"]
        logs = {"loss": 0.1, "learning_rate": 1e-5, "reward": 2.0, "kl": 0.25, "completions/mean_length": 8.0}
        watch.on_log(None, types.SimpleNamespace(global_step=0, max_steps=8, num_input_tokens_seen=0), None, logs=logs)
        super().train(*args, **kwargs)

    def save_checkpoint(self, folder):
        super().save_checkpoint(folder)
        if self.kwargs["peft_config"] is not None:
            for name in ("adapter_config.json", "adapter_model.safetensors"):
                (folder / name).write_text(json.dumps({"step": self.state.global_step}))

    def save_model(self, *args, **kwargs):
        super().save_model(*args, **kwargs)
        Path(args[0], "ref").mkdir()
        Path(args[0], "ref", "adapter_config.json").write_text("{}")


def preferences():
    stand_ins.hugging_face()
    import peft
    import torch
    import transformers
    import trl

    torch.tensor = lambda values, device=None: values
    torch.no_grad = Context
    torch.autocast = lambda *_, **__: Context()
    torch.cuda.is_available = lambda: False

    def scorer(*args, **kwargs):
        record("transformers.AutoModelForSequenceClassification.from_pretrained", args, kwargs)
        return Scorer()

    transformers.AutoModelForSequenceClassification = types.SimpleNamespace(from_pretrained=scorer)
    peft.PeftModel = types.SimpleNamespace(from_pretrained=lambda model, *_, **__: model)
    trl.RewardConfig, trl.RewardTrainer = recorded_class("trl.RewardConfig"), RewardTrainer
    trl.RLOOConfig, trl.RLOOTrainer = recorded_class("trl.RLOOConfig"), RLOOTrainer
    stand_ins.Tokenizer.pad_token_id = 0
    stand_ins.Tokenizer.bos_token = "<bos>"
