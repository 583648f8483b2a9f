-- ${heading}
-- One transaction: committed, the workflow will run; rolled back, it never existed. It shows the id of the instance.
BEGIN;
${encoding}${variables}${start}
COMMIT;
