package txn

import (
	"bytes"
	"strings"
	"testing"

	"github.com/tikv/client-go/v2/txnkv"
)

func TestWritesAreThereAfterTheCommit(t *testing.T) {
	bothWays(t, func(t *testing.T) {
		client := servers.TxnClient(t)
		write(t, client, contents{"a": "1", "b": "2", "c": "3"})
		expectNow(t, client, contents{"a": "1", "b": "2", "c": "3"})
		write(t, client, contents{"a": "4", "b": "", "d": "5"})
		expectNow(t, client, contents{"a": "4", "b": "", "c": "3", "d": "5"})
		expectNow(t, servers.TxnClient(t), contents{"a": "4", "b": "", "c": "3", "d": "5"})
	})
}

func TestNothingIsThereBeforeTheCommit(t *testing.T) {
	client := servers.TxnClient(t)
	write(t, client, contents{"a": "old", "b": "old"})
	txn := begin(t, client)
	apply(t, txn, contents{"a": "new", "b": "", "c": "new"})
	expectNow(t, client, contents{"a": "old", "b": "old", "c": ""})
	commit(t, txn)
	expectNow(t, client, contents{"a": "new", "b": "", "c": "new"})
}

func TestNothingIsLeftOfARollback(t *testing.T) {
	client := servers.TxnClient(t)
	write(t, client, contents{"a": "old"})
	txn := begin(t, client)
	apply(t, txn, contents{"a": "new", "b": "new"})
	if err := txn.Rollback(); err != nil {
		t.Fatal(err)
	}
	if txn.Commit(t.Context()) == nil {
		t.Error("a transaction could be committed after its rollback")
	}
	expectNow(t, client, contents{"a": "old", "b": ""})
}

func TestATransactionReadsItsOwnWrites(t *testing.T) {
	client := servers.TxnClient(t)
	write(t, client, contents{"a": "old", "b": "old", "c": "old"})
	txn := begin(t, client)
	apply(t, txn, contents{"a": "new", "b": "", "d": "new"})
	expectGet(t, txn, "a", "new")
	expectGet(t, txn, "b", "")
	expectGet(t, txn, "c", "old")
	expectGet(t, txn, "d", "new")
	found, err := txn.BatchGet(t.Context(),
		[][]byte{key(t, "a"), key(t, "b"), key(t, "c"), key(t, "d")})
	if err != nil {
		t.Fatal(err)
	}
	got := contents{}
	for k, value := range found {
		if len(value) > 0 { // A deletion of the transaction's own may be told as an empty value.
			got[strings.TrimPrefix(k, prefix(t))] = string(value)
		}
	}
	expectContents(t, "batch get", contents{"a": "new", "c": "old", "d": "new"}, got)
	commit(t, txn)
	expectNow(t, client, contents{"a": "new", "b": "", "c": "old", "d": "new"})
}

func TestATransactionWithoutWritesCommits(t *testing.T) {
	client := servers.TxnClient(t)
	write(t, client, contents{"a": "1"})
	txn := begin(t, client)
	expectGet(t, txn, "a", "1")
	if err := txn.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestDeletingWhatIsNotThere(t *testing.T) {
	client := servers.TxnClient(t)
	write(t, client, contents{"missing": "", "a": "1"})
	expectNow(t, client, contents{"missing": "", "a": "1"})
}

func TestKeysAndValuesAreAnyBytes(t *testing.T) {
	client := servers.TxnClient(t)
	want := contents{
		"\x00": "\x00", "\xff\xff": "\xff", "\xff\xff\x00": "a\x00b", "12345678": "12345678",
		"1234567": "x", "123456789": "y", "12345678\x00": "z",
	}
	write(t, client, want)
	expectNow(t, client, want)
}

// Values of up to 255 bytes are kept beside the record of the commit, others for themselves.
func TestValuesOfManySizes(t *testing.T) {
	bothWays(t, func(t *testing.T) {
		client := servers.TxnClient(t)
		want := contents{}
		for _, size := range []int{1, 254, 255, 256, 257, 4096, 100 << 10, 1 << 20} {
			name := numbered(size)
			want[name] = strings.Repeat(name+"|", size/6+1)[:size]
		}
		write(t, client, want)
		expectNow(t, client, want)
		shorter := contents{}
		for name, value := range want {
			shorter[name] = value[:len(value)/2+1]
		}
		write(t, client, shorter)
		expectNow(t, client, shorter)
	})
}

func TestATransactionOfThousandsOfKeys(t *testing.T) {
	client := servers.TxnClient(t)
	want := contents{}
	for i := range 5000 {
		want[numbered(i)] = string(bytes.Repeat([]byte(numbered(i)), 20))
	}
	before := now(t, client)
	at := write(t, client, want)
	start, end := bounds(t)
	for ts, wanted := range map[uint64]contents{at: want, at - 1: {}, before: {}} {
		it, err := client.GetSnapshot(ts).Iter(start, end)
		_, got := collect(t, it, err)
		expectContents(t, "scan", wanted, got)
	}
	expectBatch(t, client, now(t, client), want)

	txn := begin(t, client)
	for name := range want {
		remove(t, txn, name)
	}
	commit(t, txn)
	expectNow(t, servers.TxnClient(t), contents{})
}

// The client may ask for the shorter ways of committing; a server that does not have them says so
// in its answer, and the transaction is committed all the same.
func TestEveryWayOfCommitting(t *testing.T) {
	for name, choose := range waysOfCommitting {
		t.Run(name, func(t *testing.T) {
			client := servers.TxnClient(t)
			var first, second *txnkv.KVTxn
			run := func(changes contents) uint64 {
				txn := begin(t, client)
				choose(txn)
				apply(t, txn, changes)
				return commit(t, txn)
			}
			one := run(contents{"a": "1"})
			many := run(contents{"a": "2", "b": "2", "c": strings.Repeat("2", 1000)})
			expectAt(t, client, one-1, contents{"a": ""})
			expectAt(t, client, one, contents{"a": "1"})
			expectAt(t, client, many, contents{"a": "2", "b": "2", "c": strings.Repeat("2", 1000)})

			// With causal consistency alone a commit may lie below the start of who began before it.
			second = begin(t, client)
			first = begin(t, client)
			choose(first)
			choose(second)
			apply(t, first, contents{"a": "3", "b": "", "c": ""})
			apply(t, second, contents{"b": "4", "c": "4"})
			commit(t, first)
			expectConflict(t, second, second.Commit(t.Context()))
			expectNow(t, servers.TxnClient(t), contents{"a": "3", "b": "", "c": ""})
		})
	}
}

var waysOfCommitting = map[string]func(txn *txnkv.KVTxn){
	"two phases":   func(txn *txnkv.KVTxn) {},
	"async commit": func(txn *txnkv.KVTxn) { txn.SetEnableAsyncCommit(true) },
	"one phase":    func(txn *txnkv.KVTxn) { txn.SetEnable1PC(true) },
	"async commit or one phase": func(txn *txnkv.KVTxn) {
		txn.SetEnableAsyncCommit(true)
		txn.SetEnable1PC(true)
	},
	"one phase, causal consistency": func(txn *txnkv.KVTxn) {
		txn.SetEnable1PC(true)
		txn.SetCausalConsistency(true)
	},
}
