pragma journal_mode = off; pragma synchronous = off;
create table t (id integer primary key, k integer, s text);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 1500000)
    insert into t select i, (i * 7919) % 100003, printf('%08x-%d', i * 2654435761 % 4294967296, i) from n;
create index t_k on t (k);
create index t_s on t (s);
select count(*), sum(length(a.s)) from t a join t b on a.k = b.id where a.s like '%7f%';
select k % 100 g, count(*), max(s), group_concat(substr(s, 1, 2)) from t group by g order by 2 desc limit 5;
select count(distinct substr(upper(s), 3, 4)) from t;
