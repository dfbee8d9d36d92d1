"""The processes of a run: one, or several that torchrun started, each with its part of every batch.

All of them draw the same batch and compute the same loss of it, from embeddings that they gather. So the gradient of
one process's own embeddings is already that of the whole loss, nothing has to be sent back, and the gradient of a
tower's weights is the sum over processes. DistributedDataParallel and FSDP take the mean of the processes' gradients:
each multiplies its own by their number (`Processes.world`)."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from clinimm.errors import ConfigError
from clinimm.pretraining.encoders import Encoders


@dataclass(frozen=True)
class Processes:
    """This process among all: its number `rank` of `world`, and where it computes. `bf16`: the encoders run in
    bfloat16 where autocast finds that safe."""

    rank: int = 0
    world: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    strategy: str = "ddp"
    bf16: bool = False

    @property
    def leads(self) -> bool:
        """Whether it is the one that writes and prints."""
        return self.rank == 0

    def own(self, rows: int) -> tuple[int, int]:
        """From where to where this process's part of so many rows goes: parts are equal, and the last ones may go past
        the end."""
        share = -(-rows // self.world)
        return self.rank * share, (self.rank + 1) * share

    def join(self, encoders: Encoders) -> nn.Module:
        """The encoders on the device, as a module whose backward adds up the processes' gradients."""
        encoders.to(self.device)
        if self.world == 1:
            return encoders
        if self.strategy == "fsdp":
            return self._sharded(encoders)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # torch 2.11 does not know the new name of broadcast_buffers
            # A tower may have weights that nothing reads, which DDP otherwise waits for.
            return DistributedDataParallel(encoders, broadcast_buffers=False, find_unused_parameters=True)

    def _sharded(self, encoders: Encoders) -> nn.Module:
        """Each block of a tower apart, the rest together. Not the first blocks: word vectors are read beside them."""
        mesh = init_device_mesh(self.device.type, (self.world,))
        for tower in (encoders.image, encoders.text):
            for block in tower.blocks()[1:]:
                fully_shard(block, mesh=mesh)
        fully_shard(encoders, mesh=mesh)
        return encoders

    @contextmanager
    def exchanging(self, module: nn.Module, wanted: bool) -> Iterator[None]:
        """A context in which backward exchanges gradients or, where more are to be added first, does not."""
        if isinstance(module, FSDPModule):
            module.set_requires_gradient_sync(wanted)
        waiting = module.no_sync() if isinstance(module, DistributedDataParallel) and not wanted else nullcontext()
        with waiting:
            yield

    def precision(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16)

    def gather(self, own: Float[Tensor, "r e"]) -> Float[Tensor, "b e"]:
        """The rows of all processes, in their order. A gradient reaches this process's own rows alone."""
        if self.world == 1:
            return own
        parts = [torch.empty_like(own) for _ in range(self.world)]
        distributed.all_gather(parts, own.detach().contiguous())
        parts[self.rank] = own
        return torch.cat(parts)

    def total(self, values: Tensor) -> Tensor:
        """The sum over processes, without a gradient."""
        values = values.detach().clone()
        if self.world > 1:
            distributed.all_reduce(values)
        return values

    @torch.no_grad()
    def average_(self, tensors: list[Tensor]) -> None:
        """Makes each tensor its mean over processes: for what all compute alike but for rounding, and for running
        statistics, of which each has seen its own part."""
        for tensor in tensors if self.world > 1 else []:
            distributed.all_reduce(tensor)
            tensor.div_(self.world)


@contextmanager
def joined(device: str = "auto", strategy: str = "ddp", precision: str = "32-true") -> Iterator[Processes]:
    """This process, joined with the others that torchrun started until the context ends: by nccl on GPUs, else by gloo.

    Raises ConfigError for a device that is not there."""
    world, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    place = _device(device, int(os.environ.get("LOCAL_RANK", "0")))
    if world > 1:
        distributed.init_process_group("nccl" if place.type == "cuda" else "gloo")
    try:
        yield Processes(rank, world, place, strategy, precision == "bf16-mixed")
        if world > 1:
            distributed.barrier()
    finally:
        if world > 1:
            distributed.destroy_process_group()  # leaving without it aborts now and then


def _device(name: str, local_rank: int) -> torch.device:
    there = torch.cuda.is_available()
    if name in ("cuda", "gpu") and not there:
        raise ConfigError("there is no GPU", where="run.device", mend='set run.device = "cpu" or "auto"')
    if name == "cpu" or (name == "auto" and not there):
        return torch.device("cpu")
    if name not in ("auto", "cuda", "gpu"):
        raise ConfigError(f"{name!r} is not known", where="run.device", mend="auto, cpu or cuda")
    torch.cuda.set_device(local_rank)
    return torch.device("cuda", local_rank)


def whole(tensor: Tensor) -> Tensor:
    """The tensor put together from its shards; all processes must ask for it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def sharded_as(tensor: Tensor, model: Tensor) -> Tensor:
    """The whole tensor cut up as `model` is, where that has shards."""
    if not isinstance(model, DTensor):
        return tensor.to(model.device)
    return distribute_tensor(tensor.to(model.device), model.device_mesh, model.placements)
