"""CLIP: queries are texts, items are pictures; each tower of the one model has weights of its own."""

import base64
import binascii
import copy
import io
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from bluetune_trainer.errors import DataInvalid, PlanInvalid
from bluetune_trainer.training.layout import (
    Prompts,
    Similarity,
    read_json,
    read_modules,
    read_prompts,
    read_similarity,
    write_json,
    write_model_config,
    write_modules,
)
from bluetune_trainer.training.model import Kind, Model, ReadFile, Row, Tower
from bluetune_trainer.training.tokens import pad, tokenize
from bluetune_trainer.training.weights import check_loaded, require_safetensors_in

READERS = 8
"""Pictures that are read from the store at once."""
GROUP = 64
"""Pictures in memory while they are prepared."""
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
"""Formats of pictures that are read. Others that Pillow knows run programs (EPS) or are hardly ever tested with
broken files."""
MAX_PIXELS = 64 << 20
"""Maximum number of pixels of a picture: 200 MB for each reader while the picture is made smaller."""
_TRANSFORMER = "sentence_bert_config.json"
_FEATURES = {
    "text": {"method": "get_text_features", "method_output_name": "pooler_output"},
    "image": {"method": "get_image_features", "method_output_name": "pooler_output"},
}


class ClipText(Tower):
    """Text → vector, from the state of the end-of-text token."""

    HEAD = ("text_model.final_layer_norm.", "projection.")

    def __init__(self, clip: Any, tokenizer: Any, *, max_tokens: int, prompt: str, unit: bool) -> None:
        super().__init__()
        self.text_model: nn.Module = clip.text_model
        self.projection: nn.Module = clip.text_projection
        self.tokenizer = tokenizer
        self.max_tokens = max_tokens
        self.prompt = prompt
        self.unit = unit
        self.end = int(clip.config.text_config.eos_token_id)

    @property
    def dimension(self) -> int:
        """Dimension of the vectors."""
        return int(self.projection.out_features)  # type: ignore[arg-type]

    def transformer(self) -> nn.Module:
        """What the layers are in."""
        return self.text_model

    def prompted(self, inputs: Sequence[str], kind: Kind) -> list[str]:
        """The texts as the transformer sees them."""
        return [self.prompt + text for text in inputs]

    def prepare(self, inputs: Sequence[str], files: ReadFile) -> list[Row]:
        """Token ids of each text."""
        return [*tokenize(self.tokenizer, inputs, self.max_tokens)]

    def cost(self, row: Row) -> int:
        """Tokens."""
        return len(row)

    def collate(self, rows: Sequence[Row]) -> tuple[Tensor, Tensor]:
        """Ids and mask, both [n, tokens]."""
        return pad(rows, self.tokenizer.pad_token_id or 0)

    def hidden(self, *batch: Tensor) -> Tensor:
        """[n, tokens] ids and mask → [n, tokens, width]."""
        ids, mask = batch
        states: Tensor = self.text_model(input_ids=ids, attention_mask=mask).last_hidden_state
        return states

    def pool(self, hidden: Tensor, *batch: Tensor) -> Tensor:
        """[n, tokens, width] → [n, dimension] vectors in float32."""
        ids = batch[0]
        # As transformers: a configuration from before its end token was right says 2, and the highest id is the end.
        ends = (ids if self.end == 2 else (ids == self.end).int()).argmax(1)
        return _vectors(self.projection(hidden[torch.arange(len(ids), device=ids.device), ends]), unit=self.unit)


class ClipImage(Tower):
    """Picture → vector, from the state of the class token.

    An input names a picture: the key of an object below the model's prefix, or a `data:` URI with base64. It is kept as
    the uint8 pixels that the model looks at.
    """

    HEAD = ("vision_model.post_layernorm.", "projection.")
    reads_words = False

    def __init__(self, clip: Any, processor: Any, *, unit: bool) -> None:
        super().__init__()
        self.vision_model: nn.Module = clip.vision_model
        self.projection: nn.Module = clip.visual_projection
        self.processor = processor
        self.unit = unit
        vision = clip.config.vision_config
        self._positions: int = (vision.image_size // vision.patch_size) ** 2 + 1
        self._mean = torch.tensor(processor.image_mean).view(3, 1, 1)
        self._deviation = torch.tensor(processor.image_std).view(3, 1, 1)

    @property
    def dimension(self) -> int:
        """Dimension of the vectors."""
        return int(self.projection.out_features)  # type: ignore[arg-type]

    def transformer(self) -> nn.Module:
        """What the layers are in."""
        return self.vision_model

    def prepare(self, inputs: Sequence[str], files: ReadFile) -> Iterable[Row]:
        """[3, height, width] uint8 of each picture, resized and cropped. Raises DataInvalid for one that is none."""
        with ThreadPoolExecutor(READERS) as readers:
            for begin in range(0, len(inputs), GROUP):
                yield from readers.map(lambda name: self._pixels(name, files), inputs[begin : begin + GROUP])

    def cost(self, row: Row) -> int:
        """Patches, and the class token."""
        return self._positions

    def collate(self, rows: Sequence[Row]) -> tuple[Tensor]:
        """[n, 3, height, width] normalised."""
        pixels = torch.from_numpy(np.stack(rows)).float() / 255
        return ((pixels - self._mean) / self._deviation,)

    def hidden(self, *batch: Tensor) -> Tensor:
        """[n, 3, height, width] → [n, patches + 1, width]."""
        states: Tensor = self.vision_model(pixel_values=batch[0]).last_hidden_state
        return states

    def pool(self, hidden: Tensor, *batch: Tensor) -> Tensor:
        """[n, patches + 1, width] → [n, dimension] vectors in float32."""
        pooled = self.vision_model.post_layernorm(hidden[:, 0])  # type: ignore[operator]
        return _vectors(self.projection(pooled), unit=self.unit)

    def probe_inputs(self) -> Iterator[str]:
        """Two pictures: what a wrong size, order of channels or normalisation would show on."""
        from PIL import Image

        ramp = np.linspace(0, 255, 48, dtype=np.uint8)
        across = np.stack([np.tile(ramp, (32, 1)), np.full((32, 48), 90), np.tile(ramp[::-1], (32, 1))], 2)
        for pixels in (across.astype(np.uint8), across.transpose(1, 0, 2).astype(np.uint8)):
            buffer = io.BytesIO()
            Image.fromarray(pixels).save(buffer, "PNG")
            yield f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"

    def _pixels(self, name: str, files: ReadFile) -> Row:
        from PIL import Image

        data = _inline(name) if name.startswith("data:") else files(name)
        try:
            with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
                if opened.width * opened.height > MAX_PIXELS:
                    raise DataInvalid(
                        f"{name:.80}: this picture has {opened.width} × {opened.height} pixels, more than"
                        f" {MAX_PIXELS}; make it smaller, or leave the item out"
                    )
                image = opened.convert("RGB")
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            raise DataInvalid(
                f"{name:.80}: this is no picture that can be read ({error}); upload it as"
                f" {', '.join(FORMATS)}, or leave the item out"
            ) from error
        done = self.processor(image, do_rescale=False, do_normalize=False, return_tensors="np")
        pixels: Row = np.asarray(done["pixel_values"][0]).astype(np.uint8)
        return pixels


class Clip(Model):
    """A text tower for queries and a picture tower for items.

    Args:
        clip: transformers' CLIPModel.
        tokenizer: of its texts.
        processor: of its pictures.
        max_tokens: longest text.
        prompts: all of the folder's; items are pictures and have none.
        similarity: what the vectors are to be compared by.
        unit: whether they are divided by their length.
        dtype: of the weights in a folder that is saved.
    """

    def __init__(
        self,
        clip: Any,
        tokenizer: Any,
        processor: Any,
        *,
        max_tokens: int,
        prompts: Prompts,
        similarity: Similarity = "cosine",
        unit: bool = True,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.query_tower = ClipText(clip, tokenizer, max_tokens=max_tokens, prompt=prompts.query, unit=unit)
        self.item_tower = ClipImage(clip, processor, unit=unit)
        self.prompts = prompts
        self.query_prompt = prompts.query
        self.similarity: Similarity = similarity
        self.unit = unit
        self.dtype = dtype
        self._whole = [clip]
        """Out of PyTorch's sight: its modules are the towers' already."""
        self.eval()

    @classmethod
    def load(cls, folder: Path | str, *, max_tokens: int | None = None, query_prompt: str | None = None) -> Self:
        """Open a CLIP model: a transformers folder (unit vectors), or either layout of sentence-transformers.

        Raises PlanInvalid for `max_tokens` beyond its positions, for a model that is not whole or comes as a pickle,
        and for modules after it other than Normalize.
        """
        from transformers import AutoTokenizer, CLIPImageProcessorPil, CLIPModel

        folder = Path(folder)
        first, *rest = read_modules(folder)
        plain = not (folder / "modules.json").is_file()
        if not plain and any(module.kind != "Normalize" for module in rest):
            raise PlanInvalid(
                f"{folder}: only Normalize may follow a CLIP model, this is followed by {rest[0].kind};"
                " use another base model"
            )
        require_safetensors_in(first.folder)
        config = read_json(first.folder / "config.json")
        opened: Any = CLIPModel.from_pretrained(
            first.folder,
            local_files_only=True,
            use_safetensors=True,
            dtype=torch.float32,
            attn_implementation="sdpa",
            output_loading_info=True,
        )
        clip, found = opened
        check_loaded(first.folder, clip, found, config)
        positions = int(clip.config.text_config.max_position_embeddings)
        if max_tokens is not None and max_tokens > positions:
            raise PlanInvalid(
                f"settings.maxTokens is {max_tokens}, but the model's window has {positions} tokens; set at most that"
            )
        saved = read_json(first.folder / _TRANSFORMER).get("max_seq_length")
        return cls(
            clip,
            AutoTokenizer.from_pretrained(first.folder, local_files_only=True, trust_remote_code=False),
            CLIPImageProcessorPil.from_pretrained(first.folder),
            max_tokens=max_tokens or min(saved or positions, positions),
            prompts=read_prompts(folder).replaced(query_prompt, None),
            similarity=read_similarity(folder),
            unit=plain or bool(rest),
            dtype=getattr(torch, str(config.get("dtype") or config.get("torch_dtype") or "float32")),
        )

    def tower(self, kind: Kind) -> Tower:
        """Texts or pictures."""
        return self.query_tower if kind == "query" else self.item_tower

    def save(self, folder: Path | str) -> None:
        """Write a folder that transformers opens as a CLIPModel, and sentence-transformers for texts and pictures."""
        from transformers import CLIPProcessor

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        clip: Any = self._whole[0] if self.dtype == torch.float32 else copy.deepcopy(self._whole[0]).to(self.dtype)
        clip.save_pretrained(folder)
        processor: Any = CLIPProcessor
        processor(image_processor=self.item_tower.processor, tokenizer=self.query_tower.tokenizer).save_pretrained(
            folder
        )
        modules = [("Transformer", "")]
        if self.unit:
            (folder / "1_Normalize").mkdir(exist_ok=True)
            write_json(folder / "1_Normalize" / "config.json", {})
            modules.append(("Normalize", "1_Normalize"))
        write_modules(folder, modules)
        write_json(
            folder / _TRANSFORMER,
            {
                "transformer_task": "feature-extraction",
                "modality_config": _FEATURES,
                "module_output_name": "sentence_embedding",
                "max_seq_length": self.query_tower.max_tokens,
            },
        )
        write_model_config(folder, self.prompts, self.similarity)


def is_clip(folder: Path) -> bool:
    """Whether the folder's first module is a CLIP model."""
    first = read_modules(folder)[0]
    return first.kind == "CLIPModel" or read_json(first.folder / "config.json").get("model_type") == "clip"


def _vectors(projected: Tensor, *, unit: bool) -> Tensor:
    return nn.functional.normalize(projected.float(), dim=-1) if unit else projected.float()


def _inline(uri: str) -> bytes:
    """What a `data:` URI holds."""
    try:
        return base64.b64decode(uri.partition(",")[2], validate=True)
    except binascii.Error as error:
        raise DataInvalid(f"{uri:.40}…: this is no base64 ({error}); leave the item out, or correct it") from error
