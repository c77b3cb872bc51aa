-- Which history service a series was filled from: two services are never one series.
create index source_batches_series on public.source_batches ((report ->> 'series'))
    where source = 'udf';
