"""CIFAR-10 pictures with convolutional networks."""

from tasks.cifar10.task import Cifar10, Cifar10Options

__all__ = ["Cifar10", "Cifar10Options"]
