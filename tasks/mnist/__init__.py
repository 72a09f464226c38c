"""MNIST digits with fully connected networks."""

from tasks.mnist.task import Mnist, MnistOptions

__all__ = ["Mnist", "MnistOptions"]
