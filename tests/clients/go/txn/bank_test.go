package txn

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pingcap/kvproto/pkg/errorpb"
	"github.com/pingcap/kvproto/pkg/kvrpcpb"
	"github.com/pingcap/kvproto/pkg/metapb"
	"github.com/pingcap/kvproto/pkg/tikvpb"
	tikverr "github.com/tikv/client-go/v2/error"
	"github.com/tikv/client-go/v2/kv"
	"github.com/tikv/client-go/v2/oracle"
	"github.com/tikv/client-go/v2/txnkv"

	"rutile/tests/clients/cluster"
)

const (
	accounts = 24
	opening  = 1000 // What each account has in the beginning.
	tellers  = 8
	auditors = 3
)

func account(n int) string { return "account/" + numbered(n) }

// bank is accounts, tellers that move money between two of them, and auditors that add all up. A
// transfer also leaves a line in the ledger, so that in the end every balance can be explained.
type bank struct {
	t       *testing.T
	clients []*txnkv.Client
	seed    uint64
	ctx     context.Context
	cancel  context.CancelFunc
	finish  chan struct{} // Closed: all end after what they are doing.
	wg      sync.WaitGroup

	mu        sync.Mutex
	acked     map[string]string // Ledger lines of transfers that were acknowledged.
	unknown   map[string]string // Those of transfers whose fate the client was not told.
	conflicts int
	audits    int
	audited   map[uint64]contents // Some of what the auditors saw, by timestamp.
	failures  []string
}

func openBank(t *testing.T, pessimistic bool) *bank {
	ctx, cancel := context.WithCancel(t.Context())
	b := &bank{
		t: t, clients: []*txnkv.Client{servers.TxnClient(t), servers.TxnClient(t)},
		seed: rand.Uint64(), ctx: ctx, cancel: cancel, finish: make(chan struct{}),
		acked: map[string]string{}, unknown: map[string]string{}, audited: map[uint64]contents{},
	}
	t.Logf("seed %d", b.seed)
	all := contents{}
	for n := range accounts {
		all[account(n)] = strconv.Itoa(opening)
	}
	write(t, b.clients[0], all)
	for n := range tellers {
		random := rand.New(rand.NewPCG(b.seed, uint64(n)))
		b.wg.Go(func() { b.tell(n, b.clients[n%2], random, pessimistic) })
	}
	for n := range auditors {
		b.wg.Go(func() { b.audit(n, b.clients[n%2]) })
	}
	t.Cleanup(func() { cancel(); b.wg.Wait() })
	return b
}

func (b *bank) finished() bool {
	select {
	case <-b.finish:
		return true
	case <-b.ctx.Done():
		return true
	default:
		return false
	}
}

func (b *bank) fail(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failures = append(b.failures, fmt.Sprintf(format, args...))
}

// transfer is one movement of money, which is tried until it is done or its fate is unknown.
type transfer struct {
	line     string // In the ledger.
	from, to int
	amount   int
}

func (tr transfer) String() string { return fmt.Sprintf("%d %d %d", tr.from, tr.to, tr.amount) }

// tell makes transfers one after the other. After an error that lets it, it begins again.
func (b *bank) tell(teller int, client *txnkv.Client, random *rand.Rand, pessimistic bool) {
	for n := 0; !b.finished(); n++ {
		tr := transfer{line: fmt.Sprintf("ledger/%d/%s", teller, numbered(n))}
		tr.amount, tr.from = 1+random.IntN(9), random.IntN(accounts)
		tr.to = (tr.from + 1 + random.IntN(accounts-1)) % accounts
		for {
			err := b.move(client, tr, random, pessimistic)
			if err == nil || tikverr.IsErrorUndetermined(err) {
				b.note(tr, err)
				break
			}
			if b.ctx.Err() != nil {
				return
			}
			if !retryable(err) {
				b.fail("transfer %s (%s): %v", tr.line, tr, err)
				return
			}
			b.mu.Lock()
			b.conflicts++
			b.mu.Unlock()
			if b.finished() {
				return
			}
		}
		if n%5 == 0 {
			b.lookUp(client, tr)
		}
	}
}

func (b *bank) note(tr transfer, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err == nil {
		b.acked[tr.line] = tr.String()
	} else {
		b.unknown[tr.line] = tr.String()
	}
}

// lookUp checks that an acknowledged transfer is seen by whoever comes after it.
func (b *bank) lookUp(client *txnkv.Client, tr transfer) {
	ts, err := client.CurrentTimestamp(oracle.GlobalTxnScope)
	if err == nil {
		_, err = client.GetSnapshot(ts).Get(b.ctx, key(b.t, tr.line))
	}
	b.mu.Lock()
	_, acked := b.acked[tr.line]
	b.mu.Unlock()
	if err != nil && b.ctx.Err() == nil && (acked || !tikverr.IsErrNotFound(err)) {
		b.fail("looking up %s, acknowledged: %v: %v", tr.line, acked, err)
	}
}

// move is one attempt at a transfer, in one of the ways of committing.
func (b *bank) move(client *txnkv.Client, tr transfer, random *rand.Rand, pessimistic bool) error {
	txn, err := client.Begin()
	if err != nil {
		return err
	}
	txn.SetEnableAsyncCommit(random.IntN(2) == 0)
	txn.SetEnable1PC(random.IntN(2) == 0)
	txn.SetPessimistic(pessimistic && random.IntN(2) == 0)
	if err := b.fill(client, txn, tr); err != nil {
		return errors.Join(err, txn.Rollback())
	}
	return txn.Commit(b.ctx)
}

// fill reads both accounts and writes what the transfer makes of them.
func (b *bank) fill(client *txnkv.Client, txn *txnkv.KVTxn, tr transfer) error {
	from, to := key(b.t, account(tr.from)), key(b.t, account(tr.to))
	read := func(k []byte) (int, error) {
		value, err := txn.Get(b.ctx, k)
		if err != nil {
			return 0, err
		}
		return strconv.Atoi(string(value))
	}
	if txn.IsPessimistic() {
		locked, err := lockForUpdate(b.ctx, client, txn, kv.LockAlwaysWait, from, to)
		if err != nil {
			return err
		}
		read = func(k []byte) (int, error) {
			return strconv.Atoi(string(locked.Values[string(k)].Value))
		}
	}
	fromBalance, err := read(from)
	if err != nil {
		return err
	}
	toBalance, err := read(to)
	if err != nil {
		return err
	}
	return errors.Join(
		txn.Set(from, []byte(strconv.Itoa(fromBalance-tr.amount))),
		txn.Set(to, []byte(strconv.Itoa(toBalance+tr.amount))),
		txn.Set(key(b.t, tr.line), []byte(tr.String())))
}

// audit adds up all accounts in one snapshot after the other, read in turn in each way there is.
func (b *bank) audit(auditor int, client *txnkv.Client) {
	for n := auditor; !b.finished(); n++ {
		ts, err := client.CurrentTimestamp(oracle.GlobalTxnScope)
		if err != nil {
			b.fail("audit: %v", err)
			return
		}
		seen, err := b.balances(client, ts, n%3)
		if b.ctx.Err() != nil {
			return
		}
		if err == nil {
			err = checkSum(seen)
		}
		if err != nil {
			b.fail("audit at %d in way %d: %v", ts, n%3, err)
			return
		}
		b.mu.Lock()
		if b.audits++; b.audits%10 == 0 {
			b.audited[ts] = seen
		}
		b.mu.Unlock()
	}
}

func (b *bank) balances(client *txnkv.Client, ts uint64, way int) (contents, error) {
	snapshot := client.GetSnapshot(ts)
	start, end := key(b.t, "account/"), key(b.t, "account0")
	seen := contents{}
	if way == 2 {
		var keys [][]byte
		for n := range accounts {
			keys = append(keys, key(b.t, account(n)))
		}
		found, err := snapshot.BatchGet(b.ctx, keys)
		for k, value := range found {
			seen[strings.TrimPrefix(k, prefix(b.t))] = string(value)
		}
		return seen, err
	}
	snapshot.SetScanBatchSize(10)
	var it iterator
	var err error
	if way == 0 {
		it, err = snapshot.Iter(start, end)
	} else {
		it, err = snapshot.IterReverse(end, start)
	}
	if err != nil {
		return nil, err
	}
	defer it.Close()
	for it.Valid() {
		seen[strings.TrimPrefix(string(it.Key()), prefix(b.t))] = string(it.Value())
		if err := it.Next(); err != nil {
			return nil, err
		}
	}
	return seen, nil
}

func checkSum(seen contents) error {
	sum := 0
	for name, value := range seen {
		balance, err := strconv.Atoi(value)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		sum += balance
	}
	if len(seen) != accounts || sum != accounts*opening {
		return fmt.Errorf("%d accounts with %d in all, want %d with %d: %v", len(seen), sum,
			accounts, accounts*opening, seen)
	}
	return nil
}

// waitFor waits until `more` transfers have been acknowledged since the call.
func (b *bank) waitFor(more int, what string) {
	b.t.Helper()
	count := func() (int, int) {
		b.mu.Lock()
		defer b.mu.Unlock()
		return len(b.acked), len(b.failures)
	}
	before, _ := count()
	began := time.Now()
	cluster.Eventually(b.t, 40*time.Second, func() error {
		acked, failures := count()
		if failures > 0 {
			b.report()
			b.t.FailNow()
		}
		if acked < before+more {
			return fmt.Errorf("%s: %d transfers of %d", what, acked-before, more)
		}
		return nil
	})
	b.t.Logf("%s: %d transfers in %.1f s", what, more, time.Since(began).Seconds())
}

func (b *bank) report() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.t.Logf("%d transfers acknowledged, %d unknown, %d begun again after a conflict, %d audits",
		len(b.acked), len(b.unknown), b.conflicts, b.audits)
	for _, failure := range b.failures[:min(10, len(b.failures))] {
		b.t.Errorf("one of %d failures: %s", len(b.failures), failure)
	}
}

// close ends the tellers and auditors and checks the books with a client that knows nothing.
func (b *bank) close() {
	b.t.Helper()
	close(b.finish)
	b.wg.Wait()
	b.report()
	client := servers.TxnClient(b.t)
	ts := now(b.t, client)
	final, err := b.balances(client, ts, 2)
	if err == nil {
		err = checkSum(final)
	}
	if err != nil {
		b.t.Fatalf("in the end: %v", err)
	}
	ledger := b.readLedger(client, ts)
	for line, text := range b.acked {
		if ledger[line] != text {
			b.t.Errorf("LOST: transfer %s (%s) was acknowledged and is now %q", line, text,
				ledger[line])
		}
	}
	expected := map[int]int{}
	for line, text := range ledger {
		if b.acked[line] != text && b.unknown[line] != text {
			b.t.Errorf("transfer %s (%s) took effect, which the client was told it did not",
				line, text)
		}
		var tr transfer
		if _, err := fmt.Sscan(text, &tr.from, &tr.to, &tr.amount); err != nil {
			b.t.Fatalf("%s is %q: %v", line, text, err)
		}
		expected[tr.from] -= tr.amount
		expected[tr.to] += tr.amount
	}
	for n := range accounts {
		if want := strconv.Itoa(opening + expected[n]); final[account(n)] != want {
			b.t.Errorf("%s has %s, by the ledger %s", account(n), final[account(n)], want)
		}
	}
	for ts, seen := range b.audited {
		again, err := b.balances(client, ts, 0)
		if err != nil || !maps.Equal(again, seen) {
			b.t.Errorf("the snapshot at %d was %v and is now %v (%v)", ts, seen, again, err)
		}
	}
	b.expectNoLocksAfterReads(client)
}

// expectNoLocksAfterReads reads until no lock is left. Where the fate of a transfer is unknown,
// only readers end it, after its time to live.
func (b *bank) expectNoLocksAfterReads(client *txnkv.Client) {
	b.t.Helper()
	cluster.Eventually(b.t, 20*time.Second, func() error {
		ts := now(b.t, client)
		if _, err := b.balances(client, ts, 0); err != nil {
			return err
		}
		b.readLedger(client, ts)
		if locks := locksOf(b.t, client); len(locks) > 0 {
			return fmt.Errorf("%d locks, one of them %v", len(locks), locks[0])
		}
		return nil
	})
}

func (b *bank) readLedger(client *txnkv.Client, ts uint64) contents {
	b.t.Helper()
	it, err := client.GetSnapshot(ts).Iter(key(b.t, "ledger/"), key(b.t, "ledger0"))
	_, ledger := collect(b.t, it, err)
	return ledger
}

func TestMoneyIsNeitherMadeNorLost(t *testing.T) {
	b := openBank(t, servesPessimisticLocks(t))
	b.waitFor(200, "undisturbed")
	b.close()
}

// Twice the node dies that leads the accounts' region, and comes back.
func TestMoneyIsNeitherMadeNorLostWhileLeadersDie(t *testing.T) {
	b := openBank(t, servesPessimisticLocks(t))
	b.waitFor(100, "undisturbed")
	for round := range 2 {
		victim := leaderOf(t)
		servers.Kill(victim)
		b.waitFor(100, fmt.Sprintf("round %d, %s is dead", round, victim.Name))
		if err := servers.Restart(victim); err != nil {
			t.Fatal(err)
		}
		waitUntilFollowing(t, victim)
		b.waitFor(100, fmt.Sprintf("round %d, %s is back", round, victim.Name))
	}
	b.close()
}

// leaderOf finds the node that leads the accounts' region and checks by a read that it does.
func leaderOf(t *testing.T) *cluster.Node {
	t.Helper()
	var leader *cluster.Node
	cluster.Eventually(t, 20*time.Second, func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		route, err := servers.Route(ctx, key(t, account(0)))
		if err != nil {
			return err
		}
		leader = route.LeaderNode
		notLeader, err := askPeer(ctx, t, route, route.Leader, leader)
		if err == nil && notLeader != nil {
			err = errors.New(notLeader.String())
		}
		return err
	})
	return leader
}

// waitUntilFollowing waits until a node that was restarted leads the region or knows who does: were
// the next one killed before that, nobody would have a majority for a while.
func waitUntilFollowing(t *testing.T, node *cluster.Node) {
	t.Helper()
	cluster.Eventually(t, 20*time.Second, func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		route, err := servers.Route(ctx, key(t, account(0)))
		if err != nil {
			return err
		}
		for _, peer := range route.Region.Peers {
			if at, err := servers.NodeOf(ctx, peer); err != nil || at != node {
				continue
			}
			notLeader, err := askPeer(ctx, t, route, peer, node)
			if err == nil && notLeader != nil && notLeader.GetLeader() == nil {
				err = fmt.Errorf("%s knows no leader", node.Name)
			}
			return err
		}
		return fmt.Errorf("no peer is known on %s", node.Name)
	})
}

// askPeer reads from one peer by hand. Anything but an answer or NotLeader is an error.
func askPeer(ctx context.Context, t *testing.T, route *cluster.Route, peer *metapb.Peer,
	node *cluster.Node) (*errorpb.NotLeader, error) {
	conn, err := cluster.Dial(node.Addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	answer, err := tikvpb.NewTikvClient(conn).KvGet(ctx, &kvrpcpb.GetRequest{
		Context: route.Context(peer), Key: key(t, account(0)), Version: 1,
	})
	if err == nil && answer.RegionError != nil && answer.RegionError.NotLeader == nil {
		err = errors.New(answer.RegionError.String())
	}
	return answer.GetRegionError().GetNotLeader(), err
}
