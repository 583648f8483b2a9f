-- The operators. All binary ones share one precedence and group from the left; @> takes the next operand only.
-- Created without a schema name, in the schema that the installer names. All else is made with nothing but pg_catalog
-- on the search_path: what somebody has put into other schemas must not become part of it.

select set_config('search_path', current_setting('pgweave.operator_schema'), true);

create operator ~> (leftarg = text, rightarg = text, function = df.seq);
create operator |=> (leftarg = text, rightarg = text, function = df.as_op);
create operator & (leftarg = text, rightarg = text, function = df."join");
create operator | (leftarg = text, rightarg = text, function = df.race);
create operator ?> (leftarg = text, rightarg = text, function = df.if_then_op);
create operator !> (leftarg = text, rightarg = text, function = df.if_else_op);
create operator @> (rightarg = text, function = df.loop_prefix_op);
comment on operator ~> (text, text) is 'a ~> b: first a, then b.';
comment on operator |=> (text, text) is 'step |=> name: later steps read the result as $name.';
comment on operator & (text, text) is 'a & b: both side by side; waits for both.';
comment on operator | (text, text) is 'a | b: both side by side; the first to finish wins.';
comment on operator ?> (text, text) is 'condition ?> then !> else: the first half of an if.';
comment on operator !> (text, text) is 'condition ?> then !> else: the second half of an if.';
comment on operator @> (none, text) is '@> body: an endless loop, until a df.break.';
set local search_path to pg_catalog, pg_temp;
