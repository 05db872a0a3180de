package txn

import (
	"fmt"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pingcap/kvproto/pkg/kvrpcpb"
	tikverr "github.com/tikv/client-go/v2/error"
	"github.com/tikv/client-go/v2/tikv"
	"github.com/tikv/client-go/v2/tikvrpc"
	"github.com/tikv/client-go/v2/txnkv"
	"github.com/tikv/client-go/v2/txnkv/transaction"
)

// beginPipelined begins a transaction that sends what it writes before it commits.
func beginPipelined(t testing.TB, client *txnkv.Client) *txnkv.KVTxn {
	t.Helper()
	if servers.HasKeyspaces() {
		t.Skip("this version of the client does not put the keyspace into what it flushes")
	}
	txn, err := client.Begin(tikv.WithDefaultPipelinedTxn())
	if err != nil {
		t.Fatalf("begin: %v", err)
	}
	return txn
}

// flush sends all that the transaction has written so far, and waits until it has arrived.
func flush(t testing.TB, txn *txnkv.KVTxn) {
	t.Helper()
	if _, err := txn.GetMemBuffer().Flush(true); err != nil {
		t.Fatalf("flush: %v", err)
	}
	if err := txn.GetMemBuffer().FlushWait(); err != nil {
		t.Fatalf("flush: %v", err)
	}
}

// The resolving of flushed keys goes on behind the commit: readers meet locks, and end them.
func TestPipelinedTransactionReadsItsFlushesAndCommitsThem(t *testing.T) {
	client := servers.TxnClient(t)
	write(t, client, contents{"a": "old", "b": "old", "c": "old"})
	long := strings.Repeat("x", 1000)

	txn := beginPipelined(t, client)
	apply(t, txn, contents{"a": "1", "b": "", "d": long})
	flush(t, txn)
	// From the server: the buffer has been given up.
	for name, want := range map[string]string{"a": "1", "b": "", "c": "old", "d": long} {
		expectGet(t, txn, name, want)
	}
	expectAt(t, client, txn.StartTS()-1, contents{"a": "old", "b": "old", "c": "old", "d": ""})
	apply(t, txn, contents{"a": "2", "b": "back", "d": ""})
	flush(t, txn)
	apply(t, txn, contents{"e": "last"})
	expectGet(t, txn, "a", "2")
	expectGet(t, txn, "d", "")
	commit(t, txn)
	expectNow(t, client, contents{"a": "2", "b": "back", "c": "old", "d": "", "e": "last"})
}

func TestPipelinedTransactionOfManyKeys(t *testing.T) {
	client := servers.TxnClient(t)
	all := contents{}
	txn := beginPipelined(t, client)
	const flushes, perFlush = 5, 1000
	for i := range flushes {
		for n := range perFlush {
			name := numbered(i*perFlush + n)
			all[name] = fmt.Sprintf("value %s", name)
			set(t, txn, name, all[name])
		}
		// A key that every flush writes again.
		all["again"] = fmt.Sprintf("by flush %d", i)
		set(t, txn, "again", all["again"])
		flush(t, txn)
	}
	commit(t, txn)
	expectNow(t, client, all)
}

func TestPipelinedTransactionThatIsRolledBackLeavesNothing(t *testing.T) {
	client := servers.TxnClient(t)
	write(t, client, contents{"a": "old"})
	txn := beginPipelined(t, client)
	apply(t, txn, contents{"a": "new", "b": "new"})
	flush(t, txn)
	if err := txn.Rollback(); err != nil {
		t.Fatalf("rollback: %v", err)
	}
	expectNow(t, client, contents{"a": "old", "b": ""})
	// Nothing keeps others from the keys.
	write(t, client, contents{"a": "next", "b": "next"})
	expectNow(t, client, contents{"a": "next", "b": "next"})
}

// Who committed since the start is a conflict of the flush, and of the transaction.
func TestPipelinedTransactionConflicts(t *testing.T) {
	client := servers.TxnClient(t)
	txn := beginPipelined(t, client)
	set(t, txn, "first", "mine")
	flush(t, txn)
	write(t, client, contents{"k": "theirs"})
	set(t, txn, "k", "mine")
	_, err := txn.GetMemBuffer().Flush(true)
	if err == nil {
		err = txn.GetMemBuffer().FlushWait()
	}
	if !tikverr.IsErrWriteConflict(err) {
		t.Fatalf("the flush ended with %v, want a write conflict", err)
	}
	if err := txn.Rollback(); err != nil {
		t.Fatalf("rollback: %v", err)
	}
	expectNow(t, client, contents{"first": "", "k": "theirs"})
}

// Its heartbeats say below which timestamp it will not be committed.
func TestPipelinedTransactionTellsHowFarItIs(t *testing.T) {
	client := servers.TxnClient(t)
	ttl := atomic.SwapUint64(&transaction.ManagedLockTTL, 2000) // The client sends two in that time.
	defer atomic.StoreUint64(&transaction.ManagedLockTTL, ttl)
	txn := beginPipelined(t, client)
	set(t, txn, "k", "v")
	flush(t, txn)
	flushed := now(t, client)
	start, end := bounds(t)
	told := func() uint64 {
		answer := call[*kvrpcpb.ScanLockResponse](t, client, start, tikvrpc.CmdScanLock,
			&kvrpcpb.ScanLockRequest{StartKey: start, EndKey: end, MaxVersion: math.MaxUint64})
		if answer.Error != nil || len(answer.Locks) != 1 {
			t.Fatalf("scan lock: %v", answer)
		}
		return answer.Locks[0].MinCommitTs
	}
	for deadline := time.Now().Add(20 * time.Second); told() <= flushed; {
		if time.Now().After(deadline) {
			t.Fatalf("the lock says %d still", told())
		}
		time.Sleep(100 * time.Millisecond)
	}
	commit(t, txn)
	expectNow(t, client, contents{"k": "v"})
}
