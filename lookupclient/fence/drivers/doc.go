// Package drivers checks what package fence ships for databases, in real ones: SQLite, and a PostgreSQL and a Redis that the tests
// start, in a directory and on sockets of their own. It has no code.
package drivers
