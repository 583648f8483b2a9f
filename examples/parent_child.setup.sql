-- What parent_child.df writes to. `pgweave run` executes this file before it starts the workflow.
CREATE TABLE IF NOT EXISTS audit_log (payload jsonb NOT NULL);
