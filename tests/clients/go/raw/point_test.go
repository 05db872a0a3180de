package raw

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/pingcap/kvproto/pkg/kvrpcpb"
	"github.com/tikv/client-go/v2/rawkv"
)

func TestPutGetOverwriteDelete(t *testing.T) {
	client := servers.Client(t)
	k := key(t, "k")
	expectValue(t, client, k, nil)
	mustPut(t, client, k, []byte("one"))
	expectValue(t, client, k, []byte("one"))
	mustPut(t, client, k, []byte("two"))
	expectValue(t, client, k, []byte("two"))
	if err := client.Delete(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	expectValue(t, client, k, nil)
	if err := client.Delete(t.Context(), k); err != nil {
		t.Fatalf("deleting what is not there is no error: %v", err)
	}
}

func TestKeysAndValuesAreAnyBytes(t *testing.T) {
	client := servers.Client(t)
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	for _, suffix := range [][]byte{{0}, {0, 0}, {0xff}, {0xff, 0xff}, every} {
		k := append(key(t, ""), suffix...)
		mustPut(t, client, k, append([]byte("of "), suffix...))
	}
	for _, suffix := range [][]byte{{0}, {0, 0}, {0xff}, {0xff, 0xff}, every} {
		k := append(key(t, ""), suffix...)
		expectValue(t, client, k, append([]byte("of "), suffix...))
	}
	expectValue(t, client, append(key(t, ""), 0, 0, 0), nil)
}

func TestLargeValues(t *testing.T) {
	client := servers.Client(t)
	for _, size := range []int{1, 1 << 10, 64 << 10, 1 << 20, 4 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			k := key(t, "k")
			value := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
			mustPut(t, client, k, value)
			expectValue(t, client, k, value)
		})
	}
}

// The client promises that it returns a written empty value as empty, not as missing. A server may
// refuse empty values instead, as TiKV's first API version does; it may not lose them.
func TestEmptyValueIsKeptOrRefused(t *testing.T) {
	client := servers.Client(t)
	k := key(t, "k")
	mustPut(t, client, k, []byte("before"))
	if err := client.Put(t.Context(), k, []byte{}); err != nil {
		if !strings.Contains(strings.ToLower(err.Error()), "empty") {
			t.Fatalf("the refusal does not say why: %v", err)
		}
		expectValue(t, client, k, []byte("before"))
		return
	}
	expectValue(t, client, k, []byte{})
}

func TestBatchGetKeepsOrderAndLeavesHoles(t *testing.T) {
	client := servers.Client(t)
	const count = 2000 // More than the client puts into one request.
	fill(t, client, count, "%05d")
	var keys [][]byte
	for i := count - 1; i >= 0; i-- {
		keys = append(keys, key(t, "%05d", i), key(t, "%05d-missing", i))
	}
	values, err := client.BatchGet(t.Context(), keys)
	if err != nil {
		t.Fatal(err)
	}
	for i, value := range values {
		n := count - 1 - i/2
		if i%2 == 0 && string(value) != fmt.Sprintf("value %d", n) {
			t.Fatalf("%q: got %s", keys[i], brief(value))
		}
		if i%2 == 1 && value != nil {
			t.Fatalf("%q is missing, got %s", keys[i], brief(value))
		}
	}
}

func TestBatchDelete(t *testing.T) {
	client := servers.Client(t)
	fill(t, client, 1500, "%05d")
	var odd [][]byte
	for i := 1; i < 1500; i += 2 {
		odd = append(odd, key(t, "%05d", i))
	}
	if err := client.BatchDelete(t.Context(), odd); err != nil {
		t.Fatal(err)
	}
	keys, _, err := client.Scan(t.Context(), prefixStart(t), prefixEnd(t), 10000)
	if err != nil {
		t.Fatal(err)
	}
	if len(keys) != 750 {
		t.Fatalf("%d keys are left, want 750", len(keys))
	}
	for i, k := range keys {
		if want := key(t, "%05d", 2*i); !bytes.Equal(k, want) {
			t.Fatalf("key %d is %q, want %q", i, k, want)
		}
	}
}

func TestEmptyBatches(t *testing.T) {
	client := servers.Client(t)
	if err := client.BatchPut(t.Context(), nil, nil); err != nil {
		t.Error(err)
	}
	if values, err := client.BatchGet(t.Context(), nil); err != nil || len(values) != 0 {
		t.Errorf("got %v, %v", values, err)
	}
	if err := client.BatchDelete(t.Context(), nil); err != nil {
		t.Error(err)
	}
}

func TestEmptyKeyIsRefused(t *testing.T) {
	if servers.HasKeyspaces() {
		t.Skip("behind the prefix of its keyspace it is a key like any other")
	}
	client := servers.Client(t)
	if err := client.Put(t.Context(), nil, []byte("v")); err == nil {
		t.Error("put took an empty key")
	}
	batch := [][]byte{key(t, "beside"), {}}
	if err := client.BatchPut(t.Context(), batch, [][]byte{[]byte("a"), []byte("b")}); err == nil {
		t.Error("batch put took an empty key")
	}
	if value, err := client.Get(t.Context(), nil); err == nil && value != nil {
		t.Errorf("an empty key has the value %s", brief(value))
	}
}

func TestOversizedKeyAndValueAreRefused(t *testing.T) {
	client := servers.Client(t)
	huge := bytes.Repeat([]byte("k"), 1<<20)
	if err := client.Put(t.Context(), huge, []byte("v")); err == nil {
		t.Error("put took a key of 1 MiB")
	}
	k := key(t, "k")
	mustPut(t, client, k, []byte("before"))
	if err := client.Put(t.Context(), k, make([]byte, 32<<20)); err == nil {
		t.Error("put took a value of 32 MiB")
	}
	expectValue(t, client, k, []byte("before"))
}

func TestUnknownColumnFamilyIsRefused(t *testing.T) {
	client := servers.Client(t)
	k := key(t, "k")
	if err := client.Put(t.Context(), k, []byte("v"), rawkv.SetColumnFamily("default")); err != nil {
		t.Fatal(err)
	}
	expectValue(t, client, k, []byte("v"))
	if err := client.Put(t.Context(), k, []byte("w"), rawkv.SetColumnFamily("none")); err == nil {
		t.Error("put took a column family that does not exist")
	}
	expectValue(t, client, k, []byte("v"))
}

// A client in TTL mode and one in plain mode share one key space: both speak the first API version.
func TestClientInTTLMode(t *testing.T) {
	if servers.HasKeyspaces() {
		t.Skip("the mode is one of the first API version")
	}
	timed := servers.Client(t, rawkv.WithAPIVersion(kvrpcpb.APIVersion_V1TTL))
	plain := servers.Client(t)
	k := key(t, "k")
	if err := timed.PutWithTTL(t.Context(), k, []byte("v"), 1000); err != nil {
		t.Fatal(err)
	}
	expectValue(t, plain, k, []byte("v"))
	expectTTL(t, plain, k, 970, 1000)
}

func TestOneEndpointIsEnough(t *testing.T) {
	for _, node := range servers.Nodes {
		t.Run(node.Name, func(t *testing.T) {
			client := servers.ClientAt(t, []string{node.Addr})
			k := key(t, "k")
			mustPut(t, client, k, []byte(node.Name))
			expectValue(t, servers.Client(t), k, []byte(node.Name))
		})
	}
}
