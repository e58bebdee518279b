"""The simplest forecasts: last value, seasonal naive and exponential smoothing; the best on validation has to be beaten."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pellucid.lab.counted import counted
from pellucid.lab.data.series.windows import Ends, Origins
from pellucid.lab.task import Baseline, Metric

Array = NDArray[np.float64]
LONGEST_SEASON = 60  # steps; a longer one has more states than exponential smoothing estimates well
MOST_ROWS = 300_000  # training rows of all series that exponential smoothing is fitted to: about half a minute


@dataclass(frozen=True)
class Given:
    """What baselines are made of.

    Attributes:
        values: (T,) each series' target, in its own unit.
        scales: offset and factor of each.
        ends: where each series' parts end.
        valid, test: the origins; valid_y, test_y: the splits' ``y``.
        horizon, season: in steps.
        metric: decides.
        quantiles: of a forecast.
    """

    values: list[Array]
    scales: list[tuple[float, float]]
    ends: list[Ends]
    valid: Origins
    test: Origins
    valid_y: Tensor
    test_y: Tensor
    horizon: int
    season: int
    metric: Metric
    quantiles: tuple[float, ...]


Forecaster = Callable[[Origins], Array]  # origins to (N, horizon) in the series' own unit


def best(given: Given) -> tuple[Baseline, list[tuple[str, str]]]:
    """The baseline, and facts about what was tried.

    Its outer quantiles are its forecast plus the quantiles of its own errors on the validation part, step by step.
    """
    tried = [("last value", "Repeats the last known value.", _naive(given, 1))]
    if given.season > 1:
        sentence = f"Repeats the value of {given.season} steps before."
        tried.append((f"seasonal naive ({given.season})", sentence, _naive(given, given.season)))
    smoothing, said = _smoothing(given)
    if smoothing is not None:
        tried.append(("exponential smoothing", f"Exponential smoothing (ETS), {said}.", smoothing))
    points = [_scaled(given, given.valid, forecaster) for _, _, forecaster in tried]
    certain = [point.expand(-1, -1, len(given.quantiles)) for point in points]
    scores = [float(given.metric.per_item(p, given.valid_y).mean()) for p in certain]
    chosen = min(range(len(tried)), key=lambda k: (scores[k], k))
    name, sentence, forecaster = tried[chosen]
    prediction = _scaled(given, given.test, forecaster) + _spread(given, given.valid_y - points[chosen])
    listed = ", ".join(f"{n} {s:.4g}" for (n, _, _), s in zip(tried, scores, strict=True))
    facts = [("Baselines on validation", f"{listed}; the best has to be beaten"), ("Exponential smoothing", said)]
    return Baseline(name, sentence, given.metric.per_item(prediction, given.test_y), prediction), facts


def _scaled(given: Given, origins: Origins, forecaster: Forecaster) -> Tensor:
    """A forecaster's answers in the form of a network's: (N, horizon, 1)."""
    offset, factor = np.array(given.scales)[origins.series].T
    return torch.from_numpy(((forecaster(origins) - offset[:, None]) / factor[:, None]).astype(np.float32))[..., None]


def _spread(given: Given, errors: Tensor) -> Tensor:
    """What to add for each quantile, (1, horizon, quantiles): the errors' own, below 0 for the lower and above for the upper."""
    levels = torch.tensor(given.quantiles, dtype=errors.dtype)
    found = errors[..., 0].quantile(levels, 0).T[None]
    return torch.where(levels < 0.5, found.clamp(max=0), torch.where(levels > 0.5, found.clamp(min=0), 0.0))


def _naive(given: Given, season: int) -> Forecaster:
    """The value one season (or several) before."""
    ahead = np.arange(given.horizon)
    back = season * np.ceil((ahead + 1) / season).astype(int) if season > 1 else ahead + 1

    def forecast(origins: Origins) -> Array:
        rows = [
            given.values[k][np.maximum(a + ahead - back, 0)]
            for k, a in zip(origins.series.tolist(), origins.at.tolist(), strict=True)
        ]
        return np.stack(rows)

    return forecast


def _smoothing(given: Given) -> tuple[Forecaster | None, str]:
    """Exponential smoothing, the form chosen for each series by AICc on its training part; or None, and why not.

    A forecast that is far outside all that was known is the naive one instead (Swanson and White 1997: ignorance instead of
    insanity). It may come of a trend or of a season near 0 that a short training part had and that no longer holds.
    """
    rows = sum(first for first, _, _ in given.ends)
    if rows > MOST_ROWS:
        return (
            None,
            f"not tried: {rows:,} training rows are more than the {MOST_ROWS:,} that it is fitted to in a minute",
        )
    season = given.season if 1 < given.season <= LONGEST_SEASON else 1
    found = [_smoothed(v, first, season) for v, (first, _, _) in zip(given.values, given.ends, strict=True)]
    fitted = [f for f in found if f is not None]
    if len(fitted) < len(found):
        return None, "not tried: a training part is too short for it"
    forms = sorted({form for form, _ in fitted})
    chosen = forms[0] if len(forms) == 1 else f"{len(forms)} forms"
    too_long = f" (a season of {given.season} steps is not tried, being longer than {LONGEST_SEASON})"
    long = "" if season == given.season else too_long
    naive = _naive(given, given.season)

    def smoothed(origins: Origins) -> Array:
        pairs = zip(origins.series.tolist(), origins.at.tolist(), strict=True)
        return np.stack([fitted[k][1](a, given.horizon) for k, a in pairs])

    def forecast(origins: Origins) -> Array:
        said = smoothed(origins)
        return np.where(_far_out(given, origins, said)[:, None], naive(origins), said)

    count = sum(int(_far_out(given, origins, smoothed(origins)).sum()) for origins in (given.valid, given.test))
    replaced = (
        f"; {counted(count, 'forecast')} left the known values by more than their range: naive there" if count else ""
    )
    return (
        forecast,
        f"{chosen}{long}, chosen by AICc and fitted on the training part, its states brought up to each origin{replaced}",
    )


def _far_out(given: Given, origins: Origins, said: Array) -> NDArray[np.bool_]:
    """(N,) whether a forecast leaves the range of all values that are known at its origin by more than that range, or is no number."""
    low = [np.minimum.accumulate(values) for values in given.values]
    high = [np.maximum.accumulate(values) for values in given.values]
    pairs = list(zip(origins.series.tolist(), (origins.at - 1).tolist(), strict=True))
    lowest, highest = (np.array([bound[k][last] for k, last in pairs])[:, None] for bound in (low, high))
    width = highest - lowest
    return np.asarray(~((lowest - width <= said) & (said <= highest + width)).all(1))


@dataclass(frozen=True)
class Ets:
    """A fitted form of exponential smoothing (Hyndman et al. 2008): additive errors.

    Attributes:
        trend: None, ``"add"`` or ``"damped"``; seasonal: None, ``"add"`` or ``"mul"``; season: in steps.
        parameters, start: statsmodels' smoothing parameters, and the options that fix the states it starts from.
        criterion: Akaike's on what it was fitted to, corrected for its length (AICc; Hurvich and Tsai 1989).
    """

    trend: str | None
    seasonal: str | None
    season: int
    parameters: Array
    start: dict[str, Any]
    criterion: float

    @property
    def form(self) -> str:
        """In words."""
        trend = {None: "no trend", "add": "additive trend", "damped": "damped trend"}[self.trend]
        seasonal = {None: "no season", "add": "additive season", "mul": "multiplicative season"}[self.seasonal]
        return f"{trend}, {seasonal}" + (f" of {self.season}" if self.seasonal else "")


@dataclass(frozen=True)
class States:
    """The states after every step: each (T,)."""

    ets: Ets
    level: Array
    slope: Array
    seasonal: Array

    def forecast(self, at: int, horizon: int) -> Array:
        """The steps from ``at`` on, known before it: (horizon,)."""
        last, ahead = at - 1, np.arange(1, horizon + 1)
        damping = self.ets.parameters[-1] if self.ets.trend == "damped" else 1.0
        line = self.level[last] + np.cumsum(damping**ahead) * self.slope[last]
        if self.ets.seasonal is None:
            return np.asarray(line)
        season = self.seasonal[last + ahead - self.ets.season * np.ceil(ahead / self.ets.season).astype(int)]
        return np.asarray(line * season if self.ets.seasonal == "mul" else line + season)


def _smoothed(values: Array, first: int, season: int) -> tuple[str, Callable[[int, int], Array]] | None:
    """What is fitted to a series up to ``first``, in words, and the forecasts of it from an origin; None: it is too short.

    A multiplied season is of positive values. Where one is not, the best form without it forecasts from there on.
    """
    chosen = fit_ets(values[:first], season)
    if chosen is None:
        return None
    others = np.flatnonzero(values <= 0)
    if chosen.seasonal != "mul" or not len(others):
        return chosen.form, filter_ets(values, chosen).forecast
    end = int(others[0])
    before = filter_ets(values[:end], chosen)
    added = fit_ets(values[:first], season, multiplied=False)
    after = None if added is None else filter_ets(values, added)

    def forecast(at: int, horizon: int) -> Array:
        if at <= end:
            return before.forecast(at, horizon)
        return np.full(horizon, np.nan) if after is None else after.forecast(at, horizon)

    behind = "nothing" if added is None else added.form
    return f"{chosen.form} as long as values are positive, then {behind}", forecast


def fit_ets(train: Array, season: int, multiplied: bool = True) -> Ets | None:
    """The form of the lowest AICc; None where the part is too short for any.

    Args:
        train: the training part.
        season: in steps, 1 for none.
        multiplied: whether a season may be multiplied, if all of the part is positive.
    """
    seasonals: list[str | None] = [None]
    if season > 1 and len(train) >= max(3 * season, 12):
        seasonals += ["add", "mul"] if multiplied and (train > 0).all() else ["add"]
    if len(train) < 12:
        return None
    forms = itertools.product((None, "add", "damped"), seasonals)
    fitted = [f for f in (_fit(train, trend, seasonal, season) for trend, seasonal in forms) if f is not None]
    return min(fitted, key=lambda f: f.criterion, default=None)


def filter_ets(values: Array, ets: Ets) -> States:
    """The states along a whole series, the parameters as they were fitted."""
    with _quiet():
        result = _model(values, ets.trend, ets.seasonal, ets.season, ets.start).smooth(ets.parameters)
    nothing = np.zeros(len(values))
    return States(
        ets,
        np.asarray(result.level),
        np.asarray(result.slope) if ets.trend else nothing,
        np.asarray(result.season) if ets.seasonal else nothing,
    )


def _fit(train: Array, trend: str | None, seasonal: str | None, season: int) -> Ets | None:
    """One form, fitted; None where it does not come to numbers.

    The states it starts from are estimated too; with a season there are many, and a heuristic sets them (Hyndman et al. 2008,
    2.6.1). The criterion counts them in either case, and there have to be more steps than it counts.
    """
    start: dict[str, Any] = {"initialization_method": "heuristic" if seasonal else "estimated"}
    with _quiet():  # of steps of the search that lead nowhere
        try:
            model = _model(train, trend, seasonal, season, start)
            result = model.fit(disp=False)
        except (ValueError, np.linalg.LinAlgError, FloatingPointError):
            return None
    values = dict(zip(model.param_names, np.asarray(result.params).tolist(), strict=True))
    smoothing = [value for name, value in values.items() if not name.startswith("initial")]
    start = {"initialization_method": "known", "initial_level": values.get("initial_level", model.initial_level)}
    start |= {"initial_trend": values.get("initial_trend", model.initial_trend)} if trend else {}
    start |= {"initial_seasonal": model.initial_seasonal} if seasonal else {}
    states = 1 + (trend is not None) + (season if seasonal else 0)
    estimated = len(smoothing) + states + 1
    left = len(train) - estimated - 1
    if left < 1:
        return None
    criterion = -2 * float(result.llf) + 2 * estimated * len(train) / left
    if not np.isfinite([criterion, *smoothing]).all():
        return None
    return Ets(trend, seasonal, season, np.array(smoothing), start, criterion)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without statsmodels' warnings, which its import turns on: so that comes first."""
    import statsmodels.tools.sm_exceptions  # noqa: F401

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _model(values: Array, trend: str | None, seasonal: str | None, season: int, start: dict[str, Any]) -> Any:
    from statsmodels.tsa.exponential_smoothing.ets import ETSModel

    return ETSModel(
        values,
        error="add",
        trend=trend and "add",
        damped_trend=trend == "damped",
        seasonal=seasonal,
        seasonal_periods=season if seasonal else None,
        **start,
    )
