package main

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net/http"
	"strings"
)

// exchange stands for a host outside that sends no traces.
func exchange(w http.ResponseWriter, req *http.Request) {
	pause(30)
	if req.URL.Path == "/down" {
		http.Error(w, "maintenance", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	io.WriteString(w, `{"EUR":0.0874}`)
}

// table stands for DynamoDB: GetItem finds something in every table but one,
// whose capacity is used up.
func table(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(io.LimitReader(req.Body, 1<<20))
	if err != nil {
		return
	}
	pause(5)
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.Header().Set("x-amzn-RequestId", "DEMO4KDQ3V6M5T0C2R7YH8JQNXVV4KQNSO5AEMVJF66Q9ASUAAJG")
	if strings.Contains(string(body), `"reservations-throttled"`) {
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, `{"__type":"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException","message":"The reservations table has no read capacity left."}`)
		return
	}
	io.WriteString(w, `{"Item":{"article":{"S":"any"},"reserved":{"N":"3"}}}`)
}

// The database. It knows the SDK's question for its version and one count; it
// is registered as "postgres" because the SDK tells databases apart by the name
// of their driver.

func init() { sql.Register("postgres", fakeDriver{}) }

type fakeDriver struct{}

// Version is what the SDK shows as the driver's version.
func (fakeDriver) Version() string { return "demo-1.0" }

func (fakeDriver) Open(string) (driver.Conn, error) { return fakeConn{}, nil }

// failQuery in a context makes a query fail.
type failQuery struct{}

var errGone = errors.New("server closed the connection unexpectedly")

type fakeConn struct{}

func (fakeConn) Prepare(query string) (driver.Stmt, error) { return fakeStmt(query), nil }
func (fakeConn) Close() error                              { return nil }
func (fakeConn) Begin() (driver.Tx, error)                 { return nil, errors.New("no transactions here") }

func (c fakeConn) QueryContext(ctx context.Context, query string, _ []driver.NamedValue) (driver.Rows, error) {
	pause(3)
	if ctx.Value(failQuery{}) != nil {
		return nil, errGone
	}
	return fakeStmt(query).Query(nil)
}

type fakeStmt string

func (fakeStmt) Close() error  { return nil }
func (fakeStmt) NumInput() int { return -1 }
func (fakeStmt) Exec([]driver.Value) (driver.Result, error) {
	return nil, errors.New("nothing can be changed here")
}

func (s fakeStmt) Query([]driver.Value) (driver.Rows, error) {
	if strings.Contains(string(s), "version()") {
		return &fakeRows{columns: []string{"version", "current_user", "current_database"},
			row: []driver.Value{"PostgreSQL 17.6 (demo)", "inventory", "stock"}}, nil
	}
	return &fakeRows{columns: []string{"sum"}, row: []driver.Value{int64(42)}}, nil
}

type fakeRows struct {
	columns []string
	row     []driver.Value // nil when it was read
}

func (r *fakeRows) Columns() []string { return r.columns }
func (r *fakeRows) Close() error      { return nil }
func (r *fakeRows) Next(dest []driver.Value) error {
	if r.row == nil {
		return io.EOF
	}
	copy(dest, r.row)
	r.row = nil
	return nil
}
