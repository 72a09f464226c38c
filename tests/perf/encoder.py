"""An encoder of BERT-base's size as criteria are shown it; run as a program, it tells two peaks of its memory in bytes:
after a training step, and after GraSP's scoring that follows it.

python -m tests.perf.encoder
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from pruners.base import View

EXAMPLES, TOKENS, CLASSES = 8, 128, 2
WEIGHTS = 12 * (4 * 768**2 + 2 * 768 * 3072)
"""Of the twelve layers: four matrices of attention and two of feed-forward each."""


class Encoder(nn.Module):
    """Tokens > BERT-base with random weights > the first token's classes."""

    def __init__(self) -> None:
        from transformers import BertConfig, BertModel

        super().__init__()
        config = BertConfig(hidden_size=768, num_hidden_layers=12, num_attention_heads=12, intermediate_size=3072)
        self.body = BertModel(config, add_pooling_layer=False)
        self.head = nn.Linear(768, CLASSES)

    def forward(self, tokens: Tensor) -> Tensor:
        classes: Tensor = self.head(self.body(tokens).last_hidden_state[:, 0])
        return classes


def batch(examples: int, tokens: int) -> dict[str, Tensor]:
    """Random tokens and classes."""
    draw = torch.Generator().manual_seed(0)
    return {
        "x": torch.randint(30_000, (examples, tokens), generator=draw),
        "y": torch.randint(CLASSES, (examples,), generator=draw),
    }


def view() -> View:
    """One batch, and the matrices of the encoder's layers to be scored."""
    torch.manual_seed(0)
    model = Encoder().eval()
    shown = batch(EXAMPLES, TOKENS)
    return View(
        model=model,
        weights={n: w for n, w in model.named_parameters() if n.startswith("body.encoder.") and w.dim() == 2},
        masks={},
        batches=lambda: iter([shown]),
        forward=lambda model, batch: model(batch["x"]),
        loss=lambda outputs, batch: nn.functional.cross_entropy(outputs, batch["y"]),
        example={name: values[:1] for name, values in shown.items()},
        generator=torch.Generator(),
    )


def pass_both_ways(view: View) -> None:
    """Forward and backward alone, for all parameters."""
    for shown in view.batches():
        view.loss(view.forward(view.model, shown), shown).backward()  # type: ignore[no-untyped-call]
    view.model.zero_grad()


def _train(view: View) -> None:
    """A step of Adam that has its moments from an earlier, small one."""
    view.model.train()
    optimizer = torch.optim.Adam(view.model.parameters(), fused=True)
    for shown in (batch(1, 4), *view.batches()):
        optimizer.zero_grad()
        view.loss(view.forward(view.model, shown), shown).backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def _peak() -> int:
    """Most memory that this process has held. Not getrusage's figure, which begins at the size of its parent."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    from bench.memory import given_back
    from pruners.criteria.grasp import Grasp

    torch.set_num_threads(1)
    shown = view()
    _train(shown)
    shown.model.zero_grad()
    print(_peak())
    with given_back():
        Grasp().score(shown)
    print(_peak())
