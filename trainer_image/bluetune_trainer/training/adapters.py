"""LoRA: low-rank matrices beside the trained layers' products, merged into the weights before anything is kept.

Hu et al. 2021, LoRA: Low-Rank Adaptation of Large Language Models, arXiv 2106.09685.
"""

from torch import Tensor, nn

from bluetune_api.method import Lora
from bluetune_trainer.errors import PlanInvalid

_NAME = "default"


class Adapters:
    """A model's layers with adapters in them, until `remove`.

    Every linear layer whose weight takes a gradient gets one: W·x becomes W·x + alpha/rank · B·A·x, with B = 0 at the
    start. From then on A and B take gradients and nothing else does.
    """

    def __init__(self, model: nn.Module, lora: Lora) -> None:
        from peft import LoraConfig  # more than a second, which trials without adapters need not wait for
        from peft.tuners.lora import LoraModel

        targets = [
            name
            for name, module in model.named_modules()
            if isinstance(module, nn.Linear) and module.weight.requires_grad
        ]
        if not targets:
            raise PlanInvalid("settings.lora: this model has no linear layer that is trained; leave lora out")
        config = LoraConfig(r=lora.rank, lora_alpha=lora.alpha, target_modules=targets, lora_dropout=0.0, bias="none")
        self._tuner = LoraModel(model, config, _NAME)
        self._model = model

    def merged(self) -> dict[str, Tensor]:
        """The weights that the adapters change, by their name in the plain model, on the CPU."""
        from peft.tuners.lora import Linear

        return {
            f"{name}.weight": (module.weight + module.get_delta_weight(_NAME)).detach().cpu().clone()
            for name, module in self._model.named_modules()
            if isinstance(module, Linear)
        }

    def factors(self) -> list[nn.Parameter]:
        """B of each adapter. A layer's weight is linear in its B, which starts at zero: with s·B in place of B, the
        merged weight lies at the share s of the way from the start version's."""
        return [p for name, p in self._model.named_parameters() if ".lora_B." in name]

    def remove(self) -> None:
        """The plain model again, as it was before."""
        self._tuner.unload()


def trained_weights(model: nn.Module, adapters: Adapters | None) -> list[nn.Parameter]:
    """What the merged weights are linear in, and all that decides them beside what stays as it is."""
    if adapters is not None:
        return adapters.factors()
    return [p for p in model.parameters() if p.requires_grad]


def trained_state(model: nn.Module, adapters: Adapters | None) -> dict[str, Tensor]:
    """Copies of the weights that training changes, by their name in the plain model, on the CPU."""
    if adapters is not None:
        return adapters.merged()
    return {name: p.detach().cpu().clone() for name, p in model.named_parameters() if p.requires_grad}
