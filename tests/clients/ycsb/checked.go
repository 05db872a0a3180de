package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/pingcap/go-ycsb/pkg/ycsb"
	"github.com/tikv/client-go/v2/rawkv"
)

// go-ycsb's table, as its driver prefixes the keys.
const tablePrefix = "usertable:"

// checkedDB passes every call to a driver and counts what comes back: go-ycsb itself goes on after
// an error, and takes a missing record for a read one. All methods may be called concurrently.
type checkedDB struct {
	ycsb.DB

	mu       sync.Mutex
	calls    int // Reads, scans, updates and inserts since reset.
	failures []string
	failed   int
	keys     map[string]bool // Keys whose insert was acknowledged, since the beginning.
}

func newCheckedDB(driver ycsb.DB) *checkedDB {
	return &checkedDB{DB: driver, keys: map[string]bool{}}
}

func (db *checkedDB) reset() {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.calls, db.failed, db.failures = 0, 0, nil
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
	return db.note("update", key, db.DB.Update(ctx, table, key, values))
}

func (db *checkedDB) Insert(ctx context.Context, table, key string,
	values map[string][]byte) error {
	err := db.note("insert", key, db.DB.Insert(ctx, table, key, values))
	if err == nil {
		db.mu.Lock()
		db.keys[key] = true
		db.mu.Unlock()
	}
	return err
}

// countRecords reads the whole table and compares it with the acknowledged inserts.
func countRecords(name, endpoints string, db *checkedDB) bool {
	if err := compareTable(endpoints, db.keys); err != nil {
		fmt.Printf("--- FAIL: ycsb/%s: %v\n", name, err)
		return false
	}
	fmt.Printf("--- PASS: ycsb/%s: %d records, as many as were inserted\n", name, len(db.keys))
	return true
}

func compareTable(endpoints string, want map[string]bool) error {
	ctx := context.Background()
	kv, err := rawkv.NewClientWithOpts(ctx, strings.Split(endpoints, ","))
	if err != nil {
		return err
	}
	defer kv.Close()
	seen := 0
	for start, end := []byte(tablePrefix), []byte("usertable;"); ; {
		keys, values, err := kv.Scan(ctx, start, end, 5000)
		if err != nil {
			return err
		}
		if len(keys) == 0 {
			break
		}
		for i, key := range keys {
			if !want[strings.TrimPrefix(string(key), tablePrefix)] {
				return fmt.Errorf("%q was never inserted", key)
			}
			if bytes.Compare(key, start) < 0 {
				return errors.New("a scan went backwards")
			}
			if len(values[i]) < 1000 {
				return fmt.Errorf("the record %q has %d bytes", key, len(values[i]))
			}
			start = append(bytes.Clone(key), 0)
			seen++
		}
	}
	if seen != len(want) {
		return fmt.Errorf("%d records, but %d were inserted", seen, len(want))
	}
	return nil
}
