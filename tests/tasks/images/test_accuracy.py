"""Top-1, top-5 and loss: those of torchmetrics, with a stated rule for ties."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torchmetrics.classification import MulticlassAccuracy

from tasks.images.accuracy import evaluate, loss, rank


def test_metrics_are_those_of_torchmetrics_and_the_means_of_the_examples() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(700, 10), torch.randint(10, (700,))
    batches = [{"images": logits[i : i + 300], "labels": labels[i : i + 300]} for i in range(0, 700, 300)]
    found = evaluate(nn.Linear(1, 1), batches, lambda batch: batch, lambda model, batch: batch["images"])
    for name, k in (("top-1", 1), ("top-5", 5)):
        wanted = MulticlassAccuracy(num_classes=10, average="micro", top_k=k)(logits, labels).item()
        assert found.metrics[name] == pytest.approx(wanted)
    assert found.metrics["loss"] == pytest.approx(loss(logits, labels).item(), rel=1e-6)
    assert found.n == 700
    for name, values in found.examples.items():
        assert (values.dtype, values.shape) == (np.float32, (700,))
        assert found.metrics[name] == pytest.approx(values.mean(dtype=np.float64))


def test_of_equal_logits_the_smaller_class_stands_first() -> None:
    collapsed = torch.zeros(10, 10)
    assert rank(collapsed, torch.arange(10)).tolist() == list(range(10))
    logits = torch.tensor([[1.0, 3.0, 3.0, 2.0]]).expand(4, 4)
    assert rank(logits, torch.arange(4)).tolist() == [3, 0, 1, 2]
    assert int(logits[0].argmax()) == 1


def test_half_precision_logits_give_a_loss_in_single_precision() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(64, 10).bfloat16(), torch.randint(10, (64,))
    assert loss(logits, labels).dtype == torch.float32
    torch.testing.assert_close(loss(logits, labels), nn.functional.cross_entropy(logits.float(), labels))
    assert loss(logits.double(), labels).dtype == torch.float64
