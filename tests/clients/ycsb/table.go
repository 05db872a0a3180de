package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/tikv/client-go/v2/oracle"
	"github.com/tikv/client-go/v2/rawkv"
	"github.com/tikv/client-go/v2/txnkv"
)

// go-ycsb's table, as its driver prefixes the keys.
const (
	tablePrefix = "usertable:"
	tableEnd    = "usertable;"
)

// countRecords reads the whole table and compares it with the acknowledged inserts.
func countRecords(name string, to target, db *checkedDB) bool {
	table := tableCheck{want: db.keys, last: []byte(tablePrefix)}
	read := table.readRaw
	if to.mode == "txn" {
		read = table.readTxn
	}
	err := read(strings.Split(to.endpoints, ","))
	if err == nil && table.seen != len(db.keys) {
		err = fmt.Errorf("%d records, but %d were inserted", table.seen, len(db.keys))
	}
	if err != nil {
		fmt.Printf("--- FAIL: %s/%s: %v\n", to.suite(), name, err)
		return false
	}
	fmt.Printf("--- PASS: %s/%s: %d records, as many as were inserted\n", to.suite(), name,
		len(db.keys))
	return true
}

// tableCheck takes the records in the order of their keys.
type tableCheck struct {
	want map[string]bool
	last []byte
	seen int
}

func (c *tableCheck) add(key, value []byte) error {
	if !c.want[strings.TrimPrefix(string(key), tablePrefix)] {
		return fmt.Errorf("%q was never inserted", key)
	}
	if bytes.Compare(key, c.last) <= 0 {
		return errors.New("a scan went backwards")
	}
	if len(value) < 1000 {
		return fmt.Errorf("the record %q has %d bytes", key, len(value))
	}
	c.last = bytes.Clone(key)
	c.seen++
	return nil
}

func (c *tableCheck) readRaw(endpoints []string) error {
	ctx := context.Background()
	kv, err := rawkv.NewClientWithOpts(ctx, endpoints)
	if err != nil {
		return err
	}
	defer kv.Close()
	for start := []byte(tablePrefix); ; start = append(bytes.Clone(c.last), 0) {
		keys, values, err := kv.Scan(ctx, start, []byte(tableEnd), 5000)
		if err != nil || len(keys) == 0 {
			return err
		}
		for i, key := range keys {
			if err := c.add(key, values[i]); err != nil {
				return err
			}
		}
	}
}

// readTxn reads the table in one snapshot.
func (c *tableCheck) readTxn(endpoints []string) error {
	kv, err := txnkv.NewClient(endpoints)
	if err != nil {
		return err
	}
	defer kv.Close()
	now, err := kv.CurrentTimestamp(oracle.GlobalTxnScope)
	if err != nil {
		return err
	}
	it, err := kv.GetSnapshot(now).Iter([]byte(tablePrefix), []byte(tableEnd))
	if err != nil {
		return err
	}
	defer it.Close()
	for it.Valid() {
		if err := c.add(it.Key(), it.Value()); err != nil {
			return err
		}
		if err := it.Next(); err != nil {
			return err
		}
	}
	return nil
}
