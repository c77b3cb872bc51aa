-- The platform's own strategies, readable by every user; users add theirs as rows.
-- Safe to run again: a strategy that is there stays as it is.
insert into public.strategies (slug, name, spec) values
    ('min-variance', 'Minimum variance',
     '{"version": 1, "model": "Classic", "rm": "MV", "obj": "MinRisk", "lookback": 252,
       "bounds": {"upper": 0.35}, "cash_cap": 0.2}'),
    ('max-sharpe', 'Maximum Sharpe ratio',
     '{"version": 1, "model": "Classic", "rm": "MV", "obj": "Sharpe", "lookback": 252,
       "bounds": {"upper": 0.35}, "cash_cap": 0.2}'),
    ('min-cvar', 'Minimum conditional value at risk (95 %)',
     '{"version": 1, "model": "Classic", "rm": "CVaR", "obj": "MinRisk", "lookback": 252,
       "bounds": {"upper": 0.35}, "cash_cap": 0.2}'),
    ('risk-parity', 'Risk parity',
     '{"version": 1, "model": "RP", "rm": "MV", "lookback": 252}'),
    ('hrp', 'Hierarchical risk parity',
     '{"version": 1, "model": "HRP", "rm": "MV", "lookback": 252}'),
    ('equal-weight', 'Equal weight',
     '{"version": 1, "model": "equal_weight", "lookback": 30}')
on conflict (user_id, slug) do nothing;
