-- The same walk, by the indexes of what it walks: ids are cast to what the keys are, never the keys
-- to text, so its cost grows with the lineage and not with the tables.
create or replace function public.lineage(of_version uuid)
returns table (depth integer, parent text, kind text, id text, sha256 text, detail jsonb)
language sql stable security definer set search_path = '' as $$
    with recursive walk (depth, parent, kind, id, sha256, detail, path) as (
        select 0, null::text, 'version'::text, v.version::text, v.content_hash,
               jsonb_build_object('kind', v.kind, 'subject', v.subject, 'as_of', v.as_of,
                                  'code_version', v.code_version, 'run_id', v.run_id),
               array['version:' || v.version::text]
        from public.versions as v
        where v.version = of_version
          and ((select auth.role()) = 'service_role' or session_user in ('postgres', 'supabase_admin')
               or v.user_id is null or v.user_id = (select auth.uid()))
        union all
        select w.depth + 1, w.id, c.kind, c.id, c.sha256, c.detail, w.path || (c.kind || ':' || c.id)
        from walk as w
        cross join lateral (
            -- what a version was computed from
            select i.item ->> 'kind' as kind, i.item ->> 'id' as id,
                   coalesce(i.item ->> 'sha256', n.content_hash) as sha256,
                   case when i.item ->> 'kind' = 'version' then n.detail
                        else i.item - 'kind' - 'id' - 'sha256' end as detail
            from public.versions as v
            cross join lateral jsonb_array_elements(v.inputs) as i (item)
            left join lateral (
                select m.content_hash,
                       jsonb_build_object('kind', m.kind, 'subject', m.subject, 'as_of', m.as_of,
                                          'code_version', m.code_version, 'run_id', m.run_id) as detail
                from public.versions as m
                where m.version = case when i.item ->> 'kind' = 'version'
                                       then (i.item ->> 'id')::uuid end
                limit 1
            ) as n on true
            where v.version = case when w.kind = 'version' then w.id::uuid end
            union all
            -- which accounts a fact was decoded from
            select 'account', a.snapshot_id::text, s.sha256,
                   jsonb_build_object('slot', s.slot, 'pubkey', s.pubkey, 'owner', s.owner)
            from (
                select p.snapshot_id from public.token_prices as p
                where p.price_id = case when w.kind = 'price' then w.id::bigint end
                union all
                select unnest(p.account_ids) from public.pool_states as p
                where p.pool_state_id = case when w.kind = 'pool' then w.id::bigint end
                union all
                select p.snapshot_id from public.lending_reserves as p
                where p.reserve_id = case when w.kind = 'reserve' then w.id::bigint end
                union all
                select p.snapshot_id from public.stake_pool_rates as p
                where p.rate_id = case when w.kind = 'stake' then w.id::bigint end
                union all
                select p.snapshot_id from public.wallet_holdings as p
                where p.holding_id = case when w.kind = 'holding' then w.id::bigint end
            ) as a
            cross join lateral (
                select t.slot, t.pubkey, t.owner, t.sha256 from chain.account_snapshots as t
                where t.snapshot_id = a.snapshot_id limit 1
            ) as s
        ) as c
        where w.depth < 12 and c.kind || ':' || c.id <> all (w.path)
    )
    select distinct w.depth, w.parent, w.kind, w.id,
           coalesce(w.sha256, b.sha256, s.sha256),
           case w.kind
               when 'batch' then jsonb_build_object('source', b.source, 'locator', b.locator, 'rows', b.n_rows)
               when 'account' then coalesce(w.detail, '{}'::jsonb)
                    || jsonb_build_object('slot', s.slot, 'pubkey', s.pubkey, 'owner', s.owner,
                                          'observed_at', s.observed_at)
               else w.detail end
    from walk as w
    left join lateral (
        select t.source, t.locator, t.n_rows, t.sha256 from public.source_batches as t
        where t.batch_id = case when w.kind = 'batch' then w.id::uuid end limit 1
    ) as b on true
    left join lateral (
        select t.slot, t.pubkey, t.owner, t.observed_at, t.sha256 from chain.account_snapshots as t
        where t.snapshot_id = case when w.kind = 'account' then w.id::bigint end limit 1
    ) as s on true
    order by 1, 3, 4
$$;
