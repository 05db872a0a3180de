// Package txn tests transactions through TiKV's Go client, unmodified: what a user of that client
// gets from three nodes, also when another client or a node dies half-way.
package txn

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/tikv/client-go/v2/config"
	tikverr "github.com/tikv/client-go/v2/error"
	"github.com/tikv/client-go/v2/oracle"
	"github.com/tikv/client-go/v2/txnkv"

	"rutile/tests/clients/cluster"
)

var servers *cluster.Cluster

func TestMain(m *testing.M) {
	os.Exit(cluster.Main(m, func(c *cluster.Cluster) { servers = c }))
}

// contents is what the test's own part of the key space holds: values by the names that `key`
// takes. An empty value stands for a key that does not exist.
type contents map[string]string

func (c contents) names() []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(c)) {
		if c[name] != "" {
			names = append(names, name)
		}
	}
	return names
}

func prefix(t testing.TB) string { return t.Name() + "/" }

// key names a key in the test's own part of the key space.
func key(t testing.TB, name string) []byte { return []byte(prefix(t) + name) }

// bounds is the range of all keys of the test.
func bounds(t testing.TB) (start, end []byte) { return []byte(prefix(t)), []byte(t.Name() + "0") }

func numbered(n int) string { return fmt.Sprintf("%05d", n) }

func begin(t testing.TB, client *txnkv.Client) *txnkv.KVTxn {
	t.Helper()
	txn, err := client.Begin()
	if err != nil {
		t.Fatalf("begin: %v", err)
	}
	return txn
}

func set(t testing.TB, txn *txnkv.KVTxn, name, value string) {
	t.Helper()
	if err := txn.Set(key(t, name), []byte(value)); err != nil {
		t.Fatalf("set %s: %v", name, err)
	}
}

func remove(t testing.TB, txn *txnkv.KVTxn, name string) {
	t.Helper()
	if err := txn.Delete(key(t, name)); err != nil {
		t.Fatalf("delete %s: %v", name, err)
	}
}

// apply sets what has a value and deletes what has none.
func apply(t testing.TB, txn *txnkv.KVTxn, changes contents) {
	t.Helper()
	for name, value := range changes {
		if value == "" {
			remove(t, txn, name)
		} else {
			set(t, txn, name, value)
		}
	}
}

// commit returns the timestamp of the commit.
func commit(t testing.TB, txn *txnkv.KVTxn) uint64 {
	t.Helper()
	if err := txn.Commit(t.Context()); err != nil {
		t.Fatalf("commit: %v", err)
	}
	if txn.CommitTS() <= txn.StartTS() {
		t.Fatalf("the commit timestamp %d is not after the start %d", txn.CommitTS(), txn.StartTS())
	}
	return txn.CommitTS()
}

// write commits the changes in a transaction of their own.
func write(t testing.TB, client *txnkv.Client, changes contents) uint64 {
	t.Helper()
	txn := begin(t, client)
	apply(t, txn, changes)
	return commit(t, txn)
}

// now is a timestamp after all that was handed out before.
func now(t testing.TB, client *txnkv.Client) uint64 {
	t.Helper()
	ts, err := client.CurrentTimestamp(oracle.GlobalTxnScope)
	if err != nil {
		t.Fatalf("no timestamp: %v", err)
	}
	return ts
}

type getter interface {
	Get(ctx context.Context, key []byte) ([]byte, error)
}

// expectGet checks one value; an empty `want` means that the key must not exist.
func expectGet(t testing.TB, from getter, name, want string) {
	t.Helper()
	got, err := from.Get(t.Context(), key(t, name))
	if tikverr.IsErrNotFound(err) {
		got, err = nil, nil
	}
	if err != nil {
		t.Fatalf("get %s: %v", name, err)
	}
	if string(got) != want {
		t.Fatalf("get %s: %s, want %s", name, brief(string(got)), brief(want))
	}
}

// iterator is what client-go returns from its scans.
type iterator interface {
	Valid() bool
	Key() []byte
	Value() []byte
	Next() error
	Close()
}

// collect reads an iterator to its end: names in the order of the scan, and their values.
func collect(t testing.TB, it iterator, err error) (names []string, values contents) {
	t.Helper()
	if err != nil {
		t.Fatalf("scan: %v", err)
	}
	defer it.Close()
	values = contents{}
	for it.Valid() {
		name, ok := strings.CutPrefix(string(it.Key()), prefix(t))
		if !ok {
			t.Fatalf("a scan returned %q, which is out of its bounds", it.Key())
		}
		names = append(names, name)
		values[name] = string(it.Value())
		if err := it.Next(); err != nil {
			t.Fatalf("scan after %s: %v", name, err)
		}
	}
	return names, values
}

// expectNow checks all keys of the test as they are now.
func expectNow(t testing.TB, client *txnkv.Client, want contents) {
	t.Helper()
	expectAt(t, client, now(t, client), want)
}

// expectAt checks all keys of the test as of `ts`, read in each way that there is: a scan in both
// directions, one batch and single gets. Every way has its own snapshot, since these cache.
func expectAt(t testing.TB, client *txnkv.Client, ts uint64, want contents) {
	t.Helper()
	start, end := bounds(t)
	forward, err := client.GetSnapshot(ts).Iter(start, end)
	names, values := collect(t, forward, err)
	expectContents(t, fmt.Sprintf("scan at %d", ts), want, values)
	if wanted := want.names(); !slices.Equal(names, wanted) {
		t.Fatalf("scan at %d: keys %q, want %q", ts, names, wanted)
	}
	reverse, err := client.GetSnapshot(ts).IterReverse(end, start)
	names, values = collect(t, reverse, err)
	expectContents(t, fmt.Sprintf("reverse scan at %d", ts), want, values)
	slices.Reverse(names)
	if wanted := want.names(); !slices.Equal(names, wanted) {
		t.Fatalf("reverse scan at %d: keys %q from its end, want %q", ts, names, wanted)
	}
	expectBatch(t, client, ts, want)
	for name, value := range want {
		expectGet(t, client.GetSnapshot(ts), name, value)
	}
}

func expectBatch(t testing.TB, client *txnkv.Client, ts uint64, want contents) {
	t.Helper()
	var keys [][]byte
	for name := range want {
		keys = append(keys, key(t, name))
	}
	found, err := client.GetSnapshot(ts).BatchGet(t.Context(), keys)
	if err != nil {
		t.Fatalf("batch get at %d: %v", ts, err)
	}
	values := contents{}
	for k, value := range found {
		values[strings.TrimPrefix(k, prefix(t))] = string(value)
	}
	expectContents(t, fmt.Sprintf("batch get at %d", ts), want, values)
}

func expectContents(t testing.TB, how string, want, got contents) {
	t.Helper()
	for name := range want {
		if got[name] != want[name] {
			t.Fatalf("%s: %s is %s, want %s", how, name, brief(got[name]), brief(want[name]))
		}
	}
	for name := range got {
		if want[name] == "" {
			t.Fatalf("%s: %s is %s, want nothing", how, name, brief(got[name]))
		}
	}
}

func brief(value string) string {
	switch {
	case value == "":
		return "nothing"
	case len(value) > 64:
		return fmt.Sprintf("%q... (%d bytes)", value[:64], len(value))
	default:
		return fmt.Sprintf("%q", value)
	}
}

// bothWays runs a test twice: with the client's commands inside BatchCommands streams, as it sends
// them if it is not told otherwise, and each as a unary call.
func bothWays(t *testing.T, test func(t *testing.T)) {
	t.Run("batched", test)
	t.Run("unary", func(t *testing.T) {
		restore := config.UpdateGlobal(func(c *config.Config) { c.TiKVClient.MaxBatchSize = 0 })
		t.Cleanup(restore) // After the test's clients are closed: they have no streams.
		test(t)
	})
}
