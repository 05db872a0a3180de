// Package raw tests the RawKV API through TiKV's Go client, unmodified: what a user of that client
// gets from three nodes.
package raw

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/tikv/client-go/v2/rawkv"

	"rutile/tests/clients/cluster"
)

var servers *cluster.Cluster

func TestMain(m *testing.M) {
	os.Exit(cluster.Main(m, func(c *cluster.Cluster) { servers = c }))
}

// key names a key in the test's own part of the key space.
func key(t *testing.T, format string, args ...any) []byte {
	return []byte(t.Name() + "/" + fmt.Sprintf(format, args...))
}

// sent is a key as the client sends it: behind the prefix of its keyspace, if there is one.
func sent(key []byte) []byte {
	if servers.HasKeyspaces() {
		return append([]byte{'r', 0, 0, 0}, key...)
	}
	return key
}

// prefixEnd is the first key after all that begin with the test's name.
func prefixEnd(t *testing.T) []byte { return []byte(t.Name() + "0") }

func prefixStart(t *testing.T) []byte { return []byte(t.Name() + "/") }

func mustPut(t *testing.T, client *rawkv.Client, key, value []byte) {
	t.Helper()
	if err := client.Put(t.Context(), key, value); err != nil {
		t.Fatalf("put %q: %v", key, err)
	}
}

// expectValue checks what a get returns; a nil `want` means that the key must not exist.
func expectValue(t *testing.T, client *rawkv.Client, key, want []byte) {
	t.Helper()
	got, err := client.Get(t.Context(), key)
	if err != nil {
		t.Fatalf("get %q: %v", key, err)
	}
	if (got == nil) != (want == nil) || !bytes.Equal(got, want) {
		t.Fatalf("get %q: got %s, want %s", key, brief(got), brief(want))
	}
}

func expectKeys(t *testing.T, got [][]byte, want ...string) {
	t.Helper()
	var names []string
	for _, k := range got {
		names = append(names, strings.TrimPrefix(string(k), t.Name()+"/"))
	}
	if strings.Join(names, " ") != strings.Join(want, " ") {
		t.Fatalf("got keys %q, want %q", names, want)
	}
}

func brief(value []byte) string {
	switch {
	case value == nil:
		return "nothing"
	case len(value) > 64:
		return fmt.Sprintf("%q... (%d bytes)", value[:64], len(value))
	default:
		return fmt.Sprintf("%q", value)
	}
}

// fill puts `count` keys, named by `format` and their number, with their number as value.
func fill(t *testing.T, client *rawkv.Client, count int, format string) {
	t.Helper()
	var keys, values [][]byte
	for i := range count {
		keys = append(keys, key(t, format, i))
		values = append(values, fmt.Appendf(nil, "value %d", i))
	}
	if err := client.BatchPut(t.Context(), keys, values); err != nil {
		t.Fatalf("batch put: %v", err)
	}
}
