package v2

import (
	"strings"
	"testing"

	"github.com/pingcap/kvproto/pkg/kvrpcpb"
	"github.com/tikv/client-go/v2/rawkv"
	"github.com/tikv/client-go/v2/txnkv"
)

// Large values of transactions lie in the same family of the engine as raw ones.
var large = strings.Repeat("l", 5000)

func TestRawAndTransactionalKeysDoNotMix(t *testing.T) {
	raw, txn := servers.Client(t), servers.TxnClient(t)
	mustPut(t, raw, "k", "raw")
	expectTxn(t, txn, "k", "")
	commit(t, txn, "k", large)
	expectRaw(t, raw, "k", "raw")
	expectTxn(t, txn, "k", large)

	keys, values, err := raw.Scan(t.Context(), nil, nil, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for i, k := range keys {
		if string(values[i]) == large {
			t.Fatalf("a raw scan shows a transaction's value at %q", k)
		}
	}
	// All raw keys of the keyspace go, and no other.
	if err := raw.DeleteRange(t.Context(), []byte{0}, []byte{0xff}); err != nil {
		t.Fatal(err)
	}
	expectRaw(t, raw, "k", "")
	expectTxn(t, txn, "k", large)
	mustPut(t, raw, "k", "raw again")
	if err := txn.UnsafeDestroyRange(t.Context(), []byte{0}, []byte{0xff}); err != nil {
		t.Fatal(err)
	}
	expectTxn(t, txn, "k", "")
	expectRaw(t, raw, "k", "raw again")
}

func TestKeyspacesDoNotMix(t *testing.T) {
	one, other := keyspace(t, "1"), keyspace(t, "2")
	rawOne := servers.Client(t, rawkv.WithKeyspace(one))
	rawOther := servers.Client(t, rawkv.WithKeyspace(other))
	txnOne := servers.TxnClient(t, txnkv.WithKeyspace(one))
	txnOther := servers.TxnClient(t, txnkv.WithKeyspace(other))
	mustPut(t, rawOne, "k", "1")
	commit(t, txnOne, "k", "x1")
	expectRaw(t, rawOther, "k", "")
	expectTxn(t, txnOther, "k", "")
	expectRaw(t, servers.Client(t), "k", "")
	expectTxn(t, servers.TxnClient(t), "k", "")
	mustPut(t, rawOther, "k", "2")
	commit(t, txnOther, "k", "x2")

	// A scan ends where the keyspace does, in both directions.
	for name, client := range map[string]*rawkv.Client{"1": rawOne, "2": rawOther} {
		_, values, err := client.Scan(t.Context(), nil, nil, 100)
		if err != nil || len(values) != 1 || string(values[0]) != name {
			t.Fatalf("scan of keyspace %s: %q, %v", name, values, err)
		}
		_, values, err = client.ReverseScan(t.Context(), []byte{0xff}, nil, 100)
		if err != nil || len(values) != 1 || string(values[0]) != name {
			t.Fatalf("reverse scan of keyspace %s: %q, %v", name, values, err)
		}
	}
	snapshot := txnOne.GetSnapshot(^uint64(0))
	it, err := snapshot.Iter(nil, nil)
	if err != nil || !it.Valid() || string(it.Value()) != "x1" {
		t.Fatalf("scan of transactional keys: %v", err)
	}
	if err := it.Next(); err != nil || it.Valid() {
		t.Fatalf("a scan goes on behind its keyspace: %v", err)
	}

	if err := rawOne.DeleteRange(t.Context(), []byte{0}, []byte{0xff}); err != nil {
		t.Fatal(err)
	}
	if _, err := txnOne.DeleteRange(t.Context(), []byte{0}, []byte{0xff}, 1); err != nil {
		t.Fatal(err)
	}
	expectRaw(t, rawOne, "k", "")
	expectTxn(t, txnOne, "k", "")
	expectRaw(t, rawOther, "k", "2")
	expectTxn(t, txnOther, "k", "x2")
}

func TestClientsOfTheFirstAPIVersionAreRefused(t *testing.T) {
	const want = "ApiVersionNotMatched"
	for _, version := range []kvrpcpb.APIVersion{kvrpcpb.APIVersion_V1, kvrpcpb.APIVersion_V1TTL} {
		raw := servers.Client(t, rawkv.WithAPIVersion(version))
		for _, k := range []string{"k", "r\x00\x00\x00k", "x\x00\x00\x00k"} {
			err := raw.Put(t.Context(), []byte(k), []byte("v"))
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("a put of %q by a client of %s: %v", k, version, err)
			}
		}
	}
	txn, err := servers.TxnClient(t, txnkv.WithAPIVersion(kvrpcpb.APIVersion_V1)).Begin()
	if err != nil {
		t.Fatal(err)
	}
	if err := txn.Set(key(t, "k"), []byte("v")); err != nil {
		t.Fatal(err)
	}
	if err := txn.Commit(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("a commit: %v", err)
	}
}

func TestTimesToLive(t *testing.T) {
	client := servers.Client(t)
	if err := client.PutWithTTL(t.Context(), key(t, "k"), []byte("v"), 1000); err != nil {
		t.Fatal(err)
	}
	left, err := client.GetKeyTTL(t.Context(), key(t, "k"))
	if err != nil || left == nil || *left > 1000 || *left < 900 {
		t.Fatalf("got %v, %v", left, err)
	}
}

// The collector looks for locks in all keyspaces at once.
func TestGarbageIsCollectedInAllKeyspaces(t *testing.T) {
	one, other := keyspace(t, "1"), keyspace(t, "2")
	for _, name := range []string{one, other} {
		client := servers.TxnClient(t, txnkv.WithKeyspace(name))
		commit(t, client, "k", "old")
		commit(t, client, "k", "new")
	}
	output := run(t, "gc", "--api-version", "v2", "--life-ms", "1000")
	if !strings.Contains(output, "the safe point was raised") {
		t.Fatalf("rutile gc: %s", output)
	}
	for _, name := range []string{one, other} {
		expectTxn(t, servers.TxnClient(t, txnkv.WithKeyspace(name)), "k", "new")
	}
}
