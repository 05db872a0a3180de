package txn

import (
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/pingcap/kvproto/pkg/kvrpcpb"
	"github.com/tikv/client-go/v2/config/retry"
	"github.com/tikv/client-go/v2/tikvrpc"
	"github.com/tikv/client-go/v2/txnkv"
)

// call sends one command by hand to the region of `at`, through the client's connections and its
// retries of region errors. The answer must be of the command's own kind.
func call[Answer any](t testing.TB, client *txnkv.Client, at []byte, command tikvrpc.CmdType,
	request any) Answer {
	t.Helper()
	bo := retry.NewBackofferWithVars(t.Context(), 20000, nil)
	for {
		location, err := client.GetRegionCache().LocateKey(bo, at)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := client.SendReq(bo, tikvrpc.NewRequest(command, request), location.Region,
			10*time.Second)
		if err != nil {
			t.Fatalf("%v: %v", command, err)
		}
		regionError, err := answer.GetRegionError()
		if err != nil {
			t.Fatal(err)
		}
		if regionError != nil {
			err := bo.Backoff(retry.BoRegionMiss, errors.New(regionError.String()))
			if err != nil {
				t.Fatal(err)
			}
			continue
		}
		typed, ok := answer.Resp.(Answer)
		if !ok {
			t.Fatalf("%v was answered with a %T: %v", command, answer.Resp, answer.Resp)
		}
		return typed
	}
}

// byHand sends the commands of one transaction, with the first of its keys as the primary.
type byHand struct {
	t      testing.TB
	client *txnkv.Client
	start  uint64
	ttl    uint64 // Milliseconds.
	keys   [][]byte
}

func newByHand(t testing.TB, client *txnkv.Client, ttl time.Duration, names ...string) *byHand {
	t.Helper()
	h := &byHand{t: t, client: client, start: now(t, client), ttl: uint64(ttl.Milliseconds())}
	for _, name := range names {
		h.keys = append(h.keys, key(t, name))
	}
	return h
}

func (h *byHand) prewrite() *kvrpcpb.PrewriteResponse {
	h.t.Helper()
	request := &kvrpcpb.PrewriteRequest{
		PrimaryLock: h.keys[0], StartVersion: h.start, LockTtl: h.ttl,
		TxnSize: uint64(len(h.keys)), MinCommitTs: h.start + 1,
	}
	for _, k := range h.keys {
		request.Mutations = append(request.Mutations,
			&kvrpcpb.Mutation{Op: kvrpcpb.Op_Put, Key: k, Value: []byte("by hand")})
	}
	return call[*kvrpcpb.PrewriteResponse](h.t, h.client, h.keys[0], tikvrpc.CmdPrewrite, request)
}

func (h *byHand) mustPrewrite() {
	h.t.Helper()
	if answer := h.prewrite(); len(answer.Errors) > 0 {
		h.t.Fatalf("prewrite: %v", answer.Errors)
	}
}

func (h *byHand) commit(at uint64, keys ...[]byte) *kvrpcpb.KeyError {
	h.t.Helper()
	return call[*kvrpcpb.CommitResponse](h.t, h.client, h.keys[0], tikvrpc.CmdCommit,
		&kvrpcpb.CommitRequest{StartVersion: h.start, CommitVersion: at, Keys: keys}).Error
}

func (h *byHand) mustCommit(keys ...[]byte) uint64 {
	h.t.Helper()
	at := now(h.t, h.client)
	if err := h.commit(at, keys...); err != nil {
		h.t.Fatalf("commit: %v", err)
	}
	return at
}

func (h *byHand) rollback(keys ...[]byte) *kvrpcpb.KeyError {
	h.t.Helper()
	return call[*kvrpcpb.BatchRollbackResponse](h.t, h.client, h.keys[0], tikvrpc.CmdBatchRollback,
		&kvrpcpb.BatchRollbackRequest{StartVersion: h.start, Keys: keys}).Error
}

func (h *byHand) cleanup(current uint64) *kvrpcpb.CleanupResponse {
	h.t.Helper()
	return call[*kvrpcpb.CleanupResponse](h.t, h.client, h.keys[0], tikvrpc.CmdCleanup,
		&kvrpcpb.CleanupRequest{Key: h.keys[0], StartVersion: h.start, CurrentTs: current})
}

func (h *byHand) status(current uint64, rollbackIfAbsent bool) *kvrpcpb.CheckTxnStatusResponse {
	h.t.Helper()
	return call[*kvrpcpb.CheckTxnStatusResponse](h.t, h.client, h.keys[0],
		tikvrpc.CmdCheckTxnStatus, &kvrpcpb.CheckTxnStatusRequest{
			PrimaryKey: h.keys[0], LockTs: h.start, CallerStartTs: current, CurrentTs: current,
			RollbackIfNotExist: rollbackIfAbsent,
		})
}

func (h *byHand) heartbeat(ttl uint64) *kvrpcpb.TxnHeartBeatResponse {
	h.t.Helper()
	return call[*kvrpcpb.TxnHeartBeatResponse](h.t, h.client, h.keys[0], tikvrpc.CmdTxnHeartBeat,
		&kvrpcpb.TxnHeartBeatRequest{
			PrimaryLock: h.keys[0], StartVersion: h.start, AdviseLockTtl: ttl,
		})
}

func (h *byHand) get(at uint64) *kvrpcpb.GetResponse {
	h.t.Helper()
	return call[*kvrpcpb.GetResponse](h.t, h.client, h.keys[0], tikvrpc.CmdGet,
		&kvrpcpb.GetRequest{Key: h.keys[0], Version: at})
}

// expectRetryable checks the key error upon which clients begin a transaction again.
func expectRetryable(t testing.TB, what string, err *kvrpcpb.KeyError) {
	t.Helper()
	if err.GetRetryable() == "" && err.GetConflict() == nil {
		t.Errorf("%s: %v, want an error to begin again", what, err)
	}
}

// Answers get lost, and clients ask again: the same request finds its own work and changes nothing.
func TestCommandsMayBeRepeated(t *testing.T) {
	bothWays(t, func(t *testing.T) {
		client := servers.TxnClient(t)
		done := newByHand(t, client, longTTL, "a", "b")
		done.mustPrewrite()
		done.mustPrewrite()
		at := done.mustCommit(done.keys...)
		if err := done.commit(at, done.keys...); err != nil {
			t.Errorf("the second commit: %v", err)
		}
		if answer := done.prewrite(); len(answer.Errors) > 0 {
			t.Errorf("a prewrite that comes after the commit: %v", answer.Errors)
		}
		if locks := locksOf(t, client); len(locks) > 0 {
			t.Errorf("a prewrite that comes after the commit left %v", locks)
		}
		undone := newByHand(t, client, longTTL, "a", "b")
		undone.mustPrewrite()
		for range 2 {
			if err := undone.rollback(undone.keys...); err != nil {
				t.Errorf("rollback: %v", err)
			}
		}
		expectAt(t, client, at, contents{"a": "by hand", "b": "by hand"})
		expectNow(t, client, contents{"a": "by hand", "b": "by hand"})
	})
}

func TestACommittedTransactionIsNotRolledBack(t *testing.T) {
	bothWays(t, func(t *testing.T) {
		client := servers.TxnClient(t)
		h := newByHand(t, client, longTTL, "a")
		h.mustPrewrite()
		at := h.mustCommit(h.keys...)
		if err := h.rollback(h.keys...); err == nil {
			t.Error("a committed key was rolled back")
		}
		if answer := h.cleanup(0); answer.CommitVersion != at {
			t.Errorf("clean up of what was committed at %d: %v", at, answer)
		}
		expectNow(t, client, contents{"a": "by hand"})
	})
}

func TestARolledBackTransactionIsNotCommitted(t *testing.T) {
	bothWays(t, func(t *testing.T) {
		client := servers.TxnClient(t)
		before := newByHand(t, client, longTTL, "a")
		if err := before.rollback(before.keys...); err != nil {
			t.Fatal(err)
		}
		if answer := before.prewrite(); len(answer.Errors) != 1 {
			t.Errorf("a prewrite that comes after the rollback: %v", answer)
		} else {
			expectRetryable(t, "a prewrite that comes after the rollback", answer.Errors[0])
		}
		after := newByHand(t, client, longTTL, "a")
		after.mustPrewrite()
		if err := after.rollback(after.keys...); err != nil {
			t.Fatal(err)
		}
		expectRetryable(t, "a commit after the rollback",
			after.commit(now(t, client), after.keys...))
		never := newByHand(t, client, longTTL, "a")
		expectRetryable(t, "a commit without a prewrite",
			never.commit(now(t, client), never.keys...))
		expectNow(t, client, contents{"a": ""})
	})
}

func TestCleanupRollsBackOneKey(t *testing.T) {
	bothWays(t, func(t *testing.T) {
		client := servers.TxnClient(t)
		h := newByHand(t, client, longTTL, "a")
		h.mustPrewrite()
		if answer := h.cleanup(now(t, client)); answer.GetError().GetLocked() == nil {
			t.Errorf("clean up of a living transaction's lock: %v", answer)
		}
		for range 2 {
			if answer := h.cleanup(0); answer.Error != nil || answer.CommitVersion != 0 {
				t.Errorf("unconditional clean up: %v", answer)
			}
		}
		expectRetryable(t, "the commit", h.commit(now(t, client), h.keys...))
		expectNow(t, client, contents{"a": ""})
	})
}

func TestTheStatusOfATransaction(t *testing.T) {
	bothWays(t, func(t *testing.T) {
		client := servers.TxnClient(t)
		absent := newByHand(t, client, longTTL, "absent")
		answer := absent.status(now(t, client), false)
		if missing := answer.GetError().GetTxnNotFound(); missing.GetStartTs() != absent.start {
			t.Errorf("absent: %v", answer)
		}
		answer = absent.status(now(t, client), true)
		if answer.Error != nil || answer.Action != kvrpcpb.Action_LockNotExistRollback {
			t.Errorf("absent, to be rolled back: %v", answer)
		}
		if late := absent.prewrite(); len(late.Errors) == 0 {
			t.Error("a prewrite succeeded that was rolled back in advance")
		}

		living := newByHand(t, client, longTTL, "living")
		living.mustPrewrite()
		caller := now(t, client)
		answer = living.status(caller, true)
		if answer.Error != nil || answer.LockTtl != living.ttl || answer.CommitVersion != 0 ||
			answer.Action != kvrpcpb.Action_MinCommitTSPushed {
			t.Errorf("living: %v", answer)
		}
		early := living.commit(caller, living.keys...)
		if expired := early.GetCommitTsExpired(); expired.GetMinCommitTs() <= caller ||
			expired.GetAttemptedCommitTs() != caller || expired.GetStartTs() != living.start {
			t.Errorf("a commit not after its least timestamp: %v", early)
		}
		at := living.mustCommit(living.keys...)
		answer = living.status(now(t, client), true)
		if answer.Error != nil || answer.CommitVersion != at || answer.LockTtl != 0 {
			t.Errorf("committed at %d: %v", at, answer)
		}

		expired := newByHand(t, client, longTTL, "expired")
		expired.mustPrewrite()
		answer = expired.status(math.MaxUint64, true)
		if answer.Error != nil || answer.LockTtl != 0 || answer.CommitVersion != 0 ||
			answer.Action != kvrpcpb.Action_TTLExpireRollback {
			t.Errorf("expired: %v", answer)
		}
		answer = expired.status(now(t, client), true)
		if answer.Error != nil || answer.LockTtl != 0 || answer.CommitVersion != 0 ||
			answer.Action != kvrpcpb.Action_NoAction {
			t.Errorf("rolled back: %v", answer)
		}
	})
}

func TestAHeartbeatByHand(t *testing.T) {
	bothWays(t, func(t *testing.T) {
		client := servers.TxnClient(t)
		h := newByHand(t, client, shortTTL, "a")
		if answer := h.heartbeat(5000); answer.GetError().GetTxnNotFound() == nil {
			t.Errorf("before the prewrite: %v", answer)
		}
		h.mustPrewrite()
		for _, step := range []struct{ advised, want uint64 }{{5000, 5000}, {100, 5000}} {
			answer := h.heartbeat(step.advised)
			if answer.Error != nil || answer.LockTtl != step.want {
				t.Errorf("advised %d ms: %v, want %d", step.advised, answer, step.want)
			}
		}
		h.mustCommit(h.keys...)
		if answer := h.heartbeat(5000); answer.GetError().GetTxnNotFound() == nil {
			t.Errorf("after the commit: %v", answer)
		}
	})
}

// Whoever meets a lock is told all that it needs to ask for the transaction's fate.
func TestAReaderIsToldOfTheLock(t *testing.T) {
	bothWays(t, func(t *testing.T) {
		client := servers.TxnClient(t)
		before := now(t, client)
		h := newByHand(t, client, longTTL, "b", "a", "c")
		h.mustPrewrite()
		check := func(how string, lock *kvrpcpb.LockInfo, at []byte) {
			t.Helper()
			if string(lock.GetPrimaryLock()) != string(h.keys[0]) ||
				string(lock.GetKey()) != string(at) || lock.GetLockVersion() != h.start ||
				lock.GetLockTtl() != h.ttl || lock.GetTxnSize() != 3 ||
				lock.GetLockType() != kvrpcpb.Op_Put {
				t.Errorf("%s: the lock on %q is told as %v", how, at, lock)
			}
		}
		ts := now(t, client)
		check("get", h.get(ts).GetError().GetLocked(), h.keys[0])
		if answer := h.get(before); answer.Error != nil || !answer.NotFound {
			t.Errorf("a read from before the transaction: %v", answer)
		}
		batch := call[*kvrpcpb.BatchGetResponse](t, client, h.keys[0], tikvrpc.CmdBatchGet,
			&kvrpcpb.BatchGetRequest{Keys: [][]byte{h.keys[1], key(t, "missing")}, Version: ts})
		var lock *kvrpcpb.LockInfo
		for _, pair := range batch.Pairs {
			lock = pair.GetError().GetLocked()
		}
		if lock == nil { // Of the answer as a whole, as newer servers tell it.
			lock = batch.GetError().GetLocked()
		}
		check("batch get", lock, h.keys[1])
		start, end := bounds(t)
		scan := call[*kvrpcpb.ScanResponse](t, client, start, tikvrpc.CmdScan,
			&kvrpcpb.ScanRequest{StartKey: start, EndKey: end, Limit: 10, Version: ts})
		if scan.Error != nil {
			check("scan", scan.Error.GetLocked(), key(t, "a"))
		} else if len(scan.Pairs) == 0 {
			t.Error("a scan did not see the locks")
		} else {
			check("scan", scan.Pairs[0].GetError().GetLocked(), key(t, "a"))
		}
		h.mustCommit(h.keys...)
	})
}

func TestScanLockAndResolveLock(t *testing.T) {
	bothWays(t, func(t *testing.T) {
		client := servers.TxnClient(t)
		first := newByHand(t, client, longTTL, "a", "c", "e")
		first.mustPrewrite()
		second := newByHand(t, client, longTTL, "b", "d")
		second.mustPrewrite()
		start, end := bounds(t)
		scan := func(from []byte, limit uint32, most uint64) (names []string) {
			t.Helper()
			answer := call[*kvrpcpb.ScanLockResponse](t, client, start, tikvrpc.CmdScanLock,
				&kvrpcpb.ScanLockRequest{
					StartKey: from, EndKey: end, Limit: limit, MaxVersion: most,
				})
			if answer.Error != nil {
				t.Fatalf("scan lock: %v", answer.Error)
			}
			for _, lock := range answer.Locks {
				names = append(names, string(lock.Key[len(start):]))
			}
			return names
		}
		expect := func(got []string, want ...string) {
			t.Helper()
			if !slices.Equal(got, want) {
				t.Errorf("locks on %q, want %q", got, want)
			}
		}
		expect(scan(start, 100, math.MaxUint64), "a", "b", "c", "d", "e")
		expect(scan(start, 3, math.MaxUint64), "a", "b", "c")
		expect(scan(key(t, "c"), 100, math.MaxUint64), "c", "d", "e")
		expect(scan(start, 100, first.start), "a", "c", "e")
		expect(scan(start, 100, first.start-1))

		resolve := func(request *kvrpcpb.ResolveLockRequest) {
			t.Helper()
			if answer := call[*kvrpcpb.ResolveLockResponse](t, client, start,
				tikvrpc.CmdResolveLock, request); answer.Error != nil {
				t.Fatalf("resolve lock: %v", answer.Error)
			}
		}
		at := now(t, client)
		resolve(&kvrpcpb.ResolveLockRequest{
			StartVersion: first.start, CommitVersion: at, Keys: [][]byte{key(t, "c")},
		})
		expect(scan(start, 100, math.MaxUint64), "a", "b", "d", "e")
		resolve(&kvrpcpb.ResolveLockRequest{TxnInfos: []*kvrpcpb.TxnInfo{
			{Txn: first.start, Status: at}, {Txn: second.start, Status: 0},
		}})
		expect(scan(start, 100, math.MaxUint64))
		expectRetryable(t, "the second's commit",
			second.commit(now(t, client), second.keys...))
		expectAt(t, client, at, contents{"a": "by hand", "c": "by hand", "e": "by hand"})
		expectAt(t, client, at-1, contents{})

		third := newByHand(t, client, longTTL, "a", "b", "c")
		third.mustPrewrite()
		resolve(&kvrpcpb.ResolveLockRequest{StartVersion: third.start})
		expect(scan(start, 100, math.MaxUint64))
		expectNow(t, client, contents{"a": "by hand", "c": "by hand", "e": "by hand"})
	})
}

// A prewrite names each key in its way, and a lock of another lies in the way of all.
func TestAPrewriteMeetsAnothersLock(t *testing.T) {
	bothWays(t, func(t *testing.T) {
		client := servers.TxnClient(t)
		first := newByHand(t, client, longTTL, "a")
		first.mustPrewrite()
		second := newByHand(t, client, longTTL, "0", "a", "z")
		answer := second.prewrite()
		if len(answer.Errors) != 1 || answer.Errors[0].GetLocked() == nil ||
			string(answer.Errors[0].Locked.Key) != string(first.keys[0]) ||
			answer.Errors[0].Locked.LockVersion != first.start {
			t.Errorf("the prewrite over a lock: %v", answer)
		}
		first.mustCommit(first.keys...)
		answer = second.prewrite()
		conflict := &kvrpcpb.WriteConflict{}
		if len(answer.Errors) == 1 && answer.Errors[0].GetConflict() != nil {
			conflict = answer.Errors[0].Conflict
		}
		if conflict.StartTs != second.start || conflict.ConflictTs != first.start ||
			string(conflict.Key) != string(first.keys[0]) {
			t.Errorf("the prewrite over a later commit: %v", answer)
		}
		if err := second.rollback(second.keys...); err != nil {
			t.Error(err)
		}
		expectNow(t, client, contents{"0": "", "a": "by hand", "z": ""})
	})
}
