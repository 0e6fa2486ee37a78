"""Tiny vision-language models with random weights and their real processor classes, saved as the real ones are."""

import json
from pathlib import Path

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}"
    "<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>",
           "<|video_pad|>")  # fmt: skip

# As published with llava-hf/llava-1.5-7b-hf and llava-hf/llava-onevision-qwen2-7b-ov-hf, and with Aya Vision, without
# the parts for videos and tools: all images first, then all text.
LLAVA = (
    "{% for message in messages %}{% if message['role'] != 'system' %}{{ message['role'].upper() + ': '}}{% endif %}"
    "{# Render all images first #}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\n' }}{% endfor %}"
    "{# Render all text next #}{% if message['role'] != 'assistant' %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}{{ content['text'] + ' '}}"
    "{% endfor %}{% else %}{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}"
    "{% generation %}{{ content['text'] + ' '}}{% endgeneration %}{% endfor %}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
ONEVISION = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + ' '}}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>' }}{% endfor %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}{{ '\n' + content['text'] }}"
    "{% endfor %}{{'<|im_end|>'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
AYA = (
    "{{ bos_token }}{%- for message in messages -%}<|START_OF_TURN_TOKEN|>"
    "{{ message.role | replace('user', '<|USER_TOKEN|>') | replace('system', '<|SYSTEM_TOKEN|>') }}"
    "{%- if message.content is string -%}{{ message.content }}{%- else -%}"
    "{%- for item in message.content | selectattr('type', 'equalto', 'image') -%}<image>{%- endfor -%}"
    "{%- for item in message.content | selectattr('type', 'equalto', 'text') -%}{{ item.text }}{%- endfor -%}"
    "{%- endif -%}<|END_OF_TURN_TOKEN|>{%- endfor -%}"
    "{%- if add_generation_prompt -%}<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|><|START_RESPONSE|>{%- endif -%}"
)
TEXT = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "max_position_embeddings": 4096}  # fmt: skip
VISION = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}


def llava(folder: Path, template: str = LLAVA, *, following: bool = False, positions: int = 4096) -> Path:
    """A LLaVA-1.5 of the true classes, or with `following` a LLaVA-NeXT, which cuts images into tiles."""
    import torch
    from transformers import (
        CLIPVisionConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaNextConfig,
        LlavaNextForConditionalGeneration,
        LlavaNextProcessor,
        LlavaProcessor,
        Qwen2Config,
    )
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
    from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil

    torch.manual_seed(0)
    tokenizer = _tokenizer(("<pad>", "</s>", "<image>"))
    text = Qwen2Config(**TEXT | {"vocab_size": len(tokenizer), "max_position_embeddings": positions})
    vision = CLIPVisionConfig(**VISION, image_size=28, patch_size=7)
    size = {"size": {"shortest_edge": 28}, "crop_size": {"height": 28, "width": 28}}
    kwargs = {"patch_size": 7, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1,
              "chat_template": template, "tokenizer": tokenizer}  # fmt: skip
    shared = {"image_token_index": tokenizer.convert_tokens_to_ids("<image>"), "text_config": text,
              "vision_config": vision}  # fmt: skip
    if following:
        tiles = [[28, 56], [56, 28], [56, 56], [84, 28], [28, 84]]
        model = LlavaNextForConditionalGeneration(LlavaNextConfig(**shared, image_grid_pinpoints=tiles))
        images = LlavaNextImageProcessorPil(**size, image_grid_pinpoints=tiles)
        processor = LlavaNextProcessor(images, **kwargs)
    else:
        model = LlavaForConditionalGeneration(LlavaConfig(**shared, image_seq_length=16))
        processor = LlavaProcessor(CLIPImageProcessorPil(**size), **kwargs)
    return _save(folder, model, tokenizer, processor)


def internvl(folder: Path) -> Path:
    """An InternVL3 of the true classes: its processor cuts tiles unless it is told not to."""
    import torch
    from transformers import InternVLConfig, InternVLForConditionalGeneration, InternVLProcessor, Qwen2Config
    from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil

    class ForImages(InternVLProcessor):  # its video processor needs torchvision
        @classmethod
        def get_attributes(cls):
            return ["image_processor", "tokenizer"]

    torch.manual_seed(0)
    tokenizer = _tokenizer((*SPECIAL, "<img>", "</img>", "<IMG_CONTEXT>"))
    named = {"start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>",
             "video_token": "<|video_pad|>"}  # fmt: skip
    for name, token in named.items():
        setattr(tokenizer, name, token)
        setattr(tokenizer, f"{name}_id", tokenizer.convert_tokens_to_ids(token))
    config = InternVLConfig(
        text_config=Qwen2Config(**TEXT, vocab_size=len(tokenizer)),
        vision_config=VISION | {"image_size": [56, 56], "patch_size": [14, 14]},
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"), image_seq_length=4,
    )  # fmt: skip
    template = TEMPLATE.replace("<|vision_start|><|image_pad|><|vision_end|>", "<IMG_CONTEXT>\n")
    images = GotOcr2ImageProcessorPil(size={"height": 56, "width": 56}, crop_to_patches=True, max_patches=12)
    processor = ForImages(images, tokenizer, None, image_seq_length=4, chat_template=template)
    _save(folder, InternVLForConditionalGeneration(config), tokenizer, processor)
    change_json(folder / "processor_config.json", processor_class="InternVLProcessor")
    change_json(folder / "tokenizer_config.json", extra_special_tokens=named, **named)
    return folder


def smolvlm_without_weights(folder: Path) -> Path:
    """The small files of a SmolVLM, whose processor spells numbers out with a package of its own."""
    from transformers import SmolVLMConfig

    SmolVLMConfig(text_config=TEXT | {"model_type": "llama"}).save_pretrained(folder)
    _tokenizer(("<pad>", "</s>", "<image>", "<end_of_utterance>", "<fake_token_around_image>")).save_pretrained(folder)
    (folder / "processor_config.json").write_text(json.dumps({"processor_class": "SmolVLMProcessor"}))
    images = {"image_processor_type": "SmolVLMImageProcessor", "processor_class": "SmolVLMProcessor"}
    (folder / "preprocessor_config.json").write_text(json.dumps(images))
    return folder


def change_json(path: Path, **settings) -> None:
    """Set values of a configuration file."""
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))


def _save(folder, model, tokenizer, processor) -> Path:
    prefer(model, [tokenizer.convert_tokens_to_ids(letter) for letter in "ABCDEFGHI"], 24.0)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def qwen2_vl(folder: Path, template: str | None = None, letters: float = 24.0) -> Path:
    """Save a model of some ten thousand parameters, its tokenizer and its image processor.

    letters: how much the model prefers capital letters to other tokens, in logits.
    """
    import torch
    from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    torch.manual_seed(0)
    tokenizer = _tokenizer(SPECIAL)
    ids = {name: tokenizer.convert_tokens_to_ids(name) for name in SPECIAL}
    config = Qwen2VLConfig(
        text_config={
            "vocab_size": len(tokenizer), "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
            "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 4096,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]},
            "bos_token_id": ids["<|endoftext|>"], "eos_token_id": ids["<|im_end|>"],
            "pad_token_id": ids["<|endoftext|>"],
        },
        vision_config={"depth": 2, "embed_dim": 32, "hidden_size": 32, "num_heads": 2, "patch_size": 14,
                       "spatial_merge_size": 2, "temporal_patch_size": 2, "mlp_ratio": 2},
        image_token_id=ids["<|image_pad|>"], video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"], vision_end_token_id=ids["<|vision_end|>"],
    )  # fmt: skip
    model = Qwen2VLForConditionalGeneration(config)
    prefer(model, [tokenizer.convert_tokens_to_ids(letter) for letter in "ABCDEFGHI"], letters)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    Qwen2VLImageProcessorPil(min_pixels=56 * 56, max_pixels=112 * 112).save_pretrained(folder)
    change_json(folder / "preprocessor_config.json", processor_class="Qwen2VLProcessor",
                image_processor_type="Qwen2VLImageProcessor")  # fmt: skip
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": template or TEMPLATE}))
    return folder


def prefer(model, tokens: list[int], logits: float) -> None:
    """Make the model say one of these tokens whatever it is asked; between them its random weights decide."""
    import torch

    language = model.model.language_model
    last, heads = language.layers[-1].self_attn, language.config.num_attention_heads
    values = language.config.num_key_value_heads
    with torch.no_grad():
        last.v_proj.bias.fill_(0.5)  # what attention passes on, whatever it attends to
        passed = last.o_proj(last.v_proj.bias.view(values, -1).repeat_interleave(heads // values, dim=0).flatten())
        model.lm_head.weight[tokens] += logits / language.config.hidden_size**0.5 * passed / passed.norm()


def _tokenizer(special):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    words = ["Which one picture suits this customer best? Answer with its letter alone.", "Picture A: B: C: D:"]
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=list(special),
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())  # fmt: skip
    bpe.train_from_iterator(words, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, pad_token=special[0], eos_token=special[1], chat_template=TEMPLATE
    )


THINKING = TEMPLATE.replace("<|im_start|>assistant\n{% endif %}", "<|im_start|>assistant\n<think>\n{% endif %}")


def qwen3_vl(folder: Path, template: str | None = None, *, said: str = "ABCDEFGHI", ends: bool = False) -> Path:
    """A Qwen3-VL of the true classes.  said: words that it prefers.  ends: whether it likes to end a thought, too."""
    import torch
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    torch.manual_seed(0)
    tokenizer = _tokenizer((*SPECIAL, "<think>", "</think>", "yes", "no"))
    ids = {name: tokenizer.convert_tokens_to_ids(name) for name in SPECIAL}
    vision = {"depth": 2, "hidden_size": 32, "intermediate_size": 32, "num_heads": 2, "patch_size": 16,
              "spatial_merge_size": 2, "temporal_patch_size": 2, "out_hidden_size": 32,
              "num_position_embeddings": 64, "deepstack_visual_indexes": [0]}  # fmt: skip
    text = TEXT | {"vocab_size": len(tokenizer), "head_dim": 8, "attention_bias": True,
                   "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 1, 1],
                                       "mrope_interleaved": True}}  # fmt: skip
    config = Qwen3VLConfig(
        text_config=text, vision_config=vision,
        image_token_id=ids["<|image_pad|>"], video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"], vision_end_token_id=ids["<|vision_end|>"],
    )  # fmt: skip
    model = Qwen3VLForConditionalGeneration(config)
    words = [*said, *(["</think>"] if ends else [])]
    prefer(model, [tokenizer.convert_tokens_to_ids(word) for word in words], 60.0)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    images = Qwen2VLImageProcessorPil(min_pixels=64 * 64, max_pixels=128 * 128, patch_size=16)
    images.save_pretrained(folder)
    change_json(folder / "preprocessor_config.json", processor_class="Qwen3VLProcessor",
                image_processor_type="Qwen2VLImageProcessor")  # fmt: skip
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": template or TEMPLATE}))
    return folder


def jina_m0(folder: Path, *, score: bool = True) -> Path:
    """A jina-reranker-m0: a Qwen2-VL without a head over words, with the layers `score` in the same file."""
    import torch
    from safetensors.torch import load_file, save_file

    qwen2_vl(folder)
    weights = {name: value for name, value in load_file(folder / "model.safetensors").items() if "lm_head" not in name}
    if score:
        torch.manual_seed(1)
        for name, shape in (("0.weight", (32, 32)), ("0.bias", (32,)), ("2.weight", (1, 32)), ("2.bias", (1,))):
            weights[f"score.{name}"] = torch.randn(shape)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    change_json(folder / "config.json", architectures=["JinaVLForRanking"],
                auto_map={"AutoModel": "modeling.JinaVLForRanking"})  # fmt: skip
    return folder
