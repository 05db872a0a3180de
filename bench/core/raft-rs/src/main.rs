//! Drives raft-rs without I/O and prints one JSON line a row; see ../../rutile_driver.cc, which does
//! the same to Rutile's core. docs/benchmarks.md says what each row is.
//!
//!   raft_rs_driver [--milliseconds N]     all rows, each for N ms (default 300)

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use raft::eraftpb::{Entry, Message, MessageType};
use raft::storage::MemStorage;
use raft::{Config, GetEntriesContext, RawNode, Storage};

const KEEP: u64 = 1024;
const COMPACT_EVERY: usize = 1024;
const GROUPS: usize = 10_000;
const SLICE: usize = 64;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static LIVE_BYTES: AtomicU64 = AtomicU64::new(0);

struct Counting;

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // Plain loads and stores: there is one thread, and a locked add would cost too much.
        ALLOCATIONS.store(ALLOCATIONS.load(Relaxed) + 1, Relaxed);
        LIVE_BYTES.store(LIVE_BYTES.load(Relaxed) + layout.size() as u64, Relaxed);
        System.alloc(layout)
    }
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        LIVE_BYTES.store(LIVE_BYTES.load(Relaxed).wrapping_sub(layout.size() as u64), Relaxed);
        System.dealloc(memory, layout)
    }
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.store(ALLOCATIONS.load(Relaxed) + 1, Relaxed);
        let live = LIVE_BYTES.load(Relaxed).wrapping_sub(layout.size() as u64);
        LIVE_BYTES.store(live.wrapping_add(size as u64), Relaxed);
        System.realloc(memory, layout, size)
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn print(row: &str, value: f64, unit: &str) {
    println!("{{\"row\": \"{row}\", \"value\": {value:.6e}, \"unit\": \"{unit}\"}}");
}

struct Member {
    node: RawNode<MemStorage>,
    applied: u64,
    applied_index: u64,
}

impl Member {
    fn new(id: u64) -> Member {
        let storage = MemStorage::new_with_conf_state((vec![1, 2, 3], vec![]));
        let config = Config {
            id,
            election_tick: 20,
            heartbeat_tick: 2,
            max_size_per_msg: 1 << 20,
            max_inflight_msgs: 256,
            max_committed_size_per_ready: 4 << 20,
            max_uncommitted_size: 64 << 20,
            check_quorum: true,
            pre_vote: true,
            // As TiKV has it, and what Rutile does: no messages for the commit index alone.
            skip_bcast_commit: true,
            batch_append: true,
            ..Default::default()
        };
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        Member { node: RawNode::new(&config, storage, &logger).unwrap(), applied: 0, applied_index: 0 }
    }

    fn apply(&mut self, entries: Vec<Entry>) {
        for entry in &entries {
            self.applied += u64::from(!entry.data.is_empty());
            self.applied_index = entry.index;
        }
    }

    /// Takes what is ready: sends, persists, applies, until there is nothing more.
    fn handle(&mut self, sent: &mut Vec<Message>) {
        while self.node.has_ready() {
            let mut ready = self.node.ready();
            sent.append(&mut ready.take_messages());
            self.apply(ready.take_committed_entries());
            {
                let mut storage = self.node.mut_store().wl();
                if !ready.entries().is_empty() {
                    storage.append(ready.entries()).unwrap();
                }
                if let Some(state) = ready.hs() {
                    storage.set_hardstate(state.clone());
                }
            }
            sent.append(&mut ready.take_persisted_messages());
            let mut light = self.node.advance(ready);
            if let Some(commit) = light.commit_index() {
                self.node.mut_store().wl().mut_hard_state().commit = commit;
            }
            sent.append(&mut light.take_messages());
            self.apply(light.take_committed_entries());
            self.node.advance_apply();
        }
    }
}

struct Trio {
    members: Vec<Member>,
    sent: Vec<Message>,
    arriving: Vec<Message>,
}

impl Trio {
    fn new() -> Trio {
        let members = (1..=3).map(Member::new).collect();
        Trio { members, sent: Vec::new(), arriving: Vec::new() }
    }

    fn deliver(&mut self) {
        while !self.sent.is_empty() {
            std::mem::swap(&mut self.sent, &mut self.arriving);
            for message in self.arriving.drain(..) {
                let member = &mut self.members[message.to as usize - 1];
                member.node.step(message).unwrap();
                member.handle(&mut self.sent);
            }
        }
    }

    fn elect(&mut self) {
        self.members[0].node.campaign().unwrap();
        self.members[0].handle(&mut self.sent);
        self.deliver();
        assert!(self.members[0].node.raft.commit_to_current_term());
    }

    fn tick(&mut self) {
        for member in &mut self.members {
            member.node.tick();
            member.handle(&mut self.sent);
        }
        self.deliver();
    }

    fn propose(&mut self, pattern: &[u8], batch: usize, one_call: bool) {
        let node = &mut self.members[0].node;
        if one_call {
            let mut message = Message::default();
            message.set_msg_type(MessageType::MsgPropose);
            message.from = 1;
            message.entries = (0..batch)
                .map(|_| Entry { data: pattern.to_vec(), ..Default::default() })
                .collect();
            node.raft.step(message).unwrap();
        } else {
            for _ in 0..batch {
                node.propose(vec![], pattern.to_vec()).unwrap();
            }
        }
        self.members[0].handle(&mut self.sent);
        self.deliver();
    }

    fn compact(&mut self, keep: u64) {
        for member in &mut self.members {
            if member.applied_index > keep {
                member.node.mut_store().wl().compact(member.applied_index - keep).unwrap();
            }
        }
    }
}

/// Runs `operation`, which does `each` operations; seconds and allocations of one.
fn measure(milliseconds: f64, each: usize, mut operation: impl FnMut()) -> (f64, f64) {
    for _ in 0..16 {
        operation();
    }
    let allocations = ALLOCATIONS.load(Relaxed);
    let begin = Instant::now();
    let mut done = 0;
    while begin.elapsed().as_secs_f64() < milliseconds / 1e3 {
        for _ in 0..16 {
            operation();
        }
        done += 16 * each;
    }
    let seconds = begin.elapsed().as_secs_f64();
    let count = done as f64;
    (seconds / count, (ALLOCATIONS.load(Relaxed) - allocations) as f64 / count)
}

fn run_proposals(milliseconds: f64) {
    for size in [128, 256, 1024] {
        for (batch, one_call) in [(1, false), (64, false), (64, true)] {
            let mut trio = Trio::new();
            trio.elect();
            let pattern = vec![b'v'; size];
            let mut proposed = 0;
            let mut since_compacted = 0;
            let (seconds, allocations) = measure(milliseconds, batch, || {
                trio.propose(&pattern, batch, one_call);
                proposed += batch;
                since_compacted += batch;
                if since_compacted >= COMPACT_EVERY {
                    trio.compact(KEEP);
                    since_compacted = 0;
                }
            });
            for _ in 0..4 {
                trio.tick();
            }
            assert!(trio.members.iter().all(|m| m.applied == proposed as u64));
            let way = if one_call { "/one-call" } else { "" };
            print(&format!("propose/{size}/{batch}{way}"), 1.0 / seconds, "1/s");
            if size == 256 && !one_call {
                print(&format!("allocations/{size}/{batch}"), allocations, "1");
            }
        }
    }
}

fn run_idle(milliseconds: f64) {
    let before = LIVE_BYTES.load(Relaxed);
    let mut groups = Vec::new();
    for _ in 0..GROUPS {
        let mut trio = Trio::new();
        trio.elect();
        groups.push(trio);
    }
    for _ in 0..4 {
        groups.iter_mut().for_each(Trio::tick);
    }
    for group in &mut groups {
        group.compact(0);
        (group.sent, group.arriving) = (Vec::new(), Vec::new()); // The driver's own, and empty.
    }
    let bytes = (LIVE_BYTES.load(Relaxed) - before) as f64;
    print("memory/idle-member", bytes / (3 * GROUPS) as f64, "B");
    let begin = Instant::now();
    let mut ticks = 0;
    while begin.elapsed().as_secs_f64() < milliseconds / 1e3 {
        groups.iter_mut().for_each(Trio::tick);
        ticks += 1;
    }
    print("idle/10000", (ticks * GROUPS) as f64 / begin.elapsed().as_secs_f64(), "1/s");
}

fn entry(term: u64, index: u64) -> Entry {
    Entry { term, index, data: vec![b'v'; 256], ..Default::default() }
}

fn run_conflict(milliseconds: f64) {
    const MESSAGES: u64 = 500;
    let mut member = Member::new(1);
    let mut sent = Vec::new();
    // What is to be replaced stands behind the first entry, which both logs have.
    let mut term = 1;
    let mut append = Message::default();
    append.set_msg_type(MessageType::MsgAppend);
    (append.from, append.to, append.term) = (2, 1, term);
    append.entries = vec![entry(1, 1)];
    append.commit = 1;
    member.node.step(append).unwrap();
    member.handle(&mut sent);

    let (mut spent, mut entries) = (0.0, 0);
    while spent < milliseconds / 1e3 {
        let mut messages = Vec::new();
        for i in 0..MESSAGES {
            term += 1;
            let mut append = Message::default();
            append.set_msg_type(MessageType::MsgAppend);
            (append.from, append.to, append.term) = (2 + i % 2, 1, term);
            (append.log_term, append.index, append.commit) = (1, 1, 1);
            append.entries = (0..SLICE as u64).map(|k| entry(term, 2 + k)).collect();
            messages.push(append);
        }
        let begin = Instant::now();
        for message in messages {
            sent.clear();
            member.node.step(message).unwrap();
            member.handle(&mut sent);
            assert!(sent.len() == 1 && !sent[0].reject);
        }
        spent += begin.elapsed().as_secs_f64();
        entries += MESSAGES as usize * SLICE;
        assert_eq!(member.node.raft.raft_log.last_index(), 1 + SLICE as u64);
    }
    print("conflict/64", entries as f64 / spent, "1/s");
}

/// The memory storage that comes with the library, in the place of our log's tail.
fn run_tail(milliseconds: f64) {
    const ENTRIES: u64 = 10_000;
    let all: Vec<Entry> = (1..=ENTRIES).map(|i| entry(1, i)).collect();
    let (mut append, mut fetch, mut compact, mut rounds) = (0.0, 0.0, 0.0, 0);
    while append + fetch + compact < milliseconds / 1e3 {
        rounds += 1;
        let storage = MemStorage::new_with_conf_state((vec![1], vec![]));
        let begin = Instant::now();
        for one in &all {
            storage.wl().append(std::slice::from_ref(one)).unwrap();
        }
        append += begin.elapsed().as_secs_f64();

        let begin = Instant::now();
        let mut read = 0;
        let mut low = 1;
        while low <= ENTRIES {
            let high = (low + SLICE as u64).min(ENTRIES + 1);
            let got = storage.entries(low, high, None, GetEntriesContext::empty(false)).unwrap();
            read += got.len() as u64;
            low = high;
        }
        fetch += begin.elapsed().as_secs_f64();
        assert_eq!(read, ENTRIES);

        let begin = Instant::now();
        let mut to = 1;
        while to < ENTRIES {
            to = (to + SLICE as u64).min(ENTRIES);
            storage.wl().compact(to).unwrap();
        }
        compact += begin.elapsed().as_secs_f64();
    }
    let entries = (rounds * ENTRIES) as f64;
    print("tail/append", entries / append, "1/s");
    print("tail/fetch-64", entries / fetch, "1/s");
    print("tail/compact-64", entries / compact, "1/s");
}

fn run_memory() {
    const ENTRIES: u64 = 100_000;
    let storage = MemStorage::new_with_conf_state((vec![1], vec![]));
    let before = LIVE_BYTES.load(Relaxed);
    for i in 1..=ENTRIES {
        storage.wl().append(&[entry(1, i)]).unwrap();
    }
    let bytes = (LIVE_BYTES.load(Relaxed) - before) as f64 / ENTRIES as f64;
    print("memory/entry-in-log", bytes - 256.0, "B");
    print("memory/entry-in-all", bytes, "B");
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let milliseconds = match &arguments[..] {
        [] => 300.0,
        [flag, value] if flag == "--milliseconds" => value.parse().expect("a number"),
        _ => panic!("usage: raft_rs_driver [--milliseconds N]"),
    };
    run_proposals(milliseconds);
    run_idle(milliseconds);
    run_conflict(milliseconds);
    run_tail(milliseconds);
    run_memory();
}
