-- A strategy or a setting can be changed and changed back: what it led to then is news again, although
-- its content is that of an older version. Only a repetition of the newest version is none.
alter table public.versions drop constraint versions_kind_subject_content_hash_key;
