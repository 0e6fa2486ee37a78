"""Tiny models of the true classes: random weights, real tokenizers and image processors, saved to a folder."""

import io
import json
from pathlib import Path

import torch

WORDS = [
    *("red", "green", "blue", "yellow", "watering", "can", "gift", "for", "a", "mother", "who", "loves", "gardening"),
    *("teapot", "mug", "lamp", "chair", "plant", "pot", "photo", "of", "the", "small", "large", "wooden", "shiny"),
    *("cosy", "cheap", "kitchen", "garden", "bedroom", "something", "to", "sit", "on", "drink", "from"),
]
SENTENCES = [f"{a} {b} {c}" for a in WORDS for b in WORDS[::3] for c in WORDS[::5]]
SIDE, PATCH, DIM = 32, 8, 16
TOWER = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
VISION = {**TOWER, "image_size": SIDE, "patch_size": PATCH}


def clip(folder: Path) -> Path:
    """CLIPModel, the CLIP tokenizer with a small vocabulary, CLIPImageProcessor."""
    from transformers import CLIPConfig, CLIPModel

    tokenizer = _clip_tokenizer()
    text = {**TOWER, **_ids(tokenizer), "max_position_embeddings": 77, "projection_dim": DIM}
    torch.manual_seed(0)
    model = CLIPModel(CLIPConfig(text_config=text, vision_config={**VISION, "projection_dim": DIM}, projection_dim=DIM))
    return _save(folder, model, tokenizer, _clip_processor())


def siglip(folder: Path) -> Path:
    """SiglipModel, the SentencePiece-backed SigLIP tokenizer, SiglipImageProcessor."""
    from transformers import SiglipConfig, SiglipModel
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

    tokenizer = _siglip_tokenizer(folder)
    torch.manual_seed(0)
    text = {**TOWER, **_ids(tokenizer), "max_position_embeddings": 64, "projection_size": 32}
    model = SiglipModel(SiglipConfig(text_config=text, vision_config=VISION))
    return _save(folder, model, tokenizer, SiglipImageProcessorPil(size={"height": SIDE, "width": SIDE}))


def siglip2(folder: Path) -> Path:
    """Siglip2Model (NaFlex: patches, a mask and shapes), a fast tokenizer, Siglip2ImageProcessor."""
    from transformers import Siglip2Config, Siglip2Model
    from transformers.models.siglip2.image_processing_pil_siglip2 import Siglip2ImageProcessorPil

    tokenizer = _siglip2_tokenizer()
    torch.manual_seed(0)
    text = {**TOWER, **_ids(tokenizer), "max_position_embeddings": 64, "projection_size": 32}
    vision = {**TOWER, "patch_size": PATCH, "num_patches": 16}
    model = Siglip2Model(Siglip2Config(text_config=text, vision_config=vision))
    return _save(folder, model, tokenizer, Siglip2ImageProcessorPil(patch_size=PATCH, max_num_patches=16))


def siglip2_fixed(folder: Path) -> Path:
    """SigLIP 2 of a fixed resolution as it is published: SiglipModel, and Gemma's tokenizer, which keeps capitals."""
    from tokenizers.processors import TemplateProcessing
    from transformers import GemmaTokenizer, SiglipConfig, SiglipModel
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

    tokenizer = GemmaTokenizer(vocab=_letters(), merges=[], model_max_length=64, padding_side="right")
    closing = TemplateProcessing(single="$A <eos>", special_tokens=[("<eos>", tokenizer.eos_token_id)])
    tokenizer.backend_tokenizer.post_processor = closing
    torch.manual_seed(0)
    text = {**TOWER, **_ids(tokenizer), "max_position_embeddings": 64, "projection_size": 32}
    model = SiglipModel(SiglipConfig(text_config=text, vision_config=VISION))
    return _save(folder, model, tokenizer, SiglipImageProcessorPil(size={"height": SIDE, "width": SIDE}))


def aimv2(folder: Path) -> Path:
    """Aimv2Model, the CLIP tokenizer, CLIPImageProcessor."""
    from transformers import Aimv2Config, Aimv2Model

    tokenizer = _clip_tokenizer()
    torch.manual_seed(0)
    text = {**TOWER, "vocab_size": len(tokenizer), "eos_token_id": tokenizer.eos_token_id}
    vision = {**VISION, "initializer_range": 0.2}
    config = Aimv2Config(text_config={**text, "initializer_range": 0.2, "max_position_embeddings": 77},
                         vision_config=vision, projection_dim=DIM)  # fmt: skip
    return _save(folder, Aimv2Model(config), tokenizer, _clip_processor())


def vision_text(folder: Path) -> Path:
    """VisionTextDualEncoderModel of a BERT and a CLIP image tower, BertTokenizer, CLIPImageProcessor."""
    from transformers import (
        BertConfig,
        BertModel,
        CLIPVisionConfig,
        CLIPVisionModel,
        VisionTextDualEncoderConfig,
        VisionTextDualEncoderModel,
    )

    tokenizer = _bert_tokenizer()
    torch.manual_seed(0)
    text = BertModel(BertConfig(**TOWER, vocab_size=len(tokenizer), max_position_embeddings=48))
    vision = CLIPVisionModel(CLIPVisionConfig(**VISION))
    config = VisionTextDualEncoderConfig.from_vision_text_configs(vision.config, text.config, projection_dim=DIM)
    model = VisionTextDualEncoderModel(config, vision_model=vision, text_model=text)
    return _save(folder, model, tokenizer, _clip_processor())


def chinese_clip(folder: Path) -> Path:
    """ChineseCLIPModel, BertTokenizer, ChineseCLIPImageProcessor."""
    from transformers import ChineseCLIPConfig, ChineseCLIPModel
    from transformers.models.chinese_clip.image_processing_pil_chinese_clip import ChineseCLIPImageProcessorPil

    tokenizer = _bert_tokenizer()
    torch.manual_seed(0)
    text = {**TOWER, "vocab_size": len(tokenizer), "max_position_embeddings": 48}
    vision = {**VISION, "projection_dim": DIM}
    model = ChineseCLIPModel(ChineseCLIPConfig(text_config=text, vision_config=vision, projection_dim=DIM))
    size = {"height": SIDE, "width": SIDE}
    return _save(folder, model, tokenizer, ChineseCLIPImageProcessorPil(size=size, do_center_crop=False))


def altclip(folder: Path) -> Path:
    """AltCLIPModel (an XLM-RoBERTa text tower, a CLIP image tower), XLMRobertaTokenizer, CLIPImageProcessor."""
    from transformers import AltCLIPConfig, AltCLIPModel

    tokenizer = _xlm_roberta_tokenizer()
    torch.manual_seed(0)
    text = {**TOWER, **_ids(tokenizer), "max_position_embeddings": 50, "project_dim": 24, "type_vocab_size": 1}
    vision = {**VISION, "projection_dim": DIM}
    model = AltCLIPModel(AltCLIPConfig(text_config=text, vision_config=vision, projection_dim=DIM))
    return _save(folder, model, tokenizer, _clip_processor())


def _ids(tokenizer) -> dict[str, int | None]:
    names = ("bos_token_id", "eos_token_id", "pad_token_id")
    return {"vocab_size": len(tokenizer), **{name: getattr(tokenizer, name) for name in names}}


def _save(folder: Path, model, tokenizer, processor) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _clip_processor():
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    return CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})


def _clip_tokenizer():
    """The real class over byte pairs learnt from our own sentences; every byte has its letter, as in the real one."""
    from tokenizers import Tokenizer
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel
    from tokenizers.trainers import BpeTrainer
    from transformers import CLIPTokenizer

    learner = Tokenizer(BPE(end_of_word_suffix="</w>"))
    learner.pre_tokenizer = ByteLevel(add_prefix_space=False, use_regex=True)
    trainer = BpeTrainer(vocab_size=400, end_of_word_suffix="</w>", show_progress=False)
    learner.train_from_iterator([word for sentence in SENTENCES for word in sentence.split()], trainer)
    merges = [tuple(pair) for pair in json.loads(learner.to_str())["model"]["merges"]]
    letters = sorted(ByteLevel.alphabet())
    pieces = [*letters, *(f"{letter}</w>" for letter in letters), *("".join(pair) for pair in merges)]
    pieces += ["<|startoftext|>", "<|endoftext|>"]
    vocab = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=77)


def _siglip_tokenizer(folder: Path):
    import sentencepiece
    from transformers import SiglipTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES),
        model_writer=model,
        vocab_size=120,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    (folder / "spiece.model").write_bytes(model.getvalue())
    return SiglipTokenizer(str(folder / "spiece.model"), model_max_length=64)


def _siglip2_tokenizer():
    from tokenizers.processors import TemplateProcessing
    from transformers import Siglip2Tokenizer

    tokenizer = Siglip2Tokenizer(vocab=_letters(), merges=[], model_max_length=64, padding_side="right")
    closing = TemplateProcessing(single="$A <eos>", special_tokens=[("<eos>", tokenizer.eos_token_id)])
    tokenizer.backend_tokenizer.post_processor = closing
    return tokenizer


def _letters() -> dict[str, int]:
    """A vocabulary of Gemma's kind: special tokens, bytes, letters."""
    pieces = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *(f"<0x{byte:02X}>" for byte in range(256))]
    pieces += ["▁", *map(chr, range(33, 127))]
    return {piece: number for number, piece in enumerate(pieces)}


def _bert_tokenizer():
    from transformers import BertTokenizer

    letters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters), *WORDS]
    vocab = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
    return BertTokenizer(vocab=vocab, model_max_length=48)


def _xlm_roberta_tokenizer():
    from transformers import XLMRobertaTokenizer

    letters = [chr(code) for code in range(33, 127)]
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "▁", *letters, *(f"▁{word}" for word in WORDS), "<mask>"]
    scores = [0.0, 0.0, 0.0, 0.0, -1.0, *[-5.0] * len(letters), *[-2.0] * len(WORDS), 0.0]
    vocab = list(dict.fromkeys(zip(pieces, scores, strict=True)))
    return XLMRobertaTokenizer(vocab=vocab, model_max_length=48)
