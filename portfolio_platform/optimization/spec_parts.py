"""The parts of a strategy spec, each one subject."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from portfolio_platform.optimization.names import (
    Codependence,
    CovarianceMethod,
    Linkage,
    MeanMethod,
    OwaMeasure,
)

Mint = Annotated[str, Field(min_length=1, max_length=128)]
Share = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]


class Part(BaseModel):
    """A frozen part of the spec that refuses what it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class UniverseRule(Part):
    """Which assets of the panel may be held at a time, judged on data known by then."""

    assets: tuple[Mint, ...] | None = Field(None, description="Allow list; null means every asset.")
    exclude: tuple[Mint, ...] = ()
    groups: tuple[str, ...] | None = Field(None, description="Keep only assets of these groups.")
    min_history: int | None = Field(
        None,
        ge=2,
        description="Returns an asset needs inside the lookback; null means all of them.",
    )
    max_missing: Share = Field(
        0.05, description="Largest share of missing bars between an asset's first and last price."
    )
    max_stale: int = Field(
        0, ge=0, description="Bars by which the last price may be older than the decision."
    )
    missing: Literal["forward_fill", "drop_asset"] = "forward_fill"
    overlap: Literal["common", "pairwise"] = Field(
        "common",
        description="Unequal histories: cut to the common window, or estimate pair by pair.",
    )
    duplicates: Literal["keep_first", "keep"] = Field(
        "keep_first", description="Assets with identical returns: keep the first by id, or all."
    )


class MeanEstimator(Part):
    """Expected return per bar, in riskfolio's names (``mean_vector``)."""

    method: MeanMethod = "hist"
    decay: float = Field(0.94, gt=0.0, lt=1.0, description="Smoothing of ewma1 and ewma2.")
    target: Literal["b1", "b2", "b3"] = Field("b1", description="Shrinkage target of JS, BS, BOP.")
    yields: bool = Field(
        False, description="Add the lending or staking yield known then to the tokens that earn it."
    )


class CovarianceEstimator(Part):
    """Covariance per bar, in riskfolio's names (``covar_matrix``).

    ``auto`` is ``hist`` while the window holds three returns per asset, else ``ledoit``; the
    solution says which one was taken.
    """

    method: CovarianceMethod = "auto"
    decay: float = Field(0.94, gt=0.0, lt=1.0)
    alpha: Share = Field(0.1, description="Shrinkage of shrunk and shrink.")
    bandwidth: float = Field(0.01, gt=0.0, description="Kernel bandwidth of the denoising methods.")
    detone: bool = False
    market_components: int = Field(1, ge=1)
    threshold: Share = Field(0.5, description="Threshold of the Gerber statistics.")


class AssetBound(Part):
    """Bounds of one asset's weight."""

    lower: FiniteFloat | None = Field(None, ge=-1.0, le=1.0)
    upper: FiniteFloat | None = Field(None, ge=-1.0, le=1.0)


class Bounds(Part):
    """Bounds of every weight, and exceptions by mint. Long only unless ``lower`` is negative."""

    lower: FiniteFloat = Field(0.0, ge=-1.0, le=1.0)
    upper: FiniteFloat = Field(1.0, ge=0.0, le=1.0)
    assets: dict[Mint, AssetBound] = Field(default_factory=dict)


class GroupBound(Part):
    """Bounds of the sum of weights of one group of the panel."""

    group: str
    lower: FiniteFloat = Field(0.0, ge=-1.0, le=1.0)
    upper: FiniteFloat = Field(1.0, ge=-1.0, le=1.0)


class LinearConstraint(Part):
    """``lower <= Σ coefficient·weight <= upper``; a mint that is not held counts as weight 0."""

    name: str
    coefficients: dict[Mint, FiniteFloat] = Field(min_length=1)
    lower: FiniteFloat | None = None
    upper: FiniteFloat | None = None


class View(Part):
    """``Σ weight·return = annual_return``: absolute with one mint, relative with opposite signs."""

    weights: dict[Mint, FiniteFloat] = Field(min_length=1)
    annual_return: FiniteFloat


class BlackLitterman(Part):
    """Prior of the Black-Litterman models (riskfolio ``blacklitterman_stats``)."""

    equilibrium: bool = Field(True, description="Equilibrium excess returns, else historical ones.")
    risk_aversion: float | None = Field(
        None, gt=0.0, description="Null: implied by the prior weights, as in riskfolio."
    )
    prior: dict[Mint, FiniteFloat] | None = Field(
        None, description="Prior weights; null means equal weights."
    )
    posterior_covariance: bool = False


class FactorModel(Part):
    """Factor returns are the returns of these assets of the panel; they are not held themselves
    unless the universe names them too."""

    assets: tuple[Mint, ...] = Field(min_length=1)
    selection: Literal["stepwise", "PCR"] = "stepwise"
    components: float = Field(0.95, gt=0.0)
    historical_risk: bool = Field(
        True, description="Historical covariance and scenarios, else those of the factor model."
    )
    views: tuple[View, ...] = Field((), description="Views on factors, for BLB.")


class Hierarchy(Part):
    """Clustering of HRP, HERC, HERC2 and NCO."""

    codependence: Codependence = "pearson"
    linkage: Linkage = "single"
    leaf_order: bool = True
    clusters: int | None = Field(None, ge=1)
    max_clusters: int = Field(10, ge=2)
    selection: Literal["twodiff", "stdsil"] = "twodiff"


class WorstCase(Part):
    """Uncertainty sets of the worst-case model (riskfolio ``wc_stats``)."""

    mean_set: Literal["box", "ellip"] | None = "box"
    covariance_set: Literal["box", "ellip"] | None = "box"
    box: Literal["s", "c", "m", "n", "d"] = "d"
    ellipse: Literal["s", "c", "m", "n"] = "n"
    significance: float = Field(0.05, gt=0.0, lt=1.0)
    simulations: int = Field(1000, ge=100, le=100_000)
    delta_mean: float = Field(0.1, ge=0.0)
    delta_covariance: float = Field(0.1, ge=0.0)
    seed: int = 0


class RelaxedRiskParity(Part):
    """Version and penalty of relaxed risk parity (Gambeta and Kwon)."""

    version: Literal["A", "B", "C"] = "A"
    penalty: float = Field(1.0, gt=0.0)


class OwaWeights(Part):
    """The ordered weights that define the measure of the OWA model."""

    measure: OwaMeasure = "l_moment_crm"
    order: int = Field(4, ge=2, le=10)
    method: Literal["CRRA", "ME", "MSS", "MSD"] = "MSD"


class Tail(Part):
    """Parameters of the tail and moment measures, in riskfolio's names."""

    alpha: float = Field(0.05, gt=0.0, lt=1.0)
    beta: float | None = Field(None, gt=0.0, lt=1.0)
    a_sim: int = Field(100, ge=1)
    b_sim: int | None = Field(None, ge=1)
    kappa: float = Field(0.30, gt=0.0, lt=1.0)
    kappa_g: float | None = Field(None, gt=0.0, lt=1.0)
    p_em: int = Field(2, ge=2)
    p_esm: int = Field(2, ge=2)
