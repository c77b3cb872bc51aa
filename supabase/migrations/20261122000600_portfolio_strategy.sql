-- A portfolio may only follow a strategy that its owner can read: a foreign key alone looks past
-- row security and would tell which ids exist.
drop policy insert_own on public.portfolios;
create policy insert_own on public.portfolios for insert to authenticated
    with check (user_id = (select auth.uid())
                and (strategy_id is null
                     or exists (select 1 from public.strategies as s
                                where s.strategy_id = portfolios.strategy_id)));
drop policy update_own on public.portfolios;
create policy update_own on public.portfolios for update to authenticated
    using (user_id = (select auth.uid()))
    with check (user_id = (select auth.uid())
                and (strategy_id is null
                     or exists (select 1 from public.strategies as s
                                where s.strategy_id = portfolios.strategy_id)));
