package txn

import (
	"slices"
	"testing"

	"github.com/tikv/client-go/v2/txnkv"
)

// seed commits the even numbers below 2n.
func seed(t *testing.T, client *txnkv.Client, n int) contents {
	t.Helper()
	all := contents{}
	for i := range n {
		all[numbered(2*i)] = "committed " + numbered(2*i)
	}
	write(t, client, all)
	return all
}

// expectScan checks a scan from `from` to before `to` and its reverse, within a transaction.
func expectScan(t *testing.T, txn *txnkv.KVTxn, from, to string, want contents) {
	t.Helper()
	var wanted []string
	inside := contents{}
	for _, name := range want.names() {
		if name >= from && name < to {
			wanted = append(wanted, name)
			inside[name] = want[name]
		}
	}
	it, err := txn.Iter(key(t, from), key(t, to))
	names, values := collect(t, it, err)
	if !slices.Equal(names, wanted) {
		t.Fatalf("scan [%s, %s): keys %q, want %q", from, to, names, wanted)
	}
	expectContents(t, "scan", inside, values)
	it, err = txn.IterReverse(key(t, to), key(t, from))
	names, values = collect(t, it, err)
	slices.Reverse(names)
	if !slices.Equal(names, wanted) {
		t.Fatalf("reverse scan [%s, %s): keys %q from its end, want %q", from, to, names, wanted)
	}
	expectContents(t, "reverse scan", inside, values)
}

func TestScansOfHundredsOfKeys(t *testing.T) {
	bothWays(t, func(t *testing.T) {
		client := servers.TxnClient(t)
		all := seed(t, client, 700)
		for _, batch := range []int{0, 2, 7, 256, 700, 5000} {
			txn := begin(t, client)
			if batch > 0 {
				txn.GetSnapshot().SetScanBatchSize(batch)
			}
			expectScan(t, txn, "0", "9", all)
			expectScan(t, txn, numbered(100), numbered(900), all)
			expectScan(t, txn, numbered(101), numbered(901), all)
			expectScan(t, txn, numbered(100), numbered(100), all)
			expectScan(t, txn, numbered(5000), "9", all)
		}
	})
}

// Puts over committed keys, deletions of them, new keys in between, and new ones deleted again.
func TestScansMixInTheTransactionsOwnWrites(t *testing.T) {
	client := servers.TxnClient(t)
	view := seed(t, client, 400)
	txn := begin(t, client)
	own := contents{}
	for i := range 800 {
		switch {
		case i%10 == 1:
			own[numbered(i)] = "new " + numbered(i)
		case i%6 == 0:
			own[numbered(i)] = "" // Committed before, but for a few of the odd numbers.
		case i%8 == 2:
			own[numbered(i)] = "over " + numbered(i)
		}
	}
	own["zzz"] = "new, the last"
	apply(t, txn, own)
	set(t, txn, "short-lived", "x")
	remove(t, txn, "short-lived")
	for name, value := range own {
		view[name] = value
	}
	for _, batch := range []int{3, 256} {
		txn.GetSnapshot().SetScanBatchSize(batch)
		expectScan(t, txn, "0", "zzzz", view)
		expectScan(t, txn, numbered(37), numbered(611), view)
	}
	commit(t, txn)
	txn = begin(t, client)
	expectScan(t, txn, "0", "zzzz", view)
}

func TestAScanOfKeysOnlyHasNoValues(t *testing.T) {
	client := servers.TxnClient(t)
	all := seed(t, client, 300)
	snapshot := client.GetSnapshot(now(t, client))
	snapshot.SetKeyOnly(true)
	start, end := bounds(t)
	it, err := snapshot.Iter(start, end)
	names, values := collect(t, it, err)
	if !slices.Equal(names, all.names()) {
		t.Fatalf("keys %q, want %q", names, all.names())
	}
	for name, value := range values {
		if value != "" {
			t.Fatalf("%s came with a value: %s", name, brief(value))
		}
	}
}

// A scan leaves out what was deleted and what came later, however many versions lie between.
func TestAScanSkipsManyOtherVersions(t *testing.T) {
	client := servers.TxnClient(t)
	write(t, client, contents{"a": "a0", "b": "b0", "c": "c0", "d": "d0"})
	gone := write(t, client, contents{"b": ""})
	for range 40 {
		write(t, client, contents{"a": "later", "b": "later", "c": "later"})
		write(t, client, contents{"b": ""})
	}
	expectAt(t, client, gone, contents{"a": "a0", "b": "", "c": "c0", "d": "d0"})
	expectNow(t, client, contents{"a": "later", "b": "", "c": "later", "d": "d0"})
}

func TestABatchGetOfManyKeys(t *testing.T) {
	bothWays(t, func(t *testing.T) {
		client := servers.TxnClient(t)
		want := seed(t, client, 600)
		for i := range 600 {
			want[numbered(2*i+1)] = "" // Asked for, not there.
		}
		expectBatch(t, client, now(t, client), want)
	})
}
