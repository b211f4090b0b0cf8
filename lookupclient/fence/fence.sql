-- Shows a token at a resource: it changes one row when the token is as large as every one before, and none otherwise.
-- $1 is the name of the resource, $2 the token. Run it first in the transaction that has the effect, and roll back when
-- it changed no row. The row stays locked until the transaction ends, so nothing comes between.
INSERT INTO berth_fence (resource, epoch) VALUES ($1, $2)
ON CONFLICT (resource) DO UPDATE SET epoch = excluded.epoch WHERE berth_fence.epoch <= excluded.epoch
