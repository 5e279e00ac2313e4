"""The training loop that every recipe shares: seeded, resumable, with a metrics file beside the weights."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim import AdamW
from tqdm import tqdm

from training.recipe import Recipe


def has_fast_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 in hardware; elsewhere autocast would only be slower."""
    flags = Path("/proc/cpuinfo")
    return flags.is_file() and any(f in flags.read_text() for f in ("avx512_bf16", "amx_bf16"))


def schedule(step: int, total: int, warm: int = 100) -> float:
    """A linear rise, then half a cosine down to zero; the factor on every learning rate."""
    warm = min(warm, max(1, total // 10))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, total - warm)))


def optimiser(recipe: Recipe, network: nn.Module) -> AdamW:
    """AdamW in three groups: matrices of the backbone (slower), other matrices, and what must not decay."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        groups.setdefault((name.startswith("backbone."), parameter.ndim > 1), []).append(parameter)
    settings = [
        {
            "params": parameters,
            "base": recipe.rate * (recipe.backbone_rate if backbone else 1.0),
            "weight_decay": recipe.weight_decay if decays else 0.0,
        }
        for (backbone, decays), parameters in groups.items()
    ]
    return AdamW(settings, lr=recipe.rate)


def update_average(average: nn.Module, network: nn.Module, step: int, decay: float) -> None:
    """Exponential moving average of the weights, faster at the start; buffers are copied."""
    keep = min(decay, (1 + step) / (10 + step))
    with torch.no_grad():
        for mean, new in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
            if mean.is_floating_point():
                mean.lerp_(new, 1 - keep)
            else:
                mean.copy_(new)


def save(path: Path, state: dict[str, Any]) -> None:
    """Write beside, then rename: a killed training never leaves half a checkpoint."""
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)


def fit(
    recipe: Recipe, out: Path, epochs: int, device: str = "cpu", seed: int = 0, stop_after: int | None = None
) -> nn.Module:
    """Train (or go on from `out/checkpoint.pt`) and return the averaged network, in evaluation mode.

    Every epoch draws from its own generator, seeded by `seed` and the epoch's number: a training that was stopped
    and resumed sees what an unbroken one sees. `stop_after` ends after that many epochs with the schedule of `epochs`,
    as a kill would. Raises SystemExit where the checkpoint is of another recipe, number of epochs or seed.
    """
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    recipe.load()
    network, average = (recipe.network().to(device, memory_format=torch.channels_last) for _ in range(2))
    average.load_state_dict(network.state_dict())
    average.requires_grad_(False)
    adam = optimiser(recipe, network)
    parts = {"network": network, "average": average, "optimiser": adam}
    begun: dict[str, Any] = {"epochs": epochs, "seed": seed, "recipe": recipe.name}
    path, log = out / "checkpoint.pt", []
    if path.exists():
        state = torch.load(path, map_location=device, weights_only=True)
        if any(state.get(key, value) != value for key, value in begun.items()):
            was = " ".join(f"{key}={state.get(key, '?')}" for key in begun)
            raise SystemExit(f"{path}: was begun with {was}; repeat those, or choose another --out to start afresh")
        for name, part in parts.items():
            part.load_state_dict(state[name])
        log = state["log"]
    for epoch in range(len(log), epochs if stop_after is None else min(epochs, stop_after)):
        log.append(_epoch(recipe, network, average, adam, epoch, epochs, seed))
        save(path, {name: part.state_dict() for name, part in parts.items()} | begun | {"epoch": epoch + 1, "log": log})
        (out / "log.json").write_text(json.dumps(log, indent=1) + "\n")
    return average.eval()


def _epoch(
    recipe: Recipe, network: nn.Module, average: nn.Module, adam: AdamW, epoch: int, epochs: int, seed: int
) -> dict[str, float]:
    device = next(network.parameters()).device
    torch.manual_seed(1000 * seed + epoch)
    rng = np.random.default_rng([seed, epoch])
    network.train()
    began, losses = time.monotonic(), []
    bar = tqdm(range(recipe.steps), desc=f"{recipe.name} {epoch + 1}/{epochs}", mininterval=5, leave=False)
    autocast = device.type != "cpu" or has_fast_bfloat16()
    for k in bar:
        step = epoch * recipe.steps + k
        recipe.progress = step / (epochs * recipe.steps)
        factor = schedule(step, epochs * recipe.steps)
        for group in adam.param_groups:
            group["lr"] = group["base"] * factor
        pictures, *rest = (t.to(device) for t in recipe.batch(rng))
        pictures = pictures.contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=autocast):
            loss = recipe.loss(network, (pictures, *rest))
        if not torch.isfinite(loss):
            raise FloatingPointError(f"{recipe.name}: the loss is {loss.item()} in epoch {epoch + 1}, step {k}")
        adam.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 10.0)
        adam.step()
        update_average(average, network, step, recipe.average)
        losses.append(loss.item())
        bar.set_postfix(loss=f"{np.mean(losses[-50:]):.3f}")
    row = {"epoch": epoch + 1, "loss": round(float(np.mean(losses)), 5), "seconds": round(time.monotonic() - began, 1)}
    tqdm.write(json.dumps(row))
    return row
