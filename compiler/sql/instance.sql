-- ${heading}
-- One transaction: committed, the workflow will run; rolled back, it never existed. Each run of this script starts an
-- instance of its own, whose id the first statement shows. For a database prepared with `pgweave db install`.
BEGIN;
${encoding}${variables}WITH started AS (
    INSERT INTO df.instances (label, root_node, database, variables)
    SELECT ${label}, ${root}, ${database}, coalesce(jsonb_object_agg(v.name, v.value), '{}')
    FROM df.vars AS v
    WHERE v.owner = quote_ident(current_user)::regrole AND v.value IS NOT NULL
    RETURNING id
)
SELECT set_config('pgweave.started', started.id, true) AS instance_id FROM started;
INSERT INTO df.nodes (instance_id, database, id, ordinal, node_type, query, result_name, left_node, right_node)
SELECT current_setting('pgweave.started'), ${database}, node.*
FROM (VALUES
${rows}
) AS node (id, ordinal, node_type, query, result_name, left_node, right_node);
COMMIT;
