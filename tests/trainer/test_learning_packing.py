"""Packed texts give the states that padded ones give."""

import pytest
import torch
from transformers import (
    AutoModel,
    BertConfig,
    CamembertConfig,
    DistilBertConfig,
    ElectraConfig,
    MPNetConfig,
    PretrainedConfig,
    RobertaConfig,
    XLMRobertaConfig,
)

from bluetune_trainer.errors import PlanInvalid
from bluetune_trainer.training.encoder import Encoder
from bluetune_trainer.training.packing import Packing, packable, packed_states

SHAPE = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
BERTS = {**SHAPE, "intermediate_size": 32, "max_position_embeddings": 24}
CONFIGS = [
    BertConfig(**BERTS),
    ElectraConfig(**BERTS, embedding_size=8),
    DistilBertConfig(vocab_size=50, dim=16, hidden_dim=32, n_layers=2, n_heads=2, max_position_embeddings=24),
    RobertaConfig(**BERTS),
    XLMRobertaConfig(**BERTS),
    CamembertConfig(**BERTS),
]
LENGTHS = (5, 1, 20, 3)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.model_type)
def test_states_and_gradients_are_those_of_the_padded_pass(config: PretrainedConfig) -> None:
    torch.manual_seed(0)
    model = AutoModel.from_config(config, attn_implementation="sdpa").double().eval()
    assert packable(model)
    mask = (torch.arange(max(LENGTHS))[None] < torch.tensor(LENGTHS)[:, None]).long()
    ids = torch.where(mask.bool(), torch.randint(5, 50, mask.shape), config.pad_token_id)

    def run(packed: bool) -> tuple[torch.Tensor, list[torch.Tensor]]:
        model.zero_grad()
        if packed:
            packing = Packing.of(mask)
            states = packing.unpack(packed_states(model, ids, packing))
        else:
            states = model(input_ids=ids, attention_mask=mask).last_hidden_state * mask[:, :, None]
        states.pow(2).sum().backward()
        return states.detach(), [p.grad.clone() for p in model.parameters() if p.grad is not None]

    expected, gradients = run(packed=False)
    found, packed_gradients = run(packed=True)
    assert torch.allclose(found, expected, atol=1e-9)
    for a, b in zip(packed_gradients, gradients, strict=True):
        assert torch.allclose(a, b, atol=1e-9)
    assert model.config._attn_implementation == "sdpa"


def test_a_model_with_relative_positions_is_not_packed() -> None:
    model = AutoModel.from_config(MPNetConfig(**BERTS))
    assert not packable(model)
    encoder = Encoder(model, tokenizer=None, max_tokens=20)
    with pytest.raises(PlanInvalid, match=r"settings.attention: Packed .*mpnet.*use Auto"):
        encoder.pack(True)
