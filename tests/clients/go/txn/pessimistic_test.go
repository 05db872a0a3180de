package txn

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pingcap/kvproto/pkg/kvrpcpb"
	"github.com/pingcap/kvproto/pkg/tikvpb"
	tikverr "github.com/tikv/client-go/v2/error"
	"github.com/tikv/client-go/v2/kv"
	"github.com/tikv/client-go/v2/oracle"
	"github.com/tikv/client-go/v2/txnkv"
	"github.com/tikv/client-go/v2/txnkv/transaction"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"rutile/tests/clients/cluster"
)

// servesPessimisticLocks tells whether the servers know the call at all.
func servesPessimisticLocks(t testing.TB) bool {
	t.Helper()
	conn, err := cluster.Dial(servers.Nodes[0].Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, err = tikvpb.NewTikvClient(conn).KvPessimisticLock(ctx, &kvrpcpb.PessimisticLockRequest{})
	return status.Code(err) != codes.Unimplemented
}

func needPessimisticLocks(t *testing.T) {
	t.Helper()
	if !servesPessimisticLocks(t) {
		t.Skip("the server does not serve KvPessimisticLock")
	}
}

func beginPessimistic(t testing.TB, client *txnkv.Client) *txnkv.KVTxn {
	t.Helper()
	txn := begin(t, client)
	txn.SetPessimistic(true)
	return txn
}

// lockForUpdate locks keys at a fresh timestamp and returns their newest values. `wait` is in
// milliseconds, or one of the client's constants.
func lockForUpdate(ctx context.Context, client *txnkv.Client, txn *txnkv.KVTxn, wait int64,
	keys ...[]byte) (*kv.LockCtx, error) {
	ts, err := client.CurrentTimestamp(oracle.GlobalTxnScope)
	if err != nil {
		return nil, err
	}
	locked := kv.NewLockCtx(ts, wait, time.Now())
	locked.InitReturnValues(len(keys))
	return locked, txn.LockKeys(ctx, locked, keys...)
}

// lockNewest waits for a lock, again after each commit that came in between, and returns the value.
func lockNewest(ctx context.Context, client *txnkv.Client, txn *txnkv.KVTxn, k []byte) (
	string, error) {
	for {
		locked, err := lockForUpdate(ctx, client, txn, kv.LockAlwaysWait, k)
		if err == nil {
			return string(locked.Values[string(k)].Value), nil
		}
		if !tikverr.IsErrWriteConflict(err) {
			return "", err
		}
	}
}

// mustLock locks what nobody else has locked.
func mustLock(t testing.TB, client *txnkv.Client, txn *txnkv.KVTxn, names ...string) *kv.LockCtx {
	t.Helper()
	var keys [][]byte
	for _, name := range names {
		keys = append(keys, key(t, name))
	}
	locked, err := lockForUpdate(t.Context(), client, txn, kv.LockNoWait, keys...)
	if err != nil {
		t.Fatalf("lock %q: %v", names, err)
	}
	return locked
}

func rollback(t testing.TB, txn *txnkv.KVTxn) {
	t.Helper()
	if err := txn.Rollback(); err != nil {
		t.Fatalf("rollback: %v", err)
	}
}

func TestPessimisticTransactionsCommit(t *testing.T) {
	needPessimisticLocks(t)
	bothWays(t, func(t *testing.T) {
		client := servers.TxnClient(t)
		write(t, client, contents{"a": "old", "b": "old"})
		txn := beginPessimistic(t, client)
		write(t, client, contents{"a": "newer"})
		locked := mustLock(t, client, txn, "a", "missing")
		if got := locked.Values[string(key(t, "a"))]; string(got.Value) != "newer" || !got.Exists {
			t.Errorf("locking returned %q, want the newest value", got.Value)
		}
		if got := locked.Values[string(key(t, "missing"))]; got.Exists {
			t.Errorf("locking a missing key returned %q", got.Value)
		}
		apply(t, txn, contents{"a": "newest", "b": ""}) // Of which one is not locked before.
		commit(t, txn)
		expectNow(t, client, contents{"a": "newest", "b": "", "missing": ""})
		expectNoLocks(t, client)
	})
}

func TestALockedKeyIsRefusedWithoutWaiting(t *testing.T) {
	needPessimisticLocks(t)
	client, other := servers.TxnClient(t), servers.TxnClient(t)
	write(t, client, contents{"a": "old"})
	holder, refused := beginPessimistic(t, client), beginPessimistic(t, other)
	mustLock(t, client, holder, "a")
	_, err := lockForUpdate(t.Context(), other, refused, kv.LockNoWait, key(t, "a"))
	if !errors.Is(err, tikverr.ErrLockAcquireFailAndNoWaitSet) {
		t.Errorf("the lock ended with %v", err)
	}
	set(t, holder, "a", "new")
	commit(t, holder)
	mustLock(t, other, refused, "a")
	rollback(t, refused)
	expectNow(t, client, contents{"a": "new"})
}

func TestWaitingForALockEnds(t *testing.T) {
	needPessimisticLocks(t)
	client, other := servers.TxnClient(t), servers.TxnClient(t)
	holder, waiter := beginPessimistic(t, client), beginPessimistic(t, other)
	mustLock(t, client, holder, "a")
	began := time.Now()
	_, err := lockForUpdate(t.Context(), other, waiter, 300, key(t, "a"))
	if !errors.Is(err, tikverr.ErrLockWaitTimeout) {
		t.Errorf("the lock ended with %v", err)
	}
	if took := time.Since(began); took < 300*time.Millisecond {
		t.Errorf("a wait of 300 ms ended after %s", took)
	}
	rollback(t, waiter)
	set(t, holder, "a", "new")
	commit(t, holder)
	expectNow(t, client, contents{"a": "new"})
}

func TestAWaiterGetsTheLockAfterItsHolder(t *testing.T) {
	needPessimisticLocks(t)
	for name, end := range map[string]func(t *testing.T, txn *txnkv.KVTxn){
		"commit":   func(t *testing.T, txn *txnkv.KVTxn) { commit(t, txn) },
		"rollback": func(t *testing.T, txn *txnkv.KVTxn) { rollback(t, txn) },
	} {
		t.Run(name, func(t *testing.T) {
			client, other := servers.TxnClient(t), servers.TxnClient(t)
			write(t, client, contents{"a": "old"})
			holder, waiter := beginPessimistic(t, client), beginPessimistic(t, other)
			mustLock(t, client, holder, "a")
			set(t, holder, "a", "the holder's")
			type outcome struct {
				value string
				err   error
			}
			got := make(chan outcome, 1)
			go func() {
				value, err := lockNewest(t.Context(), other, waiter, key(t, "a"))
				got <- outcome{value, err}
			}()
			select {
			case early := <-got:
				t.Fatalf("two have the lock: %v", early)
			case <-time.After(300 * time.Millisecond):
			}
			end(t, holder)
			want := map[string]string{"commit": "the holder's", "rollback": "old"}[name]
			if o := <-got; o.err != nil || o.value != want {
				t.Fatalf("the waiter got %q, %v, want %q", o.value, o.err, want)
			}
			set(t, waiter, "a", "the waiter's")
			commit(t, waiter)
			expectNow(t, client, contents{"a": "the waiter's"})
		})
	}
}

func TestOneOfTwoInADeadlockIsTold(t *testing.T) {
	needPessimisticLocks(t)
	bothWays(t, func(t *testing.T) {
		clients := []*txnkv.Client{servers.TxnClient(t), servers.TxnClient(t)}
		names := []string{"a", "b"}
		var txns []*txnkv.KVTxn
		for n, client := range clients {
			txns = append(txns, beginPessimistic(t, client))
			mustLock(t, client, txns[n], names[n])
		}
		var victims atomic.Int32
		var wg sync.WaitGroup
		for n, client := range clients {
			wg.Go(func() {
				_, err := lockForUpdate(t.Context(), client, txns[n], kv.LockAlwaysWait,
					key(t, names[1-n]))
				var deadlock *tikverr.ErrDeadlock
				switch {
				case err == nil:
				case errors.As(err, &deadlock):
					victims.Add(1)
					if deadlock.LockTs != txns[1-n].StartTS() {
						t.Errorf("deadlock of %d with %d is told as %v", txns[n].StartTS(),
							txns[1-n].StartTS(), deadlock.Deadlock)
					}
				default:
					t.Errorf("the lock ended with %v", err)
				}
				if err != nil {
					err = txns[n].Rollback()
				} else {
					err = errors.Join(txns[n].Set(key(t, "a"), []byte("survivor")),
						txns[n].Set(key(t, "b"), []byte("survivor")), txns[n].Commit(t.Context()))
				}
				if err != nil {
					t.Errorf("the end of transaction %d: %v", n, err)
				}
			})
		}
		wg.Wait()
		if victims.Load() != 1 {
			t.Errorf("%d of the two were told of the deadlock", victims.Load())
		}
		expectNow(t, clients[0], contents{"a": "survivor", "b": "survivor"})
	})
}

func TestReadersPassPessimisticLocks(t *testing.T) {
	needPessimisticLocks(t)
	client, other := servers.TxnClient(t), servers.TxnClient(t)
	write(t, client, contents{"a": "old", "b": "old"})
	holder := beginPessimistic(t, client)
	mustLock(t, client, holder, "a", "b")
	set(t, holder, "a", "new")
	expectNow(t, other, contents{"a": "old", "b": "old"})
	commit(t, holder)
	expectNow(t, other, contents{"a": "new", "b": "old"})
}

func TestAnOptimisticWriterLosesAgainstALockedKey(t *testing.T) {
	needPessimisticLocks(t)
	client, other := servers.TxnClient(t), servers.TxnClient(t)
	write(t, client, contents{"a": "old"})
	optimistic := begin(t, other)
	set(t, optimistic, "a", "optimistic")
	holder := beginPessimistic(t, client)
	mustLock(t, client, holder, "a")
	set(t, holder, "a", "pessimistic")
	// The holder is the younger one: the client need not wait for its end to know its own.
	expectConflict(t, optimistic, optimistic.Commit(t.Context()))
	commit(t, holder)
	expectNow(t, client, contents{"a": "pessimistic"})
}

// Who has the locks has no conflicts: every commit succeeds at once.
func TestPessimisticIncrementsDoNotConflict(t *testing.T) {
	needPessimisticLocks(t)
	clients := []*txnkv.Client{servers.TxnClient(t), servers.TxnClient(t)}
	const counters, increments = 6, 10
	write(t, clients[0], contents{"n": "0"})
	var wg sync.WaitGroup
	for c := range counters {
		wg.Go(func() {
			client := clients[c%len(clients)]
			for range increments {
				if err := incrementLocked(t, client); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	expectNow(t, clients[0], contents{"n": strconv.Itoa(counters * increments)})
}

func incrementLocked(t *testing.T, client *txnkv.Client) error {
	txn, err := client.Begin()
	if err != nil {
		return err
	}
	txn.SetPessimistic(true)
	value, err := lockNewest(t.Context(), client, txn, key(t, "n"))
	if err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	n, err := strconv.Atoi(value)
	if err != nil {
		return err
	}
	if err := txn.Set(key(t, "n"), []byte(strconv.Itoa(n+1))); err != nil {
		return err
	}
	return txn.Commit(t.Context())
}

// The client keeps its locks alive for as long as it lives.
func TestPessimisticLocksAreKeptAlive(t *testing.T) {
	needPessimisticLocks(t)
	shortenManagedTTL(t, 2000)
	client, other := servers.TxnClient(t), servers.TxnClient(t)
	holder := beginPessimistic(t, client)
	mustLock(t, client, holder, "a")
	seen := map[uint64]bool{}
	cluster.Eventually(t, 30*time.Second, func() error {
		for _, lock := range locksOf(t, other) {
			seen[lock.TTL] = true
		}
		if len(seen) < 4 {
			return fmt.Errorf("times to live so far: %v", seen)
		}
		return nil
	})
	set(t, holder, "a", "new")
	commit(t, holder)
	expectNow(t, other, contents{"a": "new"})
}

func TestThePessimisticLocksOfADeadClientExpire(t *testing.T) {
	needPessimisticLocks(t)
	shortenManagedTTL(t, 1000)
	client, other := servers.TxnClient(t), servers.TxnClient(t)
	write(t, client, contents{"a": "old", "b": "old"})
	dead := beginPessimistic(t, client)
	mustLock(t, client, dead, "a")
	transaction.TxnProbe{KVTxn: dead}.GetCommitter().CloseTTLManager()
	mustLock(t, client, dead, "b")
	heir := beginPessimistic(t, other)
	for _, name := range []string{"b", "a"} {
		if value, err := lockNewest(t.Context(), other, heir, key(t, name)); err != nil ||
			value != "old" {
			t.Fatalf("lock %s: %q, %v", name, value, err)
		}
	}
	age := oracle.ExtractPhysical(now(t, client)) - oracle.ExtractPhysical(dead.StartTS())
	if age < 1000 {
		t.Errorf("locks were taken away %d ms after the start, and had 1000 ms to live", age)
	}
	apply(t, heir, contents{"a": "the heir's", "b": "the heir's"})
	commit(t, heir)
	set(t, dead, "a", "the dead one's")
	if dead.Commit(t.Context()) == nil {
		t.Error("a transaction was committed whose locks had expired and were taken")
	}
	expectNow(t, client, contents{"a": "the heir's", "b": "the heir's"})
}

func TestARollbackGivesPessimisticLocksUp(t *testing.T) {
	needPessimisticLocks(t)
	client := servers.TxnClient(t)
	write(t, client, contents{"a": "old"})
	txn := beginPessimistic(t, client)
	mustLock(t, client, txn, "a", "b", "c")
	set(t, txn, "a", "new")
	rollback(t, txn)
	expectNoLocks(t, client)
	expectNow(t, client, contents{"a": "old", "b": "", "c": ""})
}

// shortenManagedTTL sets the time to live that the client gives to locks that it keeps alive.
func shortenManagedTTL(t *testing.T, milliseconds uint64) {
	before := atomic.SwapUint64(&transaction.ManagedLockTTL, milliseconds)
	t.Cleanup(func() { atomic.StoreUint64(&transaction.ManagedLockTTL, before) })
}
