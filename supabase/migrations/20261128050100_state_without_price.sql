-- A portfolio of which a price is missing has no value: null, which is not the same as nothing.
alter table public.portfolio_states alter column nav drop not null;
