// Drives etcd's Raft without I/O and prints one JSON line a row; see ../rutile_driver.cc, which does
// the same to Rutile's core. docs/benchmarks.md says what each row is.
//
//	etcd_raft_driver [--milliseconds N]     all rows, each for N ms (default 300)
package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"log"
	"runtime"
	"strconv"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
)

const (
	keep         = 1024
	compactEvery = 1024
	groups       = 10_000
	slice        = 64
)

func print(row string, value float64, unit string) {
	fmt.Printf("{\"row\": %q, \"value\": %.6e, \"unit\": %q}\n", row, value, unit)
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func require(what bool) {
	if !what {
		panic("what must hold does not")
	}
}

func allocations() uint64 {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.Mallocs
}

func liveBytes() uint64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

type member struct {
	node         *raft.RawNode
	storage      *raft.MemoryStorage
	applied      uint64
	appliedIndex uint64
}

func newStorage(voters []uint64) *raft.MemoryStorage {
	storage := raft.NewMemoryStorage()
	check(storage.ApplySnapshot(raftpb.Snapshot{Metadata: raftpb.SnapshotMetadata{
		Index: 1, Term: 1, ConfState: raftpb.ConfState{Voters: voters}}}))
	return storage
}

var silent = &raft.DefaultLogger{Logger: log.New(io.Discard, "", 0)}

func newMember(id uint64) *member {
	storage := newStorage([]uint64{1, 2, 3})
	node, err := raft.NewRawNode(&raft.Config{
		ID:                        id,
		ElectionTick:              20,
		HeartbeatTick:             2,
		Storage:                   storage,
		Applied:                   1,
		MaxSizePerMsg:             1 << 20,
		MaxCommittedSizePerReady:  4 << 20,
		MaxUncommittedEntriesSize: 64 << 20,
		MaxInflightMsgs:           256,
		MaxInflightBytes:          16 << 20,
		CheckQuorum:               true,
		PreVote:                   true,
		Logger:                    silent,
	})
	check(err)
	return &member{node: node, storage: storage, appliedIndex: 1}
}

// handle takes what is ready: persists, sends, applies, until there is nothing more.
func (m *member) handle(sent []raftpb.Message) []raftpb.Message {
	for m.node.HasReady() {
		ready := m.node.Ready()
		if !raft.IsEmptyHardState(ready.HardState) {
			check(m.storage.SetHardState(ready.HardState))
		}
		if len(ready.Entries) > 0 {
			check(m.storage.Append(ready.Entries))
		}
		sent = append(sent, ready.Messages...)
		for i := range ready.CommittedEntries {
			entry := &ready.CommittedEntries[i]
			if len(entry.Data) > 0 {
				m.applied++
			}
			m.appliedIndex = entry.Index
		}
		m.node.Advance(ready)
	}
	return sent
}

type trio struct {
	members        [3]*member
	sent, arriving []raftpb.Message
}

func newTrio() *trio {
	t := &trio{}
	for i := range t.members {
		t.members[i] = newMember(uint64(i) + 1)
	}
	return t
}

func (t *trio) deliver() {
	for len(t.sent) > 0 {
		t.sent, t.arriving = t.arriving[:0], t.sent
		for i := range t.arriving {
			to := t.members[t.arriving[i].To-1]
			check(to.node.Step(t.arriving[i]))
			t.sent = to.handle(t.sent)
		}
	}
}

func (t *trio) elect() {
	check(t.members[0].node.Campaign())
	t.sent = t.members[0].handle(t.sent)
	t.deliver()
	require(t.members[0].node.BasicStatus().RaftState == raft.StateLeader)
}

func (t *trio) tick() {
	for _, m := range t.members {
		m.node.Tick()
		t.sent = m.handle(t.sent)
	}
	t.deliver()
}

func (t *trio) propose(pattern []byte, batch int, oneCall bool) {
	node := t.members[0].node
	if oneCall {
		message := raftpb.Message{Type: raftpb.MsgProp, From: 1, Entries: make([]raftpb.Entry, batch)}
		for i := range message.Entries {
			message.Entries[i].Data = bytes.Clone(pattern)
		}
		check(node.Step(message))
	} else {
		for range batch {
			check(node.Propose(bytes.Clone(pattern)))
		}
	}
	t.sent = t.members[0].handle(t.sent)
	t.deliver()
}

func (t *trio) compact(keep uint64) {
	for _, m := range t.members {
		first, err := m.storage.FirstIndex()
		check(err)
		if m.appliedIndex > keep && m.appliedIndex-keep >= first {
			check(m.storage.Compact(m.appliedIndex - keep))
		}
	}
}

// measure runs operation, which does `each` operations; seconds and allocations of one.
func measure(length time.Duration, each int, operation func()) (float64, float64) {
	for range 16 {
		operation()
	}
	before := allocations()
	begin := time.Now()
	done := 0
	for time.Since(begin) < length {
		for range 16 {
			operation()
		}
		done += 16 * each
	}
	seconds := time.Since(begin).Seconds()
	return seconds / float64(done), float64(allocations()-before) / float64(done)
}

func runProposals(length time.Duration) {
	for _, size := range []int{128, 256, 1024} {
		for _, way := range []struct {
			batch   int
			oneCall bool
			suffix  string
		}{{1, false, ""}, {64, false, ""}, {64, true, "/one-call"}} {
			t := newTrio()
			t.elect()
			pattern := bytes.Repeat([]byte{'v'}, size)
			proposed, sinceCompacted := 0, 0
			seconds, allocated := measure(length, way.batch, func() {
				t.propose(pattern, way.batch, way.oneCall)
				proposed += way.batch
				sinceCompacted += way.batch
				if sinceCompacted >= compactEvery {
					t.compact(keep)
					sinceCompacted = 0
				}
			})
			for range 4 {
				t.tick()
			}
			for _, m := range t.members {
				require(m.applied == uint64(proposed))
			}
			row := fmt.Sprintf("%d/%d", size, way.batch)
			print("propose/"+row+way.suffix, 1/seconds, "1/s")
			if size == 256 && !way.oneCall {
				print("allocations/"+row, allocated, "1")
			}
		}
	}
}

func runIdle(length time.Duration) {
	before := liveBytes()
	all := make([]*trio, groups)
	for i := range all {
		all[i] = newTrio()
		all[i].elect()
	}
	tick := func() {
		for _, t := range all {
			t.tick()
		}
	}
	for range 4 {
		tick()
	}
	for _, t := range all {
		t.compact(0)
		t.sent, t.arriving = nil, nil // The driver's own, and empty.
	}
	print("memory/idle-member", float64(liveBytes()-before)/(3*groups), "B")
	begin := time.Now()
	ticks := 0
	for time.Since(begin) < length {
		tick()
		ticks++
	}
	print("idle/10000", float64(ticks*groups)/time.Since(begin).Seconds(), "1/s")
}

var payload = bytes.Repeat([]byte{'v'}, 256)

func runConflict(length time.Duration) {
	const messages = 500
	m := newMember(1)
	var sent []raftpb.Message
	term := uint64(1)
	var spent time.Duration
	entries := 0
	for spent < length {
		appends := make([]raftpb.Message, messages)
		for i := range appends {
			term++
			appends[i] = raftpb.Message{Type: raftpb.MsgApp, From: uint64(2 + i%2), To: 1, Term: term,
				LogTerm: 1, Index: 1, Commit: 1, Entries: make([]raftpb.Entry, slice)}
			for k := range appends[i].Entries {
				appends[i].Entries[k] = raftpb.Entry{Term: term, Index: uint64(2 + k), Data: payload}
			}
		}
		runtime.GC()
		begin := time.Now()
		for i := range appends {
			check(m.node.Step(appends[i]))
			sent = m.handle(sent[:0])
			require(len(sent) == 1 && !sent[0].Reject)
		}
		spent += time.Since(begin)
		entries += messages * slice
		last, err := m.storage.LastIndex()
		check(err)
		require(last == 1+slice)
	}
	print("conflict/64", float64(entries)/spent.Seconds(), "1/s")
}

// runTail drives the memory storage that comes with the library, in the place of our log's tail.
func runTail(length time.Duration) {
	const count = 10_000
	var appending, fetching, compacting time.Duration
	rounds := 0
	for appending+fetching+compacting < length {
		rounds++
		storage := newStorage([]uint64{1})
		begin := time.Now()
		one := make([]raftpb.Entry, 1)
		for i := range count {
			one[0] = raftpb.Entry{Term: 1, Index: uint64(2 + i), Data: payload}
			check(storage.Append(one))
		}
		appending += time.Since(begin)

		begin = time.Now()
		read := 0
		for low := uint64(2); low < 2+count; low += slice {
			got, err := storage.Entries(low, min(low+slice, 2+count), 1<<40)
			check(err)
			read += len(got)
		}
		fetching += time.Since(begin)
		require(read == count)

		begin = time.Now()
		for to := uint64(1 + slice); to < 1+count; to += slice {
			check(storage.Compact(to))
		}
		check(storage.Compact(1 + count))
		compacting += time.Since(begin)
	}
	entries := float64(rounds * count)
	print("tail/append", entries/appending.Seconds(), "1/s")
	print("tail/fetch-64", entries/fetching.Seconds(), "1/s")
	print("tail/compact-64", entries/compacting.Seconds(), "1/s")
}

func runMemory() {
	const count = 100_000
	storage := newStorage([]uint64{1})
	before := liveBytes()
	for i := range count {
		check(storage.Append([]raftpb.Entry{{Term: 1, Index: uint64(2 + i), Data: bytes.Clone(payload)}}))
	}
	each := float64(liveBytes()-before) / count
	runtime.KeepAlive(storage)
	print("memory/entry-in-log", each-float64(len(payload)), "B")
	print("memory/entry-in-all", each, "B")
}

func main() {
	milliseconds := flag.String("milliseconds", "300", "how long each row is measured")
	flag.Parse()
	value, err := strconv.ParseFloat(*milliseconds, 64)
	check(err)
	length := time.Duration(value * float64(time.Millisecond))
	runProposals(length)
	runIdle(length)
	runConflict(length)
	runTail(length)
	runMemory()
}
