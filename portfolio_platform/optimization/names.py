"""The vocabulary of riskfolio-lib 7.4: models, risk measures, objectives, estimators.

The names are riskfolio's own, so that a spec reads like a riskfolio call. A name that riskfolio
does not know is refused before any call: its string switches otherwise die with an unbound local.
"""

from typing import Literal, get_args

Model = Literal[
    "Classic",
    "BL",
    "BLB",
    "FM",
    "WC",
    "OWA",
    "RP",
    "RRP",
    "HRP",
    "HERC",
    "HERC2",
    "NCO",
    "equal_weight",
    "inverse_volatility",
    "ensemble",
]

RiskMeasure = Literal[
    "MV",
    "KT",
    "EM",
    "MAD",
    "GMD",
    "MSV",
    "SKT",
    "ESM",
    "FLPM",
    "SLPM",
    "CVaR",
    "TG",
    "EVaR",
    "RLVaR",
    "WR",
    "RG",
    "CVRG",
    "TGRG",
    "EVRG",
    "RVRG",
    "MDD",
    "ADD",
    "CDaR",
    "EDaR",
    "RLDaR",
    "UCI",
    "equal",
    "vol",
    "VaR",
    "VRG",
    "DaR",
    "MDD_Rel",
    "ADD_Rel",
    "DaR_Rel",
    "CDaR_Rel",
    "EDaR_Rel",
    "RLDaR_Rel",
    "UCI_Rel",
]

Objective = Literal["MinRisk", "Sharpe", "Utility", "MaxRet", "ERC"]
MeanMethod = Literal["hist", "ewma1", "ewma2", "JS", "BS", "BOP"]
CovarianceMethod = Literal[
    "auto",
    "hist",
    "semi",
    "ewma1",
    "ewma2",
    "ledoit",
    "oas",
    "shrunk",
    "gl",
    "jlogo",
    "fixed",
    "spectral",
    "shrink",
    "gerber1",
    "gerber2",
]
Codependence = Literal[
    "pearson",
    "spearman",
    "kendall",
    "gerber1",
    "gerber2",
    "abs_pearson",
    "abs_spearman",
    "abs_kendall",
    "distance",
    "mutual_info",
    "tail",
]
Linkage = Literal["single", "complete", "average", "weighted", "centroid", "median", "ward", "DBHT"]
OwaMeasure = Literal["gmd", "cvar", "tg", "wr", "rg", "cvrg", "tgrg", "l_moment", "l_moment_crm"]
BarInterval = Literal["1m", "5m", "15m", "1h", "4h", "1d", "1w"]

#: Convex measures of ``Portfolio.optimization``.
CONVEX_MEASURES: frozenset[str] = frozenset(get_args(RiskMeasure)[:26])
#: Measures of ``Portfolio.rp_optimization``: those whose minimum under the log barrier is bounded.
RISK_PARITY_MEASURES: frozenset[str] = CONVEX_MEASURES - {"WR", "RG", "MDD", "ADD"}
#: Measures of ``HCPortfolio.optimization`` for HRP, HERC and HERC2.
HIERARCHICAL_MEASURES: frozenset[str] = frozenset(get_args(RiskMeasure))
#: Measures that only need the mean and the covariance.
MOMENT_MEASURES: frozenset[str] = frozenset({"MV", "vol", "equal"})

#: Models that solve a convex programme and therefore honour bounds, groups and linear rows.
PROGRAMME_MODELS: frozenset[str] = frozenset({"Classic", "BL", "BLB", "FM", "WC", "OWA"})
#: Those of them that take turnover, costs, short positions and a choice of assets as well.
CHOOSING_MODELS: frozenset[str] = frozenset({"Classic", "BL", "BLB", "FM"})
#: Models that cut a dendrogram.
HIERARCHICAL_MODELS: frozenset[str] = frozenset({"HRP", "HERC", "HERC2", "NCO"})
#: Models whose answer is a rule of risk, without expected returns and without constraints.
RULE_MODELS: frozenset[str] = frozenset({"RP", "RRP", "equal_weight", "inverse_volatility"})

#: Bars per year of a market that never closes.
BARS_PER_YEAR: dict[str, float] = {
    "1m": 365.0 * 24 * 60,
    "5m": 365.0 * 24 * 12,
    "15m": 365.0 * 24 * 4,
    "1h": 365.0 * 24,
    "4h": 365.0 * 6,
    "1d": 365.0,
    "1w": 365.0 / 7,
}
