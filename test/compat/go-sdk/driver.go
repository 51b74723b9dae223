package main

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"strings"
)

func init() { sql.Register("pretend", pretendDriver{}) }

// pretendDriver is a database driver without a database: every query gives one
// row with one column, and statements on the table "locked" fail.
type pretendDriver struct{}

func (pretendDriver) Open(string) (driver.Conn, error) { return pretendConn{}, nil }

type pretendConn struct{}

var errLocked = errors.New("table is locked")

func (pretendConn) Prepare(query string) (driver.Stmt, error) { return pretendStmt{query}, nil }
func (pretendConn) Close() error                              { return nil }
func (pretendConn) Begin() (driver.Tx, error)                 { return nil, errors.New("no transactions") }

func (pretendConn) QueryContext(_ context.Context, query string, _ []driver.NamedValue) (driver.Rows, error) {
	return pretendStmt{query}.Query(nil)
}

func (pretendConn) ExecContext(_ context.Context, query string, _ []driver.NamedValue) (driver.Result, error) {
	return pretendStmt{query}.Exec(nil)
}

type pretendStmt struct{ query string }

func (s pretendStmt) Close() error  { return nil }
func (s pretendStmt) NumInput() int { return -1 }

func (s pretendStmt) Exec([]driver.Value) (driver.Result, error) {
	if strings.Contains(s.query, "locked") {
		return nil, errLocked
	}
	return driver.RowsAffected(1), nil
}

func (s pretendStmt) Query([]driver.Value) (driver.Rows, error) { return &pretendRows{left: 1}, nil }

type pretendRows struct{ left int }

func (r *pretendRows) Columns() []string { return []string{"n"} }
func (r *pretendRows) Close() error      { return nil }

func (r *pretendRows) Next(dest []driver.Value) error {
	if r.left == 0 {
		return io.EOF
	}
	r.left--
	dest[0] = int64(7)
	return nil
}
