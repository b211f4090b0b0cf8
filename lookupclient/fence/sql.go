package fence

import (
	"context"
	"database/sql"
	_ "embed"
	"fmt"
	"math"

	"github.com/seed13d31b7f/berth/placement"
)

// TableSQL makes the table that FenceSQL needs, unless it is there.
//
//go:embed table.sql
var TableSQL string

// FenceSQL shows a token at a resource. Its text says how it is used; SQL runs it.
//
//go:embed fence.sql
var FenceSQL string

// Execer is the part of *sql.Tx that SQL uses. A *sql.DB has it too, and protects nothing: the effect has to be in the
// transaction.
type Execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// TokenMaxSQL is the largest token that a BIGINT holds. A cluster that was restored less than 32,768 times makes no larger one.
const TokenMaxSQL = placement.Epoch(math.MaxInt64)

// SQL shows a token at a resource within a transaction, before its effect. It fails with a *StaleError, which does not tell the
// newest token, with ErrNoToken, when the token is larger than TokenMaxSQL, and with the errors of the database: roll the
// transaction back then.
//
// Until the transaction ends others who show a token at the resource wait. A process that is stopped in it makes them wait:
// have the database end such transactions (PostgreSQL: idle_in_transaction_session_timeout).
func SQL(ctx context.Context, tx Execer, resource string, token placement.Epoch) error {
	if token == 0 {
		return ErrNoToken
	}
	if token > TokenMaxSQL {
		return fmt.Errorf("fence %.80q: token %d is larger than a BIGINT", resource, token)
	}
	result, err := tx.ExecContext(ctx, FenceSQL, resource, int64(token))
	if err != nil {
		return fmt.Errorf("fence %.80q: %w", resource, err)
	}
	n, err := result.RowsAffected()
	if err != nil {
		return fmt.Errorf("fence %.80q: %w", resource, err)
	}
	if n == 0 {
		return &StaleError{Resource: resource, Token: token}
	}
	return nil
}
