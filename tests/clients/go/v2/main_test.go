// Package v2 tests keyspaces, which are what the second API version adds, through TiKV's Go client,
// unmodified: that raw keys, transactional ones and keyspaces of one cluster do not see each other,
// and how keyspaces are found and made. What a client can do within a keyspace the suites raw and
// txn test, which run against such a cluster, too.
package v2

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	tikverr "github.com/tikv/client-go/v2/error"
	"github.com/tikv/client-go/v2/rawkv"
	"github.com/tikv/client-go/v2/txnkv"

	"rutile/tests/clients/cluster"
)

var servers *cluster.Cluster

func TestMain(m *testing.M) {
	os.Setenv("RUTILE_API_VERSION", "v2")
	os.Exit(cluster.Main(m, func(c *cluster.Cluster) { servers = c }))
}

// keyspace makes one of the test's own and returns its name.
func keyspace(t *testing.T, suffix string) string {
	t.Helper()
	name := fmt.Sprintf("%.16s-%s", strings.TrimPrefix(t.Name(), "Test"), suffix)
	run(t, "keyspace", "create", name)
	return name
}

// run runs a command of the program and returns what it printed; it must succeed.
func run(t *testing.T, args ...string) string {
	t.Helper()
	output, err := servers.Run(t.Context(), args...)
	if err != nil {
		t.Fatalf("rutile %s: %v: %s", strings.Join(args, " "), err, output)
	}
	return output
}

func key(t *testing.T, name string) []byte { return []byte(t.Name() + "/" + name) }

func mustPut(t *testing.T, client *rawkv.Client, name, value string) {
	t.Helper()
	if err := client.Put(t.Context(), key(t, name), []byte(value)); err != nil {
		t.Fatalf("put %s: %v", name, err)
	}
}

// expectRaw checks a raw value; an empty `want` means that the key must not exist.
func expectRaw(t *testing.T, client *rawkv.Client, name, want string) {
	t.Helper()
	got, err := client.Get(t.Context(), key(t, name))
	if err != nil || string(got) != want {
		t.Fatalf("raw get %s: got %q, %v, want %q", name, got, err, want)
	}
}

func commit(t *testing.T, client *txnkv.Client, name, value string) {
	t.Helper()
	txn, err := client.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if err := txn.Set(key(t, name), []byte(value)); err != nil {
		t.Fatal(err)
	}
	if err := txn.Commit(context.Background()); err != nil {
		t.Fatalf("commit %s: %v", name, err)
	}
}

func expectTxn(t *testing.T, client *txnkv.Client, name, want string) {
	t.Helper()
	txn, err := client.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer txn.Rollback()
	got, err := txn.Get(t.Context(), key(t, name))
	if tikverr.IsErrNotFound(err) {
		got, err = nil, nil
	}
	if err != nil || string(got) != want {
		t.Fatalf("transactional get %s: got %q, %v, want %q", name, got, err, want)
	}
}
