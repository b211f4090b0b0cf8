// Package fence has resources refuse those who held a lock, or ran an activation, before: the check of a fencing token, as
// code for where the resource is.
//
// A lock alone protects nothing from a process that is stopped right before it writes, and goes on when another one has the
// lock. Each lock has a token, and each activation an epoch, that is larger than all before. When a resource has seen a token it
// refuses smaller ones, in the same step as the effect; then the writer that comes late is refused, whatever clocks,
// pauses and networks did. An equal token is the same holder's, who may write as often as it likes.
//
// For what a program itself holds there is [Guard], and [Guards] for many:
//
//	var g fence.Guard
//	err := g.Do(lock.Token, func() error { return file.Append(line) }) // a *fence.StaleError, or what the function returned
//
// For an SQL database that has ON CONFLICT (PostgreSQL, SQLite) there are [TableSQL] and [SQL], within the transaction:
//
//	tx, err := db.BeginTx(ctx, nil)
//	if err := fence.SQL(ctx, tx, "report", lock.Token); err != nil {
//		return errors.Join(err, tx.Rollback())
//	}
//	_, err = tx.ExecContext(ctx, "UPDATE report SET body = $1", body)
//	err = tx.Commit()
//
// A table with a column for the token needs no other one: UPDATE t SET body = $1, epoch = $2 WHERE id = $3 AND epoch <= $2, which
// must change a row.
//
// For Redis there is [Redis], which runs a script of yours behind the check. A Redis that evicts the key of the token, or loses
// it in a failover, accepts any token until it has seen a new one.
//
// The package imports no driver. Its texts ([FenceSQL], [TableSQL], [FenceLua]) can be used from any language.
package fence
