import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer


def dtype_of(model_type):
    """bfloat16 where the GPU computes it; Gemma 3 overflows in float16, which is what a T4 has."""
    if not torch.cuda.is_available():
        return torch.float32
    if torch.cuda.get_device_capability()[0] >= 8:
        return torch.bfloat16
    return torch.float32 if model_type.startswith("gemma3") else torch.float16


dtype = dtype_of(AutoConfig.from_pretrained(MODEL).model_type)
tokenizer = AutoTokenizer.from_pretrained(MODEL)
model = AutoModelForCausalLM.from_pretrained(MODEL, dtype=dtype, device_map="auto")
print(f"{MODEL} in {dtype} on {model.device}")
