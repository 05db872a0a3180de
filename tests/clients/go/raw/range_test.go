package raw

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc64"
	"testing"

	"github.com/tikv/client-go/v2/rawkv"
)

func TestScanBordersAndLimits(t *testing.T) {
	client := servers.Client(t)
	for _, name := range []string{"a", "b", "b\x00", "c", "d"} {
		mustPut(t, client, key(t, "%s", name), []byte("value of "+name))
	}
	cases := []struct {
		name       string
		start, end string
		limit      int
		want       []string
	}{
		{"all", "a", "e", 10, []string{"a", "b", "b\x00", "c", "d"}},
		{"start is included, end is not", "b", "d", 10, []string{"b", "b\x00", "c"}},
		{"start after a key", "b\x00", "d", 10, []string{"b\x00", "c"}},
		{"start between keys", "bb", "d", 10, []string{"c"}},
		{"limit", "a", "e", 2, []string{"a", "b"}},
		{"limit of nothing", "a", "e", 0, nil},
		{"empty range", "b", "b", 10, nil},
		{"reversed range", "d", "a", 10, nil},
		{"nothing there", "e", "f", 10, nil},
	}
	prefix := t.Name()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			start, end := []byte(prefix+"/"+c.start), []byte(prefix+"/"+c.end)
			keys, values, err := client.Scan(t.Context(), start, end, c.limit)
			if err != nil {
				t.Fatal(err)
			}
			mustBe(t, prefix, keys, values, c.want)
		})
	}
}

// mustBe checks that a scan found the pairs of these names, in this order.
func mustBe(t *testing.T, prefix string, keys, values [][]byte, want []string) {
	t.Helper()
	if len(keys) != len(want) || len(values) != len(keys) {
		t.Fatalf("got %q, want %q", keys, want)
	}
	for i, name := range want {
		if string(keys[i]) != prefix+"/"+name || string(values[i]) != "value of "+name {
			t.Fatalf("pair %d is %q, %q; want %q", i, keys[i], values[i], name)
		}
	}
}

func TestReverseScanBordersAndLimits(t *testing.T) {
	client := servers.Client(t)
	for _, name := range []string{"a", "b", "b\x00", "c", "d"} {
		mustPut(t, client, key(t, "%s", name), []byte("value of "+name))
	}
	cases := []struct {
		name         string
		upper, lower string
		limit        int
		want         []string
	}{
		{"all", "e", "a", 10, []string{"d", "c", "b\x00", "b", "a"}},
		{"upper is not included, lower is", "d", "b", 10, []string{"c", "b\x00", "b"}},
		{"limit", "e", "a", 2, []string{"d", "c"}},
		{"upper between keys", "cc", "a", 2, []string{"c", "b\x00"}},
		{"empty range", "b", "b", 10, nil},
		{"nothing there", "f", "e", 10, nil},
	}
	prefix := t.Name()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			upper, lower := []byte(prefix+"/"+c.upper), []byte(prefix+"/"+c.lower)
			keys, values, err := client.ReverseScan(t.Context(), upper, lower, c.limit)
			if err != nil {
				t.Fatal(err)
			}
			mustBe(t, prefix, keys, values, c.want)
		})
	}
}

func TestScanOfKeysOnly(t *testing.T) {
	client := servers.Client(t)
	fill(t, client, 3, "%d")
	keys, values, err := client.Scan(t.Context(), prefixStart(t), prefixEnd(t), 10,
		rawkv.ScanKeyOnly())
	if err != nil {
		t.Fatal(err)
	}
	expectKeys(t, keys, "0", "1", "2")
	for _, value := range values {
		if len(value) != 0 {
			t.Fatalf("a scan of keys returned the value %q", value)
		}
	}
	keys, values, err = client.ReverseScan(t.Context(), prefixEnd(t), prefixStart(t), 10,
		rawkv.ScanKeyOnly())
	if err != nil || len(values) != 3 || len(values[0]) != 0 {
		t.Fatalf("reverse: %q, %q, %v", keys, values, err)
	}
	expectKeys(t, keys, "2", "1", "0")
}

func TestScanWithoutEnd(t *testing.T) {
	client := servers.Client(t)
	last := append([]byte{0xff, 0xff}, t.Name()...)
	mustPut(t, client, last, []byte("last"))
	keys, _, err := client.Scan(t.Context(), last, nil, 10)
	if err != nil || len(keys) != 1 || !bytes.Equal(keys[0], last) {
		t.Fatalf("got %q, %v", keys, err)
	}
}

func TestTooLargeLimitIsTheClientsError(t *testing.T) {
	client := servers.Client(t)
	_, _, err := client.Scan(t.Context(), prefixStart(t), prefixEnd(t), rawkv.MaxRawKVScanLimit+1)
	if !errors.Is(err, rawkv.ErrMaxScanLimitExceeded) {
		t.Fatalf("got %v", err)
	}
}

// Reads 30,000 pairs (3,000 in short mode) in pages of the largest legal size, both ways.
func TestBigScans(t *testing.T) {
	client := servers.Client(t)
	count := 30000
	if testing.Short() {
		count = 3000
	}
	fill(t, client, count, "%06d")
	page := min(rawkv.MaxRawKVScanLimit, count/2+7)

	seen := 0
	for start := prefixStart(t); ; {
		keys, values, err := client.Scan(t.Context(), start, prefixEnd(t), page)
		if err != nil {
			t.Fatal(err)
		}
		if len(keys) == 0 {
			break
		}
		for i := range keys {
			checkPair(t, seen, keys[i], values[i])
			seen++
		}
		start = append(keys[len(keys)-1], 0)
	}
	if seen != count {
		t.Fatalf("forward: %d pairs, want %d", seen, count)
	}

	for upper := prefixEnd(t); ; {
		keys, values, err := client.ReverseScan(t.Context(), upper, prefixStart(t), page)
		if err != nil {
			t.Fatal(err)
		}
		if len(keys) == 0 {
			break
		}
		for i := range keys {
			seen--
			checkPair(t, seen, keys[i], values[i])
		}
		upper = keys[len(keys)-1]
	}
	if seen != 0 {
		t.Fatalf("backward: %d pairs are missing", seen)
	}
}

func checkPair(t *testing.T, n int, k, value []byte) {
	t.Helper()
	if !bytes.Equal(k, key(t, "%06d", n)) || string(value) != fmt.Sprintf("value %d", n) {
		t.Fatalf("pair %d is %q, %q", n, k, value)
	}
}

// One answer of some 20 MiB: a scan must return all the pairs that were asked for, since the client
// does not ask again within a region.
func TestScanOfLargeValues(t *testing.T) {
	client := servers.Client(t)
	const count, size = 80, 256 << 10
	for i := range count {
		mustPut(t, client, key(t, "%03d", i), bytes.Repeat([]byte{byte(i)}, size))
	}
	keys, values, err := client.Scan(t.Context(), prefixStart(t), prefixEnd(t), count)
	if err != nil {
		t.Fatal(err)
	}
	if len(keys) != count {
		t.Fatalf("%d pairs, want %d", len(keys), count)
	}
	for i, value := range values {
		if !bytes.Equal(value, bytes.Repeat([]byte{byte(i)}, size)) {
			t.Fatalf("the value of %q is not what was put", keys[i])
		}
	}
}

func TestDeleteRange(t *testing.T) {
	client := servers.Client(t)
	fill(t, client, 10, "%d")
	if err := client.DeleteRange(t.Context(), key(t, "3"), key(t, "7")); err != nil {
		t.Fatal(err)
	}
	keys, _, err := client.Scan(t.Context(), prefixStart(t), prefixEnd(t), 100)
	if err != nil {
		t.Fatal(err)
	}
	expectKeys(t, keys, "0", "1", "2", "7", "8", "9")
}

func TestDeleteOfEmptyOrReversedRangeLosesNothing(t *testing.T) {
	client := servers.Client(t)
	fill(t, client, 10, "%d")
	if err := client.DeleteRange(t.Context(), key(t, "3"), key(t, "3")); err != nil {
		t.Error(err)
	}
	if err := client.DeleteRange(t.Context(), key(t, "7"), key(t, "3")); err != nil {
		t.Logf("a reversed range is refused: %v", err)
	}
	keys, _, err := client.Scan(t.Context(), prefixStart(t), prefixEnd(t), 100)
	if err != nil || len(keys) != 10 {
		t.Fatalf("%d keys are left, want 10 (%v)", len(keys), err)
	}
}

func TestChecksum(t *testing.T) {
	client := servers.Client(t)
	const count = 1000
	fill(t, client, count, "%04d")
	table := crc64.MakeTable(crc64.ECMA)
	var want rawkv.RawChecksum
	for i := range count {
		pair := append(sent(key(t, "%04d", i)), fmt.Appendf(nil, "value %d", i)...)
		want.Crc64Xor ^= crc64.Checksum(pair, table)
		want.TotalKvs++
		want.TotalBytes += uint64(len(pair))
	}
	got, err := client.Checksum(t.Context(), prefixStart(t), prefixEnd(t))
	if err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Fatalf("got %+v, want %+v", got, want)
	}
	got, err = client.Checksum(t.Context(), key(t, "x"), key(t, "y"))
	if err != nil || got != (rawkv.RawChecksum{}) {
		t.Fatalf("of nothing: got %+v, %v", got, err)
	}
}
