-- The platform's own strategies (examples/strategies), readable by every user; users
-- add theirs as rows. From `portfolio-platform schemas --write`; safe to run again.
insert into public.strategies (slug, name, spec) values
    ('core-and-satellite', 'Core and satellite',
     '{"version": 1, "description": "Two thirds hierarchical risk parity, one third maximum Sharpe.", "lookback": 180, "model": "ensemble", "members": [{"name": "core", "weight": 2, "spec": {"lookback": 180, "universe": {"min_history": 90}, "model": "HRP"}}, {"name": "satellite", "weight": 1, "spec": {"lookback": 180, "universe": {"min_history": 90}, "obj": "Sharpe", "bounds": {"upper": 0.4}, "fallback": ["min_variance"]}}]}'),
    ('equal-weight', 'Equal weight',
     '{"version": 1, "description": "The benchmark that is hard to beat.", "lookback": 180, "universe": {"min_history": 90}, "model": "equal_weight"}'),
    ('herc', 'Hierarchical equal risk contribution',
     '{"version": 1, "description": "Risk split equally between clusters of tokens.", "lookback": 180, "universe": {"min_history": 90}, "model": "HERC"}'),
    ('hrp', 'Hierarchical risk parity',
     '{"version": 1, "description": "Recursive bisection of the correlation tree.", "lookback": 180, "universe": {"min_history": 90}, "model": "HRP"}'),
    ('inverse-volatility', 'Inverse volatility',
     '{"version": 1, "description": "Weights proportional to one over volatility.", "lookback": 180, "universe": {"min_history": 90}, "model": "inverse_volatility"}'),
    ('low-turnover', 'Minimum variance with little trading',
     '{"version": 1, "description": "Moves at most a fifth of the portfolio at a decision.", "lookback": 180, "universe": {"min_history": 90}, "turnover": 0.2, "bounds": {"upper": 0.5}, "fallback": ["previous", "min_variance"]}'),
    ('max-sharpe', 'Maximum Sharpe ratio',
     '{"version": 1, "description": "Best expected excess return per unit of volatility; minimum variance when every mean is negative.", "lookback": 180, "universe": {"min_history": 90}, "obj": "Sharpe", "bounds": {"upper": 0.4}, "mean": {"method": "JS"}, "fallback": ["min_variance"]}'),
    ('min-cdar', 'Minimum conditional drawdown',
     '{"version": 1, "description": "Least average of the worst 5 % of drawdowns.", "lookback": 180, "universe": {"min_history": 90}, "rm": "CDaR", "bounds": {"upper": 0.4}}'),
    ('min-cvar', 'Minimum CVaR 95 %',
     '{"version": 1, "description": "Least average loss on the worst 5 % of days.", "lookback": 180, "universe": {"min_history": 90}, "rm": "CVaR", "bounds": {"upper": 0.4}}'),
    ('min-variance', 'Minimum variance',
     '{"version": 1, "description": "Least variance, long only, no token above 40 %.", "lookback": 180, "universe": {"min_history": 90}, "bounds": {"upper": 0.4}}'),
    ('risk-parity', 'Risk parity',
     '{"version": 1, "description": "Every token contributes the same share of variance; a fifth in stablecoins.", "lookback": 180, "universe": {"min_history": 90}, "model": "RP", "budget": 0.8}'),
    ('yield-aware-sharpe', 'Sharpe ratio with on-chain yields',
     '{"version": 1, "description": "Lending and staking yields count as expected return; memes are held to a tenth.", "lookback": 180, "universe": {"min_history": 90}, "obj": "Sharpe", "mean": {"method": "BS", "yields": true}, "groups": [{"group": "meme", "upper": 0.1}], "bounds": {"upper": 0.5}, "fallback": ["min_variance"]}')
on conflict (user_id, slug) do nothing;
