package raw

import (
	"testing"
	"time"

	"github.com/tikv/client-go/v2/rawkv"
)

func expectTTL(t *testing.T, client *rawkv.Client, key []byte, low, high uint64) {
	t.Helper()
	ttl, err := client.GetKeyTTL(t.Context(), key)
	if err != nil || ttl == nil {
		t.Fatalf("ttl of %q: %v, %v", key, ttl, err)
	}
	if *ttl < low || *ttl > high {
		t.Fatalf("ttl of %q is %d, want %d to %d", key, *ttl, low, high)
	}
}

func TestTTLIsReported(t *testing.T) {
	client := servers.Client(t)
	forever, timed := key(t, "forever"), key(t, "timed")
	mustPut(t, client, forever, []byte("v"))
	expectTTL(t, client, forever, 0, 0)
	if err := client.PutWithTTL(t.Context(), timed, []byte("v"), 1000); err != nil {
		t.Fatal(err)
	}
	expectTTL(t, client, timed, 970, 1000)
	mustPut(t, client, timed, []byte("w"))
	expectTTL(t, client, timed, 0, 0)
	if ttl, err := client.GetKeyTTL(t.Context(), key(t, "missing")); err != nil || ttl != nil {
		t.Fatalf("of a missing key: %v, %v", ttl, err)
	}
}

func TestBatchPutWithTTLs(t *testing.T) {
	client := servers.Client(t)
	keys := [][]byte{key(t, "a"), key(t, "b"), key(t, "c")}
	values := [][]byte{[]byte("1"), []byte("2"), []byte("3")}
	if err := client.BatchPutWithTTL(t.Context(), keys, values, []uint64{100, 0, 5000}); err != nil {
		t.Fatal(err)
	}
	expectTTL(t, client, keys[0], 70, 100)
	expectTTL(t, client, keys[1], 0, 0)
	expectTTL(t, client, keys[2], 4970, 5000)
}

func TestExpiredKeysAreGone(t *testing.T) {
	client := servers.Client(t)
	fill(t, client, 3, "%d")
	expiring, deadline := key(t, "1"), time.Now().Add(2*time.Second)
	if err := client.PutWithTTL(t.Context(), expiring, []byte("soon gone"), 2); err != nil {
		t.Fatal(err)
	}
	if value, err := client.Get(t.Context(), expiring); err != nil ||
		(value == nil && time.Now().Before(deadline)) {
		t.Fatalf("the key expired early: %s, %v", brief(value), err)
	}
	time.Sleep(time.Until(deadline.Add(1500 * time.Millisecond)))

	expectValue(t, client, expiring, nil)
	if ttl, err := client.GetKeyTTL(t.Context(), expiring); err != nil || ttl != nil {
		t.Errorf("ttl of an expired key: %v, %v", ttl, err)
	}
	values, err := client.BatchGet(t.Context(), [][]byte{key(t, "0"), expiring, key(t, "2")})
	if err != nil || values[0] == nil || values[1] != nil || values[2] == nil {
		t.Errorf("batch get: %q, %v", values, err)
	}
	keys, _, err := client.Scan(t.Context(), prefixStart(t), prefixEnd(t), 10)
	if err != nil {
		t.Fatal(err)
	}
	expectKeys(t, keys, "0", "2")
	keys, _, err = client.ReverseScan(t.Context(), prefixEnd(t), prefixStart(t), 10)
	if err != nil {
		t.Fatal(err)
	}
	expectKeys(t, keys, "2", "0")
	check, err := client.Checksum(t.Context(), prefixStart(t), prefixEnd(t))
	if err != nil || check.TotalKvs != 2 {
		t.Errorf("checksum counts %d pairs, want 2 (%v)", check.TotalKvs, err)
	}
}
