package txn

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	tikverr "github.com/tikv/client-go/v2/error"
	"github.com/tikv/client-go/v2/kv"
	"github.com/tikv/client-go/v2/tikv"
	"github.com/tikv/client-go/v2/txnkv"
	"github.com/tikv/client-go/v2/txnkv/txnsnapshot"
)

// expectConflict checks that a commit failed with the error upon which a user of the client begins
// again, and that it tells of this transaction.
func expectConflict(t testing.TB, txn *txnkv.KVTxn, err error) *tikverr.ErrWriteConflict {
	t.Helper()
	var conflict *tikverr.ErrWriteConflict
	if !tikverr.IsErrWriteConflict(err) || !errors.As(err, &conflict) {
		t.Fatalf("the commit ended with %v, want a write conflict", err)
	}
	if conflict.StartTs != txn.StartTS() {
		t.Fatalf("the conflict of %d is told as one of %d", txn.StartTS(), conflict.StartTs)
	}
	return conflict
}

// Transactions one after the other; in the end every state in between can be read at its timestamp.
func TestOldSnapshotsSeeOldVersions(t *testing.T) {
	client := servers.TxnClient(t)
	const transactions, names = 30, 40
	random := rand.New(rand.NewPCG(1, 2))
	type version struct {
		ts    uint64
		state contents
	}
	history := []version{{now(t, client), contents{}}}
	for n := range transactions {
		state := maps.Clone(history[n].state)
		changes := contents{}
		for range 1 + random.IntN(12) {
			name := numbered(random.IntN(names))
			if random.IntN(3) > 0 {
				changes[name] = fmt.Sprintf("%s in transaction %d", name, n)
			} else {
				changes[name] = ""
			}
		}
		maps.Copy(state, changes)
		history = append(history, version{write(t, client, changes), state})
	}
	reader := servers.TxnClient(t)
	for n := len(history) - 1; n >= 0; n-- {
		expectAt(t, reader, history[n].ts, history[n].state)
		if n > 0 {
			expectAt(t, reader, history[n].ts-1, history[n-1].state)
		}
	}
}

func TestATransactionReadsAsOfItsStart(t *testing.T) {
	client := servers.TxnClient(t)
	write(t, client, contents{"a": "old", "b": "old"})
	txn := begin(t, client)
	expectGet(t, txn, "a", "old")
	write(t, client, contents{"a": "new", "b": "", "c": "new"})
	expectGet(t, txn, "b", "old")
	expectGet(t, txn, "c", "")
	expectAt(t, client, txn.StartTS(), contents{"a": "old", "b": "old", "c": ""})
	expectNow(t, client, contents{"a": "new", "b": "", "c": "new"})
}

func TestATransactionMayBeginInThePast(t *testing.T) {
	client := servers.TxnClient(t)
	write(t, client, contents{"a": "old"})
	then := now(t, client)
	write(t, client, contents{"a": "new"})
	txn, err := client.Begin(tikv.WithStartTS(then))
	if err != nil {
		t.Fatal(err)
	}
	expectGet(t, txn, "a", "old")
	set(t, txn, "a", "from the past")
	expectConflict(t, txn, txn.Commit(t.Context()))
	expectNow(t, client, contents{"a": "new"})
}

// Followers serve reads, and miss nothing that was committed before, however it was.
func TestReadsOnFollowers(t *testing.T) {
	client := servers.TxnClient(t)
	for n := range 60 {
		value := strconv.Itoa(n)
		txn := begin(t, client)
		txn.SetEnableAsyncCommit(n%3 > 0)
		txn.SetEnable1PC(n%3 > 1)
		apply(t, txn, contents{"a": value, "b": value})
		if err := txn.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		snapshot := client.GetSnapshot(now(t, client))
		snapshot.SetReplicaRead(kv.ReplicaReadFollower)
		expectGet(t, snapshot, "a", value)
		expectGet(t, snapshot, "b", value)
		start, end := bounds(t)
		pairs, err := snapshot.Iter(start, end)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"a", "b"} {
			if !pairs.Valid() || string(pairs.Key()) != string(key(t, name)) || string(pairs.Value()) != value {
				t.Fatalf("round %d: a scan on a follower has no %s of this round", n, name)
			}
			if err := pairs.Next(); err != nil {
				t.Fatal(err)
			}
		}
		pairs.Close()
	}
}

// The client's stale reads may go to any replica, which answers them or sends the client on.
func TestStaleReads(t *testing.T) {
	client := servers.TxnClient(t)
	then := write(t, client, contents{"a": "old", "b": "old"})
	write(t, client, contents{"a": "new", "b": ""})
	for range 6 { // The client chooses among the replicas.
		snapshot := client.GetSnapshot(then)
		snapshot.SetIsStalenessReadOnly(true)
		expectGet(t, snapshot, "a", "old")
		snapshot = client.GetSnapshot(then)
		snapshot.SetIsStalenessReadOnly(true)
		found, err := snapshot.BatchGet(t.Context(), [][]byte{key(t, "a"), key(t, "b")})
		if err != nil || string(found[string(key(t, "a"))]) != "old" || len(found) != 2 {
			t.Fatalf("batch get: %q, %v", found, err)
		}
	}
}

// A follower that is asked answers with all that was committed before, or sends the client on.
func TestReadsFromFollowers(t *testing.T) {
	client := servers.TxnClient(t)
	for n := range 20 {
		want := contents{"a": strconv.Itoa(n), "b": strconv.Itoa(n)}
		write(t, client, want)
		snapshot := client.GetSnapshot(now(t, client))
		snapshot.SetReplicaRead(kv.ReplicaReadFollower)
		expectGet(t, snapshot, "a", want["a"])
		start, end := bounds(t)
		it, err := snapshot.Iter(start, end)
		_, got := collect(t, it, err)
		expectContents(t, "scan", want, got)
	}
}

func TestTheGreatestTimestampReadsTheNewest(t *testing.T) {
	client := servers.TxnClient(t)
	write(t, client, contents{"a": "old"})
	write(t, client, contents{"a": "new"})
	expectGet(t, client.GetSnapshot(math.MaxUint64), "a", "new")
	expectGet(t, client.GetSnapshot(math.MaxUint64), "missing", "")
}

func TestTheSecondOfTwoWritersConflicts(t *testing.T) {
	bothWays(t, func(t *testing.T) {
		client := servers.TxnClient(t)
		write(t, client, contents{"a": "0", "b": "0", "c": "0"})
		first, second := begin(t, client), begin(t, client)
		apply(t, first, contents{"b": "first"})
		apply(t, second, contents{"a": "second", "b": "second", "c": "second", "d": "second"})
		at := commit(t, first)
		conflict := expectConflict(t, second, second.Commit(t.Context()))
		if conflict.ConflictTs != first.StartTS() || conflict.ConflictCommitTs != at ||
			string(conflict.Key) != string(key(t, "b")) {
			t.Errorf("the conflict with [%d, %d] at %q is told as %v", first.StartTS(), at,
				key(t, "b"), conflict)
		}
		expectNow(t, client, contents{"a": "0", "b": "first", "c": "0", "d": ""})
		expectNoLocks(t, client) // The client cleans up what it had locked already.
	})
}

func TestADeletionConflictsLikeAnyWrite(t *testing.T) {
	client := servers.TxnClient(t)
	write(t, client, contents{"a": "0", "b": "0"})
	first, second, third := begin(t, client), begin(t, client), begin(t, client)
	remove(t, first, "a")
	set(t, second, "a", "second")
	remove(t, third, "a")
	commit(t, first)
	expectConflict(t, second, second.Commit(t.Context()))
	expectConflict(t, third, third.Commit(t.Context()))
	expectNow(t, client, contents{"a": "", "b": "0"})
}

func TestWritersOfDifferentKeysDoNotConflict(t *testing.T) {
	client := servers.TxnClient(t)
	write(t, client, contents{"a": "0", "b": "0"})
	first, second := begin(t, client), begin(t, client)
	// Each reads what the other writes: snapshot isolation lets both commit.
	expectGet(t, first, "b", "0")
	expectGet(t, second, "a", "0")
	set(t, first, "a", "first")
	set(t, second, "b", "second")
	commit(t, first)
	commit(t, second)
	expectNow(t, client, contents{"a": "first", "b": "second"})
}

// A key that is only locked is guarded against others' writes and keeps its value.
func TestALockedKeyConflictsWithAWrite(t *testing.T) {
	client := servers.TxnClient(t)
	write(t, client, contents{"a": "0", "b": "0"})
	lock := func(txn *txnkv.KVTxn) {
		t.Helper()
		wait := kv.NewLockCtx(txn.StartTS(), kv.LockNoWait, time.Now())
		if err := txn.LockKeys(t.Context(), wait, key(t, "a")); err != nil {
			t.Fatal(err)
		}
	}
	loser, writer := begin(t, client), begin(t, client)
	lock(loser)
	set(t, loser, "b", "loser")
	set(t, writer, "a", "1")
	commit(t, writer)
	expectConflict(t, loser, loser.Commit(t.Context()))

	locker, writer := begin(t, client), begin(t, client)
	lock(locker)
	set(t, locker, "b", "locker")
	set(t, writer, "a", "2")
	commit(t, locker)
	expectConflict(t, writer, writer.Commit(t.Context()))
	expectNow(t, client, contents{"a": "1", "b": "locker"})
}

func insert(t testing.TB, txn *txnkv.KVTxn, name, value string) {
	t.Helper()
	err := txn.GetMemBuffer().SetWithFlags(key(t, name), []byte(value), kv.SetPresumeKeyNotExists)
	if err != nil {
		t.Fatal(err)
	}
}

func expectExists(t testing.TB, name string, err error) {
	t.Helper()
	var exists *tikverr.ErrKeyExist
	if !tikverr.IsErrKeyExist(err) || !errors.As(err, &exists) {
		t.Fatalf("the commit ended with %v, want that the key exists", err)
	}
	if string(exists.Key) != string(key(t, name)) {
		t.Errorf("of %q it says that %q exists", key(t, name), exists.Key)
	}
}

func TestAnInsertOfAnExistingKeyFails(t *testing.T) {
	bothWays(t, func(t *testing.T) {
		client := servers.TxnClient(t)
		write(t, client, contents{"a": "old", "gone": "old"})
		write(t, client, contents{"gone": ""})

		txn := begin(t, client)
		insert(t, txn, "a", "new")
		insert(t, txn, "b", "new")
		expectExists(t, "a", txn.Commit(t.Context()))
		expectNow(t, client, contents{"a": "old", "b": "", "gone": ""})

		txn = begin(t, client)
		insert(t, txn, "b", "new")
		insert(t, txn, "gone", "back")
		commit(t, txn)
		expectNow(t, client, contents{"a": "old", "b": "new", "gone": "back"})
		expectNoLocks(t, client)
	})
}

// An insert that the transaction deletes again leaves a check that the key was not there.
func TestAnInsertThatIsDeletedAgainIsStillChecked(t *testing.T) {
	client := servers.TxnClient(t)
	write(t, client, contents{"a": "old"})
	for name, exists := range map[string]bool{"a": true, "b": false} {
		txn := begin(t, client)
		insert(t, txn, name, "short-lived")
		remove(t, txn, name)
		set(t, txn, "other", "written with "+name)
		if err := txn.Commit(t.Context()); exists {
			expectExists(t, name, err)
		} else if err != nil {
			t.Fatal(err)
		}
	}
	expectNow(t, client, contents{"a": "old", "b": "", "other": "written with b"})
}

func TestOneOfManyInsertersWins(t *testing.T) {
	client := servers.TxnClient(t)
	const inserters = 12
	var wins atomic.Int32
	var wg sync.WaitGroup
	for n := range inserters {
		txn := begin(t, client)
		insert(t, txn, "a", strconv.Itoa(n))
		wg.Go(func() {
			err := txn.Commit(t.Context())
			switch {
			case err == nil:
				wins.Add(1)
			case !tikverr.IsErrKeyExist(err) && !retryable(err):
				t.Errorf("an insert failed with %v", err)
			}
		})
	}
	wg.Wait()
	if wins.Load() != 1 {
		t.Errorf("%d of %d inserts of one key were committed", wins.Load(), inserters)
	}
}

func TestConcurrentIncrementsAreAllCounted(t *testing.T) {
	clients := []*txnkv.Client{servers.TxnClient(t), servers.TxnClient(t)}
	const counters, increments = 8, 15
	write(t, clients[0], contents{"n": "0"})
	var wg sync.WaitGroup
	for c := range counters {
		wg.Go(func() {
			for range increments {
				if err := increment(t, clients[c%len(clients)]); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	expectNow(t, clients[0], contents{"n": strconv.Itoa(counters * increments)})
}

// increment adds one to the counter `n`, beginning again until there was no conflict.
func increment(t *testing.T, client *txnkv.Client) error {
	for {
		txn, err := client.Begin()
		if err != nil {
			return err
		}
		value, err := txn.Get(t.Context(), key(t, "n"))
		if err != nil {
			return err
		}
		n, err := strconv.Atoi(string(value))
		if err != nil {
			return err
		}
		if err := txn.Set(key(t, "n"), []byte(strconv.Itoa(n+1))); err != nil {
			return err
		}
		if err := txn.Commit(t.Context()); err == nil || !retryable(err) {
			return err
		}
	}
}

// retryable tells the errors after which nothing of the transaction took effect and the user of the
// client begins again.
func retryable(err error) bool {
	var conflict *tikverr.ErrWriteConflict
	var retry *tikverr.ErrRetryable
	var deadlock *tikverr.ErrDeadlock
	return errors.As(err, &conflict) || errors.As(err, &retry) || errors.As(err, &deadlock)
}

// With read committed as isolation a lock hides nothing that was committed before.
func TestReadCommittedReadsPastLocks(t *testing.T) {
	client := servers.TxnClient(t)
	write(t, client, contents{"a": "old", "b": "old"})
	txn := dying(t, client, longTTL, contents{"a": "new", "b": "new"})
	prewrite(t, txn)
	snapshot := client.GetSnapshot(now(t, client))
	snapshot.SetIsolationLevel(txnsnapshot.RC)
	start, end := bounds(t)
	it, err := snapshot.Iter(start, end)
	_, values := collect(t, it, err)
	expectContents(t, "scan", contents{"a": "old", "b": "old"}, values)
	expectGet(t, snapshot, "a", "old")
	if locks := locksOf(t, client); len(locks) != 2 {
		t.Errorf("%d locks are left of 2", len(locks))
	}
}
