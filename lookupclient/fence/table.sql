-- The tokens that resources have seen. Rows are never deleted: a resource that forgets accepts any token.
CREATE TABLE IF NOT EXISTS berth_fence (resource TEXT PRIMARY KEY, epoch BIGINT NOT NULL)
