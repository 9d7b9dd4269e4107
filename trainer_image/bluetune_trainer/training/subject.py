"""What the preset follows, read off a model that was opened and off its run's loss."""

from bluetune_trainer.training.model import Model, Tower
from bluetune_trainer.training.params import TrainingSettings
from bluetune_trainer.training.parts import Parts
from bluetune_trainer.training.preset import Subject
from bluetune_trainer.training.text_tower import TextTower


def subject_of(model: Model, settings: TrainingSettings, parts: Parts) -> Subject:
    """The model's towers, and what the loss can use."""
    towers = list(model.towers())
    stacks = [_stack(tower) for tower in towers]
    loss = parts.new_loss()
    return Subject(
        layers=min(_layers(tower) for tower in towers),
        width=max(_width(tower) for tower in towers),
        freezable=all(stacks),
        lora=settings.lora is not None,
        two_towers=not model.shared,
        temperature=loss.has_temperature,
        trusts_negatives=loss.trusts_negatives and loss.in_batch_negatives,
        phrases=loss.in_batch_negatives and all(isinstance(tower, TextTower) for tower in towers),
    )


def _stack(tower: Tower) -> int:
    """Layers that can be frozen one by one; 0 where there are none."""
    try:
        parent, name = tower.stack()
    except LookupError:
        return 0
    return len(getattr(parent, name))


def _layers(tower: Tower) -> int:
    """Layers that an input goes through, whether or not they share their weights."""
    config = getattr(tower.transformer(), "config", None)
    return _stack(tower) or int(getattr(config, "num_hidden_layers", 0) or 0)


def _width(tower: Tower) -> int:
    config = getattr(tower.transformer(), "config", None)
    return int(getattr(config, "hidden_size", 0) or tower.dimension)
