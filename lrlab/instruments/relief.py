"""The lie of the land: a surface's heights over a window, its floor, and its contours."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import cast

import contourpy
import numpy as np
import torch

from lrlab.surfaces import Plane, Surface, Window

ASPECT = 4 / 3  # of the map, width to height
MOST_STRETCH = 4.0  # a window longer than this is not shown to scale: its other side would be all margin
CLOSED_FORM, NETWORK = (161, 121), (41, 31)  # points of the grid; a network takes milliseconds for each few
LEVELS = 22
FINEST = 1e-6  # the lowest contour, at least, as a share of the highest


@dataclass(frozen=True)
class Relief:
    """A surface as the map shows it.

    Attributes:
        window: ((left, right), (bottom, top)) of the map.
        floor: the height of the deepest minimum; heights are drawn above it, because their axis is logarithmic.
        heights: above the floor, `[rows, columns]` over the window, float64.
        levels: heights of the contours, evenly spaced in their logarithm.
        to_scale: whether a unit of x is as long as a unit of y, so that gradients stand square on the contours.
    """

    window: Window
    floor: float
    heights: np.ndarray
    levels: np.ndarray
    to_scale: bool

    def axes(self) -> tuple[np.ndarray, np.ndarray]:
        """The x of the columns and the y of the rows."""
        rows, columns = self.heights.shape
        (left, right), (bottom, top) = self.window
        return np.linspace(left, right, columns), np.linspace(bottom, top, rows)

    def lines(self) -> list[list[np.ndarray]]:
        """The contours: for each level its lines, `[n, 2]` each."""
        x, y = self.axes()
        # Between two points of the grid the logarithm is the straighter one, and the contours come out rounder.
        lowest = self.levels[0] / 100
        logs = np.log(np.maximum(self.heights, lowest))
        generator = contourpy.contour_generator(x, y, np.ma.masked_invalid(logs))
        return [cast(list[np.ndarray], generator.lines(np.log(level))) for level in self.levels]

    def depth(self) -> np.ndarray:
        """How deep every second point lies, from 0 (highest) to 1, in the logarithm of the height: for shading."""
        low, high = np.log(self.levels[[0, -1]])
        logs = np.log(np.maximum(self.heights[::2, ::2], self.levels[0]))
        return np.nan_to_num(np.clip((high - logs) / (high - low), 0, 1))


def relief_of(surface: Surface) -> Relief:
    """Measure a surface of two dimensions."""
    window = widened(surface.window)
    columns, rows = NETWORK if isinstance(surface, Plane) else CLOSED_FORM
    plain = Relief(window.sides, 0.0, np.zeros((rows, columns)), np.ones(1), window.to_scale)
    points = np.stack(np.meshgrid(*plain.axes()), -1)
    heights = surface(torch.from_numpy(points)).detach().double().numpy()
    floor = _floor(surface, heights)
    above = np.maximum(heights - floor, 0)
    # Not the extremes: one cliff in a corner would take all the contours for itself.
    lowest, highest = np.nanquantile(np.where(np.isfinite(above), above, np.nan), [0.003, 0.995])
    lowest = max(lowest, FINEST * highest)
    levels = np.geomspace(lowest, highest, LEVELS + 1)[:-1] if highest > lowest > 0 else np.ones(1)
    levels = np.union1d(levels, _around_local_minima(surface, floor, lowest))
    return dataclasses.replace(plain, floor=floor, heights=above, levels=levels)


def _around_local_minima(surface: Surface, floor: float, lowest: float) -> list[float]:
    """Two contours that show a local minimum as a well: the evenly spaced ones may miss it."""
    minima = torch.tensor(surface.minima, dtype=torch.float64).reshape(-1, 2)
    gaps = (surface(minima) - floor).tolist() if len(minima) else []
    return [share * gap for gap in set(gaps) if gap > lowest for share in (1.05, 1.2)]


def _floor(surface: Surface, heights: np.ndarray) -> float:
    """The height of the deepest minimum; where none is known, 0 for a loss, and the lowest point of the map else."""
    if surface.minima:
        return float(surface(torch.tensor(surface.minima[0], dtype=torch.float64)))
    return min(0.0, float(np.nanmin(heights)))


@dataclass(frozen=True)
class Widened:
    sides: Window
    to_scale: bool


def widened(window: Window) -> Widened:
    """The window, its shorter side grown until it fills the map to scale."""
    spans = [high - low for low, high in window]
    if not ASPECT / MOST_STRETCH <= spans[0] / spans[1] <= ASPECT * MOST_STRETCH:
        return Widened(window, to_scale=False)
    unit = max(spans[0] / ASPECT, spans[1])
    return Widened((_grown(window[0], ASPECT * unit), _grown(window[1], unit)), to_scale=True)


def _grown(side: tuple[float, float], span: float) -> tuple[float, float]:
    middle = (side[0] + side[1]) / 2
    return middle - span / 2, middle + span / 2
