"""A kernel's source compiled by NVRTC and launched through the driver, by NVIDIA's own bindings, which come with torch for CUDA."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import tempfile
from array import array
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch

from pellucid.errors import PellucidError
from pellucid.ops.cuda.generate import Kernel

FIRST_TILE = 2  # the word of a call that says with which tile of the batch a launch begins
CAPABILITY = (9, 0)  # Hopper: what the kernels are written for, and the only GPUs that they have run on


@cache
def available(device: torch.device) -> bool:
    """Whether kernels can be compiled for this device and run on it."""
    if device.type != "cuda" or importlib.util.find_spec("cuda") is None:
        return False
    if importlib.util.find_spec("cuda.bindings") is None:
        return False
    return torch.cuda.get_device_capability(device) == CAPABILITY


@cache
def multiprocessors(device: torch.device) -> int:
    """Of a device."""
    return torch.cuda.get_device_properties(device).multi_processor_count


def source_of(kernel: Kernel) -> str:
    """The whole source: what the hardware does, and what was generated."""
    return (Path(__file__).parent / "hardware.cuh").read_text() + kernel.source


def compiled(source: str, capability: tuple[int, int]) -> bytes:
    """The machine code of a source for a GPU of this capability.

    Raises:
        PellucidError: the compiler refuses it; what it says is in the message.
    """
    from cuda.bindings import nvrtc

    program = _found(nvrtc.nvrtcCreateProgram(source.encode(), b"sweep.cu", 0, [], []))
    options = [b"--gpu-architecture=sm_%d%d" % capability, b"--std=c++17", b"-default-device"]
    (error,) = nvrtc.nvrtcCompileProgram(program, len(options), options)
    if error != nvrtc.nvrtcResult.NVRTC_SUCCESS:
        said = b" " * _found(nvrtc.nvrtcGetProgramLogSize(program))
        nvrtc.nvrtcGetProgramLog(program, said)
        raise PellucidError(f"the CUDA compiler refused a generated kernel: {said.decode(errors='replace')}")
    code = b" " * _found(nvrtc.nvrtcGetCUBINSize(program))
    nvrtc.nvrtcGetCUBIN(program, code)
    nvrtc.nvrtcDestroyProgram(program)
    return bytes(code)


def _code(source: str, capability: tuple[int, int]) -> bytes:
    """The machine code, from the user's cache if it was made before: compiling takes seconds."""
    from cuda.bindings import nvrtc

    _, *version = nvrtc.nvrtcVersion()
    digest = hashlib.sha256(f"{source}{capability}{version}".encode()).hexdigest()
    file = cache_folder() / f"{digest[:32]}.cubin"
    try:
        return file.read_bytes()
    except OSError:
        code = compiled(source, capability)
    with contextlib.suppress(OSError):  # a disk that is full or not ours costs only the time to compile
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=file.parent, delete=False) as partial:
            partial.write(code)
        Path(partial.name).replace(file)
    return code


def cache_folder() -> Path:
    """Where machine code is kept between processes: ``$XDG_CACHE_HOME`` or ``~/.cache``, in ``pellucid/kernels``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pellucid" / "kernels"


class _Launch:
    """A compiled kernel on one device, and how it is launched on so many tiles and a stream; made once, since that costs more
    than a call, and never changed, since several threads may launch it."""

    def __init__(self, kernel: Kernel, tiles: int, device: int, stream: int) -> None:
        from cuda.bindings import driver

        share = kernel.share
        self.module, self.function = _loaded(kernel, device)
        self.driver, self.device = driver, device
        config = self.config = driver.CUlaunchConfig()
        config.gridDimX, config.gridDimY, config.gridDimZ = tiles * share.team, share.groups, 1
        config.blockDimX, config.blockDimY, config.blockDimZ = share.threads, 1, 1
        config.sharedMemBytes = kernel.memory
        config.hStream = stream
        config.attrs = _attributes(kernel)
        config.numAttrs = len(config.attrs)
        self.words = 4 + 2 * kernel.strides + kernel.ports + 2 * max(kernel.matrices, 1)

    def __call__(self, call: Sequence[int]) -> None:
        """Launch it with the words of a call, which are copied before this returns."""
        assert len(call) == self.words
        words = array("q", call)
        arguments = array("q", [words.buffer_info()[0]])
        if torch.cuda.current_device() == self.device:
            answer = self.driver.cuLaunchKernelEx(self.config, self.function, arguments.buffer_info()[0], 0)
        else:
            with torch.cuda.device(self.device):
                answer = self.driver.cuLaunchKernelEx(self.config, self.function, arguments.buffer_info()[0], 0)
        _found(answer)


_launch = cache(_Launch)


@cache
def _loaded(kernel: Kernel, device: int) -> tuple[Any, Any]:
    """The module, which is to outlive its function, and the function."""
    from cuda.bindings import driver

    with torch.cuda.device(device):
        torch.cuda.current_stream().synchronize()  # the device's context exists, and is the present one
        module = _found(driver.cuModuleLoadData(_code(source_of(kernel), torch.cuda.get_device_capability(device))))
        function = _found(driver.cuModuleGetFunction(module, b"sweep"))
        attribute = driver.CUfunction_attribute
        memory = attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
        _found(driver.cuFuncSetAttribute(function, memory, kernel.memory))
        if kernel.share.kind == "cluster" and kernel.share.team > 8:
            wider = attribute.CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED
            _found(driver.cuFuncSetAttribute(function, wider, 1))
    return module, function


def run(kernel: Kernel, call: Sequence[int], tiles: int, device: torch.device) -> None:
    """Launch a kernel on the device's present stream, so often that blocks which wait for one another all run at a time.

    Args:
        kernel: what to run.
        call: the call's 8-byte words in the order of the kernel's ``Call``.
        tiles: of the batch.
        device: where.
    """
    index = torch.cuda.current_device() if device.index is None else device.index
    # What torch.cuda.current_stream takes some microseconds to say.
    stream = torch._C._cuda_getCurrentRawStream(index)
    together = kernel.share.tiles_at_once(multiprocessors(device)) or tiles
    if together >= tiles:
        _launch(kernel, tiles, index, stream)(call)
        return
    for first in range(0, tiles, together):
        launch = _launch(kernel, min(together, tiles - first), index, stream)
        launch([*call[:FIRST_TILE], first, *call[FIRST_TILE + 1 :]])


def _attributes(kernel: Kernel) -> list[Any]:
    from cuda.bindings import driver

    attribute = driver.CUlaunchAttribute()
    if kernel.share.kind == "cluster":
        attribute.id = driver.CUlaunchAttributeID.CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION
        attribute.value.clusterDim.x = kernel.share.team
        attribute.value.clusterDim.y = attribute.value.clusterDim.z = 1
    elif kernel.share.kind == "grid":
        attribute.id = driver.CUlaunchAttributeID.CU_LAUNCH_ATTRIBUTE_COOPERATIVE
        attribute.value.cooperative = 1
    else:
        return []
    return [attribute]


def _found(answer: tuple[Any, ...]) -> Any:
    """What a call of the bindings gave, unless it failed."""
    error, *values = answer
    if error.value != 0:
        raise PellucidError(f"the CUDA driver answered {error.name} to a kernel of Pellucid's own")
    return values[0] if values else None
