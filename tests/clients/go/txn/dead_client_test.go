package txn

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/tikv/client-go/v2/oracle"
	"github.com/tikv/client-go/v2/tikv"
	"github.com/tikv/client-go/v2/txnkv"
	"github.com/tikv/client-go/v2/txnkv/transaction"
	"github.com/tikv/client-go/v2/txnkv/txnlock"

	"rutile/tests/clients/cluster"
)

const (
	shortTTL = time.Second // A test waits until it has run out.
	longTTL  = time.Hour   // No test lives to see its end.
)

// dying is a transaction that its client will not end: the test takes the steps of the commit that
// are to happen, and no others. The first of the keys in order is the primary key.
func dying(t testing.TB, client *txnkv.Client, ttl time.Duration,
	changes contents) transaction.CommitterProbe {
	t.Helper()
	txn, err := tikv.StoreProbe{KVStore: client.KVStore}.Begin()
	if err != nil {
		t.Fatal(err)
	}
	apply(t, txn.KVTxn, changes)
	committer, err := txn.NewCommitter(0)
	if err != nil {
		t.Fatal(err)
	}
	committer.SetLockTTL(uint64(ttl.Milliseconds()))
	committer.SetPrimaryKey(committer.GetMutations().GetKeys()[0])
	return committer
}

func prewrite(t testing.TB, txn transaction.CommitterProbe) {
	t.Helper()
	if err := txn.PrewriteAllMutations(t.Context()); err != nil {
		t.Fatalf("prewrite: %v", err)
	}
}

// commitPrimary commits the primary key only, and returns the commit's timestamp.
func commitPrimary(t testing.TB, client *txnkv.Client, txn transaction.CommitterProbe) uint64 {
	t.Helper()
	txn.SetCommitTS(now(t, client))
	if err := txn.CommitMutations(t.Context()); err != nil {
		t.Fatalf("commit: %v", err)
	}
	return txn.GetCommitTS()
}

// expectTooLate checks that the transaction can neither be committed nor begin anew.
func expectTooLate(t testing.TB, client *txnkv.Client, txn transaction.CommitterProbe) {
	t.Helper()
	txn.SetCommitTS(now(t, client))
	if err := txn.CommitMutations(t.Context()); !retryable(err) {
		t.Errorf("the commit after the rollback ended with %v, want an error to begin again", err)
	}
	if err := txn.PrewriteAllMutations(t.Context()); !retryable(err) {
		t.Errorf("a prewrite after the rollback ended with %v, want an error to begin again", err)
	}
}

// locksOf is the locks that lie on the test's keys.
func locksOf(t testing.TB, client *txnkv.Client) []*txnlock.Lock {
	t.Helper()
	start, end := bounds(t)
	locks, err := tikv.StoreProbe{KVStore: client.KVStore}.ScanLocks(t.Context(), start, end,
		now(t, client))
	if err != nil {
		t.Fatalf("scan locks: %v", err)
	}
	return locks
}

// expectNoLocks waits for what the client does in the background.
func expectNoLocks(t testing.TB, client *txnkv.Client) {
	t.Helper()
	cluster.Eventually(t, 20*time.Second, func() error {
		if locks := locksOf(t, client); len(locks) > 0 {
			return fmt.Errorf("%d locks, one of them %v", len(locks), locks[0])
		}
		return nil
	})
}

// expectExpired checks that the time to live of `txn` has run out in placement's time.
func expectExpired(t testing.TB, client *txnkv.Client, txn transaction.CommitterProbe,
	ttl time.Duration) {
	t.Helper()
	age := oracle.ExtractPhysical(now(t, client)) - oracle.ExtractPhysical(txn.GetStartTS())
	if age < ttl.Milliseconds() {
		t.Errorf("a transaction ended %d ms after its start, and had %s to live", age, ttl)
	}
}

func numberedContents(n int, value string) contents {
	all := contents{}
	for i := range n {
		all[numbered(i)] = value
	}
	return all
}

// Small transactions are resolved key by key, those of 16 keys and more by region.
var sizes = map[string]int{"small": 6, "large": 300}

func TestAClientDiesAfterThePrewrite(t *testing.T) {
	for name, size := range sizes {
		t.Run(name, func(t *testing.T) {
			client, other := servers.TxnClient(t), servers.TxnClient(t)
			old := numberedContents(size, "old")
			write(t, client, old)
			dead := dying(t, client, shortTTL, numberedContents(size, "new"))
			prewrite(t, dead)
			if locks := locksOf(t, other); len(locks) != size {
				t.Fatalf("%d locks of %d", len(locks), size)
			}
			expectNow(t, other, old)

			// A writer waits until the time to live is over. The last key is not the primary.
			last := numbered(size - 1)
			write(t, other, contents{last: "by the other"})
			expectExpired(t, client, dead, shortTTL)
			expectTooLate(t, client, dead)
			old[last] = "by the other"
			expectNow(t, client, old)
			expectNoLocks(t, client)
		})
	}
}

// Readers that find the time to live over do not leave the locks to others.
func TestReadersCleanUpAfterADeadClient(t *testing.T) {
	client, other := servers.TxnClient(t), servers.TxnClient(t)
	old := numberedContents(40, "old")
	write(t, client, old)
	dead := dying(t, client, shortTTL, numberedContents(40, "new"))
	prewrite(t, dead)
	cluster.Eventually(t, 20*time.Second, func() error {
		expectNow(t, other, old)
		if locks := locksOf(t, client); len(locks) > 0 {
			return fmt.Errorf("%d locks are left", len(locks))
		}
		return nil
	})
	expectExpired(t, client, dead, shortTTL)
	expectTooLate(t, client, dead)
}

// Committed is what the primary key says: nobody waits for the time to live, nobody loses a write.
func TestAClientDiesAfterCommittingThePrimary(t *testing.T) {
	for name, size := range sizes {
		t.Run(name, func(t *testing.T) {
			client, other := servers.TxnClient(t), servers.TxnClient(t)
			old, changed := numberedContents(size, "old"), numberedContents(size, "new")
			changed[numbered(size/2)] = ""
			write(t, client, old)
			dead := dying(t, client, longTTL, changed)
			prewrite(t, dead)
			at := commitPrimary(t, client, dead)
			if locks := locksOf(t, other); len(locks) != size-1 {
				t.Fatalf("%d locks, want one on each of %d secondary keys", len(locks), size-1)
			}
			expectAt(t, other, at-1, old)
			expectNow(t, other, changed)
			expectAt(t, other, at, changed)
			expectNoLocks(t, other)
			expectAt(t, other, at, changed)
			expectAt(t, other, at-1, old)
		})
	}
}

func TestAWriterRollsADeadClientsCommitForward(t *testing.T) {
	client, other := servers.TxnClient(t), servers.TxnClient(t)
	dead := dying(t, client, longTTL, numberedContents(3, "dead"))
	prewrite(t, dead)
	at := commitPrimary(t, client, dead)
	write(t, other, contents{numbered(2): "other"})
	expectAt(t, other, at, numberedContents(3, "dead"))
	expectNow(t, other, contents{numbered(0): "dead", numbered(1): "dead", numbered(2): "other"})
}

// Locks whose primary key was never written: who meets them makes sure that it never will be.
func TestAClientDiesBeforePrewritingThePrimary(t *testing.T) {
	client, other := servers.TxnClient(t), servers.TxnClient(t)
	old := numberedContents(4, "old")
	write(t, client, old)
	dead := dying(t, client, shortTTL, numberedContents(4, "new"))
	secondaries := dead.MutationsOfKeys(dead.GetMutations().GetKeys()[1:])
	if err := dead.PrewriteMutations(t.Context(), secondaries); err != nil {
		t.Fatal(err)
	}
	if locks := locksOf(t, other); len(locks) != 3 {
		t.Fatalf("%d locks of 3", len(locks))
	}
	expectNow(t, other, old)
	expectNoLocks(t, other)
	expectExpired(t, client, dead, shortTTL)
	expectTooLate(t, client, dead)
	expectNow(t, other, old)
}

// A reader does not wait for a transaction that may still live: it makes sure that this commits
// after the reader's timestamp, whatever the client had planned.
func TestReadersPassALivingTransaction(t *testing.T) {
	bothWays(t, func(t *testing.T) {
		client, other := servers.TxnClient(t), servers.TxnClient(t)
		old, changed := numberedContents(3, "old"), numberedContents(3, "new")
		write(t, client, old)
		living := dying(t, client, longTTL, changed)
		prewrite(t, living)
		planned := now(t, client)
		read := now(t, other)
		expectAt(t, other, read, old)

		living.SetCommitTS(planned)
		if err := living.CommitMutations(t.Context()); err != nil {
			t.Fatal(err)
		}
		at := living.GetCommitTS()
		if at <= read {
			t.Errorf("committed at %d, although %d was read without it", at, read)
		}
		expectAt(t, other, read, old)
		expectNow(t, other, changed)
	})
}

// Whoever collects garbage ends all old transactions first, without waiting for them.
func TestGarbageCollectionResolvesAllLocks(t *testing.T) {
	client, other := servers.TxnClient(t), servers.TxnClient(t)
	old := contents{}
	for _, name := range []string{"undecided", "committed", "later"} {
		for i := range 20 {
			old[name+numbered(i)] = "old"
		}
	}
	write(t, client, old)
	half := func(name string) transaction.CommitterProbe {
		changes := contents{}
		for i := range 20 {
			changes[name+numbered(i)] = "new"
		}
		txn := dying(t, client, longTTL, changes)
		prewrite(t, txn)
		return txn
	}
	undecided, committed := half("undecided"), half("committed")
	commitPrimary(t, client, committed)
	safePoint := now(t, other)
	later := half("later")

	gc := tikv.StoreProbe{KVStore: other.KVStore}
	if err := gc.GCResolveLockPhase(t.Context(), safePoint, 2); err != nil {
		t.Fatal(err)
	}
	for _, lock := range locksOf(t, other) {
		if lock.TxnID != later.GetStartTS() {
			t.Errorf("a lock is left: %v", lock)
		}
	}
	expectTooLate(t, client, undecided)
	commitPrimary(t, client, later)
	want := old
	for i := range 20 {
		want["committed"+numbered(i)] = "new"
		want["later"+numbered(i)] = "new"
	}
	expectNow(t, other, want)
}

// A heartbeat gives a transaction more time to live: nobody rolls it back when the first is over.
func TestAHeartbeatKeepsATransactionAlive(t *testing.T) {
	client, other := servers.TxnClient(t), servers.TxnClient(t)
	old, changed := numberedContents(4, "old"), numberedContents(4, "new")
	write(t, client, old)
	living := dying(t, client, shortTTL, changed)
	prewrite(t, living)
	probe := tikv.StoreProbe{KVStore: client.KVStore}
	ttl, err := probe.SendTxnHeartbeat(t.Context(), living.GetPrimaryKey(), living.GetStartTS(),
		uint64(longTTL.Milliseconds()))
	if err != nil || ttl != uint64(longTTL.Milliseconds()) {
		t.Fatalf("heartbeat: %d ms, %v", ttl, err)
	}
	// A late heartbeat with less takes nothing away.
	ttl, err = probe.SendTxnHeartbeat(t.Context(), living.GetPrimaryKey(), living.GetStartTS(), 1)
	if err != nil || ttl != uint64(longTTL.Milliseconds()) {
		t.Fatalf("heartbeat with less: %d ms, %v", ttl, err)
	}
	waitUntilAge(t, client, living, shortTTL+500*time.Millisecond)
	expectNow(t, other, old)
	status, err := other.GetLockResolver().GetTxnStatus(living.GetStartTS(), now(t, other),
		living.GetPrimaryKey())
	if err != nil || status.TTL() == 0 || status.IsCommitted() {
		t.Fatalf("the status of a living transaction is %v, %v", status, err)
	}
	commitPrimary(t, client, living)
	expectNow(t, other, changed)
}

func TestAHeartbeatOfAnEndedTransactionFails(t *testing.T) {
	client := servers.TxnClient(t)
	dead := dying(t, client, shortTTL, contents{"a": "new"})
	probe := tikv.StoreProbe{KVStore: client.KVStore}
	beat := func() error {
		_, err := probe.SendTxnHeartbeat(t.Context(), dead.GetPrimaryKey(), dead.GetStartTS(), 1000)
		return err
	}
	if beat() == nil {
		t.Error("before the prewrite there is nothing to keep alive")
	}
	prewrite(t, dead)
	if err := beat(); err != nil {
		t.Fatal(err)
	}
	commitPrimary(t, client, dead)
	if beat() == nil {
		t.Error("after the commit there is nothing to keep alive")
	}
}

// The client itself sends heartbeats for a transaction that it takes for a large one.
func TestTheClientKeepsALongTransactionAlive(t *testing.T) {
	const managedTTL = 2000 // Milliseconds; the client beats twice in this time.
	shortenManagedTTL(t, managedTTL)
	client, other := servers.TxnClient(t), servers.TxnClient(t)
	changed := numberedContents(4, "new")
	living := dying(t, client, shortTTL, changed)
	living.SetTxnSize(64 << 20)
	prewrite(t, living)
	if !living.IsTTLRunning() {
		t.Fatal("the client sends no heartbeats")
	}
	defer living.CloseTTLManager()
	seen := []uint64{living.GetLockTTL()}
	cluster.Eventually(t, 30*time.Second, func() error {
		for _, lock := range locksOf(t, other) { // Which does not resolve them.
			if string(lock.Key) == string(lock.Primary) && !slices.Contains(seen, lock.TTL) {
				seen = append(seen, lock.TTL)
			}
		}
		if len(seen) < 4 {
			return fmt.Errorf("times to live so far: %d", seen)
		}
		return nil
	})
	if !slices.IsSorted(seen) {
		t.Errorf("the time to live did not only grow: %d", seen)
	}
	expectExpired(t, client, living, managedTTL*time.Millisecond)
	commitPrimary(t, client, living)
	expectNow(t, other, changed)
}

// waitUntilAge waits until placement's time is `age` after the transaction's start.
func waitUntilAge(t testing.TB, client *txnkv.Client, txn transaction.CommitterProbe,
	age time.Duration) {
	t.Helper()
	for oracle.ExtractPhysical(now(t, client))-oracle.ExtractPhysical(txn.GetStartTS()) <
		age.Milliseconds() {
		time.Sleep(20 * time.Millisecond)
	}
}
