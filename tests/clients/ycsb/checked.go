package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/pingcap/go-ycsb/pkg/ycsb"
	tikverr "github.com/tikv/client-go/v2/error"
)

// The attempts at one write before its conflicts with others are a failure. Of transactions that
// conflict one is committed, so that some write gets on with each attempt.
const maxAttempts = 1000

// checkedDB passes every call to a driver and counts what comes back: go-ycsb itself goes on after
// an error, and takes a missing record for a read one. A write that conflicts with another
// transaction is made again, as its user would. All methods may be called concurrently.
type checkedDB struct {
	ycsb.DB

	mu        sync.Mutex
	calls     int // Reads, scans, updates and inserts since reset.
	conflicts int // Writes that were made again.
	failures  []string
	failed    int
	keys      map[string]bool // Keys whose insert was acknowledged, since the beginning.
}

func newCheckedDB(driver ycsb.DB) *checkedDB {
	return &checkedDB{DB: driver, keys: map[string]bool{}}
}

func (db *checkedDB) reset() {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.calls, db.conflicts, db.failed, db.failures = 0, 0, 0, nil
}

// problems is empty when nothing failed and at least `operations` calls were made: a
// read-modify-write makes two.
func (db *checkedDB) problems(operations int) string {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.failed > 0 {
		return fmt.Sprintf("%d of %d calls failed:\n    %s", db.failed, db.calls,
			strings.Join(db.failures, "\n    "))
	}
	if db.calls < operations {
		return fmt.Sprintf("%d calls were made for %d operations", db.calls, operations)
	}
	return ""
}

// conflictsText says how many writes were begun again; empty if none was.
func (db *checkedDB) conflictsText() string {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.conflicts == 0 {
		return ""
	}
	return fmt.Sprintf(", %d begun again after a conflict", db.conflicts)
}

// note counts a call and, if err is set, its failure; it returns err.
func (db *checkedDB) note(call, key string, err error) error {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.calls++
	if err != nil {
		if db.failed++; len(db.failures) < 10 {
			db.failures = append(db.failures, fmt.Sprintf("%s %s: %v", call, key, err))
		}
	}
	return err
}

// untilDone makes a write again for as long as another transaction was faster.
func (db *checkedDB) untilDone(write func() error) error {
	for attempt := 1; ; attempt++ {
		err := write()
		if !beginsAgain(err) || attempt == maxAttempts {
			return err
		}
		db.mu.Lock()
		db.conflicts++
		db.mu.Unlock()
	}
}

// beginsAgain tells the errors after which nothing has happened and the transaction is begun again.
func beginsAgain(err error) bool {
	var conflict *tikverr.ErrWriteConflict
	var retry *tikverr.ErrRetryable
	return errors.As(err, &conflict) || errors.As(err, &retry)
}

func (db *checkedDB) Read(ctx context.Context, table, key string, fields []string) (
	map[string][]byte, error) {
	row, err := db.DB.Read(ctx, table, key, fields)
	if err == nil && len(row) != len(fields) {
		err = fmt.Errorf("%d fields of %d: the record is missing or cut", len(row), len(fields))
	}
	return row, db.note("read", key, err)
}

func (db *checkedDB) Scan(ctx context.Context, table, start string, count int, fields []string) (
	[]map[string][]byte, error) {
	rows, err := db.DB.Scan(ctx, table, start, count, fields)
	if err == nil && len(rows) > count {
		err = fmt.Errorf("%d records, asked for %d", len(rows), count)
	}
	return rows, db.note("scan", start, err)
}

func (db *checkedDB) Update(ctx context.Context, table, key string,
	values map[string][]byte) error {
	return db.note("update", key, db.untilDone(func() error {
		return db.DB.Update(ctx, table, key, values)
	}))
}

func (db *checkedDB) Insert(ctx context.Context, table, key string,
	values map[string][]byte) error {
	err := db.note("insert", key, db.untilDone(func() error {
		return db.DB.Insert(ctx, table, key, values)
	}))
	if err == nil {
		db.mu.Lock()
		db.keys[key] = true
		db.mu.Unlock()
	}
	return err
}
