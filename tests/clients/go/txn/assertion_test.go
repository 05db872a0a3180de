package txn

import (
	"errors"
	"testing"

	"github.com/pingcap/kvproto/pkg/kvrpcpb"
	tikverr "github.com/tikv/client-go/v2/error"
	"github.com/tikv/client-go/v2/kv"
	"github.com/tikv/client-go/v2/txnkv"
)

// setAsserting sets a key of which the client claims to know whether it exists.
func setAsserting(t testing.TB, txn *txnkv.KVTxn, level kvrpcpb.AssertionLevel, name string,
	exists bool) {
	t.Helper()
	txn.SetAssertionLevel(level)
	set(t, txn, name, "asserted")
	op := kv.FlagsOp(kv.SetAssertNotExist)
	if exists {
		op = kv.SetAssertExist
	}
	txn.GetMemBuffer().UpdateFlags(key(t, name), op)
}

func expectAssertionFailed(t testing.TB, err error, name string, want kvrpcpb.Assertion,
	existing uint64) {
	t.Helper()
	var failed *tikverr.ErrAssertionFailed
	if !errors.As(err, &failed) {
		t.Fatalf("the commit ended with %v, want a failed assertion", err)
	}
	if string(failed.Key) != string(key(t, name)) || failed.Assertion != want ||
		failed.ExistingCommitTs != existing {
		t.Fatalf("%v failed, want %s, %v and a commit at %d", failed, name, want, existing)
	}
}

func TestAssertionsOfOptimisticTransactions(t *testing.T) {
	client := servers.TxnClient(t)
	there := write(t, client, contents{"there": "old"})
	for _, level := range []kvrpcpb.AssertionLevel{
		kvrpcpb.AssertionLevel_Fast, kvrpcpb.AssertionLevel_Strict} {
		txn := begin(t, client)
		setAsserting(t, txn, level, "there", false)
		expectAssertionFailed(t, txn.Commit(t.Context()), "there", kvrpcpb.Assertion_NotExist, there)
		txn = begin(t, client)
		setAsserting(t, txn, level, "absent", true)
		expectAssertionFailed(t, txn.Commit(t.Context()), "absent", kvrpcpb.Assertion_Exist, 0)
	}
	expectNow(t, client, contents{"there": "old", "absent": ""})
	txn := begin(t, client)
	setAsserting(t, txn, kvrpcpb.AssertionLevel_Strict, "there", true)
	setAsserting(t, txn, kvrpcpb.AssertionLevel_Strict, "absent", false)
	commit(t, txn)
	expectNow(t, client, contents{"there": "asserted", "absent": "asserted"})
	// Off, nobody looks.
	txn = begin(t, client)
	setAsserting(t, txn, kvrpcpb.AssertionLevel_Off, "there", false)
	commit(t, txn)
}

func TestAssertionsOfPessimisticTransactions(t *testing.T) {
	client := servers.TxnClient(t)
	there := write(t, client, contents{"there": "old"})
	txn := beginPessimistic(t, client)
	if _, err := lockForUpdate(t.Context(), client, txn, kv.LockNoWait, key(t, "there")); err != nil {
		t.Fatalf("lock: %v", err)
	}
	// Below that level the client judges by what it was told when it locked the key.
	setAsserting(t, txn, kvrpcpb.AssertionLevel_Strict, "there", false)
	expectAssertionFailed(t, txn.Commit(t.Context()), "there", kvrpcpb.Assertion_NotExist, there)
	expectNow(t, client, contents{"there": "old"})
}
